"""What goes wrong with a backup or a restore, told apart because each asks for something else of the operator."""

from collections.abc import Sequence
from datetime import datetime

from core.errors import PilothouseError


class PlaceUnavailable(PilothouseError):
    """The database or store that is to be saved does not answer; trying again may help."""

    code = "place_unavailable"
    permanent = False


class PlaceRefused(PilothouseError):
    """It answers, and refuses: wrong credentials, a missing database, too few rights."""

    code = "place_refused"


class ToolTooOld(PilothouseError):
    """The dump program is missing, or of an older major version than the server."""

    code = "tool_too_old"


class DumpFailed(PilothouseError):
    """A part of the pipe failed, or what came out is empty or truncated; nothing of it is kept."""

    code = "dump_failed"


class OutputEmpty(DumpFailed):
    """The dump ended well, and nothing came out."""

    code = "output_empty"


class OutputTooSmall(DumpFailed):
    """The dump ended well, and less came out than the configuration expects."""

    code = "output_too_small"


class DumpRunning(PilothouseError):
    """The source is being backed up already. ``held_until``: when the process that does it will be taken for dead."""

    code = "dump_running"

    def __init__(self, message: str, *, held_until: datetime | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.held_until = held_until


class BackupsFailed(PilothouseError):
    """Some of the sources of a run were not backed up; the message names them with their codes."""

    code = "backups_failed"


class NoRoom(PilothouseError):
    """Too little space where the backup, or what it needs meanwhile, has to go."""

    code = "no_room"


class NothingToDrill(PilothouseError):
    """The source has no good backup yet."""

    code = "nothing_to_drill"


class NoTarget(PilothouseError):
    """Nothing can be made for a while to drill in, and the source names no ``drill_target``."""

    code = "no_target"


class RestoreFailed(PilothouseError):
    """The restore broke off; its target is not complete."""

    code = "restore_failed"


class ExtensionMissing(RestoreFailed):
    """The target's server does not have an extension that the backup needs; nothing was touched. ``extensions`` names them."""

    code = "extension_missing"

    def __init__(self, message: str, *, extensions: Sequence[str] = (), retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.extensions = tuple(extensions)


class RestoreDiffers(PilothouseError):
    """What was restored is not what was saved."""

    code = "restore_differs"


class TargetNotEmpty(PilothouseError):
    """The target of a restore holds something, and nobody said that it may be replaced."""

    code = "target_not_empty"


class BackupDamaged(PilothouseError):
    """The stored bytes are not those that were saved, or cannot be decrypted with the given identity."""

    code = "backup_damaged"


class HookFailed(PilothouseError):
    """A configured command ended with an error or took too long."""

    code = "hook_failed"
