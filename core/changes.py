"""Guarded changes of a platform: how one went, step by step, and the note that lies beside the files that it saved."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shlex import join
from time import monotonic
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from core.configured import configured
from core.errors import PilothouseError
from core.settings import Settings
from core.settings_changes import ChangeSettings

Result = Literal[
    "good",
    "dry_run",
    "put_back",
    "compose_invalid",
    "backup_failed",
    "not_saved",
    "change_failed",
    "not_healthy",
    "put_back_failed",
]
"""``put_back``: an earlier change was undone. Up to ``not_saved`` nothing was touched; after ``change_failed`` and
``not_healthy`` all is as it was, or else it is ``put_back_failed``."""
Back = Literal["good", "failed", "not_healthy"]
"""Whether the files are back, the commands of ``undo`` ended well, and all was well after that."""


def change_named(name: str, settings: Settings) -> ChangeSettings:
    """A section ``[changes.NAME]``. Raises ``NotFound``."""
    return configured("change", name, settings.changes, none="none; describe one in a section [changes.NAME]")


class ComposeInvalid(PilothouseError):
    """Docker Compose would not take the files; the message says what is wrong in which."""

    code = "compose_invalid"


class ChangeRunning(PilothouseError):
    """Another change is being made on this machine."""

    code = "change_running"


class ChangeUnfinished(PilothouseError):
    """An earlier change was stopped in the middle; the message names the folder with the files that it saved."""

    code = "change_unfinished"


class FilesNotSaved(PilothouseError):
    """A file cannot be saved, put in its place or put back."""

    code = "files_not_saved"


class NotHealthy(PilothouseError):
    """What must be well after the change is not, and does not become so in time; the message names it."""

    code = "not_healthy"


class SavedFile(BaseModel):
    """A file as it was. ``kept`` is its name in the change's folder; None: there was no such file."""

    model_config = ConfigDict(frozen=True)

    path: Path
    kept: str | None = None
    sha256: str = ""
    mode: int = 0o600
    uid: int = -1
    gid: int = -1


class Note(BaseModel):
    """What lies as ``note.json`` beside the saved files: all that it takes to put them back, by hand too."""

    model_config = ConfigDict(frozen=True)

    change: str
    id: str
    started_at: AwareDatetime
    flow_run_id: str | None = None
    files: tuple[SavedFile, ...] = ()
    step: str = ""
    """The last that was begun."""
    result: str = "unfinished"
    how: str = ""

    @property
    def unfinished(self) -> bool:
        """Whether its process died, since none other is running."""
        return self.result == "unfinished"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a change, and how it went; ``would`` is what a dry run says of what it does not do."""

    name: str
    result: Literal["good", "failed", "would"]
    message: str = ""
    seconds: float = 0.0

    def shown(self) -> dict[str, Any]:
        """As JSON values."""
        return {"step": self.name, "result": self.result, "message": self.message, "seconds": round(self.seconds, 2)}


class Stopped(Exception):
    """A step failed, and with it the change; ``result`` says in which way."""

    def __init__(self, result: Result, message: str) -> None:
        super().__init__(message)
        self.result = result
        self.message = message


@dataclass
class Course:
    """How a change goes. ``saved`` is the folder with the files as they were, once they are in it."""

    change: str
    id: str
    steps: list[Step] = field(default_factory=list)
    backups: list[str] = field(default_factory=list)
    saved: Path | None = None
    back: Back | None = None
    message: str = ""

    @contextmanager
    def step(self, name: str, otherwise: Result) -> Iterator[None]:
        """Notes how what is done within it went. Raises ``Stopped`` with the result ``otherwise`` where it went wrong."""
        began = monotonic()
        try:
            yield
        except PilothouseError as error:
            self.steps.append(Step(name, "failed", error.message, monotonic() - began))
            raise Stopped(otherwise, f"{name}: {error.message}") from error
        self.steps.append(Step(name, "good", "", monotonic() - began))

    def shown(self, result: Result) -> dict[str, Any]:
        """As JSON values."""
        return {
            "change": self.change,
            "id": self.id,
            "result": result,
            "message": self.message,
            "putBack": self.back,
            "backups": self.backups,
            "saved": str(self.saved) if self.saved is not None else None,
            "steps": [each.shown() for each in self.steps],
        }


def commands_of(change: ChangeSettings) -> Sequence[tuple[str, tuple[str, ...]]]:
    """What changes the platform, each with the name of its step."""
    return [(f"command {number}", command) for number, command in enumerate(change.commands, 1)]


def undo_of(change: ChangeSettings) -> Sequence[tuple[str, tuple[str, ...]]]:
    """What is run once the files are back, likewise."""
    return [(f"undo {number}", command) for number, command in enumerate(change.undo, 1)]


def planned(change: ChangeSettings) -> list[Step]:
    """What would be done after the files were checked, in this order."""
    replaced = [path for path in change.files if change.newest(path) != path]
    lines = [("back up", ", ".join(change.backup) or "nothing: the change names no source or set")]
    lines += [("save files", ", ".join(str(path) for path in change.files) or "none")]
    lines += [("replace files", ", ".join(f"{change.newest(path)} -> {path}" for path in replaced))] if replaced else []
    lines += [(name, join(command)) for name, command in commands_of(change)]
    lines += [("check health", f"within {change.patience:g} s: {', '.join(watched(change)) or 'nothing is named to be checked'}")]
    back = [f"{path} back" for path in change.files] + [join(command) for _, command in undo_of(change)]
    lines += [("where it fails", "; ".join(back) or "nothing can be put back: the change names no files and no undo")]
    return [Step(name, "would", message) for name, message in lines]


def watched(change: ChangeSettings) -> list[str]:
    """All that must be well after it, as people call it."""
    return [*change.healthy, *change.urls, *(join(command) for command in change.checks)]


def report(result: dict[str, Any]) -> str:
    """What a person reads of it, as Markdown."""
    rows = ""
    for one in result["steps"]:
        message = " ".join(one["message"].split()).replace("|", "\\|")
        rows += f"| {one['step']} | {one['result']} | {one['seconds']:.1f} s | {message} |\n"
    back = f" Put back: {result['putBack']}." if result["putBack"] else ""
    return (
        f"**{result['change']}: {result['result']}**\n\n{result['message']}\n\n"
        f"| step | result | took | |\n|---|---|---:|---|\n{rows}"
        f"\nBackups: {', '.join(result['backups']) or 'none'}. Saved files: {result['saved'] or 'none'}.{back}\n"
    )
