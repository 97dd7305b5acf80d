"""A model's answer put together from its chunks."""

from collections.abc import Mapping
from typing import Any

from core.conversation import Message

SPOKEN = ("content", "tool_calls", "reasoning_content", "reasoning", "refusal", "function_call", "audio")


def carries_content(chunk: Mapping[str, Any]) -> bool:
    """Whether a reader gets something from this chunk: text, reasoning, a tool call, a refusal; a role alone is nothing yet."""
    return any((choice.get("delta") or {}).get(key) for choice in chunk.get("choices") or () for key in SPOKEN)


def summed(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The usage of two calls: every number that both tell is added up, whatever only one tells stays."""
    total = {**one, **other}
    for key in one.keys() & other.keys():
        match one[key], other[key]:
            case int() | float() as first, int() | float() as second:
                total[key] = first + second
            case dict() as first, dict() as second:
                total[key] = summed(first, second)
            case first, None:
                total[key] = first
            case _:
                pass
    return total


class Answer:
    """What was said so far; ``feed`` it each chunk. Only the first choice counts (``index`` 0).

    An answer may come from several calls of a model: ``next_call`` begins each, and ``usage`` is their sum.
    """

    def __init__(self) -> None:
        self.role = "assistant"
        self.finish_reason: str | None = None
        self.model: str | None = None
        self._usage: dict[str, Any] | None = None
        self._spent: dict[str, Any] | None = None
        self._texts: dict[str, list[str]] = {"content": [], "reasoning_content": [], "refusal": []}
        self._calls: dict[int, dict[str, Any]] = {}

    def next_call(self) -> None:
        """What is fed from here on comes from another call; servers repeat a call's usage, so only its last one counts."""
        self._spent, self._usage = self.usage, None

    @property
    def usage(self) -> dict[str, Any] | None:
        if self._spent is None or self._usage is None:
            return self._usage or self._spent
        return summed(self._spent, self._usage)

    def feed(self, chunk: Mapping[str, Any]) -> None:
        """Take in one ``chat.completion.chunk``."""
        if model := chunk.get("model"):
            self.model = model
        if usage := chunk.get("usage"):
            self._usage = usage
        for choice in chunk.get("choices") or ():
            if choice.get("index"):
                continue
            if reason := choice.get("finish_reason"):
                self.finish_reason = reason
            self._take(choice.get("delta") or {})

    def _take(self, delta: Mapping[str, Any]) -> None:
        self.role = delta.get("role") or self.role
        for name, parts in self._texts.items():
            text = delta.get(name)
            if name == "reasoning_content" and not text:
                text = delta.get("reasoning")  # as vLLM and Ollama say it
            if isinstance(text, str):
                parts.append(text)
        for piece in delta.get("tool_calls") or ():
            self._call(piece)

    def _call(self, piece: Mapping[str, Any]) -> None:
        """The pieces of a call share an ``index``; where a server leaves it out, a piece with an id begins the next call."""
        at = piece.get("index")
        if at is None:
            at = max(self._calls, default=-1) + 1 if piece.get("id") or not self._calls else max(self._calls)
        call = self._calls.setdefault(at, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        function = piece.get("function") or {}
        call["id"] = piece.get("id") or call["id"]
        call["type"] = piece.get("type") or call["type"]
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""

    def _joined(self, name: str) -> str:
        parts = self._texts[name]
        if len(parts) > 1:
            parts[:] = ["".join(parts)]
        return parts[0] if parts else ""

    @property
    def text(self) -> str:
        """The content alone."""
        return self._joined("content")

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        return [self._calls[at] for at in sorted(self._calls)]

    @property
    def reasoning(self) -> str:
        return self._joined("reasoning_content")

    def message(self) -> Message:
        """The answer as an OpenAI message; ``content`` is None where only tools were called or the model refused."""
        message: Message = {"role": self.role, "content": self.text or None}
        if self.tool_calls:
            message["tool_calls"] = self.tool_calls
        elif not self._texts["refusal"]:
            message["content"] = self.text
        if reasoning := self.reasoning:
            message["reasoning_content"] = reasoning
        if refusal := self._joined("refusal"):
            message["refusal"] = refusal
        return message
