"""A history fitted into a model's context window: what is left out when a conversation has grown too long for it.

Tokens are estimated, since no tokenizer is fetched and each model has its own. ``estimate`` was compared with SmolLM2's
tokenizer (49,152 tokens, English): English prose 1.0 and program text 1.0 of the true count, JSON 0.7, bare numbers 0.5, Chinese
and Japanese 0.5. Models with larger vocabularies need fewer tokens for all of these (OpenAI's rule of thumb is 4 characters of
English a token), so the estimate is near or above the truth there. Where it is too low the provider says ``ContextExceeded``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from core.conversation import Message
from core.errors import ContextExceeded, InputInvalid

PER_MESSAGE = 4
"""Tokens that a chat template puts round one message."""
PER_ATTACHMENT = 1000
"""Tokens of an image, sound or file of any size: what OpenAI's models take for a picture of a megapixel, rounded up."""

LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ "
SYSTEM = frozenset({"system", "developer"})


def estimate(text: str) -> int:
    """About how many tokens a text is.

    A token is 4 ASCII letters or spaces, 2 other ASCII or two-byte characters (digits, Cyrillic), 1 CJK character, half an emoji.
    """
    encoded = text.encode("utf-8", "surrogatepass")
    other = len(encoded) - len(encoded.translate(None, LETTERS))
    if len(encoded) == len(text):
        return -(-(other + 2 * (len(encoded) - other)) // 4)
    plain = len(text.encode("ascii", "ignore"))
    foreign = len(text) - plain
    wide = len(encoded) - plain - 2 * foreign  # 1 for each character of three bytes, 2 for each of four
    narrow = max(0, foreign - wide)
    return -(-(other + 2 * (plain - other) + 2 * narrow + 4 * wide) // 4)


def tokens_of(message: Mapping[str, Any]) -> int:
    """The estimate for one message, everything in it counted."""
    content = message.get("content")
    total = PER_MESSAGE
    if isinstance(content, str):
        total += estimate(content)
    elif content is not None:
        total += sum(estimate(part.get("text") or "") if part.get("type") == "text" else PER_ATTACHMENT for part in content)
    if calls := message.get("tool_calls"):
        total += estimate(orjson.dumps(calls).decode())
    return total + sum(estimate(text) for name in ("name", "reasoning_content") if (text := message.get(name)))


@dataclass(slots=True)
class _Unit:
    """Messages that stay or go together: one message, or an assistant's tool calls with their results."""

    messages: list[Message]
    recent: bool
    """Some of it is part of the request, not of the history."""
    waiting: set[str]
    """Tool calls without a result."""

    @property
    def role(self) -> str:
        return str(self.messages[0]["role"])

    @property
    def tokens(self) -> int:
        return sum(map(tokens_of, self.messages))


def fit(history: Sequence[Message], new: Sequence[Message], context: int, reserve: int) -> list[Message]:
    """``history`` and ``new`` as far as they fit into ``context`` tokens with ``reserve`` left for the answer, in their order.

    Always kept: system messages (a repeated one once), the newest user message, the last message. Of the others the oldest go
    first; tool calls and their results go together, and what is left begins with a user message where something was dropped.
    A history's tool calls whose results never came are left out, and so is the reasoning behind its answers.
    Raises ``ContextExceeded`` when what must be kept does not fit, ``InputInvalid`` for a tool result in ``new`` without its call
    or a call without its result.
    """
    units = _distinct(_units([_without_reasoning(message) for message in history], new))
    newest_user = max((at for at, unit in enumerate(units) if unit.role == "user"), default=-1)
    kept = {at for at, unit in enumerate(units) if unit.role in SYSTEM} | {newest_user, len(units) - 1}
    kept.discard(-1)
    left = context - reserve - sum(units[at].tokens for at in kept)
    if left < 0:
        raise ContextExceeded(
            f"The message is too long: with the instructions it takes about {context - reserve - left} tokens, "
            f"and the model has {max(0, context - reserve)} for them.",
            field="messages",
        )
    optional = [at for at in range(len(units)) if at not in kept]
    while optional and (left := left - units[optional[-1]].tokens) >= 0:
        kept.add(optional.pop())
    if optional:  # something is dropped: what follows must not begin with an answer to it
        for at in range(optional[-1] + 1, newest_user):
            if units[at].role == "user":
                break
            if units[at].role not in SYSTEM:
                kept.discard(at)
    return [message for at in sorted(kept) for message in units[at].messages]


def _without_reasoning(message: Message) -> Message:
    """Providers want past reasoning back beside tool calls at most, and some refuse it elsewhere."""
    if "reasoning_content" not in message or message.get("tool_calls"):
        return message
    return {key: value for key, value in message.items() if key != "reasoning_content"}


def _units(history: Sequence[Message], new: Sequence[Message]) -> list[_Unit]:
    units: list[_Unit] = []
    for at, message in enumerate([*history, *new]):
        recent = at >= len(history)
        if message["role"] != "tool":
            waiting = {call["id"] for call in message.get("tool_calls") or ()}
            units.append(_Unit([message], recent, waiting))
        elif units and message.get("tool_call_id") in units[-1].waiting:
            units[-1].waiting.discard(message["tool_call_id"])
            units[-1].messages.append(message)
            units[-1].recent |= recent
        elif recent:
            raise InputInvalid("A tool message answers no tool call of the assistant message before it.", field="messages")
    if any(unit.waiting and unit.recent for unit in units):
        raise InputInvalid("An assistant message has a tool call without the tool message that answers it.", field="messages")
    return [unit for unit in units if not unit.waiting]


def _distinct(units: list[_Unit]) -> list[_Unit]:
    """Clients that send their system message with each request would otherwise pile it up."""
    seen: list[Message] = []
    kept = []
    for unit in units:
        if unit.role in SYSTEM:
            if unit.messages[0] in seen:
                continue
            seen.append(unit.messages[0])
        kept.append(unit)
    return kept
