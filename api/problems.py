"""Errors on the wire: ``application/problem+json`` (RFC 9457), on ``/v1`` in OpenAI's shape, on FastGPT's paths in FastGPT's.

Never a secret or an input.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.fastgpt.wires import Wires, error_of
from core.errors import PilothouseError

log = structlog.get_logger(__name__)

STATUSES: Mapping[str, int] = {
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "model_not_found": 404,
    "conflict": 409,
    "too_many_attempts": 429,
    "rate_exceeded": 429,
    "quota_spent": 429,
    "directory_unavailable": 503,
    "session_busy": 409,
    "dump_running": 409,
    "change_running": 409,
    "change_unfinished": 409,
    "nothing_to_drill": 409,
    "no_target": 409,
    "target_not_empty": 409,
    "restore_differs": 409,
    "body_too_large": 413,
    "input_invalid": 422,
    "context_exceeded": 422,
    "request_refused": 422,
    "tool_failed": 422,
    "extension_missing": 422,
    "tool_too_old": 422,
    "compose_invalid": 422,
    "provider_failed": 502,
    "store_refused": 502,
    "place_refused": 502,
    "dump_failed": 502,
    "backups_failed": 502,
    "output_empty": 502,
    "output_too_small": 502,
    "restore_failed": 502,
    "backup_damaged": 502,
    "hook_failed": 502,
    "files_not_saved": 502,
    "not_healthy": 502,
    "channel_refused": 502,
    "turn_interrupted": 502,
    "tool_timed_out": 504,
    "provider_unavailable": 503,
    "store_unavailable": 503,
    "place_unavailable": 503,
    "channel_unavailable": 503,
    "tool_busy": 503,
    "tool_interrupted": 503,
    "database_unavailable": 503,
    "database_too_new": 503,
    "prefect_not_ready": 503,
    "streams_unavailable": 503,
    "no_room": 507,
    "storage_spent": 507,
}
"""By ``PilothouseError.code``; any other code is a 500."""

OPENAI_CODES: Mapping[str, str] = {
    "unauthorized": "invalid_api_key",
    "context_exceeded": "context_length_exceeded",
    "quota_spent": "insufficient_quota",
}
"""Where OpenAI has a name of its own that clients look for."""

CODES: Mapping[int, str] = {401: "unauthorized", 403: "forbidden", 404: "not_found", 413: "body_too_large", 422: "input_invalid"}
"""By status, for errors that the framework raises; any other is named by its phrase (``method_not_allowed``)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One error, before it takes a wire's shape."""

    status: int
    code: str
    detail: str
    field: str | None = None
    errors: Sequence[Mapping[str, str]] = ()
    """Every offending field with its message, where a request's schema was broken."""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


def install(app: FastAPI, prefix: str = "") -> None:
    """Answer every exception of ``app``; paths under ``/v1`` and ``{prefix}/v1`` in OpenAI's shape."""

    async def handler(request: Request, error: Exception) -> Response:
        return answer(request.scope, error, prefix)

    for kind in (PilothouseError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, handler)


def answer(scope: MutableMapping[str, Any], error: Exception, prefix: str = "") -> Response:
    """The response to an exception; what is our fault goes to the log, an unexpected exception with its traceback."""
    problem = problem_of(error)
    if problem.status == 500:
        log.error("request failed", exc_info=error)
    elif problem.status > 500:
        # The cause by name only: a database driver's message may quote the row.
        log.warning("request failed", code=problem.code, detail=problem.detail, cause=type(error.__cause__).__name__)
    app = scope.get("app")
    wires: Wires | None = app.state.fastgpt.wires if app is not None and hasattr(app.state, "fastgpt") else None
    if wires is not None and (wire := wires.of(scope["path"])) is not None:
        scope.setdefault("state", {})["problem"] = problem.code
        status, body = error_of(wire, problem)
        return Response(_json(body), status, problem.headers, "application/json")
    return respond(scope, problem, openai=scope["path"].startswith(("/v1/", f"{prefix}/v1/")))


def problem_of(error: Exception) -> Problem:
    """What may be said of an exception; an unexpected one is 500 without details."""
    if isinstance(error, PilothouseError):
        status = STATUSES.get(error.code, 500)
        headers = {"Retry-After": str(max(1, math.ceil(error.retry_after)))} if error.retry_after is not None else {}
        return Problem(status, error.code, error.message, error.field, headers={**_challenge(status), **headers})
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        code = CODES.get(error.status_code) or _phrase(error.status_code).lower().replace(" ", "_").replace("-", "_")
        return Problem(
            error.status_code, code, str(error.detail), headers={**_challenge(error.status_code), **(error.headers or {})}
        )
    return Problem(500, "internal", "Something went wrong inside Pilothouse; its log has the details under this request id.")


def respond(scope: MutableMapping[str, Any], problem: Problem, openai: bool) -> Response:
    """The problem as a response, and its code noted for the request's log line."""
    state = scope.setdefault("state", {})
    state["problem"] = problem.code
    if openai:
        return Response(_json(_openai(problem)), _openai_status(problem), problem.headers, "application/json")
    body: dict[str, Any] = {
        "type": f"urn:pilothouse:problem:{problem.code}",
        "title": _phrase(problem.status),
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
    }
    if problem.field is not None:
        body["field"] = problem.field
    if problem.errors:
        body["errors"] = problem.errors
    if "request_id" in state:
        body["requestId"] = state["request_id"]
    return Response(_json(body), problem.status, problem.headers, "application/problem+json")


def _json(body: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # half of a surrogate pair, quoted from what was sent
        return json.dumps(body).encode()


def _invalid(error: RequestValidationError) -> Problem:
    errors = [{"field": _field(one["loc"]), "message": str(one["msg"])} for one in error.errors()[:20]]
    detail = "; ".join(f"{one['field']}: {one['message']}" for one in errors[:5])
    return Problem(422, "input_invalid", detail, errors[0]["field"] if errors else None, errors)


def _field(location: Sequence[int | str]) -> str:
    """``messages.0.role``; a parameter outside the body is named with its place: ``query.limit``."""
    if len(location) > 1 and location[0] == "body":
        # A body that is no JSON has the character's offset for a location.
        return "body" if isinstance(location[1], int) and len(location) == 2 else _dotted(location[1:])
    return _dotted(location)


def _dotted(location: Sequence[int | str]) -> str:
    # Part of a location may be a caller's own key, of any length.
    return ".".join(str(part)[:64] for part in location)[:200]


def _openai(problem: Problem) -> dict[str, Any]:
    """See https://platform.openai.com/docs/guides/error-codes; the official client builds its exceptions from this."""
    kind = "server_error" if problem.status >= 500 else "invalid_request_error"
    if problem.status == 429:
        kind = "insufficient_quota" if problem.code == "quota_spent" else "rate_limit_error"
    code = OPENAI_CODES.get(problem.code, problem.code)
    return {"error": {"message": problem.detail, "type": kind, "param": problem.field, "code": code}}


def _openai_status(problem: Problem) -> int:
    """OpenAI answers 400 where a request breaks the schema."""
    return 400 if problem.status == 422 else problem.status


def _challenge(status: int) -> dict[str, str]:
    """What RFC 6750 asks of a 401 and a 403."""
    if status == 401:
        return {"WWW-Authenticate": 'Bearer realm="pilothouse"'}
    return {"WWW-Authenticate": 'Bearer realm="pilothouse", error="insufficient_scope"'} if status == 403 else {}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
