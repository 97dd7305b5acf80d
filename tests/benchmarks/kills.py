"""Backups killed with -9 at random moments, many times: ourselves, the dump tool, the store they go to.

``python -m tests.benchmarks.kills [--rounds 50] [--seed 7]`` starts a PostgreSQL, a Prefect server and an S3 gateway of its own.
In each round a process backs up a database and a folder again and again, pruning after each; then something is killed, and the
next run follows. It ends with 1 when a round breaks one of the promises.
"""

import argparse
import asyncio
import os
import random
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import psutil
import psycopg
from prefect import settings

from blocks.backup_store import BackupStore
from blocks.restoring import check_part
from core.config import Settings, apply_environment, child_environment
from core.store.schema import migrate
from deployments.postgres import EmbeddedPostgres
from flows.backups import backup
from tests.flows.saved import Stage
from tests.ports import free_port
from tests.prefect_server import RunningServer
from tests.s3 import S3Server

FOR_EVER = """
import asyncio
from contextlib import suppress
from core.errors import PilothouseError
from flows.backups import backup
while True:
    with suppress(PilothouseError):
        asyncio.run(backup("both"))
"""
VICTIMS = ("ourselves", "the dump tool", "the store")
DEAD = "UPDATE pilothouse.backups SET lease_until = now() - interval '1 second' WHERE status = 'running'"
ROWS = "CREATE TABLE t AS SELECT n, md5(n::text), repeat('words ', 20) FROM generate_series(1, 400000) n"
BUCKET = "killed"
PATIENCE = 90.0


@dataclass
class Told:
    """What the rounds came to."""

    killed: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    interrupted: int = 0
    """Backups that were under way when the kill came."""
    unfinished: int = 0
    """Uploads that a kill left, all gone after the next run."""
    broken: list[str] = field(default_factory=list)


@dataclass
class Range:
    """Everything that a round is about."""

    stage: Stage
    prefect: RunningServer
    s3: S3Server
    told: Told = field(default_factory=Told)

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.stage.database_url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def uploads(self) -> list[str]:
        """Multipart uploads that nobody has ended."""
        return [str(one.get("Key")) for one in self.s3.client().list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]

    @asynccontextmanager
    async def backing_up(self) -> AsyncIterator[asyncio.subprocess.Process]:
        environment = child_environment(self.prefect.environment("flows") | self.stage.environ)
        with (self.stage.folder / "run.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", FOR_EVER, env=environment, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def one_round(range_: Range, victim: str, chance: random.Random) -> None:
    """Kill, look, run once more, look again."""
    told = range_.told
    before = range_.sql("SELECT count(*) FROM pilothouse.backups")
    async with range_.backing_up() as process:
        await within(PATIENCE, lambda: range_.sql("SELECT count(*) FROM pilothouse.backups") != before)
        with suppress(TimeoutError):
            async with asyncio.timeout(chance.uniform(0, 2.5)):
                await process.wait()
        if victim == "the dump tool":
            await within(PATIENCE, lambda: kill_tool(process.pid))
        elif victim == "the store":
            range_.s3.kill()
            with suppress(TimeoutError):
                async with asyncio.timeout(chance.uniform(0, 1.5)):
                    await process.wait()
            await asyncio.to_thread(range_.s3.start)
        told.killed[victim] += 1
        told.interrupted += len(range_.sql("SELECT 1 FROM pilothouse.backups WHERE status = 'running'"))
        if victim != "ourselves":  # it goes on, with what was killed
            with suppress(TimeoutError):
                async with asyncio.timeout(chance.uniform(0, 1.5)):
                    await process.wait()
    told.unfinished += len(range_.uploads())
    await look(range_, "after the kill")
    range_.sql(DEAD)  # in place of waiting for the lease to end
    await next_run(range_)
    await look(range_, "after the next run", clean=True)


async def within(seconds: float, condition: Callable[[], bool]) -> None:
    deadline = monotonic() + seconds
    while not condition():
        if monotonic() > deadline:
            raise SystemExit(f"nothing came within {seconds:g} s")
        await asyncio.sleep(0.01)


def kill_tool(parent: int) -> bool:
    """Whether a ``pg_dump`` of the process was there to be killed."""
    for child in psutil.Process(parent).children(recursive=True):
        with suppress(psutil.Error):
            if child.name() == "pg_dump" and child.status() != psutil.STATUS_ZOMBIE:
                child.kill()
                return True
    return False


async def next_run(range_: Range) -> None:
    made = (await backup("both"))["backups"]
    if [one["source"] for one in made if not one["good"]]:
        range_.told.broken.append("the next run was not good")


async def look(range_: Range, when: str, *, clean: bool = False) -> None:
    """What is listed as good is whole and can be read to its end; after a run nothing else is left."""
    store, told = BackupStore.from_settings(range_.stage.settings), range_.told
    scan = await store.scan()
    there = {found.manifest.id: found for found in scan.found}
    rows = range_.sql("SELECT id, source, status FROM pilothouse.backups")
    good = {str(row[0]): str(row[1]) for row in rows if row[2] == "good"}
    told.broken += [f"{when}: {found.fault.message}" for found in scan.found if found.fault is not None]
    for missing in good.keys() - there.keys():
        # Pruning removes the objects first: one that goes may be listed for a moment, and the next run ends that.
        if clean or missing == newest(rows, good[missing]):
            told.broken.append(f"{when}: a good backup of {good[missing]} is not in the store")
    for source in set(good.values()):
        found = there.get(newest(rows, source))
        for part in found.manifest.parts if found is not None else ():
            try:
                await check_part(part, store.objects, None)
            except Exception as error:  # noqa: BLE001
                told.broken.append(f"{when}: {source} cannot be read: {error}")
    if clean:
        told.broken += [f"{when}: left over: {one}" for one in (*scan.leftovers, *range_.uploads())]
        told.broken += [f"{when}: in the store and not listed: {one}" for one in there.keys() - good.keys()]
        told.broken += [f"{when}: {source} has no good backup" for source in {"t", "files"} - set(good.values())]


def newest(rows: list[tuple[object, ...]], source: str) -> str:
    """Ids are in the order of time."""
    return max(str(row[0]) for row in rows if row[1] == source and row[2] == "good")


async def rounds(range_: Range, count: int, seed: int) -> None:
    chance = random.Random(seed)
    await next_run(range_)  # so that a good one is there to be lost
    for number in range(count):
        victim = VICTIMS[number % len(VICTIMS)]
        faults = len(range_.told.broken)
        await one_round(range_, victim, chance)
        print(f"{number + 1:3} {victim:14} {'; '.join(range_.told.broken[faults:]) or 'well'}", flush=True)
    for status, times in range_.sql("SELECT status, count(*) FROM pilothouse.backups GROUP BY 1"):
        range_.told.statuses[str(status)] = int(str(times))


def main() -> None:
    """Start everything, kill, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        folder, began = Path(home), monotonic()
        postgres = EmbeddedPostgres(folder / "postgres").start()
        url = postgres.url("prefect").replace("postgresql://", "postgresql+asyncpg://", 1)
        prefect = RunningServer(Settings(data_dir=folder), free_port(), url, folder / "prefect.log")
        (folder / "s3").mkdir()
        s3 = S3Server(folder / "s3").start()
        try:
            prefect.start()
            range_ = prepared(folder, postgres, prefect, s3)
            values = prefect.environment("flows")
            known = {getattr(settings, name): value for name, value in values.items() if hasattr(settings, name)}
            with settings.temporary_settings(known):
                asyncio.run(rounds(range_, given.rounds, given.seed))
        finally:
            s3.kill()
            prefect.stop()
            postgres.stop()
    told = range_.told
    print(f"{given.rounds} kills in {monotonic() - began:.0f} s: {dict(told.killed)}")
    print(f"backups under way when it came: {told.interrupted}; unfinished uploads left by kills: {told.unfinished}")
    print(f"rows at the end: {dict(told.statuses)}; promises broken: {len(told.broken)}")
    sys.exit(bool(told.broken))


def prepared(folder: Path, postgres: EmbeddedPostgres, prefect: RunningServer, s3: S3Server) -> Range:
    """A database and a folder to back up, and our own database."""
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE source")
    with psycopg.connect(postgres.url("source"), autocommit=True) as connection:
        connection.execute(ROWS.encode())
    asyncio.run(migrate(postgres.url("pilothouse")))
    stage = Stage(folder, postgres.url("pilothouse"))
    (folder / "files").mkdir()
    (folder / "files" / "a").write_bytes(os.urandom(40_000_000))
    (folder / "files" / "b").write_text(secrets.token_hex(8))
    s3.client().create_bucket(Bucket=BUCKET)
    keys = f"endpoint = '{s3.url}'\nbucket = '{BUCKET}'\naccess_key = '{s3.user}'\nsecret_key = '{s3.password}'\n"
    stage.configure(
        f"[sources.files]\npath = '{folder}/files'\n[sources.t]\nurl = '{postgres.url('source')}'\n"
        f"[sets.both]\nsources = ['t', 'files']\nkeep = {{ last = 2 }}\n[backups.store]\n{keys}"
    )
    apply_environment(stage.environ)
    return Range(stage, prefect, s3)


if __name__ == "__main__":
    main()
