"""The newest seal, noted beside the database, which so cannot take it back: in a file of the data directory."""

from dataclasses import dataclass
from json import JSONDecodeError, loads
from os import getpid
from pathlib import Path

import orjson
import structlog

log = structlog.get_logger(__name__)

FILE = "audit-head"


@dataclass(frozen=True, slots=True)
class Seal:
    """A batch that was sealed."""

    number: int
    digest: bytes


class Head:
    """The file in ``data_dir``. It also keeps seals that were noted and then found missing, until somebody deletes it."""

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / FILE

    def read(self) -> Seal | None:
        """The newest that was noted here."""
        return _seal(self._noted())

    def lost(self) -> list[Seal]:
        """Those that were noted and have been missing since: the database was cut, or put back to an earlier state."""
        found = self._noted().get("lost")
        return [seal for each in (found if isinstance(found, list) else []) if (seal := _seal(each)) is not None]

    def write(self, newest: Seal, lost: Seal | None = None) -> None:
        """Note it; and one that is missing, beside those of before."""
        missing = [*self.lost(), *([lost] if lost is not None else [])]
        noted: dict[str, object] = _told(newest) | ({"lost": [_told(each) for each in missing]} if missing else {})
        try:
            partial = self._file.with_name(f".{FILE}.{getpid()}")
            partial.write_bytes(orjson.dumps(noted))
            partial.replace(self._file)
        except OSError as error:
            log.warning("audit_head_not_noted", reason=error.strerror)

    def _noted(self) -> dict[str, object]:
        try:
            noted = loads(self._file.read_text())
        except (OSError, JSONDecodeError, UnicodeDecodeError):
            return {}
        return noted if isinstance(noted, dict) else {}


def _told(seal: Seal) -> dict[str, object]:
    return {"batch": seal.number, "digest": seal.digest.hex()}


def _seal(noted: object) -> Seal | None:
    try:
        return Seal(int(noted["batch"]), bytes.fromhex(noted["digest"]))  # type: ignore[index]  # whatever else it is, says so
    except (KeyError, TypeError, ValueError):
        return None
