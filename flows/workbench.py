"""The bench of a process: what its tools work with, from its settings."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from blocks.databases import Databases
from core.charts.chart import Chart, Picture
from core.charts.studio import Studio
from core.config import Settings
from core.databases import Rows


@dataclass(frozen=True, slots=True)
class Workbench:
    """A ``Bench``."""

    studio: Studio
    databases: Databases

    async def draw(self, chart: Chart) -> Picture:
        """See ``Studio.draw``."""
        return await self.studio.draw(chart)

    async def query(self, database: str, sql: str) -> Rows:
        """See ``Databases.query``."""
        return await self.databases.query(database, sql)


@asynccontextmanager
async def bench_for(settings: Settings, workers: int | None = None) -> AsyncGenerator[Workbench, None]:
    """Ready until the block ends. ``workers`` that draw, where it is not for ``[charts]`` to say."""
    charts = settings.charts if workers is None else settings.charts.model_copy(update={"workers": workers})
    databases = Databases.from_settings(settings)
    studio = Studio(charts, settings.data_dir / "charts")
    studio.start()
    try:
        yield Workbench(studio, databases)
    finally:
        await studio.aclose()
        await databases.aclose()
