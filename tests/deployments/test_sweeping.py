"""``status`` as a program, against a served API; and the exit codes that scripts go by."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from core.config import DatabaseSettings
from core.ids import new_id
from core.store.base import Store
from core.store.services import Services, SweepRecord, Sweeps
from core.sweeps.observation import State
from core.sweeps.service import ServiceState
from deployments.postgres import EmbeddedPostgres
from deployments.sweeping import _code, _span
from tests.api.serving import Served, launched

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def served(postgres: EmbeddedPostgres, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with launched(postgres, template_database, tmp_path_factory.mktemp("api"), {}) as api:
        yield api


def known(served: Served, *services: tuple[str, State, str | None]) -> None:
    """Make these what the last sweep found: name, state, and under which it is folded."""

    async def keep() -> None:
        store = Store.from_settings(DatabaseSettings(url=SecretStr(served.database_url)))
        since = NOW - timedelta(hours=2, minutes=5)
        found = []
        for name, state, root in services:
            plain = ServiceState("dify", name, "http", since, state=state, root=root, message=f"about {name}")
            found.append(replace(plain, checked_at=NOW))
        await Services(store).forget([each.key for each in await Services(store).all()])
        await Services(store).save(found)
        await Sweeps(store).add(SweepRecord(new_id(), "flow", datetime.now(UTC), datetime.now(UTC)))
        await store.aclose()

    asyncio.run(keep())


def said(served: Served, *arguments: str) -> tuple[int, str]:
    """Exit code and stdout."""
    values = {"PATH": os.environ["PATH"], "HOME": str(served.folder), "PILOTHOUSE_URL": served.url}
    done = subprocess.run(
        [sys.executable, "-m", "deployments.cli", *arguments],
        env=values | {"PILOTHOUSE_TOKEN": served.token},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert not done.stderr
    return done.returncode, done.stdout


def test_what_is_not_well_is_shown_the_worst_first(served: Served) -> None:
    known(
        served,
        ("api", "down", "dify/db"),
        ("db", "down", None),
        ("web", "degraded", None),
        ("mail", "up", None),
    )
    code, output = said(served, "status")
    assert code == 2
    assert [line.split() for line in output.splitlines()] == [
        ["SERVICE", "STATE", "FOR", "UNDER", "MESSAGE"],
        ["dify/api", "down", "2", "h", "dify/db", "about", "api"],
        ["dify/db", "down", "2", "h", "about", "db"],
        ["dify/web", "degraded", "2", "h", "about", "web"],
        ["1", "up,", "1", "degraded,", "2", "down"],
        output.splitlines()[-1].split(),
    ]
    assert output.splitlines()[-1].startswith("swept ")
    assert "dify/mail" in said(served, "status", "--all")[1]


@pytest.mark.parametrize(("state", "code"), [("up", 0), ("degraded", 1), ("unknown", 3)])
def test_the_exit_code_is_how_it_is(served: Served, state: State, code: int) -> None:
    known(served, ("api", state, None))
    found, output = said(served, "status", "--json")
    assert found == code
    assert [each["state"] for each in json.loads(output)["services"]] == [state]


@pytest.mark.parametrize(
    ("counts", "code"),
    [({"up": 3}, 0), ({"up": 3, "degraded": 1}, 1), ({"down": 1, "degraded": 1}, 2), ({"unreachable": 2}, 3), ({}, 3)],
)
def test_codes_of_a_sweep(counts: dict[str, int], code: int) -> None:
    assert _code(counts) == code


def test_spans_have_one_unit() -> None:
    spans = (timedelta(seconds=59), timedelta(minutes=5), timedelta(hours=2, minutes=59), timedelta(days=3), timedelta(-1))
    assert [_span(NOW - each, NOW) for each in spans] == ["59 s", "5 min", "2 h", "3 d", "0 s"]
