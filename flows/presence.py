"""Whether Prefect's server answers, asked once a second in the background, so that no request has to find out by waiting."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import httpx
import structlog

log = structlog.get_logger(__name__)

TIMEOUT = 2.0
"""Seconds after which a server that accepts connections but says nothing counts as away."""


class Presence:
    """``up`` says whether the server at ``api_url`` (``http://host:port/api``) answered last time it was asked.

    Every function in ``on_up`` is awaited, one after another, each time ``up`` turns true; one that fails is logged and
    hinders neither the others nor the watch. ``/health`` of a Prefect server is open, so no credentials are sent.
    """

    def __init__(self, api_url: str, *, interval: float = 1.0, verify: ssl.SSLContext | bool = True) -> None:
        self.up = False
        self.on_up: list[Callable[[], Awaitable[None]]] = []
        self._url = f"{api_url.rstrip('/')}/health"
        self._interval = interval
        self._verify = verify
        self._turned_up = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to watch; returns at once, with ``up`` still false."""
        if self._watch is None:
            self._watch = asyncio.create_task(self._run(), name="prefect presence")

    async def stop(self) -> None:
        """End the watch and whatever callback still runs."""
        tasks = [*self._telling, *([self._watch] if self._watch else [])]
        self._watch = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def wait_up(self, within: float | None = None) -> bool:
        """True as soon as the server answers; False when it did not ``within`` that many seconds."""
        try:
            async with asyncio.timeout(within):
                await self._turned_up.wait()
        except TimeoutError:
            return False
        return True

    async def _run(self) -> None:
        async with httpx.AsyncClient(timeout=TIMEOUT, verify=self._verify) as client:
            while True:
                self._note(await self._answers(client))
                await asyncio.sleep(self._interval)

    async def _answers(self, client: httpx.AsyncClient) -> bool:
        try:
            async with asyncio.timeout(TIMEOUT):
                return (await client.get(self._url)).status_code == httpx.codes.OK
        except (httpx.HTTPError, TimeoutError):
            return False

    def _note(self, up: bool) -> None:
        if up == self.up:
            return
        self.up = up
        log.info("prefect_up" if up else "prefect_away", url=self._url)
        if not up:
            self._turned_up.clear()
            return
        self._turned_up.set()
        telling = asyncio.create_task(self._tell(), name="prefect is up")
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _tell(self) -> None:
        for callback in list(self.on_up):
            try:
                await callback()
            except Exception:
                log.warning(
                    "prefect_up_callback_failed", callback=getattr(callback, "__qualname__", str(callback)), exc_info=True
                )
