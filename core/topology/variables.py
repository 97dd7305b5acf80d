"""Variables from ``.env`` files, as Compose takes them."""

from collections.abc import Iterable
from pathlib import Path

from dotenv import dotenv_values


def variables_of(files: Iterable[Path]) -> dict[str, str]:
    """Those that are set to something; a later file wins. A file that cannot be read gives none."""
    found: dict[str, str] = {}
    for file in files:
        try:
            found |= {name: value for name, value in dotenv_values(file).items() if value}
        except (OSError, UnicodeDecodeError):
            continue
    return found
