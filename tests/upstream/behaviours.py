"""How the fake upstream answers, by the model's name.

``plain`` · ``slow-N`` (ms a chunk) · ``long-N`` (chunks) · ``echo`` · ``think`` · ``tools`` · ``json`` · ``vision`` ·
``no-usage`` · ``no-options`` · ``too-long`` · ``repeats`` · ``html`` · ``plain-json`` · ``stall-headers`` · ``stall-before`` ·
``stall-after-K`` · ``hang-up[-N]`` (no answer at all) · ``garbage[-after-K]`` · ``cut-after-K`` (a reset) · ``no-finish`` ·
``no-done`` · ``error-in-stream[-K]`` · ``refuse-S[-N]`` (status S, to the first N requests or to all; 429 and 503 with
``Retry-After: 1``) · ``fail-S[-N]`` (the same with a body of plain text) · ``framing`` (CRLF, comments, split and joined lines,
no last blank line) · and the models of ``tests/upstream/tool_calls.py``
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import orjson

from tests.upstream import tool_calls

CHUNKS = 20


def text_of(chunks: int = CHUNKS) -> str:
    """What a model that answers ``chunks`` chunks says, in full."""
    return "".join(f"w{n} " for n in range(chunks))


class Wire(Protocol):
    @property
    def transport(self) -> asyncio.Transport: ...
    def respond(self, status: int, body: bytes, kind: str = ..., **headers: str) -> None: ...
    def refuse(self, status: int, message: str, code: str | None = ..., **headers: str) -> None: ...


class Call:
    """One chat request being answered. ``number`` counts the requests for this model."""

    def __init__(self, wire: Wire, body: dict[str, Any], number: int) -> None:
        self.wire, self.body, self.number = wire, body, number
        self.model: str = body["model"]
        self.messages: list[dict[str, Any]] = body["messages"]
        self.said = 0

    def head(self, kind: str = "text/event-stream") -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
        self.wire.transport.write(head.encode())

    def raw(self, data: bytes) -> None:
        """Bytes of the body, as one HTTP chunk."""
        self.wire.transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def chunk(self, delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> bytes:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        chunk = {"id": f"chatcmpl-{self.number}", "object": "chat.completion.chunk", "created": 1, "model": self.model}
        return orjson.dumps(chunk | {"choices": choices} | more)

    def say(self, delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> None:
        self.raw(b"data: %b\n\n" % self.chunk(delta, finish, **more))
        self.said += 1

    def words(self, count: int, start: int = 0) -> None:
        for n in range(start, start + count):
            self.say({"content": f"w{n} "})

    def usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": len(self.messages),
            "completion_tokens": self.said,
            "total_tokens": len(self.messages) + self.said,
        }

    def end(self, finish: str = "stop") -> None:
        self.say({}, finish)
        if self.body.get("stream_options", {}).get("include_usage"):
            self.say(None, usage=self.usage())
        self.raw(b"data: [DONE]\n\n")
        self.close()

    def close(self) -> None:
        self.wire.transport.write(b"0\r\n\r\n")

    def tell(self, text: str, pieces: int = 4) -> None:
        """A whole answer in a few chunks."""
        size = max(1, -(-len(text) // pieces))
        self.open()
        for at in range(0, len(text), size):
            self.say({"content": text[at : at + size]})
        self.end()

    def open(self) -> None:
        self.head()
        self.say({"role": "assistant", "content": ""})


async def behave(call: Call) -> None:
    """Answer as the model's name asks."""
    if not call.body.get("stream"):
        return whole(call, text_of())
    for pattern, behaviour in BEHAVIOURS:
        if found := pattern.fullmatch(call.model):
            return await behaviour(call, *(int(group) if group else 0 for group in found.groups()))
    return call.wire.refuse(404, f"The model '{call.model}' does not exist", "model_not_found")


def whole(call: Call, text: str) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    completion = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": call.model, "choices": [choice]}
    call.wire.respond(200, orjson.dumps(completion | {"usage": call.usage()}))


async def plain(call: Call, chunks: int = CHUNKS) -> None:
    call.open()
    call.words(chunks)
    call.end()


async def slow(call: Call, pause: int) -> None:
    call.open()
    for n in range(CHUNKS):
        await asyncio.sleep(pause / 1000)
        call.words(1, n)
    call.end()


async def echo(call: Call) -> None:
    last = call.messages[-1]["content"]
    call.tell(f"{len(call.messages)} messages, the last: {last if isinstance(last, str) else orjson.dumps(last).decode()}")


async def think(call: Call) -> None:
    call.open()
    call.say({"reasoning_content": "hm, "})
    call.say({"reasoning_content": "well"})
    call.words(3)
    call.end()


async def tools(call: Call) -> None:
    offered = [tool["function"]["name"] for tool in call.body.get("tools") or []]
    if call.messages[-1]["role"] == "tool" or not offered:
        return call.tell(f"the tool said {call.messages[-1]['content']}")
    call.open()
    function = {"name": offered[0], "arguments": ""}
    call.say({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]})
    for piece in ('{"city"', ': "Par', 'is"}'):
        call.say({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    return call.end("tool_calls")


async def json_mode(call: Call) -> None:
    kind = call.body.get("response_format", {}).get("type")
    if kind not in {"json_object", "json_schema"}:
        return call.wire.refuse(400, "this model wants response_format")
    return call.tell(orjson.dumps({"ok": True, "format": kind}).decode())


async def vision(call: Call) -> None:
    parts = [part for message in call.messages if isinstance(message["content"], list) for part in message["content"]]
    images = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    if not images or not all(url.startswith(("data:image/", "http")) for url in images):
        return call.wire.refuse(400, "Invalid image_url")
    return call.tell(f"{len(images)} images, {sum(map(len, images))} characters")


async def hang_up(call: Call, times: int) -> None:
    if times and call.number > times:
        return await plain(call)
    return call.wire.transport.close()


async def refuse(call: Call, status: int, times: int) -> None:
    if times and call.number > times:
        return await plain(call)
    more = {"retry_after": "1"} if status in {429, 503} else {}
    return call.wire.refuse(status, f"refused with {status}", f"refused_{status}", **more)


async def fail(call: Call, status: int, times: int) -> None:
    if times and call.number > times:
        return await plain(call)
    return call.wire.respond(status, b"upstream error", "text/plain")


async def no_options(call: Call) -> None:
    if "stream_options" in call.body:
        return call.wire.refuse(400, "Unrecognized request argument supplied: stream_options")
    return await plain(call)


async def repeats(call: Call) -> None:
    call.wire.refuse(400, f"cannot read {call.messages[-1]['content']}")


async def too_long(call: Call) -> None:
    message = "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens."
    call.wire.refuse(400, message, "context_length_exceeded")


async def no_usage(call: Call) -> None:
    call.body.pop("stream_options", None)
    await plain(call)


async def html(call: Call) -> None:
    call.wire.respond(200, b"<html><body>Sign in</body></html>", "text/html; charset=utf-8")


async def plain_json(call: Call) -> None:
    whole(call, text_of())


async def stall_headers(call: Call) -> None:
    await asyncio.sleep(3600)


async def stall(call: Call, chunks: int = 0) -> None:
    call.open()
    call.words(chunks)
    while True:  # a comment is no token
        await asyncio.sleep(0.05)
        call.raw(b": still here\n\n")


async def garbage(call: Call, chunks: int) -> None:
    call.open()
    call.words(chunks)
    call.raw(b"data: {\xff\xfe not json\n\n")
    call.close()


async def cut(call: Call, chunks: int) -> None:
    call.open()
    call.words(chunks)
    await asyncio.sleep(0.02)  # what was written goes out first, then the connection is reset
    call.wire.transport.abort()


async def no_finish(call: Call) -> None:
    call.open()
    call.words(5)
    call.close()


async def no_done(call: Call) -> None:
    call.open()
    call.words(5)
    call.say({}, "stop")
    call.close()


async def error_in_stream(call: Call, chunks: int) -> None:
    call.open()
    call.words(chunks)
    call.raw(b'data: {"error": {"message": "out of memory", "type": "server_error", "code": 500}}\n\n')
    call.close()


async def framing(call: Call) -> None:
    call.head("text/event-stream; charset=utf-8")
    one, two = call.chunk({"role": "assistant", "content": "w0 "}), call.chunk({"content": "w1 é中"})
    cut_at = two.index("中".encode()) + 1  # in the middle of a character
    call.raw(b": hello\r\n\r\nevent: message\r\nid: 1\r\ndata:" + one + b"\r\n\r")
    await asyncio.sleep(0.01)
    call.raw(b"\ndata: " + two[:cut_at])
    await asyncio.sleep(0.01)
    call.raw(two[cut_at:] + b"\n\nretry: 5\n\n")
    head, tail = call.chunk({"content": "w2"}).split(b",", 1)
    call.raw(b"data: %b,\ndata: %b\n\ndata: %b\n\n" % (head, tail, call.chunk({}, "stop")))
    call.raw(b"data: [DONE]")
    call.close()


BY_NAME: dict[str, Callable[..., Awaitable[None]]] = {
    "plain": plain,
    r"long-(\d+)": plain,
    r"slow-(\d+)": slow,
    "echo": echo,
    "think": think,
    "tools": tools,
    "json": json_mode,
    "vision": vision,
    r"refuse-(\d{3})(?:-(\d+))?": refuse,
    r"hang-up(?:-(\d+))?": hang_up,
    r"fail-(\d{3})(?:-(\d+))?": fail,
    "no-options": no_options,
    "no-usage": no_usage,
    "too-long": too_long,
    "repeats": repeats,
    "html": html,
    "plain-json": plain_json,
    "stall-headers": stall_headers,
    "stall-before": stall,
    r"stall-after-(\d+)": stall,
    r"garbage(?:-after-(\d+))?": garbage,
    r"cut-after-(\d+)": cut,
    "no-finish": no_finish,
    "no-done": no_done,
    r"error-in-stream(?:-(\d+))?": error_in_stream,
    "framing": framing,
    "chart": tool_calls.draws_chart,
    r"slow-chart-(\d+)": tool_calls.draws_chart,
    "charts": tool_calls.draws_charts,
    "endless": tool_calls.endless,
    "broken-call": tool_calls.broken_call,
    r"no-tools-(\d{3})": tool_calls.no_tools,
}
BEHAVIOURS = [(re.compile(pattern), behaviour) for pattern, behaviour in BY_NAME.items()]
