"""Models and tools for tests of turns that use tools: scripted, in memory, and remembering what they were asked."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

import orjson
from pydantic import BaseModel

from core.conversation import Candidate, ModelInfo, ModelRequest, ToolWay
from core.errors import PilothouseError
from core.events import StreamEvent
from core.store.turns import NewTurn, Turns
from core.streams import MemoryStreams
from core.tools.calls import CallResult, Link, ToolCall
from core.tools.shelf import Shelf
from core.tools.tool import Bench, Output, Tool, Words
from core.tools.toolbox import Toolbox
from core.turns import RunningTurn
from tests.core.test_turns import FakeTurns, chunk

Script = Sequence[dict[str, Any] | PilothouseError | Callable[[], Awaitable[None]]]
WORDS = Words(zh="x", en="Looks things up")


class City(BaseModel):
    """The inputs of the tools under test."""

    city: str


async def never(inputs: City, bench: Bench) -> Mapping[str, Any]:
    raise AssertionError("the fake caller runs nothing")


def tool(tool_id: str, *cues: str) -> Tool:
    output = Output("text", "string", WORDS, WORDS)
    return Tool(tool_id, WORDS, WORDS, "1.0.0", City, (output,), never, cues)


SHELF = Shelf((), (tool("maps/draw", "map", "地图"), tool("weather/now", "weather")))
LINK = Link("http://host/files/a_b.svg", "map.svg", "image/svg+xml", "Map of [Paris]\n& its roads")


class FakeCaller:
    """``maps/draw`` gives a picture; ``answers`` replaces what a call gives, by city."""

    def __init__(self) -> None:
        self.calls: list[ToolCall] = []
        self.answers: dict[str, Any] = {}
        self.most_at_once = self.running = 0

    async def call(self, asked: ToolCall) -> CallResult:
        self.calls.append(asked)
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        try:
            answer = self.answers.get(asked.inputs.get("city", ""))
            await asyncio.sleep(0)
            if callable(answer):
                await answer()
            elif isinstance(answer, BaseException):
                raise answer
        finally:
            self.running -= 1
        if asked.tool_id == "maps/draw":
            return CallResult("run", {"url": LINK.url, "alt": LINK.alt}, (LINK,))
        return CallResult("run", {"text": f"sunny in {asked.inputs.get('city')}"})


class ScriptedModel:
    """Answers each call with the next script: deltas, an error to raise, or something to wait for."""

    def __init__(self, *scripts: Script, provider: str = "one", retries: int = 2) -> None:
        self.provider, self.retries = provider, retries
        self.scripts = list(scripts)
        self.requests: list[ModelRequest] = []

    async def stream(self, request: ModelRequest) -> AsyncGenerator[dict[str, Any], None]:
        self.requests.append(request)
        script = self.scripts.pop(0)
        if script and isinstance(script[0], PilothouseError):
            raise script[0]
        yield chunk({"role": "assistant", "content": ""})
        called = False
        for step in script:
            if isinstance(step, PilothouseError):
                raise step
            if isinstance(step, dict):
                called |= "tool_calls" in step
                yield chunk(step)
            else:
                await step()
        yield chunk({}, "tool_calls" if called else "stop")
        yield {"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 1, "details": {"cached": 1}}}

    async def models(self) -> tuple[ModelInfo, ...]:
        return ()

    async def aclose(self) -> None:
        """Nothing is held."""


def says(text: str) -> dict[str, Any]:
    return {"content": text}


def calls(*wanted: tuple[str, str], ids: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The pieces of calls as OpenAI streams them: the name first, then the arguments in two parts."""
    pieces: list[dict[str, Any]] = []
    for at, (name, arguments) in enumerate(wanted):
        call_id = ids[at] if at < len(ids) else f"c{at}"
        middle = len(arguments) // 2
        first = {"index": at, "id": call_id, "type": "function", "function": {"name": name, "arguments": arguments[:middle]}}
        pieces += [{"tool_calls": [first]}, {"tool_calls": [{"index": at, "function": {"arguments": arguments[middle:]}}]}]
    return pieces


def city(name: str) -> str:
    return orjson.dumps({"city": name}).decode()


class Scene:
    """One running turn with tools, and what surrounds it."""

    def __init__(
        self,
        *models: ScriptedModel,
        text: str = "hello",
        way: ToolWay = "auto",
        tools: Sequence[str] = ("maps/draw", "weather/now"),
        toolbox: Toolbox | None = None,
        rounds: int = 5,
        context: int = 4096,
    ) -> None:
        self.turns = FakeTurns()
        self.streams = MemoryStreams()
        self.streams.open("turn")
        self.caller = FakeCaller()
        self.toolbox = toolbox or Toolbox(SHELF, self.caller, rounds)
        candidates: list[Candidate] = [(model, ModelInfo("m", model.provider, context, False, tools=way)) for model in models]
        options = {"model": "m", "tool_ids": list(tools)} if tools else {"model": "m"}
        question = NewTurn("turn", "session", "owner", [{"role": "user", "content": text}], options)
        self.turn = RunningTurn(
            question,
            candidates=candidates,
            streams=self.streams,
            turns=cast(Turns, self.turns),
            toolbox=self.toolbox,
            token_id="token",
        )
        self.turn.prepare([])

    async def events(self) -> list[StreamEvent]:
        return [event async for batch in self.streams.follow("turn") for event in batch]

    async def chunks(self) -> list[str]:
        """What each chunk says."""
        said = [orjson.loads(event.data)["choices"][0]["delta"] for event in await self.events() if event.kind == "chunk"]
        return [delta.get("content") or "" for delta in said]

    async def told(self) -> list[dict[str, Any]]:
        """The tool events."""
        return [orjson.loads(event.data) for event in await self.events() if event.kind == "tool"]


IMAGE = r"![Map of \[Paris\] \& its roads](http://host/files/a_b.svg)" + "\n\n"
