"""The catalogue of backups over HTTP: who may read it, in which order, and what is told of each."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from pydantic import SecretStr

from core.backups.manifest import Manifest, PartRecord
from core.config import DatabaseSettings
from core.ids import new_id
from core.store.backups import Backups, NewBackup
from core.store.base import Store
from core.store.drills import Drills, NewDrill
from tests.api.serving import Served

NOW = datetime(2026, 1, 10, 2, tzinfo=UTC)


@pytest.fixture
async def store(served: Served) -> AsyncIterator[Store]:
    opened = Store.from_settings(DatabaseSettings(url=SecretStr(served.database_url)))
    yield opened
    await opened.aclose()


@pytest.fixture
async def client(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with served.client() as opened:
        yield opened


@pytest.fixture
def source() -> str:
    """A name that no other test's backups have."""
    return f"s{new_id()[-12:]}"


async def begun(store: Store, source: str, days: int = 0) -> NewBackup:
    backup = NewBackup(new_id(), source, "postgres", "boot", NOW - timedelta(days=days), flow_run_id="run-1")
    await Backups(store).start(backup)
    return backup


async def kept(store: Store, source: str, days: int = 0) -> Manifest:
    backup = await begun(store, source, days)
    part = PartRecord(
        name="dify.pgdump",
        format="pg_custom",
        key="k/dify.pgdump.zst.age",
        sha256="0" * 64,
        size=10,
        plain_size=99,
        encryption="age",
    )
    manifest = Manifest(
        id=backup.id,
        source=source,
        engine="postgres",
        started_at=backup.started_at,
        finished_at=backup.started_at + timedelta(minutes=3),
        server="PostgreSQL 16.4",
        parts=(part,),
        counts={"public.a": 5, "public.b": 6},
        notes=("a note",),
    )
    assert await Backups(store).finish(manifest, "boot")
    return manifest


async def test_a_good_one_is_told_with_its_parts_and_its_proof(client: httpx.AsyncClient, store: Store, source: str) -> None:
    manifest = await kept(store, source)
    await Drills(store).add(NewDrill(new_id(), source, "good", manifest.id, rows=11, seconds=1.0))
    answer = await client.get("/backups", params={"source": source})
    assert answer.status_code == 200
    (shown,) = answer.json()["backups"]
    assert shown.pop("verifiedAt") > "2026"
    assert shown == {
        "id": manifest.id,
        "source": source,
        "engine": "postgres",
        "set": None,
        "setId": None,
        "status": "good",
        "startedAt": "2026-01-10T02:00:00Z",
        "finishedAt": "2026-01-10T02:03:00Z",
        "seconds": 180.0,
        "size": 10,
        "plainSize": 99,
        "verifiedResult": "good",
        "error": None,
        "runId": "run-1",
        "parts": [
            {"name": "dify.pgdump", "format": "pg_custom", "key": "k/dify.pgdump.zst.age", "size": 10, "plainSize": 99},
        ],
        "encrypted": True,
        "server": "PostgreSQL 16.4",
        "tables": 2,
        "rows": 11,
        "notes": ["a note"],
        "base": None,
    }


async def test_one_that_runs_and_one_that_failed(client: httpx.AsyncClient, store: Store, source: str) -> None:
    failed = await begun(store, source, days=1)
    await Backups(store).fail(failed.id, "boot", {"code": "dump_failed", "message": "pg_dump: no"})
    running = await begun(store, source)
    shown = (await client.get("/backups", params={"source": source})).json()["backups"]
    assert [(one["id"], one["status"], one["size"], one["parts"]) for one in shown] == [
        (running.id, "running", None, []),
        (failed.id, "bad", None, []),
    ]
    assert shown[1]["error"] == {"code": "dump_failed", "message": "pg_dump: no"}


async def test_pages_follow_each_other(client: httpx.AsyncClient, store: Store, source: str) -> None:
    made = [(await kept(store, source, days)).id for days in range(5)]
    query: dict[str, str | int] = {"source": source, "limit": 2}
    seen: list[str] = []
    while True:
        page = (await client.get("/backups", params=query)).json()
        seen += [one["id"] for one in page["backups"]]
        if page["next"] is None:
            break
        query["before"] = page["next"]
    assert seen == made
    assert (await client.get("/backups", params={"source": "nobody"})).json() == {"backups": [], "next": None}
    gone = await client.get("/backups", params={"before": "no-such-backup"})
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
    assert (await client.get("/backups", params={"limit": 201})).status_code == 422


@pytest.mark.parametrize(("scope", "status"), [("read", 200), ("admin", 200), ("chat", 403), ("flows:backup", 403)])
async def test_reading_it_needs_the_scope_for_it(served: Served, scope: str, status: int) -> None:
    token = await served.make_token(scope)
    async with httpx.AsyncClient(base_url=served.url, trust_env=False) as client:
        answer = await client.get("/backups", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status
        assert (await client.get("/backups")).status_code == 401
