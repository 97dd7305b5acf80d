"""Clients that read as FastGPT's SDKs do, one per generation: strict where those are, and no kinder.

A takes bare JSON and reads a run's stream frame by frame; a last frame without its blank line is lost. B unwraps
``{code, msg, data}``. C checks every field that it knows, drops frames that it cannot read, and unwraps ``{data}``.
"""

import codecs
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError


class Rejected(Exception):
    """The promise of a call was rejected; ``reason`` is what with."""

    def __init__(self, reason: Any) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Unanswered(Exception):
    """The server went before it answered anything: no stream had begun."""


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
        async with AsyncExitStack() as stack:
            try:
                response = await stack.enter_async_context(self.http.stream("POST", path, json=body))
            except httpx.TransportError as error:
                raise Unanswered from error
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


class ClientB:
    """@fastgpt-sdk/plugin 0.3 to 0.6: bearer tokens, ``/api``, and an envelope whose ``code`` must be 0."""

    def __init__(self, base_url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.http = httpx.AsyncClient(base_url=base_url, headers=headers, timeout=30, trust_env=False)

    async def get(self, path: str, **query: str) -> Any:
        response = await self.http.get(path, params=query)
        if not response.is_success:
            raise Rejected(response.json().get("msg") or response.reason_phrase)
        result = response.json()
        if result["code"] != 0:
            raise Rejected(result.get("msg") or "Request failed")
        return result["data"]

    async def run(self, tool_id: str, inputs: Any, **system: Any) -> Run:
        """As in A, but that a tool's failure is an ``error`` frame."""
        body = {"toolId": tool_id, "inputs": inputs, "systemVar": {"time": "2026-01-01", **system}}
        async with self.http.stream("POST", "/api/tools/run-stream", json=body) as response:
            return await followed(response)

    async def aclose(self) -> None:
        await self.http.aclose()


class Strict(BaseModel):
    """Types as JSON has them: no text for a number."""

    model_config = ConfigDict(strict=True)


class I18n(Strict):
    en: str
    zh_cn: str | None = Field(default=None, alias="zh-CN")


class Child(Strict):
    id: str
    name: I18n
    description: I18n | None = None
    tool_description: str = Field(alias="toolDescription")


class DetailedChild(Child):
    icon: str
    input_schema: dict[str, Any] = Field(alias="inputSchema")
    output_schema: dict[str, Any] = Field(alias="outputSchema")


class Plugin(Strict):
    """An item of ``/api/tools``."""

    plugin_id: str = Field(alias="pluginId")
    version: str
    etag: str
    type: Literal["tool"]
    name: I18n
    icon: str
    description: I18n
    tags: list[str] | None = None
    tool_description: str = Field(alias="toolDescription")
    source: str
    is_toolset: bool = Field(alias="isToolset")
    has_secret: bool = Field(alias="hasSecret")
    children: list[Child] | None = None


class Detail(Plugin):
    """The answer of ``/api/tool``."""

    is_latest: bool = Field(alias="isLatestVersion")
    children: list[DetailedChild] | None = None  # type: ignore[assignment]


class Model(Strict):
    provider: str
    model: str
    name: str


class Llm(Model):
    type: Literal["llm"]
    max_context: int = Field(alias="maxContext")
    max_tokens: int = Field(alias="maxTokens")
    quote_max_token: int = Field(alias="quoteMaxToken")
    max_temperature: float | None = Field(default=None, alias="maxTemperature")
    vision: bool
    reasoning: bool
    reasoning_effort: bool = Field(alias="reasoningEffort")
    tool_choice: bool = Field(alias="toolChoice")


class Embedding(Model):
    type: Literal["embedding"]
    default_token: int = Field(alias="defaultToken")
    max_token: int = Field(alias="maxToken")


class Rerank(Model):
    type: Literal["rerank"]
    max_token: int = Field(alias="maxToken")


class Voice(Strict):
    label: str
    value: str


class Tts(Model):
    type: Literal["tts"]
    voices: Annotated[list[Voice], Field(min_length=1)]


class Stt(Model):
    type: Literal["stt"]


AnyModel = Annotated[Llm | Embedding | Rerank | Tts | Stt, Field(discriminator="type")]


class StrictI18n(Strict):
    en: str
    zh_cn: str = Field(alias="zh-CN")
    zh_hant: str = Field(alias="zh-Hant")


class Brand(Strict):
    provider: str
    value: StrictI18n
    avatar: str


class Channel(Strict):
    channel_id: int = Field(alias="channelId")
    name: StrictI18n
    avatar: str


class Providers(Strict):
    model_providers: list[Brand] = Field(alias="modelProviders")
    aiproxy_channels: list[Channel] = Field(alias="aiproxyChannels")


class Reason(Strict):
    en: str


class Told(Strict):
    code: str
    message: str
    reason: Reason


class ResponseFrame(Strict):
    type: Literal["response"]
    data: dict[str, Any]


class ErrorFrame(Strict):
    type: Literal["error"]
    data: str


FRAME = TypeAdapter[ResponseFrame | ErrorFrame](ResponseFrame | ErrorFrame)


class ClientC:
    """@fastgpt-plugin/sdk-client: every answer is checked, a frame that cannot be is dropped."""

    def __init__(self, base_url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.http = httpx.AsyncClient(base_url=base_url, headers=headers, timeout=30, trust_env=False)

    async def get(self, kind: Any, path: str, **query: Any) -> Any:
        """The data, as ``kind``."""
        response = await self.http.get(path, params=query)
        if not response.is_success:
            raise Rejected(Told.model_validate(response.json()["error"]))
        return TypeAdapter(kind).validate_python(response.json()["data"])

    async def run(self, plugin_id: str, child_id: str | None, tool_input: Any, **changes: Any) -> Run:
        """Its frames may come with ``data:`` or without; the first that fits the schema ends the run."""
        system = {"app": {"id": "a", "name": "An app"}, "chat": {"chatId": "c"}, "invokeToken": "secret-token", "time": "now"}
        body = {"pluginId": plugin_id, "childId": child_id, "source": "system", "input": tool_input, "systemVar": system}
        async with self.http.stream("POST", "/api/tool/runStream", json=body | changes) as response:
            if not response.is_success:
                raise Rejected(Told.model_validate(json.loads(await response.aread())["error"]))
            run = Run()
            async for data in frames(response, run):
                try:
                    message = FRAME.validate_json(data)
                except ValidationError:
                    continue
                if isinstance(message, ErrorFrame):
                    raise Rejected(message.data)
                run.result = message.data
                return run
        raise Rejected("Stream closed but not result")

    async def aclose(self) -> None:
        await self.http.aclose()
