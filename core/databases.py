"""What a database answered to a reading statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Rows:
    """``rows`` hold JSON values in the order of ``columns``; ``truncated`` when the limit cut more of them off."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    truncated: bool
