"""How often one caller may ask a model: counted before the turn begins, told in headers, refused with 429."""

from typing import Annotated

from fastapi import Request, Security

from api.auth import require
from api.parts import Parts
from core.errors import RateExceeded
from core.settings_quotas import rate_of
from core.store.access import Principal
from core.store.rates import Rates

UNPACED = ("admin", "plugin")


async def paced(request: Request, caller: Annotated[Principal, Security(require("chat"))]) -> Principal:
    """The caller, who is within its rate: a user's own, else that of a token from one address. Raises ``RateExceeded``.

    The answer gets ``RateLimit-Limit``, ``-Remaining`` and ``-Reset`` (seconds): draft-ietf-httpapi-ratelimit-headers-03.
    """
    parts: Parts = request.app.state.parts
    rate = rate_of(parts.settings.quotas.chat_rate)
    if rate is None or caller.scopes.intersection(UNPACED):
        return caller
    address = request.client.host if request.client is not None else ""
    key = caller.token_id if caller.token_id.startswith("user:") else f"{caller.token_id} from {address}"
    standing = await Rates(parts.store).take(f"chat {key}", rate)
    request.state.headers = [
        (b"ratelimit-limit", str(rate.most).encode()),
        (b"ratelimit-remaining", str(standing.left).encode()),
        (b"ratelimit-reset", f"{standing.seconds:.0f}".encode()),
    ]
    if not standing.within:
        raise RateExceeded(
            f"More than {rate.most} turns in {rate.seconds} s: try again in {standing.seconds:.0f} s.",
            retry_after=max(1.0, standing.seconds),
        )
    return caller


PacedCaller = Annotated[Principal, Security(paced)]
"""For routes that ask a model."""
