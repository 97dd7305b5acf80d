"""One POST of JSON to the address of a channel, and what came of it, in our words.

The address of a channel is its secret: whoever knows it may post. So no error, log line or quoted answer of this module holds the
address, its path or a part of its query; the libraries' own errors, which do, go no further than the thread.
"""

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from blocks.channel_errors import unreachable
from blocks.tls import trusted_file
from core.addresses import is_loopback
from core.errors import ChannelRefused, ChannelUnavailable, PilothouseError

if TYPE_CHECKING:
    import requests

T = TypeVar("T")
CONNECT = 10.0
"""Seconds for connecting, at most."""
READ = 16 * 1024
"""Bytes of an answer that are read."""
GRACE = 1.0


@dataclass(frozen=True, slots=True)
class Way:
    """How a channel is reached. ``who`` begins what is said of it, ``timeout`` is in seconds and of the whole request."""

    who: str
    url: str = field(repr=False)
    timeout: float
    proxy: str | None = field(default=None, repr=False)
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. ``text`` is the body's beginning."""

    status_code: int
    headers: Mapping[str, str] = field(repr=False)
    text: str


class Post:
    """``post`` as ``requests`` has it, for one request: nothing is followed to another address or kept for the next one."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._sockets: list[socket.socket] = []
        self.reply: Reply | None = None

    def post(self, url: str, json: object, headers: Mapping[str, str], verify: str | None = None, **ignored: object) -> Reply:
        """The answer to ``json``. Raises whatever ``requests`` raises: see ``sent`` for what becomes of that.

        What a login file (``.netrc``) holds for the host is not sent, and no variable turns off whom we trust.
        """
        import requests  # noqa: PLC0415  (a tenth of a second that the command line need not wait)

        from blocks.channel_sockets import noting  # noqa: PLC0415

        by = monotonic() + self._way.timeout
        with requests.Session() as session:
            session.trust_env = False
            for scheme in ("http://", "https://"):
                session.mount(scheme, noting(self._sockets))
            with session.post(
                url,
                data=encoded(json),
                headers={"User-Agent": "pilothouse", **headers},
                proxies=_proxies(self._way),
                timeout=(min(CONNECT, self._way.timeout), self._way.timeout),
                verify=verify or trusted_file(self._way.ca_file),
                allow_redirects=False,
                stream=True,
            ) as answer:
                self.reply = Reply(answer.status_code, answer.headers, _beginning(answer, by))
        return self.reply

    def end(self) -> None:
        """Break it off from another thread: whatever it waits for, it waits no longer."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def encoded(body: object) -> bytes:
    """JSON without a superfluous byte."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


async def sent(way: Way, work: Callable[[Post], object]) -> Reply:
    """What was answered when ``work`` posted, in a thread of its own.

    Raises ``ChannelUnavailable`` and ``ChannelRefused`` where nothing was answered, without the library's error behind them.
    """
    for noisy in ("urllib3.connection", "urllib3.connectionpool"):  # they tell the whole address, some even in warnings
        logging.getLogger(noisy).setLevel(logging.ERROR)
    post = Post(way)
    outcome: Reply | PilothouseError = ChannelUnavailable(f"{way.who} did not answer within {way.timeout:g} s.")
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(way.timeout + GRACE):  # a server may send its headers byte by byte
                outcome = await _aside(lambda: _outcome(way, post, work))
    finally:
        post.end()
    if isinstance(outcome, PilothouseError):
        raise outcome
    return outcome


def _outcome(way: Way, post: Post, work: Callable[[Post], object]) -> Reply | PilothouseError:
    """Given back and not raised, so that what is raised from it in the end has no other error behind it."""
    import requests  # noqa: PLC0415
    import urllib3  # noqa: PLC0415

    try:
        work(post)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        return unreachable(way.who, error, way.timeout)
    if post.reply is None:
        return ChannelRefused(f"{way.who} was not asked: its url cannot be used.")
    return post.reply


async def _aside(work: Callable[[], T]) -> T:
    """In a thread that the process does not wait for when it ends: a server that stalls would hold it up."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def working() -> None:
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  (raised where it is awaited)
            failure = error
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, result, failure)

    threading.Thread(target=working, name="channel", daemon=True).start()
    return await done


def _proxies(way: Way) -> dict[str, str]:
    """The channel's own proxy, else the environment's; none on the way to this machine."""
    import requests  # noqa: PLC0415

    if is_loopback(urlsplit(way.url).hostname or ""):
        return {}
    if way.proxy:
        return {"http": way.proxy, "https": way.proxy}
    return dict(requests.utils.get_environ_proxies(way.url))


def _beginning(answer: "requests.Response", by: float) -> str:
    """What of the body came in time. The status has come by then and decides, so a body that breaks off is no failure."""
    import requests  # noqa: PLC0415
    import urllib3  # noqa: PLC0415

    body = b""
    with suppress(requests.RequestException, urllib3.exceptions.HTTPError, OSError):
        for chunk in answer.iter_content(1024):
            body += chunk
            if len(body) >= READ or monotonic() > by:
                break
    return body[:READ].decode("utf-8", "replace")
