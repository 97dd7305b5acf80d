"""The bench of a process: what its tools work with."""

from collections.abc import Mapping

from core.charts.chart import Chart, Picture
from core.charts.studio import Studio
from core.databases import Readable, Rows
from core.errors import InputInvalid


class Workbench:
    """A ``Bench``: a studio that draws, and the databases that may be asked, by name."""

    def __init__(self, studio: Studio, databases: Mapping[str, Readable]) -> None:
        self._studio = studio
        self._databases = databases

    async def draw(self, chart: Chart) -> Picture:
        """See ``Studio.draw``."""
        return await self._studio.draw(chart)

    async def query(self, database: str, sql: str) -> Rows:
        """See ``Readable.query``. Raises ``InputInvalid`` for a database that is not configured."""
        found = self._databases.get(database)
        if found is None:
            known = ", ".join(sorted(self._databases)) or "none"
            raise InputInvalid(f"There is no database of that name to ask; there are: {known}.", field="database")
        return await found.query(sql)
