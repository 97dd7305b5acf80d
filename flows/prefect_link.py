"""The API's one connection to Prefect: a client kept open, whether the server answers, and its failures in our own words."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from ssl import SSLContext
from typing import TypeVar
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL

from core.errors import NotFound, PrefectNotReady
from flows.presence import Presence

T = TypeVar("T")

RETRY_AFTER = 2.0
FLOWS_KNOWN = 1_000


class PrefectLink:
    """Made once in the API process, whose environment names the server (``PREFECT_API_URL``); works before there is one."""

    def __init__(self, client: PrefectClient, presence: Presence, api_url: str) -> None:
        self.client = client
        self.presence = presence
        self._ui_url = api_url.rstrip("/").removesuffix("/api")
        self._flow_names: dict[UUID, str] = {}

    @classmethod
    @asynccontextmanager
    async def opened(cls, verify: SSLContext | bool = True) -> AsyncIterator["PrefectLink"]:
        """A link that watches until the block ends; the server need not be there yet."""
        api_url = str(PREFECT_API_URL.value())
        presence = Presence(api_url, verify=verify)
        async with get_client() as client:
            await presence.start()
            try:
                yield cls(client, presence, api_url)
            finally:
                await presence.stop()

    def run_url(self, run_id: str) -> str:
        """The run's page in Prefect's UI."""
        return f"{self._ui_url}/runs/flow-run/{run_id}"

    def require_up(self) -> None:
        """Raises ``PrefectNotReady`` at once while the server is known to be away."""
        if not self.presence.up:
            raise PrefectNotReady("Prefect is not up (yet); try again in a moment.", retry_after=RETRY_AFTER)

    async def flow_name(self, flow_id: UUID) -> str:
        """The flow's name; asked once per flow."""
        if flow_id not in self._flow_names:
            if len(self._flow_names) >= FLOWS_KNOWN:
                self._flow_names.clear()
            self._flow_names[flow_id] = (await asked(lambda: self.client.read_flow(flow_id))).name
        return self._flow_names[flow_id]


async def asked(question: Callable[[], Awaitable[T]]) -> T:
    """The answer to a question, never an order: asked once more where the server had just closed the kept connection."""
    with in_our_words():
        try:
            return await question()
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            return await question()


@contextmanager
def in_our_words() -> Iterator[None]:
    """Raises ``NotFound`` for what Prefect does not have, ``PrefectNotReady`` where it does not answer or refuses."""
    try:
        yield
    except ObjectNotFound as error:
        raise NotFound("There is no such run.") from error
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if status == httpx.codes.NOT_FOUND:
            raise NotFound("There is no such run.") from error
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise PrefectNotReady("Prefect refuses our credentials; check prefect.auth_string.", retry_after=60) from error
        if status >= httpx.codes.INTERNAL_SERVER_ERROR or status == httpx.codes.TOO_MANY_REQUESTS:
            raise PrefectNotReady("Prefect's server fails at the moment; try again.", retry_after=RETRY_AFTER) from error
        raise
    except httpx.TransportError as error:
        raise PrefectNotReady("Prefect does not answer; try again in a moment.", retry_after=RETRY_AFTER) from error
