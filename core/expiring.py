"""Files whose time is over: first the bytes, then the rows, a batch at a time; and what lies in the store without a row."""

from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Protocol

from core.files import KEY, ListedObject, ObjectStore, Tidied
from core.store.files import BATCH, Files

BEGUN_HOURS = 24.0
"""An upload that was begun so long ago and is not finished never will be."""


class Expirable(ObjectStore, Tidied, Protocol):
    """A store that nightly upkeep works on."""


class Expiry:
    """``days`` is what a file without a session is kept for; ``ours``: nobody else keeps anything in the store."""

    def __init__(self, rows: Files, objects: Expirable, *, days: float, ours: bool) -> None:
        self._rows = rows
        self._objects = objects
        self._age = timedelta(days=days + 1)
        self._ours = ours

    async def count(self) -> int:
        """How many files' time is over."""
        return await self._rows.count_over()

    async def batch(self, limit: int = BATCH) -> int:
        """Delete one batch of them; how many. Raises ``StoreUnavailable``, ``StoreRefused``, ``DatabaseUnavailable``."""
        keys = await self._rows.over(limit)
        if keys:
            await self._objects.remove(keys)
            await self._rows.forget(keys)
        return len(keys)

    async def orphans(self, dry_run: bool) -> int:
        """Delete what looks like a file of ours, has no row and is older than any file without a session; how many.

        Rows are written first, so that there are none unless the database was restored from an older state. Nothing is
        touched where others may keep their own: another installation's files look the same.
        """
        if not self._ours:
            return 0
        found = 0
        before = datetime.now(UTC) - self._age
        async with aclosing(self._objects.list()) as pages:
            async for page in pages:
                lost = await self._lost(page, before)
                if lost and not dry_run:
                    await self._objects.remove(lost)
                found += len(lost)
        return found

    async def tidy(self) -> int:
        """Remove what processes that died left unfinished in the store; how many."""
        return await self._objects.tidy(BEGUN_HOURS)

    async def _lost(self, page: Sequence[ListedObject], before: datetime) -> list[str]:
        old = [one.key for one in page if one.modified_at < before and KEY.fullmatch(one.key)]
        known = await self._rows.known(old) if old else set()
        return [key for key in old if key not in known]
