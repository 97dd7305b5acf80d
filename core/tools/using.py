"""A turn's use of tools: the calls that its model wants, run side by side, told to the model, to the stream and to the reader."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
import structlog

from core.answers import Answer
from core.conversation import Message, ModelInfo, ToolWay
from core.errors import InputInvalid, NotFound, PilothouseError, ToolFailed, ToolInterrupted, ToolTimedOut, told
from core.history import estimate
from core.markdown import link, picture
from core.store.turns import NewTurn
from core.tools.calls import CallResult, Link, ToolCall
from core.tools.offering import Offer, Ways, function_name
from core.tools.tool import Tool
from core.voice import Voice

log = structlog.get_logger(__name__)

AT_ONCE = 4
"""Calls of a turn that run at the same time."""
MOST = 16
"""Calls that a model may make in one round; what it wants beyond is told to it as refused."""
LIMIT = 300.0
"""Seconds that a call may take with all its waiting; the tool itself has a shorter limit."""
SHARE = 4
"""All results of a round together take at most one of so many parts of a context window."""
SHOWN = "(shown to the user already)"
PICTURE_SHOWN = (
    "The user sees the picture already, above your answer. Do not link to it and do not repeat it; say briefly what it shows."
)

ONE_SENTENCE = "Say in one short sentence what it shows."


class Caller(Protocol):
    """Whoever runs tools."""

    async def call(self, asked: ToolCall) -> CallResult:
        """What the tool gave. Raises one of our errors."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call as a model asked for it; ``arguments`` is what should be a JSON object."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Told:
    """What a model is told of a call: one that called a tool itself, and one that only decided on it."""

    result: str
    words: str


@dataclass(frozen=True, slots=True)
class Used:
    """A call and what came of it. ``arguments`` is a JSON object, whatever the model sent."""

    id: str
    name: str
    arguments: str
    told: Told


@dataclass(frozen=True, slots=True)
class Round:
    """What a model said before its calls, and the calls."""

    text: str
    reasoning: str
    calls: Sequence[Used]


@dataclass
class ToolUse:
    """What one turn may call and has called. Later attempts go on from ``rounds``: nothing is called again for them."""

    turn: NewTurn
    voice: Voice
    offer: Offer
    ways: Ways
    caller: Caller
    most_rounds: int
    token_id: str | None = None
    rounds: list[Round] = field(default_factory=list)
    _results: dict[tuple[str, bytes], asyncio.Task[Told]] = field(default_factory=dict)
    """By tool and inputs: a model that repeats itself is told the same again, and nothing runs or shows twice."""
    _ids: set[str] = field(default_factory=set)
    _turned: dict[tuple[str, str], ToolWay] = field(default_factory=dict)
    """By provider and model, the way taken since another one was refused in this turn."""
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    @property
    def more(self) -> bool:
        """Whether another round is allowed."""
        return len(self.rounds) < self.most_rounds

    def way(self, info: ModelInfo) -> ToolWay:
        """How this model is asked to use tools: ``native``, ``schema`` or ``off``."""
        return self._turned.get((info.provider, info.name)) or self.ways.of(info, self.offer)

    def turn_away(self, info: ModelInfo) -> None:
        """The provider refused the way that was tried: go another one in this turn."""
        self._turned[info.provider, info.name] = self.ways.after(info, self.way(info))

    def accepted(self, info: ModelInfo) -> None:
        """A request was not refused: what this turn turned away from was the reason for earlier refusals, for other turns too."""
        if turned := self._turned.get((info.provider, info.name)):
            self.ways.learn(info, turned)

    async def answer(self, heard: Answer) -> None:
        """Run the calls of a model's answer, and remember them with their results as the next round."""
        if heard.text and not heard.text.endswith("\n"):
            self.voice.insert("\n\n")
        wanted = [self._wanted(call) for call in heard.tool_calls]
        used = await asyncio.gather(*(self._used(one, at < MOST) for at, one in enumerate(wanted)))
        self.rounds.append(Round(heard.text, heard.reasoning, used))

    async def use(self, name: str, inputs: Mapping[str, Any]) -> None:
        """Run the one call that was decided on, as a round."""
        function = {"name": name, "arguments": orjson.dumps(inputs).decode()}
        self.rounds.append(Round("", "", [await self._used(self._wanted({"id": "", "function": function}), True)]))

    def added(self, messages: Sequence[Message], info: ModelInfo, context: int) -> list[Message]:
        """``messages`` with the rounds so far, in the model's way; results are cut to what ``context`` tokens can take."""
        if not self.rounds:
            return list(messages)
        limit = context // SHARE // max(len(one.calls) for one in self.rounds)
        if self.way(info) == "native":
            return [*messages, *(said for one in self.rounds for said in _as_calls(one, limit))]
        words = [_cut(call.told.words, limit) for one in self.rounds for call in one.calls]
        return _with_words(messages, "\n".join(words))

    async def _used(self, wanted: Wanted, allowed: bool) -> Used:
        name = re.sub(r"[^A-Za-z0-9_-]", "_", wanted.name)[:64] or "unnamed"
        inputs: Mapping[str, Any] | None = None
        try:
            inputs = _inputs(wanted.arguments)
            said = await self._result(wanted, inputs, allowed)
        except PilothouseError as error:
            tool = self.offer.find(wanted.name)
            self.voice.tool(wanted.id, tool.id if tool else wanted.name[:64], "failed", error=told(error))
            said = Told(f"Error: {error.message}", f"({name} was tried for this, and failed: {error.message})")
        return Used(wanted.id, name, orjson.dumps(inputs or {}).decode(), said)

    async def _result(self, wanted: Wanted, inputs: Mapping[str, Any], allowed: bool) -> Told:
        """Raises what the call failed with."""
        tool = self.offer.find(wanted.name)
        if tool is None:
            names = ", ".join(each["function"]["name"] for each in self.offer.functions)
            raise NotFound(f"There is no such tool; there are: {names}.")
        if not allowed:
            raise ToolFailed(f"More than {MOST} calls at once; make fewer.")
        same = tool.id, orjson.dumps(inputs, option=orjson.OPT_SORT_KEYS)
        if same not in self._results:
            self._results[same] = asyncio.create_task(self._shown(wanted.id, tool, inputs))
        try:
            return await self._results[same]
        except PilothouseError:
            self._results.pop(same, None)  # asked again, it may succeed
            raise

    async def _shown(self, call_id: str, tool: Tool, inputs: Mapping[str, Any]) -> Told:
        self.voice.tool(call_id, tool.id, "running", inputs=inputs)
        result = await self._called(call_id, tool, inputs)
        self.voice.tool(call_id, tool.id, "done", output=result.output)
        for each in result.links:
            self.voice.insert(picture(each.url, each.alt or each.name) if _is_picture(each) else link(each.url, each.name))
        return _told(tool, result)

    async def _called(self, call_id: str, tool: Tool, inputs: Mapping[str, Any]) -> CallResult:
        asked = ToolCall(
            tool.id, inputs, "chat", self.token_id, self.turn.session_id, self.turn.id, workspace=self.turn.workspace
        )
        try:
            async with self._gate, asyncio.timeout(LIMIT):
                return await self.caller.call(asked)
        except TimeoutError as error:
            raise ToolTimedOut("The tool took too long.") from error
        except PilothouseError:
            raise
        except asyncio.CancelledError:
            self.voice.tool(call_id, tool.id, "failed", error=told(ToolInterrupted("The turn was stopped.")))
            raise
        except Exception as error:
            log.exception("tool_call_broke", turn_id=self.turn.id, tool=tool.id)
            raise ToolFailed("Something went wrong inside Pilothouse while it ran the tool.") from error

    def _wanted(self, call: Mapping[str, Any]) -> Wanted:
        """The call under an id of its own in this turn: some servers send none, or count anew in each round."""
        call_id = str(call["id"])
        if not call_id or call_id in self._ids:
            call_id = f"call{len(self._ids):05d}"  # nine letters and digits are what Mistral's models take
        self._ids.add(call_id)
        return Wanted(call_id, str(call["function"]["name"]), str(call["function"]["arguments"]))


def _inputs(arguments: str) -> Mapping[str, Any]:
    """The arguments as an object. Some models send none where there is nothing to say, others JSON within a JSON string."""
    read: object = {}
    try:
        if arguments.strip():
            read = orjson.loads(arguments)
        if isinstance(read, str):
            read = orjson.loads(read)
    except orjson.JSONDecodeError:
        raise InputInvalid("The arguments are no valid JSON; send one JSON object.") from None
    if not isinstance(read, dict):
        raise InputInvalid("The arguments must be one JSON object.")
    return read


def _as_calls(one: Round, limit: int) -> list[Message]:
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in one.calls
    ]
    reasoning = {"reasoning_content": one.reasoning} if one.reasoning else {}
    results = [{"role": "tool", "tool_call_id": call.id, "content": _cut(call.told.result, limit)} for call in one.calls]
    return [{"role": "assistant", "content": one.text or None, "tool_calls": calls} | reasoning, *results]


def _with_words(messages: Sequence[Message], words: str) -> list[Message]:
    """``words`` behind the user's last message, whatever it is made of; many chat templates take no two messages of a role."""
    at = max((at for at, message in enumerate(messages) if message["role"] == "user"), default=None)
    if at is None:
        return [*messages, {"role": "user", "content": words}]
    content = messages[at].get("content")
    if isinstance(content, list):
        content = [*content, {"type": "text", "text": words}]
    else:
        content = f"{content}\n\n{words}" if content else words
    return [*messages[:at], messages[at] | {"content": content}, *messages[at + 1 :]]


def _is_picture(link: Link) -> bool:
    return link.media_type.startswith("image/")


def _told(tool: Tool, result: CallResult) -> Told:
    """A model would garble the address of a file; the reader has it already."""
    shown = {each.url for each in result.links}
    output = {
        key: SHOWN if isinstance(value, str) and any(url in value for url in shown) else value
        for key, value in result.output.items()
    }
    text = orjson.dumps(output).decode()
    pictures = "; ".join(each.alt or each.name for each in result.links if _is_picture(each))
    if not pictures:
        return Told(text, f"({function_name(tool.id)} was used for this: {text})")
    return Told(f"{text}\n{PICTURE_SHOWN}", f"(The user has just been shown a picture: {pictures})\n{ONE_SENTENCE}")


def _cut(text: str, tokens: int) -> str:
    size = estimate(text)
    return text if size <= tokens else f"{text[: len(text) * tokens // size]}… (cut)"
