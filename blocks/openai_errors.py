"""What a provider's failure means: OpenAI's errors, HTTP statuses and broken connections become ours.

Nothing that was asked and no key may reach a message of ours: the provider's own words are quoted after both are taken out.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from core.errors import ContextExceeded, PilothouseError, ProviderFailed, ProviderUnavailable, RequestRefused

QUOTED = 300
"""Characters of the provider's own words."""
WORTH_ANOTHER_TRY = frozenset({408, 409, 425, 429})
KEYS = re.compile(r"\b(sk|pk|rk|gsk|xai)-[\w*.-]{6,}|\b[Bb]earer\s+\S+|\bapi[-_ ]?key\s*[:=]\s*\S+")
ECHO = re.compile(r"['\"]?\binput['\"]?\s*:|['\"]messages['\"]\s*:")
"""From here on, a validator repeats what it was sent."""
TOO_LONG = re.compile(r"context_length_exceeded|exceed_context_size|maximum context length|context (?:window|size|length)", re.I)

OF_TOOLS = re.compile(r"\btools?\b|tool[_ -](?:calls?|choice|use)|function[_ -]call|--jinja", re.I)
NOT_OF_TOOLS = frozenset({401, 403, 407}) | WORTH_ANOTHER_TRY
OF_KEYS = re.compile(r"api[ _-]?key", re.I)
"""Some servers answer 400 to a wrong key."""

WHAT_TO_CHECK = {
    400: "refused the request",
    401: "refused its key: check api_key",
    403: "refused access: check what its api_key may use",
    404: "knows no such model or path: check the model's name, and that base_url ends where its API begins (often /v1)",
    413: "found the request too large",
    422: "refused the request",
    429: "has reached its rate limit",
}


class Redactor:
    """Takes a provider's key and a request's texts out of what it said."""

    def __init__(self, key: str | None, messages: Sequence[Mapping[str, Any]] = ()) -> None:
        self._key = key
        self._messages = messages

    def quote(self, text: str) -> str:
        """The text on one line, cut; where it begins to repeat what was asked, it ends."""
        if self._key:
            text = text.replace(self._key, "[key]")
        text = KEYS.sub("[key]", " ".join(text.split()))
        if echo := ECHO.search(text):
            text = text[: echo.start()] + "…"
        for said in _texts(self._messages):
            start = " ".join(said.split())[:20]
            if len(start) >= 12 and (at := text.find(start)) >= 0:
                text = text[:at] + "…"
        return text if len(text) <= QUOTED else text[: QUOTED - 1] + "…"


def _texts(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            yield content
        elif content:
            yield from (part["text"] for part in content if isinstance(part.get("text"), str))


def from_status(
    who: str, status: int, headers: Mapping[str, str], body: bytes, redactor: Redactor, *, of_tools: bool = False
) -> PilothouseError:
    """The error for an HTTP answer of 300 and above; ``who`` names the provider and the model.

    ``of_tools``: the request held tools. Servers that cannot take them say so with statuses from 400 to 501.
    """
    error = _error_in(body)
    words = redactor.quote(_words(error, body, headers.get("content-type", "")))
    says = f" It said: {words}" if words else ""
    code = f"{error.get('code')} {error.get('type')}" if error else ""
    if status in {400, 413, 422} and TOO_LONG.search(f"{code} {words}"):
        return ContextExceeded(f"{who} counts more tokens than the model takes.{says}", field="messages")
    if "insufficient_quota" in code:
        return ProviderFailed(f"{who} has no credit left ({status}).{says}")
    if of_tools and status not in NOT_OF_TOOLS and OF_TOOLS.search(f"{code} {words}"):
        return RequestRefused(f"{who} refused the request for its tools ({status}).{says}")
    if status >= 500 or status in WORTH_ANOTHER_TRY:
        what = WHAT_TO_CHECK.get(status, "failed")
        return ProviderUnavailable(f"{who} {what} ({status}).{says}", retry_after=retry_after(headers))
    what = WHAT_TO_CHECK.get(status, "refused the request: check base_url")
    if status in {400, 413, 422} and not OF_KEYS.search(f"{code} {words}"):
        return RequestRefused(f"{who} {what} ({status}).{says}")
    return ProviderFailed(f"{who} {what} ({status}).{says}")


def from_event(who: str, error: object, redactor: Redactor) -> PilothouseError:
    """The error for ``{"error": …}`` in the middle of a stream; only a plain 4xx in it is final."""
    body = orjson.dumps({"error": error})
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) and 400 <= code <= 599 else 500
    return from_status(f"{who} broke its answer off;", status, {}, body, redactor)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from ``retry-after-ms`` (OpenAI, Azure) or ``Retry-After`` (seconds or an HTTP date, RFC 9110); never negative."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        try:
            seconds = float(value) * scale
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    try:
        when = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _error_in(body: bytes) -> dict[str, Any]:
    """The ``error`` object of OpenAI's shape, or of the shapes that others use in its place."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if isinstance(parsed, list) and parsed:  # Gemini's compatible endpoint wraps it
        parsed = parsed[0]
    if not isinstance(parsed, dict):
        return {}
    error = parsed.get("error", parsed)
    return error if isinstance(error, dict) else {"message": error}


def _words(error: dict[str, Any], body: bytes, content_type: str) -> str:
    said = error.get("message") or error.get("detail")
    if isinstance(said, list):  # FastAPI's validation errors
        return "; ".join(_validation(said))
    if said:
        return str(said)
    return "" if "html" in content_type or error else body[: 4 * QUOTED].decode("utf-8", "replace")


def _validation(details: Iterable[object]) -> Iterator[str]:
    for detail in details:
        if isinstance(detail, dict):
            where = ".".join(map(str, detail.get("loc") or ()))
            yield f"{where}: {detail.get('msg', '')}"
