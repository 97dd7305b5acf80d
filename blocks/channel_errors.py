"""What went wrong with a channel, as our errors: whether waiting helps, what to do, and nothing of its address."""

import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from urllib.parse import parse_qsl, unquote, urlsplit

from blocks.openai_errors import retry_after
from core.alerts.message import Message
from core.errors import ChannelRefused, ChannelUnavailable
from core.logs import clean

QUOTED = 200
"""Characters of the other side's own words."""
WORTH_ANOTHER_TRY = frozenset({408, 425, 429})
LOOKED_FOR = 100
"""Entries of a message that are looked for in what the other side said."""
LONGEST_WAIT = 3600.0
"""Seconds: whoever asks for more is asked again all the same."""
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\"'<>]+", re.I)


class Words:
    """Quotes what the other side said, without the channel's address and without what it was sent."""

    def __init__(self, url: str, message: Message) -> None:
        parts = urlsplit(url)
        pieces = {parts.query, parts.path, *parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))}
        pieces |= {unquote(piece) for piece in pieces} | {parts.password or "", parts.username or ""}
        self._secret = sorted((piece for piece in pieces if len(piece) >= 8), key=len, reverse=True)
        sent = (message.title, *message.lines, *(value for _, value in message.facts), *message.entries[:LOOKED_FOR])
        starts = [start for text in sent if len(start := " ".join(text.split())[:20]) >= 12]
        self._sent = [*starts, *(json.dumps(start)[1:-1] for start in starts)]

    def quote(self, text: str) -> str:
        """On one line, cut; where it begins to repeat what it was sent, it ends."""
        text = _ADDRESS.sub("[address]", " ".join(_message_in(text).split()))
        for piece in self._secret:
            text = text.replace(piece, "[…]")
        for start in self._sent:
            if (at := text.find(start)) >= 0:
                text = f"{text[:at]}…"
        text = "".join(each for each in clean(text) if each.isprintable())
        return text if len(text) <= QUOTED else f"{text[: QUOTED - 1]}…"


def _message_in(text: str) -> str:
    """What a person is told in ``{"error": {"code": …, "message": …}}``, as Power Automate and many others have it, else all."""
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
        error = found.get("error", found) if isinstance(found, dict) else None
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            code = error.get("code")
            return f"{code}: {error['message']}" if isinstance(code, str) else str(error["message"])
    return text


def later(headers: Mapping[str, str]) -> float | None:
    """Seconds that ``Retry-After`` asks for (a number or a date), an hour at most."""
    asked = retry_after(headers)
    return None if asked is None else min(asked, LONGEST_WAIT)


def unreachable(who: str, error: BaseException, timeout: float) -> ChannelUnavailable | ChannelRefused:
    """For an error of ``requests``, or of what lies under it. Its own words are not told: they hold the address."""
    import requests  # noqa: PLC0415  (as in channel_post)

    causes = list(_causes(error))
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in causes):
        return ChannelRefused(f"{who} has a certificate that is not trusted: name its CA's file in ca_file.")
    if isinstance(error, requests.exceptions.ProxyError) and "407" in str(error):
        return ChannelRefused(f"{who}: the proxy asks for a login: put it into the channel's proxy (or HTTPS_PROXY).")
    if isinstance(error, ValueError):
        return ChannelRefused(f"{who} cannot be asked: its url, its proxy or a header is not of the form that HTTP takes.")
    if isinstance(error, requests.exceptions.ProxyError):
        what = ": the proxy does not let us through: see the channel's proxy (or HTTPS_PROXY, NO_PROXY)"
    elif isinstance(error, requests.Timeout):
        what = f" did not answer within {timeout:g} s"
    elif any(isinstance(each, socket.gaierror) for each in causes):
        what = ": the name of its host is not found: check its url, and this machine's DNS"
    elif any(isinstance(each, ConnectionRefusedError) for each in causes):
        what = " refused the connection: start it, or check its url"
    else:
        reason = next((each.strerror for each in causes if isinstance(each, OSError) and each.strerror), None)
        what = f" broke the connection off before it answered{f' ({reason})' if reason else ''}"
    return ChannelUnavailable(f"{who}{what}.")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and everything under it: as a cause, in its context, or as an argument, where urllib3 and requests put it."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        under = (each.__cause__, each.__context__, getattr(each, "reason", None), *each.args)
        waiting.extend(one for one in under if isinstance(one, BaseException))
