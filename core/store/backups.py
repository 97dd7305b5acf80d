"""The catalogue of backups: which are being made, which there are, which may go. It can be rebuilt from their manifests."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CursorResult,
    DateTime,
    Index,
    Select,
    Text,
    TextClause,
    delete,
    func,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.backups.errors import DumpRunning
from core.backups.manifest import Manifest, folder_of
from core.backups.retention import Dated, Rules, Status, Verdict, due
from core.errors import DatabaseUnavailable, NotFound
from core.store.base import Base, OfWorkspace, Store, own
from core.store.keepable import as_json
from core.workspaces import home

LEASE_SECONDS = 20.0
RENEW_SECONDS = 5.0
TRIES = 5


class Backup(OfWorkspace, Base):
    """A backup, made or being made. ``lease_until`` is the database's clock; past it the process that makes it is dead."""

    __tablename__ = "backups"
    __table_args__ = (
        Index("backups_running", "source", unique=True, postgresql_where=text("status = 'running'")),
        Index("backups_newest", "started_at", "id"),
        Index("backups_of_source", "source", "started_at"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    engine: Mapped[str] = mapped_column(Text)
    set_name: Mapped[str | None] = mapped_column(Text)
    set_id: Mapped[str | None] = mapped_column(Text)
    set_sources: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    status: Mapped[str] = mapped_column(Text)
    owner: Mapped[str] = mapped_column(Text, server_default=text("''"))
    lease_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    flow_run_id: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    size: Mapped[int | None] = mapped_column(BigInteger)
    plain_size: Mapped[int | None] = mapped_column(BigInteger)
    manifest: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    verified_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    verified_result: Mapped[str | None] = mapped_column(Text)
    missing_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class NewBackup:
    """A backup about to be made. ``owner`` is the boot id of the process, the times are UTC."""

    id: str
    source: str
    engine: str
    owner: str
    started_at: datetime
    set_name: str | None = None
    set_id: str | None = None
    set_sources: tuple[str, ...] = ()
    flow_run_id: str | None = None
    workspace: str = field(default_factory=home)


@dataclass(frozen=True, slots=True)
class BackupRecord:
    """A backup as it stands. Sizes in bytes, as stored and before compression; ``error`` as ``core.errors.told`` tells it."""

    id: str
    source: str
    engine: str
    set_name: str | None
    set_id: str | None
    set_sources: Sequence[str]
    status: Status
    flow_run_id: str | None
    started_at: datetime
    finished_at: datetime | None
    size: int | None
    plain_size: int | None
    manifest: Manifest | None
    error: Mapping[str, Any] | None
    verified_at: datetime | None
    verified_result: str | None

    @property
    def folder(self) -> str:
        """Where its objects lie in the store."""
        return folder_of(self.source, self.started_at, self.id)


_FIELDS = tuple(BackupRecord.__dataclass_fields__)
_COLUMNS = tuple(getattr(Backup, name) for name in _FIELDS)
_BASE = Backup.manifest["base"]["id"].astext
_REAP = text(f"""
    UPDATE pilothouse.backups SET status = 'bad', finished_at = now(),
        error = '{{"code": "dump_failed", "message": "The process that made this backup ended."}}'
    WHERE status = 'running' AND lease_until < now() AND source = coalesce(:source, source) RETURNING {", ".join(_FIELDS)}
""")  # noqa: S608  (our own text)
_START = text("""
    INSERT INTO pilothouse.backups (id, workspace, source, engine, set_name, set_id, set_sources, status, owner, lease_until,
        flow_run_id, started_at)
    VALUES (:id, :workspace, :source, :engine, :set_name, :set_id, :set_sources, 'running', :owner,
        now() + make_interval(secs => :lease), :flow_run_id, :started_at)
    ON CONFLICT DO NOTHING RETURNING id
""")
_RENEW = text("""
    UPDATE pilothouse.backups SET lease_until = now() + make_interval(secs => :lease)
    WHERE id = :id AND owner = :owner AND status = 'running' RETURNING id
""")
_FINISH = text("""
    UPDATE pilothouse.backups SET status = 'good', finished_at = :finished_at, size = :size, plain_size = :plain_size,
        manifest = CAST(:manifest AS jsonb), error = NULL
    WHERE id = :id AND owner = :owner AND (status = 'running' OR (status = 'good' AND manifest = CAST(:manifest AS jsonb)))
    RETURNING id
""")
_FAIL = text("""
    UPDATE pilothouse.backups SET status = 'bad', finished_at = now(), error = CAST(:error AS jsonb)
    WHERE id = :id AND owner = :owner AND status = 'running' RETURNING id
""")


class Backups:
    """Questions about backups."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def start(self, backup: NewBackup) -> list[BackupRecord]:
        """Write a backup that now begins; returns what dead processes left of the source, for its objects to be removed.

        Written again, it stays as it was.
        Raises ``DumpRunning`` while the source is being backed up already.
        """
        values = {name: getattr(backup, name) for name in backup.__dataclass_fields__}
        values |= {"set_sources": list(backup.set_sources), "lease": LEASE_SECONDS}
        dead: list[BackupRecord] = []
        since, held = "a moment ago", None
        for _ in range(TRIES):
            async with self._store.single() as connection:
                dead += _records(await connection.execute(_REAP, {"source": backup.source}))
                if (await connection.execute(_START, values)).scalar_one_or_none():
                    return dead
                asked = select(Backup.id, Backup.started_at, Backup.lease_until).where(
                    Backup.source == backup.source, Backup.status == "running"
                )
                running = (await connection.execute(asked)).one_or_none()
            if running is not None and running.id == backup.id:  # asked twice, since the first answer was lost
                return dead
            if running is not None:  # else it has ended in between
                since, held = f"{running.started_at:%Y-%m-%d %H:%M:%S} UTC", running.lease_until
                break
        raise DumpRunning(f"{backup.source} is being backed up already, since {since}.", held_until=held, retry_after=60)

    @asynccontextmanager
    async def held(self, backup_id: str, owner: str) -> AsyncIterator[None]:
        """Keeps the lease within the block, so that nobody takes the process for dead."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(RENEW_SECONDS)
                with suppress(DatabaseUnavailable):
                    await self.renew(backup_id, owner)

        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})

    async def renew(self, backup_id: str, owner: str) -> bool:
        """Hold the lease for ``LEASE_SECONDS`` from now; False when the backup is no longer this owner's."""
        return await self._changed(_RENEW, {"id": backup_id, "owner": owner, "lease": LEASE_SECONDS})

    async def finish(self, manifest: Manifest, owner: str) -> bool:
        """Call it good, once its manifest is in the store; False when it is no longer this owner's, and counts as failed."""
        return await self._changed(_FINISH, row_of(manifest) | {"owner": owner})

    async def fail(self, backup_id: str, owner: str, error: Mapping[str, Any]) -> bool:
        """Call it bad; ``error`` as ``told`` tells it. False when it is no longer this owner's."""
        return await self._changed(_FAIL, {"id": backup_id, "owner": owner, "error": as_json(dict(error))})

    async def end_orphans(self) -> list[BackupRecord]:
        """Call those of dead processes bad; returns them, so that what they left in the store can be removed."""
        async with self._store.single() as connection:
            return _records(await connection.execute(_REAP, {"source": None}))

    async def get(self, backup_id: str) -> BackupRecord:
        """Raises ``NotFound``."""
        return _one(await self._found(select(*_COLUMNS).where(Backup.id == backup_id)))

    async def page(self, limit: int, before: str | None = None, source: str | None = None) -> list[BackupRecord]:
        """Up to ``limit`` backups made before the one of id ``before``, newest first. Raises ``NotFound`` when that is gone."""
        statement = select(*_COLUMNS).order_by(Backup.started_at.desc(), Backup.id.desc()).limit(limit)
        if before is not None:
            last = await self.get(before)
            statement = statement.where(tuple_(Backup.started_at, Backup.id) < (last.started_at, last.id))
        if source is not None:
            statement = statement.where(Backup.source == source)
        return await self._found(statement)

    async def newest_good(self, source: str) -> BackupRecord | None:
        """The last good one of a source, with its set or alone."""
        statement = select(*_COLUMNS).where(Backup.source == source, Backup.status == "good")
        found = await self._found(statement.order_by(Backup.started_at.desc(), Backup.id.desc()).limit(1))
        return found[0] if found else None

    async def newest_whole(self, source: str) -> BackupRecord | None:
        """The last good one of a source that is no increment."""
        whole = select(*_COLUMNS).where(Backup.source == source, Backup.status == "good", _BASE.is_(None))
        found = await self._found(whole.order_by(Backup.started_at.desc(), Backup.id.desc()).limit(1))
        return found[0] if found else None

    async def is_base(self, backup_id: str) -> bool:
        """Whether any backup that is listed holds only what is new since this one."""
        return bool(await self._found(select(*_COLUMNS).where(backup_id == _BASE).limit(1)))

    async def of_set(self, set_id: str) -> list[BackupRecord]:
        """The backups of one run of a set, in the order in which they began."""
        return await self._found(select(*_COLUMNS).where(Backup.set_id == set_id).order_by(Backup.started_at, Backup.id))

    async def due_for_pruning(self, rules: Rules, now: datetime, zone: tzinfo) -> list[Verdict]:
        """What becomes of every backup, and why; see ``core.backups.retention``."""
        known = (Backup.id, Backup.source, Backup.status, Backup.started_at, Backup.set_name, Backup.set_id, Backup.set_sources)
        async with self._store.single() as connection:
            rows = (await connection.execute(select(*known, _BASE.label("base")))).mappings().all()
        return due([Dated(**dict(row) | {"set_sources": tuple(row["set_sources"])}) for row in rows], rules, now, zone)

    async def forget(self, ids: Sequence[str]) -> None:
        """Delete the rows, once the objects are gone."""
        async with self._store.single() as connection:
            await connection.execute(delete(Backup).where(Backup.id == func.any(list(ids))))

    async def _changed(self, statement: TextClause, values: Mapping[str, Any]) -> bool:
        async with self._store.single() as connection:
            return (await connection.execute(statement, values)).scalar_one_or_none() is not None

    async def _found(self, statement: Select[Any]) -> list[BackupRecord]:
        async with self._store.single() as connection:
            return _records(await connection.execute(statement.where(own(Backup))))


def row_of(manifest: Manifest) -> dict[str, Any]:
    """What the catalogue keeps of a manifest, by column."""
    row = {
        name: getattr(manifest, name)
        for name in ("id", "source", "engine", "workspace", "set_name", "set_id", "started_at", "finished_at")
    }
    sizes = {"size": manifest.size, "plain_size": manifest.plain_size}
    return row | sizes | {"set_sources": list(manifest.set_sources), "manifest": as_json(manifest.shown())}


def _records(rows: CursorResult[Any]) -> list[BackupRecord]:
    return [_record(dict(row)) for row in rows.mappings()]


def _record(row: dict[str, Any]) -> BackupRecord:
    kept = row["manifest"]
    return BackupRecord(**row | {"manifest": None if kept is None else Manifest.model_validate(kept)})


def _one(found: Sequence[BackupRecord]) -> BackupRecord:
    if not found:
        raise NotFound("There is no such backup, or no longer; `pilothouse backups list` shows those there are.")
    return found[0]
