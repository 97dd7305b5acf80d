"""How much one caller may ask for: counted before anything is done, told in headers, refused with 429."""

from typing import Annotated

from fastapi import Request, Security

from api.auth import require
from api.left import show_left
from api.parts import Parts
from core.errors import RateExceeded
from core.quotas.gate import Left
from core.store.access import Principal


async def paced(request: Request, caller: Annotated[Principal, Security(require("chat"))]) -> Principal:
    """The caller, who is within its rate: a user's own, else that of a token from one address. Raises ``RateExceeded``.

    The answer gets ``RateLimit-Limit``, ``-Remaining`` and ``-Reset`` (seconds): draft-ietf-httpapi-ratelimit-headers-03.
    """
    parts: Parts = request.app.state.parts
    address = request.client.host if request.client is not None else ""
    counted = await parts.gate.chat_rate(caller, address)
    if counted is None:
        return caller
    rate, standing = counted
    show_left(request.scope, Left(rate.most, standing.left, standing.seconds))
    if not standing.within:
        raise RateExceeded(
            f"More than {rate.most} turns in {rate.seconds} s: try again in {standing.seconds:.0f} s.",
            retry_after=max(1.0, standing.seconds),
        )
    return caller


PacedCaller = Annotated[Principal, Security(paced)]
"""For routes that ask a model."""
