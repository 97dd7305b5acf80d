"""The bench that a process's tools work at, from its settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.charts.studio import Studio
from core.config import Settings
from core.tools.bench import Workbench


@asynccontextmanager
async def bench_for(settings: Settings) -> AsyncIterator[Workbench]:
    """Ready until the block ends: workers that draw, the databases that may be asked."""
    studio = Studio(settings.charts, settings.data_dir / "charts")
    studio.start()
    try:
        yield Workbench(studio, {})
    finally:
        await studio.aclose()
