"""Which generation's wire a path speaks, and what errors look like on it.

Generation A has ``{"message", "error"}``. B and C share ``/api`` and with it one body that both read: B's ``code``, ``msg`` and
``data``, C's ``error``. Their statuses differ: B reports a path that it does not know, and faults of its own, in a 200's body.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from core.settings_fastgpt import Generation

FIRST = re.compile(r"/(tool/(list|get|run|runstream|getType|getTags|upload/.*)|(model|workflow)/.*)")
"""The paths of generation A; none of them is one of C's under ``/api``."""
FAMILIES = ("tools", "tool", "models", "list", "plugins", "plugin", "runtime", "dataset")
"""What may follow ``/api/`` on the paths of B and C."""
ONLY_C = re.compile(r"/api/(tool|plugins?|runtime)(/|$)")
ONLY_B = re.compile(r"/api/tools/.")
CODES: Mapping[int, str] = {
    400: "http.validation_failed",
    401: "http.unauthorized",
    403: "http.forbidden",
    404: "http.not_found",
    500: "http.internal_server_error",
}
"""C's names of errors by status; any other is ``http.`` and our own code."""
BARE = {401: "Unauthorized"}
"""What B says instead of a reason."""

Wire = Literal["a", "b", "c"]


class Told(Protocol):
    """What an error answer is made of; see ``api.problems.Problem``."""

    @property
    def status(self) -> int: ...
    @property
    def code(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def field(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Wires:
    """By path: ours, or one of FastGPT's. Under an ``api_prefix`` of ``/api`` only the known families are FastGPT's."""

    generation: Generation
    prefix: str = ""

    def of(self, path: str) -> Wire | None:
        """The wire of a path; None for a native one."""
        if FIRST.fullmatch(path) or (self.prefix and FIRST.fullmatch(path.removeprefix(self.prefix))):
            return "a"
        if not path.startswith("/api/") or self._native(path):
            return None
        if ONLY_C.match(path):
            return "c"
        return "b" if ONLY_B.match(path) else self.generation

    def _native(self, path: str) -> bool:
        if self.prefix == "/api":
            family = path.split("/")[2]
            return family not in FAMILIES or (family == "tools" and path.endswith("/runs"))
        return bool(self.prefix) and path.startswith(f"{self.prefix}/")


def error_of(wire: Wire, told: Told) -> tuple[int, dict[str, Any]]:
    """Status and body of an error on a wire."""
    status = 400 if told.status == 422 else told.status
    if wire == "a":
        return status, {"message": "Invalid token" if status == 401 else told.detail, "error": told.detail}
    body = failed(status, BARE.get(status, told.detail), c_error(_code(status, told.code), told.detail, told.field))
    return (200 if wire == "b" and status == 500 else status), body


def unknown(wire: Wire) -> tuple[int, dict[str, Any]]:
    """The same for a path that nobody serves."""
    body = failed(404, "Not Found", c_error("http.not_found", "There is no such path."))
    return (200 if wire == "b" else 404), body


def failed(code: int, message: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """The body of B with C's error in it."""
    return {"code": code, "msg": message, "data": None, "error": told}


def done(data: object) -> dict[str, Any]:
    """The body of a success for both."""
    return {"code": 0, "msg": "success", "data": data}


def c_error(code: str, message: str, field: str | None = None) -> dict[str, Any]:
    """C's error; ``reason`` is what FastGPT shows."""
    body: dict[str, Any] = {"code": code, "message": message, "reason": {"en": message}}
    if code == CODES[400]:
        body["data"] = {"issues": [{"path": field.split(".") if field else [], "message": message}]}
    return body


def _code(status: int, code: str) -> str:
    return CODES.get(status) or f"http.{code}"
