"""Clients that read as FastGPT's SDKs do, one per generation: strict where those are, and no kinder.

A takes bare JSON and reads a run's stream frame by frame; a last frame without its blank line is lost. B unwraps
``{code, msg, data}``. C checks every field that it knows, drops frames that it cannot read, and unwraps ``{data}``.
"""

import codecs
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import httpx


class Rejected(Exception):
    """The promise of a call was rejected; ``reason`` is what with."""

    def __init__(self, reason: Any) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass
class Run:
    """What a run's stream said: the text of its ``stream`` frames, its result, and the comments in between."""

    answer: str = ""
    result: Any = None
    comments: int = 0
    frames: list[str] = field(default_factory=list)


class ClientA:
    """@fastgpt-sdk/plugin 0.1 and 0.2: the header ``authtoken``, ``/tool`` and ``/model``."""

    def __init__(self, base_url: str, token: str) -> None:
        headers = {"authtoken": token} if token else {}
        self.http = httpx.AsyncClient(base_url=base_url, headers=headers, timeout=30, trust_env=False)

    async def get(self, path: str, **query: str) -> Any:
        response = await self.http.get(path, params=query)
        if response.status_code != 200:
            raise Rejected(response.json())
        return response.json()

    async def run(self, tool_id: str, inputs: Any, system: Any = None, path: str = "/tool/runstream") -> Run:
        """Resolves with the data of ``response``, rejects with that of ``error``."""
        body = {"toolId": tool_id, "inputs": inputs, "systemVar": system or {"time": "2026-01-01"}}
        async with self.http.stream("POST", path, json=body) as response:
            return await followed(response)

    async def aclose(self) -> None:
        await self.http.aclose()


async def followed(response: httpx.Response) -> Run:
    """The stream's end, as every SDK of A and B finds it."""
    kind = response.headers["content-type"]
    if response.status_code != 200 or not kind.startswith("text/event-stream"):
        await response.aread()
        raise Rejected(response.json() if "json" in kind else response.text)
    run = Run()
    async for data in frames(response, run):
        message = json.loads(data)
        assert message["type"], "a frame without a type is ignored by the SDK"
        if message["type"] == "stream":
            run.answer += message["data"]["content"]
        elif message["type"] == "response":
            run.result = message["data"]
            return run
        elif message["type"] == "error":
            raise Rejected(message["data"])
    raise Rejected("Stream closed but not result")


async def frames(response: httpx.Response, run: Run) -> AsyncGenerator[str, None]:
    """The data of each whole frame; what no blank line follows never becomes one."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    buffer = ""
    async for chunk in response.aiter_raw():
        buffer += decoder.decode(chunk)
        *whole, buffer = buffer.replace("\r\n", "\n").split("\n\n")
        for block in whole:
            lines = block.split("\n")
            run.comments += sum(line.startswith(":") for line in lines)
            if data := [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]:
                run.frames.append(block)
                yield "\n".join(data)
