"""Files as a process of ours keeps and reads them, wherever they lie, and their nightly end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import structlog
from prefect import flow, get_run_logger
from prefect.artifacts import acreate_markdown_artifact

from blocks.storage import all_ours, file_links, file_storage
from core.config import Settings, load_settings
from core.errors import PilothouseError
from core.expiring import Expiry
from core.files import Tidied
from core.keeping import Keeper
from core.quotas.gate import Gate
from core.store.audit import Audit
from core.store.base import Store
from core.store.files import FileRecord, Files
from core.store.runs import Runs
from flows.run_audit import told
from tasks.files import count_over, drop_orphans, expire_batch, tidy_store
from tasks.retrying import NOWHERE
from tasks.runs import keep_result, report_progress

log = structlog.get_logger(__name__)
PATIENCE = 5.0
"""Seconds that a request waits for a session's files to be deleted."""
LOOK = 2.0
LOOK_EVERY = 5.0


class KeptFiles:
    """The files of this process's settings: the same in the API and in a flow run."""

    def __init__(self, keeper: Keeper, storage: Tidied) -> None:
        self.keeper = keeper
        self._storage = storage
        self._looked: tuple[float, bool] | None = None

    async def find(self, key: str) -> FileRecord:
        """Raises ``NotFound``."""
        return await self.keeper.find(key)

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """See ``ObjectStore.read``."""
        return self.keeper.read(key, start, end)

    async def drop_session(self, session_id: str) -> None:
        """Delete a deleted session's files now, if the store lets us; else ``expire_files`` does it."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.keeper.drop_session(session_id)
        except (PilothouseError, TimeoutError) as error:
            log.warning("files_left_for_the_night", session_id=session_id, reason=type(error).__name__)

    async def serves(self) -> bool:
        """Whether the store answers and takes our credentials; asked at most every five seconds."""
        now = monotonic()
        if self._looked is None or now - self._looked[0] > LOOK_EVERY:
            self._looked = now, await self._answers()
        return self._looked[1]

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(LOOK):
                await self._storage.check()
        except (PilothouseError, TimeoutError):
            return False
        return True


def files_for(settings: Settings, store: Store, gate: Gate | None = None) -> KeptFiles:
    """Touches neither store nor database yet. ``gate`` says how much each workspace may keep."""
    limits, storage = settings.files, file_storage(settings)
    links = file_links(settings, storage)
    rows = Files(store, gate.storage if gate is not None else None)
    keeper = Keeper(rows, storage, links, days=limits.retention_days, max_bytes=limits.max_bytes)
    return KeptFiles(keeper, storage)


@asynccontextmanager
async def expiring(settings: Settings) -> AsyncIterator[tuple[Expiry, Runs, Audit]]:
    """What the flow works with, until the block ends."""
    store = Store.from_settings(settings.database, application="pilothouse flows")
    storage = file_storage(settings)
    try:
        expiry = Expiry(Files(store), storage, days=settings.files.retention_days, ours=all_ours(storage))
        yield expiry, Runs(store), Audit(store)
    finally:
        await store.aclose()


@flow(name="expire_files", persist_result=False, result_storage=NOWHERE, timeout_seconds=3 * 3600)
async def expire_files(dry_run: bool = True) -> dict[str, Any]:
    """Deletes charts and other files whose time is over (15 days unless set otherwise) or whose conversation is gone.

    With them go leftovers in the store: uploads that a dead process never finished, and files that the database does not know,
    if nobody else keeps anything there. The numbers are returned, and shown as the run's artifact.

    Args:
        dry_run: Only count what would be deleted. The nightly run turns it off and deletes.
    """
    async with expiring(load_settings()) as (expiry, runs, audit):
        over = await count_over(expiry)
        result = {
            "files": over if dry_run else await _expired(expiry, over),
            "orphans": await drop_orphans(expiry, dry_run),
            "unfinished": 0 if dry_run else await tidy_store(expiry),
            "dryRun": dry_run,
        }
        if not dry_run and (result["files"] or result["orphans"]):
            await told(audit, "files.expired", "success", "files", **result)
        await keep_result(runs, result)
        await acreate_markdown_artifact(_report(result), key="expire-files", description="What the last expiry deleted.")
    return result


async def _expired(expiry: Expiry, over: int) -> int:
    gone = 0
    while batch := await expire_batch(expiry):
        gone += batch
        report_progress(gone, max(over, gone), "files")
        get_run_logger().info("Deleted %d files so far", gone)
    return gone


def _report(result: dict[str, Any]) -> str:
    verb = "would be deleted" if result["dryRun"] else "deleted"
    names = {"files": "files", "orphans": "files that the database does not know", "unfinished": "unfinished uploads"}
    rows = "\n".join(f"| {name} | {result[key]} |" for key, name in names.items())
    return f"| what | {verb} |\n|---|---:|\n{rows}\n"
