"""One family of errors. ``permanent`` decides whether a retry makes sense, ``code`` decides the HTTP answer.

Messages are read by people: each says what is wrong and what to do next, and never holds a secret or a message's content.
The mapping from ``code`` to an HTTP status lives in ``api/problems.py``.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class PilothouseError(Exception):
    """Anything that Pilothouse itself reports.

    ``retry_after`` is in seconds and says when trying again makes sense; ``field`` names the offending input, if one does.
    """

    code: ClassVar[str] = "internal"
    permanent: ClassVar[bool] = True

    def __init__(self, message: str, *, retry_after: float | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.field = field


class ConfigurationInvalid(PilothouseError):
    """A setting is unknown, missing or malformed; the message names file, key and what was expected."""

    code = "configuration_invalid"


class PartMissing(PilothouseError):
    """A part (wheel, program, port, directory) that this machine lacks; the message names what replaces it."""

    code = "part_missing"


class InputInvalid(PilothouseError):
    """The caller's input breaks a rule that the request's schema cannot express."""

    code = "input_invalid"


class ContextExceeded(InputInvalid):
    """More text than the model's context window holds, even with everything left out that may be."""

    code = "context_exceeded"


class BodyTooLarge(PilothouseError):
    code = "body_too_large"


class NotFound(PilothouseError):
    """No such session, turn, run, flow, model or token (or no longer)."""

    code = "not_found"


class ModelUnknown(NotFound):
    code = "model_not_found"


class Conflict(PilothouseError):
    """The thing exists already, or an Idempotency-Key was used for another request."""

    code = "conflict"


class SessionBusy(PilothouseError):
    """More turns wait in a session than its queue takes."""

    code = "session_busy"
    permanent = False


class Unauthorized(PilothouseError):
    code = "unauthorized"


class Forbidden(PilothouseError):
    code = "forbidden"


class TooManyAttempts(PilothouseError):
    """A password was guessed wrong too often; ``retry_after`` says how long to wait."""

    code = "too_many_attempts"
    permanent = False


class RateExceeded(PilothouseError):
    """More requests than a caller may make in a while; ``retry_after`` says when the while is over."""

    code = "rate_exceeded"
    permanent = False


class QuotaSpent(PilothouseError):
    """A workspace or a token has used up what it may use, which is ``most``; ``retry_after`` says when there is more."""

    code = "quota_spent"

    def __init__(
        self, message: str, *, retry_after: float | None = None, field: str | None = None, most: int | None = None
    ) -> None:
        super().__init__(message, retry_after=retry_after, field=field)
        self.most = most


class StorageSpent(PilothouseError):
    """A workspace keeps as many bytes as it may."""

    code = "storage_spent"


class LoginRefused(Unauthorized):
    """A login by another provider that comes to nothing; ``reason`` chooses the words of the login page."""

    def __init__(
        self, message: str, reason: str = "invalid", *, retry_after: float | None = None, field: str | None = None
    ) -> None:
        super().__init__(message, retry_after=retry_after, field=field)
        self.reason = reason


class DirectoryUnavailable(PilothouseError):
    """No server of the company's directory answers, so that its people cannot log in."""

    code = "directory_unavailable"
    permanent = False


class DatabaseUnavailable(PilothouseError):
    code = "database_unavailable"
    permanent = False


class DatabaseTooNew(PilothouseError):
    """The schema was written by a later release."""

    code = "database_too_new"


class StreamsUnavailable(PilothouseError):
    """Valkey does not answer, and the turn's stream is in another process."""

    code = "streams_unavailable"
    permanent = False


class PrefectNotReady(PilothouseError):
    code = "prefect_not_ready"
    permanent = False


class ProviderFailed(PilothouseError):
    """A model provider refused or failed in a way that trying again will not mend (4xx, a wrong key)."""

    code = "provider_failed"


class RequestRefused(ProviderFailed):
    """A model provider finds the request itself wrong: its roles, its tools, a parameter."""

    code = "request_refused"


class ProviderUnavailable(PilothouseError):
    """A model provider could not be reached, was overloaded, stalled or sent garbage; trying again may help."""

    code = "provider_unavailable"
    permanent = False


class TurnInterrupted(PilothouseError):
    """The answer broke off after its first token; what came so far is kept."""

    code = "turn_interrupted"


class ToolFailed(PilothouseError):
    """A tool could not do what was asked; the message says why, for its caller and for a model."""

    code = "tool_failed"


class ToolTimedOut(PilothouseError):
    """A tool took longer than it may."""

    code = "tool_timed_out"


class ToolInterrupted(PilothouseError):
    """The process that ran the tool ended first."""

    code = "tool_interrupted"
    permanent = False


class ToolBusy(PilothouseError):
    """More calls wait for a tool than may; trying again in a moment helps."""

    code = "tool_busy"
    permanent = False


class StoreUnavailable(PilothouseError):
    """The object store could not be reached or was overloaded; trying again may help."""

    code = "store_unavailable"
    permanent = False


class StoreRefused(PilothouseError):
    """The object store refused: wrong credentials, no such bucket, no room."""

    code = "store_refused"


class ChannelUnavailable(PilothouseError):
    """A channel for alerts could not be reached, was overloaded or limits our rate; ``retry_after`` says when to try again."""

    code = "channel_unavailable"
    permanent = False


class ChannelRefused(PilothouseError):
    """A channel for alerts refused a message in a way that trying again will not mend: a wrong URL, a malformed card."""

    code = "channel_refused"


def told(error: PilothouseError) -> dict[str, str | float]:
    """The error as it is kept with a turn and said on a stream: ``code``, ``message``, ``retryAfter`` (seconds) if known."""
    later = {} if error.retry_after is None else {"retryAfter": error.retry_after}
    return {"code": error.code, "message": error.message} | later


def named(said: Mapping[str, Any]) -> PilothouseError:
    """The error that ``told`` told of."""
    code = said["code"]
    kinds = [PilothouseError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    kind = next((kind for kind in kinds if kind.code == code), PilothouseError)
    return kind(said["message"], retry_after=said.get("retryAfter"))
