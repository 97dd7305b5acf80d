"""What happens while a turn is answered, in the one form that every wire protocol is encoded from."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["chunk", "usage", "turn", "tool", "error", "done"]
"""``chunk``: an OpenAI ``chat.completion.chunk``. ``usage``: the same with usage and no choices. ``turn`` and ``tool``: our own
detail. ``error``: ``{"error": {"code", "message"}}``. ``done``: the last event of every stream, without data."""


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event of a turn's stream.

    ``n`` counts chunks from 1 within the turn; any other kind carries the number of the last chunk before it.
    ``data`` is compact UTF-8 JSON on one line, encoded once for all readers.
    """

    kind: Kind
    n: int
    data: bytes
