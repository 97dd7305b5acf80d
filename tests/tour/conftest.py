"""What the chapters of the tour share: one running Pilothouse, and a client with its token."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.tour.running import Running


@pytest.fixture(scope="package")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Started once for all chapters, gone after them; in a fresh data directory and with every way out of the machine closed."""
    running = Running(tmp_path_factory.mktemp("up"))
    try:
        running.start()
        yield running
    finally:
        running.close()


@pytest.fixture
async def api(up: Running) -> AsyncIterator[httpx.AsyncClient]:
    """Carries the admin token."""
    async with httpx.AsyncClient(base_url=up.url, headers=up.headers, timeout=60, trust_env=False) as client:
        yield client
