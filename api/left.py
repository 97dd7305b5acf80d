"""What is left of limits, in the headers of an answer (draft-ietf-httpapi-ratelimit-headers-03)."""

from collections.abc import MutableMapping
from typing import Any

from core.quotas.gate import Left


def show_left(scope: MutableMapping[str, Any], left: Left | None) -> None:
    """Tell in the answer's headers how it stands with a limit, unless a tighter one is told already."""
    state = scope.setdefault("state", {})
    told = state.get("left")
    if left is None or (told is not None and (told.left, told.most) <= (left.left, left.most)):
        return
    state["left"] = left
    state["headers"] = [
        (b"ratelimit-limit", str(left.most).encode()),
        (b"ratelimit-remaining", str(left.left).encode()),
        (b"ratelimit-reset", f"{left.seconds:.0f}".encode()),
    ]
