"""What the chat's own paths and OpenAI's share: asking, waiting for the whole answer, texts that can be kept."""

import re
from collections.abc import Mapping, Sequence
from contextlib import aclosing

from fastapi import Request

from api.parts import Parts
from core.errors import BodyTooLarge, InputInvalid, TurnInterrupted, named
from core.following import follow_turn
from core.store.turns import TurnRecord
from flows.asking import Asked, Question

SURROGATE = re.compile(r"[\ud800-\udfff]")


async def ask(parts: Parts, request: Request, question: Question) -> Asked:
    """Begin the turn. Raises ``InputInvalid``, ``BodyTooLarge``, and what ``Desk.begin`` raises."""
    checked_texts(question.messages, "messages")
    await _check_size(parts, request, question)
    asked = await parts.desk.begin(question)
    if asked.running is not None:
        parts.conversations.take(asked.running)
    return asked


async def answered(parts: Parts, turn_id: str) -> TurnRecord:
    """The turn, once it has ended. Raises its error when it has no whole answer."""
    async with aclosing(follow_turn(parts.streams, parts.turns, turn_id)) as batches:
        async for _ in batches:
            pass
    record = await parts.turns.get(turn_id)
    if record.status == "cancelled":
        raise TurnInterrupted("The turn was cancelled.")
    if record.error is not None:
        raise named(record.error["code"], record.error["message"])
    return record


def checked_texts(value: object, field: str = "body") -> None:
    """Raises ``InputInvalid`` naming the field with a character that no database keeps: NUL, or half of a surrogate pair."""
    match value:
        case str():
            if "\x00" in value:
                raise InputInvalid(f"{field}: a NUL character cannot be kept; leave it out.", field=field)
            if not value.isascii() and SURROGATE.search(value):
                raise InputInvalid(f"{field}: half of a surrogate pair is no text; send whole characters.", field=field)
        case Mapping():
            for key, inner in value.items():
                checked_texts(key, field)
                checked_texts(inner, f"{field}.{key}")
        case Sequence():
            for at, inner in enumerate(value):
                checked_texts(inner, f"{field}.{at}")
        case _:
            pass


async def _check_size(parts: Parts, request: Request, question: Question) -> None:
    size: int = getattr(request.state, "body_bytes", 0)
    limit = parts.settings.chat.body_limit
    if size <= limit:
        return
    if not any(info.vision for _, info in await parts.models.resolve(question.model)):
        raise BodyTooLarge(f"The body has {size} bytes; {limit} are allowed (more only for models with vision).")
