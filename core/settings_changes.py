"""Guarded changes: ``[changes.X]``, what is changed by which commands, and how it is told whether all is well after it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from core.settings_types import HttpUrl, Section

Command = Annotated[tuple[str, ...], Field(min_length=1)]
"""A program and its arguments; no shell reads it."""
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class ChangeSettings(Section):
    """``[changes.X]``: one change of a platform, such as a new release of its images."""

    compose: tuple[Path, ...] = ()
    """Compose files that are checked together before anything is touched; of those in ``files`` the new ones."""
    env_file: Path | None = None
    """What compose takes values from; None: ``.env`` beside the first of the files."""
    backup: tuple[str, ...] = ()
    """Sources and sets that are backed up before anything is touched."""
    files: tuple[Path, ...] = ()
    """Files that are saved first, and put back where the change fails."""
    new: Path | None = None
    """A folder with files that take the place of those in ``files``, by their names, before the commands run."""
    folder: Path | None = None
    """Where the commands run; None: where the first file of ``files`` or ``compose`` lies."""
    commands: tuple[Command, ...] = ()
    """What changes the platform, in this order; the first that fails ends it."""
    seconds: Seconds = 900.0
    """After which one command is ended and counts as failed."""
    healthy: tuple[str, ...] = ()
    """Services (``[services.X]``, or of a topology) that must be up after it."""
    urls: tuple[HttpUrl, ...] = ()
    """Addresses that must answer with 200 to 399."""
    checks: tuple[Command, ...] = ()
    """Commands that must end with 0."""
    patience: Seconds = 300.0
    """Seconds within which all of them must be well."""
    undo: tuple[Command, ...] = ()
    """Run after the files are back; all of them, whichever fails."""

    @model_validator(mode="after")
    def _together(self) -> Self:
        if not self.commands and self.new is None:
            raise ValueError("a change needs something to do: expected commands, or new")
        if self.new is not None and not self.files:
            raise ValueError("new holds what takes the place of files: expected files as well")
        names = [path.name for path in self.files]
        if len(set(self.files)) < len(names) or (self.new is not None and len(set(names)) < len(names)):
            raise ValueError("files: a file is named twice, or two have one name, so that new cannot tell them apart")
        return self

    @property
    def where(self) -> Path | None:
        """The folder that commands run in."""
        if self.folder is not None:
            return self.folder
        return next((path.parent for path in (*self.files, *self.compose)), None)

    @property
    def env(self) -> Path | None:
        """What compose takes values from, where it lies now; None where there is nothing."""
        if self.env_file is not None:
            return self.newest(self.env_file)
        beside = self.newest(self.compose[0].with_name(".env")) if self.compose else None
        return beside if beside is not None and beside.is_file() else None

    def newest(self, path: Path) -> Path:
        """The file that will be at ``path`` once the change is made, where it lies now."""
        there = self.new / path.name if self.new is not None and path in self.files else path
        return there if there.is_file() else path


def changes_fit(changes: Mapping[str, ChangeSettings], known: Iterable[str]) -> None:
    """Returns when every source and set that a change names is known. Raises ``ValueError`` that begins with the key."""
    there = sorted(known)
    for name, change in changes.items():
        for each in change.backup:
            if each not in there:
                raise ValueError(f'changes.{name}.backup: unknown source or set "{each}"; expected one of {", ".join(there)}')
