"""No password, key or secret address where others see it: arguments, logs, Prefect's database, manifests, our catalogue."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from urllib.parse import quote, urlsplit

import psutil
import psycopg
import pyrage  # type: ignore[import-untyped]
import pytest
import redis
from psycopg import sql

from blocks.backup_store import BackupStore
from core.config import child_environment
from tests.flows.saved import Stage
from tests.mariadb import PASSWORD, MariaDBServer
from tests.ports import free_port
from tests.prefect_server import RunningServer
from tests.s3 import S3Server
from tests.valkey import ValkeyServer
from tests.waiting import eventually

RUN = """
import asyncio
from contextlib import suppress
from core.errors import PilothouseError
from flows.backups import backup, prune
from flows.changes import guarded_change
from flows.drilling import drill
from flows.restoring import restore

async def all_of_them():
    with suppress(PilothouseError):  # one source is broken
        await backup()
    made = (await backup("app"))["backups"][0]["id"]
    assert (await restore(made, "spare"))["result"] == "good"
    with suppress(PilothouseError):
        await restore(made, "refused")
    for name in ("app", "shop"):
        assert (await drill(name))["result"] == "good"
    assert (await guarded_change("release", dry_run=False))["result"] == "good"
    await prune(dry_run=False)

asyncio.run(all_of_them())
"""
ROWS = "CREATE TABLE people AS SELECT n AS id, 'name ' || n AS name FROM generate_series(1, 20000) n"
SECRET = {name: f"{name}-never-seen-4711" for name in ("broken", "valkey", "ping", "content")}
TABLES = ("flow_run", "flow_run_state", "task_run", "task_run_state", "log", "artifact", "events", "block_document", "variable")


@pytest.fixture
def stage(prefect_client: RunningServer, database_url: str, tmp_path: Path) -> Stage:
    return Stage(tmp_path, database_url)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(tmp_path).start()
    yield server
    server.kill()


class Watch:
    """Every argument of every program while the block runs, since not all of them are ours."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._ended = Event()

    def __enter__(self) -> "Watch":
        self._thread = Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.01):
            for process in psutil.process_iter(["cmdline"]):
                self.seen.add(" ".join(process.info["cmdline"] or ()))


@asynccontextmanager
async def running(environ: dict[str, str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """All flows in a process of its own, as they run when they are served."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", RUN, env=child_environment(environ), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def configured(stage: Stage, urls: dict[str, str], s3: S3Server, keys: tuple[str, str], ping: str) -> None:
    """One source of each kind, one that is broken, a store in a bucket, a change whose file holds a secret."""
    bucket = f"endpoint = '{s3.url}'\naccess_key = '{s3.user}'\nsecret_key = '{s3.password}'\n"
    sources = "".join(f"[sources.{name}]\nurl = '{url}'\n" for name, url in urls.items() if name != "spare")
    refused = urls["broken"]
    stage.configure(
        f"""
[backups]
recipients = ["{keys[0]}"]
identity = "{keys[1]}"
[backups.store]
bucket = "{s3.bucket()}"
{bucket}
{sources}
[sources.objects]
bucket = "{s3.bucket()}"
{bucket}
ping = "{ping}"
[targets.spare]
url = "{urls["spare"]}"
[targets.refused]
url = "{refused}"
[changes.release]
files = [".env"]
commands = [["true"]]
backup = ["cache"]
"""
    )


async def rows_of(url: str, schema: str, since: datetime | None = None, tables: tuple[str, ...] = ()) -> str:
    """All rows as JSON, those of Prefect since the test began."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        found = await connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s AND (%s OR tablename = ANY(%s))",
            [schema, not tables, list(tables)],
        )
        texts = []
        for (table,) in await found.fetchall():
            query = sql.SQL("SELECT row_to_json(t)::text FROM {} t").format(sql.Identifier(schema, table))
            if since is not None:
                column = "received" if table == "events" else "created"
                query += sql.SQL(" WHERE {} >= {}").format(sql.Identifier(column), sql.Literal(since))
            texts += [str(row[0]) for row in await (await connection.execute(query)).fetchall()]
    return "\n".join(texts)


def filled(empty_database_url: str, mariadb: MariaDBServer, valkey: ValkeyServer) -> dict[str, str]:
    """Something to save on each server; the addresses by name."""
    with redis.Redis(port=valkey.port) as client:
        client.set("a", SECRET["content"])
        client.config_set("repl-diskless-sync-delay", 0)
        client.config_set("requirepass", SECRET["valkey"])
    mariadb.run("DROP DATABASE IF EXISTS shop", "CREATE DATABASE shop", "CREATE TABLE shop.t AS SELECT 1 AS id")
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(ROWS)
        connection.execute("CREATE DATABASE spare_of_secrets")
    return {
        "app": empty_database_url,
        "shop": f"mysql://root:{quote(PASSWORD, safe='')}@127.0.0.1:{mariadb.port}/shop",
        "cache": f"redis://:{SECRET['valkey']}@127.0.0.1:{valkey.port}/0",
        "broken": f"mysql://root:{SECRET['broken']}@127.0.0.1:{mariadb.port}/shop",
        "spare": empty_database_url.replace(urlsplit(empty_database_url).path, "/spare_of_secrets", 1),
    }


@pytest.mark.slow
async def test_no_secret_is_seen_anywhere(
    stage: Stage,
    prefect_client: RunningServer,
    empty_database_url: str,
    mariadb: MariaDBServer,
    valkey: ValkeyServer,
    s3: S3Server,
) -> None:
    begun, log = datetime.now(UTC), stage.folder / "run.log"
    key, at = pyrage.x25519.Identity.generate(), urlsplit(empty_database_url)
    (stage.folder / "data").mkdir()
    (stage.folder / ".env").write_text(f"PASSWORD={SECRET['content']}\n")
    urls = filled(empty_database_url, mariadb, valkey)
    configured(stage, urls, s3, (str(key.to_public()), str(key)), f"http://127.0.0.1:{free_port()}/{SECRET['ping']}")
    try:
        with Watch() as watch:
            async with running(prefect_client.environment("flows") | stage.environ, log) as process:
                code = await process.wait()
    finally:
        with psycopg.connect(empty_database_url.replace(at.path, "/postgres", 1), autocommit=True) as connection:
            connection.execute("DROP DATABASE spare_of_secrets WITH (FORCE)")
    text = log.read_text()
    assert code == 0, text[-3000:]

    async def recorded() -> str:
        found = await rows_of(prefect_client.database_url.replace("+asyncpg", ""), "public", begun, TABLES)
        return found if "The change release: good" in found and '"key":"drill"' in found else ""

    prefect = await eventually(recorded, 30, "the last run's log in Prefect's database")
    store = BackupStore.from_settings(stage.settings)
    scan = await store.scan()
    manifests = "\n".join(found.manifest.model_dump_json() for found in scan.found)
    places = {
        "arguments": "\n".join(watch.seen),
        "log": text,
        "Prefect's database": prefect,
        "manifests": manifests,
        "catalogue": await rows_of(stage.database_url, "pilothouse"),
        "notes of changes": "\n".join(path.read_text() for path in (stage.folder / "data" / "changes").rglob("note.json")),
    }
    # Each place holds what it should, so that finding nothing means something.
    told = {"arguments": "pg_dump", "log": "place_refused", "manifests": '"shop.sql', "catalogue": "place_refused"}
    for where, words in (told | {"notes of changes": "release"}).items():
        assert words in places[where], where
    wanted = [*SECRET.values(), PASSWORD, quote(PASSWORD, safe=""), at.password or "", s3.password, str(key)]
    for where, content in places.items():
        assert [word for word in wanted if not word or word in content] == [], where
