"""The manifest beside every backup: all that is needed to find, check, open and compare it without our database."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from core.workspaces import DEFAULT

VERSION = 1
NAME = "manifest.json"
ALL, ALL_BYTES = "/", "bytes:"
"""Under which name, and how, the size of all objects is kept beside the hashes of some; no object is called so."""
Word = Annotated[str, Field(pattern=r"^[\w.-]{1,100}$")]
Bytes = Annotated[int, Field(ge=0, le=1 << 60)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PartRecord(_Model):
    """One object of a backup. ``sha256`` is of the object as it lies in the store, sizes are in bytes."""

    name: str
    format: str
    key: str
    sha256: str
    size: Bytes
    """As stored."""
    plain_size: Bytes
    """As it came from the tool."""
    compression: Literal["zstd", "none"] = "zstd"
    encryption: Literal["age", "none"] = "none"


class Base(_Model):
    """The whole backup that an increment is of use with, and where it lies."""

    id: Word
    folder: str


class Manifest(_Model):
    """One good backup of one source. ``set_id`` is shared by the sources of a set that were saved together."""

    version: int = VERSION
    id: Word
    source: Word
    engine: Word
    workspace: Word = DEFAULT
    """Whose it is."""
    set_name: Word | None = None
    set_id: Word | None = None
    set_sources: tuple[Word, ...] = ()
    """All that the set's run should have saved."""
    started_at: AwareDatetime
    finished_at: AwareDatetime
    server: str
    tool: str | None = None
    databases: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    """The public keys that it is encrypted to."""
    parts: tuple[PartRecord, ...]
    counts: dict[str, int] = Field(default={})
    checksums: dict[str, str] = Field(default={})
    base: Base | None = None
    """Of an increment: it holds only what is new or changed since this one, which is whole."""
    notes: tuple[str, ...] = ()
    """What a reader should know: warnings of the run, such as files left out."""

    @property
    def size(self) -> int:
        """Bytes in the store."""
        return sum(part.size for part in self.parts)

    @property
    def plain_size(self) -> int:
        """Bytes before compression."""
        return sum(part.plain_size for part in self.parts)

    @property
    def held(self) -> int:
        """Bytes of all that comes back with it: an increment's own and those of its base that are still in force."""
        said = self.checksums.get(ALL, "") if self.base is not None else ""
        return int(said.removeprefix(ALL_BYTES)) if said.startswith(ALL_BYTES) else self.plain_size

    @property
    def folder(self) -> str:
        """Where its objects lie."""
        return folder_of(self.source, self.started_at, self.id)

    @property
    def seconds(self) -> float:
        return (self.finished_at - self.started_at).total_seconds()

    def shown(self) -> dict[str, Any]:
        """As JSON values."""
        return self.model_dump(mode="json")


def folder_of(source: str, started_at: datetime, backup_id: str) -> str:
    """Where a backup's objects lie: ``SOURCE/YYYY/MM/DD/HHMMSSZ-ID/``, of the time in UTC."""
    return f"{source}/{started_at.astimezone(UTC):%Y/%m/%d/%H%M%SZ}-{backup_id[-12:]}/"
