"""What a turn says onto its stream, and what it has said so far."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import orjson

from core.answers import Answer, carries_content
from core.errors import PilothouseError, told
from core.events import Kind
from core.store.turns import Status
from core.streams import Streams


class Voice:
    """One turn's side of its stream.

    ``marks[i]`` is the length of the answer's text after chunk ``i + 1``, which makes the stream resumable from the store.
    ``notice``, words that are not the model's, is said before the first token.
    """

    def __init__(self, streams: Streams, turn_id: str, session_id: str | None, notice: str | None = None) -> None:
        self.answer = Answer()
        self.marks: list[int] = []
        self.first_token: float | None = None
        """When (``time.monotonic``) a reader first got something of the answer."""
        self.spoke = asyncio.Event()
        """The first token is on its way to the readers, or the turn has ended without one."""
        self._streams = streams
        self._turn_id = turn_id
        self._session_id = session_id
        self._notice = notice
        self._held: list[dict[str, Any]] = []
        self._status: Status = "queued"
        self._length = 0
        self._frame: dict[str, Any] = {}

    def speak_for(self, model: str) -> None:
        """From here on the words are ``model``'s, from another call. What was held back of the call before is forgotten."""
        self._held = []
        self.answer.next_call()
        self._frame = {
            "id": f"chatcmpl-{self._turn_id}",
            "object": "chat.completion.chunk",
            "created": self._frame.get("created") or int(time.time()),
            "model": model,
        }

    def say(self, chunk: dict[str, Any]) -> None:
        """One chunk as it came from the model, under our own id.

        A role alone is not an answer: until there is one it is held back, so that another provider may still be asked.
        """
        if self.first_token is not None:
            self._say(chunk)
            return
        self._held.append(chunk)
        if carries_content(chunk) or _finishes(chunk):
            self.first_token = time.monotonic()
            if self._notice is not None:
                self._say(_words(self._notice, role="assistant"))
            for early in self._held:
                self._say(early)
            self._held = []
            self.spoke.set()

    def insert(self, text: str) -> None:
        """Words that are not the model's, in the middle of the answer."""
        self.say(_words(text) if self.first_token is not None else _words(text, role="assistant"))

    def tool(self, call_id: str, tool_id: str, status: str, **more: Mapping[str, Any]) -> None:
        """What has become of a tool call; ``more`` is its ``inputs``, ``output`` or ``error``."""
        self._send("tool", {"id": call_id, "toolId": tool_id, "status": status, **more})

    def tell(self, status: Status) -> None:
        """Say once what has become of the turn."""
        if self._status != status:
            self._status = status
            self._send("turn", {"turnId": self._turn_id, "sessionId": self._session_id, "status": status})

    def end(self, status: Status, failure: PilothouseError | None) -> None:
        """Usage, what went wrong, and the stream's end."""
        if self.answer.usage is not None:
            self._send("usage", self._frame | {"choices": [], "usage": self.answer.usage})
        if status == "cancelled":
            self._send("error", {"error": {"code": "cancelled", "message": "The turn was cancelled."}})
        elif failure is not None:
            self._send("error", {"error": told(failure)})
        self.tell(status)
        self._streams.publish(self._turn_id, "done", b"")
        self.spoke.set()

    def _say(self, chunk: dict[str, Any]) -> None:
        self.answer.feed(chunk)
        choices = chunk.get("choices")
        if choices:
            self._send("chunk", self._frame | {"choices": choices})
            delta = choices[0].get("delta") or {}
            self._length += len(delta.get("content") or "")
            self.marks.append(self._length)

    def _send(self, kind: Kind, data: dict[str, Any]) -> None:
        # A copy: what orjson returns keeps the 4 kB that it was written into, however short it is.
        self._streams.publish(self._turn_id, kind, bytes(memoryview(orjson.dumps(data))))


def _words(text: str, **more: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {**more, "content": text}, "finish_reason": None}]}


def _finishes(chunk: dict[str, Any]) -> bool:
    choices = chunk.get("choices")
    return choices is not None and any(choice.get("finish_reason") is not None for choice in choices)
