"""The way back on an empty machine: everything deleted, restored from the store alone, and there again."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pyrage  # type: ignore[import-untyped]
import pytest
from pydantic import SecretStr

from blocks.storage_bucket import ObjectBucket
from core.backups.errors import BackupDamaged
from core.config import DatabaseSettings, Settings, load_settings
from core.errors import ConfigurationInvalid, NotFound, PartMissing
from core.store.access import Tokens
from core.store.backups import Backups
from core.store.base import Store
from core.store.schema import migrate
from deployments.part_files import DirectoryLock
from deployments.postgres import EmbeddedPostgres
from deployments.secret_files import kept_secret, secret_path, write_secret
from deployments.way_back import restore_data_dir
from tests.audit_rows import audit_rows
from tests.flows.saved import flip, saved
from tests.s3 import S3Server

ROWS = """
INSERT INTO pilothouse.sessions (id, expires_at) SELECT 'session-' || i, now() + interval '9 days' FROM generate_series(1, 300) i;
"""
RUNS = """
CREATE TABLE flow_run (id int PRIMARY KEY, name text);
INSERT INTO flow_run SELECT i, 'run ' || i FROM generate_series(1, 90) i;
"""
KEY = pyrage.x25519.Identity.generate()


class Lost:
    """What was in a data directory before it was deleted, and the store that is left."""

    def __init__(self, folder: Path) -> None:
        self.data_dir, self.store, self.key = folder / "data", folder / "store", folder / "age.key"
        self.token = self.secret = ""

    def settings(self, **backups: object) -> Settings:
        """As ``restore --store`` makes them."""
        given = {"data_dir": self.data_dir, "backups.store.folder": self.store}
        return load_settings(environ={"HOME": "/nowhere"}, overrides=given | {f"backups.{k}": v for k, v in backups.items()})

    async def fill(self, *, sealed: bool) -> None:
        server = EmbeddedPostgres(self.data_dir).start()
        try:
            self.key.write_text(str(KEY))
            (self.data_dir / "pilothouse.toml").write_text('log_level = "debug"\n')
            ours = server.url("pilothouse")
            await migrate(ours)
            run_sql(ours, ROWS)
            run_sql(server.url("prefect"), RUNS)
            store = Store.from_settings(DatabaseSettings(url=SecretStr(ours)))
            _, self.token = await Tokens(store).create("admin", ["admin"])
            await store.aclose()
            write_secret(self.data_dir / "admin-token", self.token)
            self.secret = kept_secret(self.data_dir, "prefect-login")
            settings = Settings.model_validate(
                {
                    "data_dir": self.data_dir,
                    "database": {"url": ours},
                    "prefect": {"database_url": server.url("prefect").replace("postgresql:", "postgresql+asyncpg:")},
                    "backups": {"store": {"folder": self.store}, "recipients": [str(KEY.to_public())] if sealed else []},
                }
            ).model_copy(update={"read_from": self.data_dir / "pilothouse.toml"})
            for source in ("pilothouse", "prefect", *(["configuration"] if sealed else [])):
                await saved(settings, source)
        finally:
            server.stop()
        await asyncio.to_thread(shutil.rmtree, self.data_dir)


def run_sql(url: str, text: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else []


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


@pytest.fixture(scope="module", params=[True, False], ids=["encrypted", "plain"])
def lost(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lost, bool]:
    lost = Lost(tmp_path_factory.mktemp("lost"))
    asyncio.run(lost.fill(sealed=request.param))
    return lost, request.param


@pytest.fixture
def nowhere(lost: tuple[Lost, bool]) -> Iterator[Path]:
    """The data directory, deleted before and after."""
    yield lost[0].data_dir
    shutil.rmtree(lost[0].data_dir, ignore_errors=True)


async def test_everything_is_there_again(lost: tuple[Lost, bool], nowhere: Path) -> None:
    gone, sealed = lost
    said: list[str] = []
    await restore_data_dir(gone.settings(identity=f"file:{gone.key}" if sealed else None), said.append)
    assert secret_path(nowhere, "prefect-login").exists() == sealed
    server = EmbeddedPostgres(nowhere).start()
    try:
        assert run_sql(server.url("pilothouse"), "SELECT count(*) FROM pilothouse.sessions") == [(300,)]
        assert [each.about for each in audit_rows(server.url("pilothouse"), "restore")] == [str(nowhere)]
        assert run_sql(server.url("prefect"), "SELECT count(*), max(name) FROM flow_run") == [(90, "run 90")]
        run_sql(
            server.url("prefect"), "INSERT INTO flow_run VALUES (91, 'x'); ALTER TABLE flow_run ADD COLUMN more int"
        )  # it owns it
        store = Store.from_settings(DatabaseSettings(url=SecretStr(server.url("pilothouse"))))
        assert await Tokens(store).verify(gone.token) is not None
        known = {each.source: each.status for each in await Backups(store).page(10)}
        await store.aclose()
    finally:
        server.stop()
    sources = {"pilothouse", "prefect"} | ({"configuration"} if sealed else set())
    assert known == dict.fromkeys(sources, "good"), "the catalogue knows the backups that it came from"
    told = "\n".join(said)
    assert f"pilothouse up --data-dir {nowhere}" in told
    if sealed:
        assert (nowhere / "admin-token").read_text().strip() == gone.token
        assert kept_secret(nowhere, "prefect-login") == gone.secret
        assert (nowhere / "pilothouse.toml").read_text() == 'log_level = "debug"\n'
        assert oct((nowhere / "admin-token").stat().st_mode & 0o077) == "0o0"
    else:
        assert "admin token: was not saved" in told
    assert gone.token not in told


async def test_a_configured_database_is_not_what_was_restored(
    lost: tuple[Lost, bool], nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, sealed = lost
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone:word@elsewhere/app")
    said: list[str] = []
    await restore_data_dir(gone.settings(identity=f"file:{gone.key}" if sealed else None), said.append)
    (line,) = (line for line in said if "DATABASE_URL" in line)
    assert "uses that database, not the one restored here" in line
    assert "word" not in line


async def test_a_directory_in_use_or_not_empty_is_left_alone(lost: tuple[Lost, bool], nowhere: Path) -> None:
    gone, sealed = lost
    settings = gone.settings(identity=f"file:{gone.key}" if sealed else None)
    (nowhere / "files").mkdir(parents=True)
    with pytest.raises(PartMissing, match=r"not empty \(files\)"):
        await restore_data_dir(settings, lambda _: None)
    (nowhere / "files").rmdir()
    with DirectoryLock(nowhere), pytest.raises(PartMissing, match="in use by process"):
        await restore_data_dir(settings, lambda _: None)
    assert left_in(nowhere) == {"lock"}


async def test_what_fails_leaves_nothing_behind(lost: tuple[Lost, bool], nowhere: Path, tmp_path: Path) -> None:
    gone, sealed = lost
    other = tmp_path / "other.key"
    other.write_text(str(pyrage.x25519.Identity.generate()))
    if sealed:
        with pytest.raises(ConfigurationInvalid, match=r"set backups\.identity"):
            await restore_data_dir(gone.settings(), lambda _: None)
        with pytest.raises(BackupDamaged, match="encrypted to other keys"):
            await restore_data_dir(gone.settings(identity=f"file:{other}"), lambda _: None)
    damaged = Lost(tmp_path)
    shutil.copytree(gone.store, damaged.store)
    for path in (damaged.store / "prefect").rglob("*.pgdump*"):
        if path.is_file():
            flip(damaged.store, str(path.relative_to(damaged.store)))
    said: list[str] = []
    with pytest.raises(BackupDamaged):
        await restore_data_dir(damaged.settings(identity=f"file:{gone.key}" if sealed else None), said.append)
    assert any(line.startswith("pilothouse: restored") for line in said)
    assert left_in(nowhere) | left_in(damaged.data_dir) <= {"lock"}


async def test_a_store_without_our_database_says_what_it_has(lost: tuple[Lost, bool], tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(lost[0].store / "prefect", store / "prefect")
    empty = Lost(tmp_path)
    with pytest.raises(NotFound, match="it has backups of: prefect"):
        await restore_data_dir(empty.settings(), lambda _: None)


async def test_the_command_reads_a_bucket(lost: tuple[Lost, bool], nowhere: Path, tmp_path: Path, s3: S3Server) -> None:
    gone, sealed = lost
    if sealed:
        pytest.skip("the other one is enough")
    bucket = s3.bucket()
    there = ObjectBucket(
        endpoint=s3.url, bucket=bucket, prefix="kept/", access_key=SecretStr(s3.user), secret_key=SecretStr(s3.password)
    )
    for path in filter(Path.is_file, await asyncio.to_thread(lambda: list(gone.store.rglob("*")))):
        await there.put(path.relative_to(gone.store).as_posix(), path.read_bytes(), "application/octet-stream", path.name)
    keys = {"ENDPOINT": s3.url, "ACCESS_KEY": s3.user, "SECRET_KEY": s3.password}
    plain = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    command = [
        sys.executable,
        "-m",
        "deployments.cli",
        "restore",
        "--store",
        f"s3://{bucket}/kept",
        "--into-data-dir",
        str(nowhere),
    ]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        env=plain | {f"PILOTHOUSE_BACKUPS__STORE__{name}": value for name, value in keys.items()},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert "prefect: restored, 90 rows" in done.stderr
    assert s3.password not in done.stderr + done.stdout


def test_the_command_needs_nothing_running(lost: tuple[Lost, bool], nowhere: Path, tmp_path: Path) -> None:
    gone, sealed = lost
    options = ["restore", "--store", str(gone.store), "--into-data-dir", str(nowhere)]
    options += ["--identity", str(gone.key)] if sealed else []
    plain = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "deployments.cli", *options]
    done = subprocess.run(command, env=plain, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "prefect: restored, 90 rows" in done.stderr
    again = subprocess.run(command, env=plain, capture_output=True, text=True, timeout=100, check=False)
    assert again.returncode == 2
    assert "not empty" in again.stderr
    assert len(again.stderr.splitlines()) == 1
