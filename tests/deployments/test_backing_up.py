"""``backup`` and ``backups`` as programs, against a served API and a flows process whose configuration has sources."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest

from core.ids import new_id
from deployments.backing_up import _age
from deployments.running import amount
from tests.api.serving import Served
from tests.prefect_server import RunningServer, ServedFlows
from tests.waiting import eventually

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def files(served_flows: ServedFlows, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What is backed up; the flows' configuration names it."""
    folder = tmp_path_factory.mktemp("saved") / "files"
    folder.mkdir()
    (folder / "a.bin").write_bytes(os.urandom(3_000_000))
    config = served_flows.server.settings.data_dir / "pilothouse.toml"
    config.write_text(
        f"""
        [sources.files]
        path = "{folder}"
        [sources.gone]
        path = "{folder}/gone"
        [sets.both]
        sources = ["files", "gone"]
        """,
        encoding="utf-8",
    )
    yield folder
    config.unlink()


async def first_backup_is_over(server: RunningServer) -> None:
    """Wait for what the flows process saves at its start, which is other sources or the same."""
    body = {"flow_runs": {"tags": {"all_": ["made-up"]}}, "sort": "EXPECTED_START_TIME_DESC"}

    async def over() -> bool:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            found = (await client.post(f"{server.api_url}/flow_runs/filter", json=body)).json()
        return bool(found) and all(run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") for run in found)

    await eventually(over, 60, "the first backup is over")


@pytest.fixture(scope="module")
def served(served_flows: ServedFlows, files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API beside that flows process."""
    same = (served_flows.server.settings.data_dir / "pilothouse.toml").read_text(encoding="utf-8")
    api = Served(tmp_path_factory.mktemp("api"), served_flows.database_url, {}, served_flows.server.api_url, settings=same)
    with ThreadPoolExecutor(1) as beside:
        api.token = beside.submit(asyncio.run, api.make_token()).result()
        beside.submit(asyncio.run, first_backup_is_over(served_flows.server)).result()
    api.start()
    yield api
    api.stop()


def said(served: Served, *arguments: str, **environ: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    values = {
        "PATH": os.environ["PATH"],
        "HOME": str(served.folder),
        "PILOTHOUSE_URL": served.url,
        "PILOTHOUSE_TOKEN": served.token,
    }
    command = [sys.executable, "-m", "deployments.cli", *arguments]
    done = subprocess.run(
        command, env=values | environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


def listed(served: Served, *arguments: str) -> list[dict[str, object]]:
    code, output, errors = said(served, "backups", "list", "--json", *arguments)
    assert code == 0, errors
    found: list[dict[str, object]] = json.loads(output)["backups"]
    return found


def test_a_source_is_saved_listed_and_found_again(served: Served, served_flows: ServedFlows) -> None:
    code, output, errors = said(served, "backup", "files", "--fast")
    assert code == 0, errors
    assert output.startswith("files: good, 3.0 MB, stored as 3.0 MB, ")
    backup_id = output.split("id ")[1].split()[0]
    assert "3.0 MB of 3.0 MB, " in errors
    assert "MB/s" in errors

    shown = next(one for one in listed(served, "--source", "files") if one["id"] == backup_id)
    assert (shown["status"], shown["source"], shown["verifiedAt"]) == ("good", "files", None)
    good = {one["id"]: one for one in listed(served) if one["status"] == "good"}  # those of the first start too
    code, table, errors = said(served, "backups", "list")
    assert code == 0, errors
    assert table.splitlines()[0].split() == [
        "ID",
        "SOURCE",
        "SET",
        "STATUS",
        "STARTED",
        "AGE",
        "SIZE",
        "PARTS",
        "VERIFIED",
        "BASE",
    ]
    assert table.splitlines()[1].split()[:4] == [backup_id, "files", "-", "good"]
    assert table.splitlines()[1].split()[-5:] == ["3.0", "MB", "1", "-", "-"]

    with psycopg.connect(served_flows.database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM pilothouse.backups")
    assert listed(served) == []
    here = {"DATABASE_URL": served_flows.database_url}
    scan = ("backups", "rescan", "--data-dir", str(served_flows.server.settings.data_dir))
    code, output, errors = said(served, *scan, **here)
    many = len(good)
    expected = f"backups in the store: {many}; new to the catalogue: {many}, changed: 0, no longer in the store: 0\n"
    assert (code, output) == (0, expected), errors
    assert json.loads(said(served, *scan, "--json", **here)[1]) == {
        "found": many,
        "added": [],
        "changed": [],
        "missing": [],
        "damaged": {},
        "problems": {},
    }
    again = {one["id"]: one | {"runId": good[one["id"]]["runId"]} for one in listed(served)}
    assert again == good


def test_the_exit_code_tells_what_failed(served: Served, served_flows: ServedFlows) -> None:
    code, output, _ = said(served, "backup", "gone")
    assert code == 1
    assert output.startswith("gone: failed (place_refused) ")
    code, output, _ = said(served, "backup", "both", "--json")
    assert code == 4
    assert {one["source"]: one["good"] for one in json.loads(output)["backups"]} == {"files": True, "gone": False}

    with psycopg.connect(served_flows.database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO pilothouse.backups (id, source, engine, status, owner, lease_until, started_at)"
            " VALUES (%s, 'files', 'folder', 'running', 'x', now() + interval '1 hour', now())",
            [new_id()],
        )
        code, output, errors = said(served, "backup", "files")
        connection.execute("DELETE FROM pilothouse.backups WHERE owner = 'x'")
    assert (code, "files: failed (dump_running) files is being backed up already, since " in output) == (5, True), errors

    code, output, errors = said(served, "backup", "nobody")
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert "parameters.name: There is no source or set of that name; there are: both, configuration, files, gone," in errors


def test_without_a_database_there_is_no_catalogue(served: Served, tmp_path: Path) -> None:
    code, output, errors = said(served, "backups", "rescan", "--data-dir", str(tmp_path))
    assert (code, output) == (2, "")
    assert errors.startswith("There is no database for a catalogue: set DATABASE_URL")


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"done": 3, "total": 10, "what": "turns"}, "3 of 10 turns"),
        ({"done": 1_200_000, "total": 3_400_000_000, "what": "bytes"}, "1.2 MB of 3.4 GB"),
        (
            {"done": 0, "total": 0, "what": "bytes", "rate": 120_000_000.0, "tables": 94},
            "0 bytes of 0 bytes, 120.0 MB/s, 94 tables",
        ),
        ({"done": 1, "total": 2, "what": "bytes", "rate": 0, "tables": 0}, "1 byte of 2 bytes, 0 bytes/s"),
    ],
)
def test_how_far_it_is(told: dict[str, object], shown: str) -> None:
    assert amount(told) == shown


@pytest.mark.parametrize(
    ("ago", "shown"),
    [
        (timedelta(seconds=-5), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=59), "59 min"),
        (timedelta(hours=23.9), "23 h"),
        (timedelta(days=40), "40 d"),
    ],
)
def test_an_age(ago: timedelta, shown: str) -> None:
    assert _age(NOW - ago, NOW) == shown
