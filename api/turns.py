"""What the chat's own paths and OpenAI's share: asking, waiting for the whole answer, texts that can be kept."""

import math
import re
from collections.abc import Mapping, Sequence
from contextlib import aclosing

from fastapi import Request

from api.left import show_left
from api.parts import Parts
from core.errors import BodyTooLarge, InputInvalid, QuotaSpent, TurnInterrupted, named
from core.following import follow_turn
from core.quotas.gate import Left
from core.store.turns import TurnRecord
from flows.asking import Asked, Question

SURROGATE = re.compile(r"[\ud800-\udfff]")
DEEPEST = 50


async def ask(parts: Parts, request: Request, question: Question) -> Asked:
    """Begin the turn. Raises ``InputInvalid``, ``BodyTooLarge``, and what ``Desk.begin`` raises."""
    checked(question.messages, "messages")
    for name, value in (question.options or {}).items():
        checked(name, "body")
        checked(value, name)
    await _check_size(parts, request, question)
    try:
        asked = await parts.desk.begin(question)
    except QuotaSpent as error:
        show_left(request.scope, Left(error.most or 0, 0, error.retry_after or 0))
        raise
    show_left(request.scope, asked.left)
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
        raise named(record.error)
    return record


def checked(value: object, field: str = "body", depth: int = 0) -> None:
    """Raises ``InputInvalid`` naming the field with what no database or provider takes.

    That is NUL, half of a surrogate pair, a number beyond 64 bits or not finite, and lists within lists without end.
    """
    match value:
        case str():
            if "\x00" in value:
                raise InputInvalid(f"{field}: a NUL character cannot be kept; leave it out.", field=field)
            if not value.isascii() and SURROGATE.search(value):
                raise InputInvalid(f"{field}: half of a surrogate pair is no text; send whole characters.", field=field)
        case int() | float():
            if abs(value) >= 2**63 if isinstance(value, int) else not math.isfinite(value):
                raise InputInvalid(f"{field}: the number is too large.", field=field)
        case Mapping() | Sequence() if depth >= DEEPEST:
            raise InputInvalid(f"{field}: more than {DEEPEST} levels deep.", field=field)
        case Mapping():
            for key, inner in value.items():
                checked(key, field, depth)
                checked(inner, f"{field}.{key}", depth + 1)
        case Sequence():
            for at, inner in enumerate(value):
                checked(inner, f"{field}.{at}", depth + 1)
        case _:
            pass


async def _check_size(parts: Parts, request: Request, question: Question) -> None:
    size: int = getattr(request.state, "body_bytes", 0)
    limit = parts.settings.chat.body_limit
    if size <= limit:
        return
    if not any(info.vision for _, info in await parts.models.resolve(question.model)):
        raise BodyTooLarge(f"The body has {size} bytes; {limit} are allowed (more only for models with vision).")
