"""HTTP as probes ask: a connection of its own for each look, an answer read no further than is needed, redirects kept in check.

aiohttp, since a look over httpx takes three times as long. A connection is never kept: whether one can be made is part of the
question, and its certificate is looked at on the way.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from socket import gaierror
from time import perf_counter

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from blocks.probes.certificates import Certificate
from blocks.probes.names import AddressInfo, addresses_of, shown
from blocks.probes.observing import cut, failed, first_cause, late, within
from blocks.probes.proxies import proxy_of
from blocks.tls import tls
from core.sweeps.observation import Observation
from core.sweeps.reaching import Place, first_hop, next_hop, place_of

MOST = 1_000_000
"""Bytes of an answer that are read at most."""
HOPS = 10
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PLAIN: Mapping[str, str] = {"User-Agent": "Pilothouse", "Accept": "*/*", "Accept-Encoding": "identity"}

JSON: Mapping[str, str] = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Question:
    """One request. ``limit`` is in seconds, redirects and body included; ``reach`` is ``sweeps.reach``.

    ``login`` and ``headers`` go to the service itself alone, not to what it redirects to.
    """

    url: str
    limit: float
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    login: tuple[str, str] | None = None
    ca_file: Path | None = None
    redirects: bool = True
    reach: tuple[str, ...] = ()
    body: bool = True
    """Whether the answer's body is read."""
    content: bytes | None = None
    """JSON that is sent."""
    led_from: Place | None = None
    """Where an answer came from that has given this address, which then may lead no further than a redirect; None: configured."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The last hop's answer; ``seconds`` until its head had come, ``certificate`` that of all hops that ends first."""

    status: int
    body: bytes
    whole: bool
    seconds: float
    certificate: Certificate | None
    place: Place
    """Where the service itself answered from."""


@dataclass(slots=True)
class _Way:
    """What is known on the way from hop to hop."""

    own: Place = "ordinary"
    certificates: list[Certificate] = field(default_factory=list)


class _Misled(Exception):
    """A hop to where a probe may not go; the argument says where that is."""


async def ask(question: Question) -> Answer | Observation:
    """The answer, or what kept it from coming."""
    where = shown(*_authority(URL(question.url)))
    try:
        async with within(question.limit):
            return await _asked(question, where)
    except TimeoutError:
        return late(where, question.limit)


async def _asked(question: Question, where: str) -> Answer | Observation:
    tls(question.ca_file)  # made once, and not to be counted as the service's time
    url, method, way, began = URL(question.url), question.method, _Way(question.led_from or "ordinary"), perf_counter()
    for hop in range(HOPS + 1):
        here = where if hop == 0 else f"what {where} redirects to"
        try:
            answer, location = await _hop(question, url, method, hop, way, began)
        except _Misled as misled:
            return _misled(str(misled), configured=hop == 0 and question.led_from is None)
        except aiohttp.ClientError as error:
            return broken(error, here)
        except (OSError, UnicodeError) as error:  # the latter for punycode that means nothing
            return failed(error if isinstance(error, OSError) else gaierror(), here)
        if location is None or not question.redirects:
            return answer
        try:
            url = url.join(URL(location))
        except ValueError:
            url = URL()
        if url.scheme not in {"http", "https"} or not url.host:
            return Observation("down", "redirect", f"{where} redirects to what is no address: look at its configuration.")
        if method == "POST" and answer.status in {301, 302, 303}:
            method = "GET"
    return Observation("down", "redirect", f"{where} redirects more than {HOPS} times: does it send probes to a login?")


async def _hop(question: Question, url: URL, method: str, hop: int, way: _Way, began: float) -> tuple[Answer, str | None]:
    """One request on a connection of its own, and where its answer redirects to."""
    host, port = _authority(url)
    proxy = proxy_of(url.scheme, host, port)
    configured = hop == 0 and question.led_from is None
    addresses = await _allowed(question.reach, host, port, None if configured else way.own, proxied=proxy is not None)
    own = _authority(URL(question.url)) == (host, port) and url.scheme == URL(question.url).scheme
    async with (
        _Connector(addresses if proxy is None else None, way, first=configured and proxy is None) as connector,
        aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), requote_redirect_url=False) as session,
        session.request(
            method,
            url.with_user(None),
            headers={**PLAIN, **(_own_headers(question) if own else {})},
            data=question.content if own and method == "POST" else None,
            allow_redirects=False,
            proxy=proxy,
            ssl=tls(question.ca_file),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        ) as response,
    ):
        seconds = perf_counter() - began
        location = response.headers.get("Location") if response.status in REDIRECTS else None
        followed = location is not None and question.redirects
        body, whole = await _body(response) if question.body and not followed else (b"", False)
    first = min(way.certificates, key=lambda each: each.days_left, default=None)
    return Answer(response.status, body, whole, seconds, first, way.own), location


def _own_headers(question: Question) -> Mapping[str, str]:
    login = {}
    if question.login is not None:
        login = {"Authorization": f"Basic {b64encode(':'.join(question.login).encode()).decode()}"}
    return {**login, **({} if question.content is None else JSON), **question.headers}


async def _allowed(
    reach: tuple[str, ...], host: str, port: int, led_from: Place | None, *, proxied: bool
) -> Sequence[AddressInfo]:
    """The host's addresses that a hop may lead to. Raises ``_Misled`` where there is none."""
    try:
        found = await addresses_of(host, port)
    except OSError:
        if proxied:  # the proxy may know the name
            return ()
        raise
    if led_from is None:
        fine = [each for each in found if first_hop(host, each[4][0], reach)]
    else:
        fine = [each for each in found if next_hop(host, each[4][0], led_from, reach)]
    if not fine:
        raise _Misled(place_of(found[0][4][0]))
    return fine


async def _body(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """The body as far as it is read, and whether that is all of it."""
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        if (size := size + len(part)) > MOST:
            return b"".join(parts)[:MOST], False
    return b"".join(parts), True


def broken(error: aiohttp.ClientError, where: str) -> Observation:
    """What a request's failure means."""
    if isinstance(error, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError):
        return Observation(
            "unreachable", "proxy", f"The proxy on the way to {where} fails or refuses: check HTTPS_PROXY, NO_PROXY."
        )
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError):
        return cut(where)
    cause = first_cause(error)
    if isinstance(cause, OSError) and not isinstance(cause, aiohttp.ClientError):
        return failed(cause, where)
    if isinstance(error, OSError):
        return failed(error, where)
    return Observation("down", "protocol", f"{where} does not answer in HTTP: are scheme and port right?")


def _misled(place: str, *, configured: bool) -> Observation:
    what = "Its name leads" if configured else "It sends on"
    message = f"{what} to a {place} address, where probes do not go: name the host in sweeps.reach if that is meant."
    return Observation("down", "address" if configured else "redirect", message)


def _authority(url: URL) -> tuple[str, int]:
    return url.raw_host or "", url.port or (443 if url.scheme == "https" else 80)


class _Connector(aiohttp.TCPConnector):
    """Connects to the addresses that were judged, and notes who was there and with which certificate."""

    def __init__(self, addresses: Sequence[AddressInfo] | None, way: _Way, *, first: bool) -> None:
        super().__init__(force_close=True, resolver=_Judged(addresses) if addresses is not None else None, use_dns_cache=False)
        self._way, self._first = way, first

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[aiohttp.tracing.Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own
    ) -> aiohttp.connector.Connection:
        """See ``BaseConnector.connect``."""
        connection = await super().connect(req, traces, timeout)
        if (transport := connection.transport) is not None:
            peer, secured = transport.get_extra_info("peername"), transport.get_extra_info("ssl_object")
            if self._first and peer:
                self._way.own = place_of(peer[0])
            if secured is not None and (certificate := Certificate.of(secured.getpeercert() or {})) is not None:
                self._way.certificates.append(certificate)
        return connection


class _Judged(AbstractResolver):
    """Answers with the addresses that were judged; nobody is asked a second time."""

    def __init__(self, addresses: Sequence[AddressInfo]) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=each[4][0], port=port, family=each[0], proto=each[2], flags=0)
            for each in self._addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""
