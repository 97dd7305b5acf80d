"""What a turn says onto its stream, and what it has said so far."""

import time
from typing import Any

import orjson

from core.answers import Answer
from core.errors import PilothouseError, told
from core.events import Kind
from core.store.turns import Status
from core.streams import Streams


class Voice:
    """One turn's side of its stream.

    ``marks[i]`` is the length of the answer's text after chunk ``i + 1``, which makes the stream resumable from the store.
    """

    def __init__(self, streams: Streams, turn_id: str, session_id: str | None) -> None:
        self.answer = Answer()
        self.marks: list[int] = []
        self._streams = streams
        self._turn_id = turn_id
        self._session_id = session_id
        self._status: Status = "queued"
        self._length = 0
        self._frame: dict[str, Any] = {}

    def speak_for(self, model: str) -> None:
        """From here on the words are ``model``'s; nothing was said before."""
        self.answer = Answer()
        self._frame = {
            "id": f"chatcmpl-{self._turn_id}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }

    def say(self, chunk: dict[str, Any]) -> None:
        """One chunk as it came from the model, under our own id."""
        self.answer.feed(chunk)
        choices = chunk.get("choices")
        if choices:
            self._send("chunk", self._frame | {"choices": choices})
            delta = choices[0].get("delta") or {}
            self._length += len(delta.get("content") or "")
            self.marks.append(self._length)

    def notice(self, text: str) -> None:
        """Words that are not the model's."""
        self.say({"choices": [{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}]})

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

    def _send(self, kind: Kind, data: dict[str, Any]) -> None:
        # A copy: what orjson returns keeps the 4 kB that it was written into, however short it is.
        self._streams.publish(self._turn_id, kind, bytes(memoryview(orjson.dumps(data))))
