"""Names that people and runs give for something of the configuration."""

from collections.abc import Mapping
from typing import TypeVar

from core.errors import NotFound

T = TypeVar("T")


def configured(kind: str, name: str, there: Mapping[str, T], *, field: str = "name", none: str = "none is configured") -> T:
    """What ``name`` stands for. Raises ``NotFound``, which names those there are, or says ``none``."""
    found = there.get(name)
    if found is None:
        raise NotFound(f"There is no {kind} of that name; there are: {', '.join(sorted(there)) or none}.", field=field)
    return found
