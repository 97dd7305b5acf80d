"""What a scan of the store has shown, brought into the catalogue: manifests win over what a row says."""

from collections.abc import Sequence

from sqlalchemy import text

from core.backups.manifest import Manifest
from core.errors import PilothouseError, told
from core.store.backups import row_of
from core.store.base import Store
from core.store.keepable import as_json

_ADOPT = text("""
    INSERT INTO pilothouse.backups AS known (id, workspace, source, engine, set_name, set_id, set_sources, status, started_at,
        finished_at, size, plain_size, manifest, error)
    VALUES (:id, :workspace, :source, :engine, :set_name, :set_id, :set_sources, :status, :started_at, :finished_at, :size,
        :plain_size, CAST(:manifest AS jsonb), CAST(:error AS jsonb))
    ON CONFLICT (id) DO UPDATE SET
        (workspace, source, engine, set_name, set_id, set_sources, status, started_at, finished_at, size, plain_size, manifest,
            error, missing_at)
        = (EXCLUDED.workspace, EXCLUDED.source, EXCLUDED.engine, EXCLUDED.set_name, EXCLUDED.set_id, EXCLUDED.set_sources,
        EXCLUDED.status,
        EXCLUDED.started_at, EXCLUDED.finished_at, EXCLUDED.size, EXCLUDED.plain_size, EXCLUDED.manifest, EXCLUDED.error, NULL)
    WHERE NOT (known.status = 'running' AND known.lease_until > now())
        AND (known.status, known.manifest) IS DISTINCT FROM (EXCLUDED.status, EXCLUDED.manifest)
    RETURNING xmax = 0 AS added
""")
_MISS = text("""
    UPDATE pilothouse.backups SET status = 'missing', missing_at = now() WHERE status = 'good' AND id = ANY(:ids) RETURNING id
""")
_FORGET_MISSING = text("DELETE FROM pilothouse.backups WHERE status = 'missing' AND missing_at < now() - interval '30 days'")


class BackupScans:
    """Answers of the store, kept."""

    def __init__(self, store: Store) -> None:
        self._store = store.system

    async def adopt(self, manifest: Manifest, fault: PilothouseError | None = None) -> bool | None:
        """Take a backup as its manifest tells it, bad where there is a ``fault``.

        True when the catalogue did not know it, False when it changed, None when nothing did: so with one that is being made.
        """
        error = None if fault is None else as_json(told(fault))
        values = row_of(manifest) | {"status": "good" if fault is None else "bad", "error": error}
        async with self._store.single() as connection:
            added: bool | None = (await connection.execute(_ADOPT, values)).scalar_one_or_none()
        return added

    async def good(self) -> list[str]:
        """Ids of those that are good."""
        async with self._store.single() as connection:
            return list((await connection.execute(text("SELECT id FROM pilothouse.backups WHERE status = 'good'"))).scalars())

    async def miss(self, ids: Sequence[str]) -> list[str]:
        """Mark those of ``ids`` that are good as missing; which. What has been missing for 30 days is forgotten."""
        async with self._store.single() as connection:
            await connection.execute(_FORGET_MISSING)
            return list((await connection.execute(_MISS, {"ids": list(ids)})).scalars())
