"""Services that our own database knows of: a failed, late or missing backup, a drill that differs, a heartbeat that stopped."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from core.config import DatabaseSettings
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.store.backups import Backups
from core.store.base import Store
from core.store.drills import Drills, NewDrill
from core.store.heartbeats import Heartbeats
from core.sweeps.facts import fact_of
from core.sweeps.observation import Observation
from tests.core.store.test_backups import OWNER, begun, good

MADE = datetime(2030, 1, 10, 2, tzinfo=UTC)
"""When ``good`` makes a backup: at the minute of the schedule."""


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    opened = Store.from_settings(DatabaseSettings(url=SecretStr(database_url)))
    yield opened
    await opened.aclose()


async def look(store: Store, now: datetime, service: dict[str, Any], **more: Any) -> Observation:
    settings = Settings.model_validate({"data_dir": Path("/nowhere"), **more})
    return await fact_of("nightly", ServiceSettings.model_validate(service), settings, store, lambda: now).look()


async def backup(store: Store, now: datetime, service: dict[str, Any] | None = None, **more: Any) -> Observation:
    sources = {"dify": {"url": "postgresql://db/dify"}, "files": {"path": "/files"}}
    return await look(store, now, {"check": "backup", "name": "dify", **(service or {})}, **{"sources": sources, **more})


async def test_a_backup_is_fresh_until_the_next_one_is_overdue(store: Store) -> None:
    await good(Backups(store))
    fresh = await backup(store, MADE + timedelta(hours=29))
    assert (fresh.state, fresh.code, fresh.message) == ("up", "ok", "")
    assert fresh.facts == {"last_good": "2030-01-10T02:00:00+00:00", "age_seconds": 29 * 3600, "size_bytes": 10}
    late = await backup(store, MADE + timedelta(hours=31))
    assert (late.state, late.code) == ("down", "backup_late")
    assert "2030-01-10 02:00" in late.message
    assert "2030-01-11 02:00" in late.message


async def test_the_grace_of_the_service_or_of_backups(store: Store) -> None:
    await good(Backups(store))
    an_hour_late = MADE + timedelta(hours=25)
    assert (await backup(store, an_hour_late)).state == "up"
    assert (await backup(store, an_hour_late, {"grace": 600})).code == "backup_late"
    assert (await backup(store, an_hour_late, backups={"grace_hours": 0.5})).code == "backup_late"


async def test_schedules_of_the_source_and_of_its_set_both_count(store: Store) -> None:
    await good(Backups(store))
    hourly = {"dify": {"url": "postgresql://db/dify", "schedule": "0 * * * *"}}
    assert (await backup(store, MADE + timedelta(hours=8), sources=hourly)).code == "backup_late"
    weekly = {"all": {"sources": ["dify"], "schedule": "0 2 * * 0"}}
    assert (await backup(store, MADE + timedelta(hours=31), sets=weekly)).state == "up"


async def test_a_failed_backup_counts_though_a_good_one_is_still_fresh(store: Store) -> None:
    catalogue = Backups(store)
    await good(catalogue)
    failed = begun(days=-0.1)
    await catalogue.start(failed)
    assert await catalogue.fail(failed.id, OWNER, {"code": "dump_failed", "message": "dify: no room."})
    seen = await backup(store, MADE + timedelta(hours=3))
    assert (seen.state, seen.code) == ("down", "dump_failed")
    assert seen.message == "The last backup of dify (2030-01-10 04:24 UTC) failed: dify: no room."
    assert seen.facts["last_good"] == "2030-01-10T02:00:00+00:00"

    again = begun(days=-0.11)  # one that runs has not failed, nor does it make good what failed
    await catalogue.start(again)
    assert (await backup(store, MADE + timedelta(hours=3))).state == "down"
    await good(catalogue, "files")
    await catalogue.fail(again.id, OWNER, {"code": "dump_failed", "message": "again"})
    await good(catalogue, days=-0.12)
    assert (await backup(store, MADE + timedelta(hours=3))).state == "up"


async def test_a_source_that_has_no_backup(store: Store) -> None:
    nothing = await backup(store, MADE)
    assert (nothing.state, nothing.code) == ("unknown", "no_backup")  # installed a moment ago
    await good(Backups(store), "files")
    seen = await backup(store, MADE)
    assert (seen.state, seen.code) == ("degraded", "no_backup")
    assert "pilothouse backup dify" in seen.message


async def drilled(store: Store, result: str, seconds: float | None = 12.34) -> datetime:
    await Drills(store).add(NewDrill(f"d-{result}", "dify", result, seconds=seconds))
    return (await Drills(store).newest("dify", limit=1))[0].at


async def drill(store: Store, now: datetime) -> Observation:
    return await look(store, now, {"check": "drill", "name": "dify"})


async def test_a_drill_tells_its_result_and_its_age(store: Store) -> None:
    assert (await drill(store, MADE)).code == "no_drill"
    at = await drilled(store, "good")
    fresh = await drill(store, at)
    assert (fresh.state, fresh.facts["result"], fresh.facts["recovery_seconds"]) == ("up", "good", 12.3)
    late = await drill(store, at + timedelta(days=7, hours=7))  # drills run each Sunday, and may be six hours late
    assert (late.state, late.code) == ("degraded", "drill_late")

    await drilled(store, "differs")
    differs = await drill(store, at)
    assert (differs.state, differs.code) == ("down", "differs")
    assert "pilothouse drill dify" in differs.message
    await drilled(store, "nothing_to_drill", None)
    assert (await drill(store, at)).state == "up"


async def test_a_heartbeat_has_its_period_and_its_grace(store: Store) -> None:
    service = {"check": "heartbeat", "period": 3600, "grace": 600}
    waiting = await look(store, MADE, service)
    assert (waiting.state, waiting.code) == ("unknown", "no_heartbeat")
    assert "POST /heartbeats/nightly" in waiting.message
    at = await Heartbeats(store).beat("nightly")
    assert (await look(store, at + timedelta(seconds=3600), service)).state == "up"
    late = await look(store, at + timedelta(seconds=4199), service)
    assert (late.state, late.facts["age_seconds"]) == ("up", 4199)
    assert "may be 10 minutes late" in late.message
    missed = await look(store, at + timedelta(seconds=4201), service)
    assert (missed.state, missed.code) == ("down", "missed")
    await Heartbeats(store).beat("another")
    assert (await look(store, at + timedelta(seconds=4201), service)).state == "down"
    assert (await look(store, at + timedelta(days=9), {**service, "name": "another"})).state == "down"
    assert (await look(store, datetime.now(UTC), service)).state == "up"


@pytest.mark.parametrize("check", ["backup", "drill", "heartbeat"])
async def test_nothing_is_known_while_our_database_is_away(check: str) -> None:
    away = Store.from_settings(DatabaseSettings(url=SecretStr("postgresql://u:p@127.0.0.1:1/x")))
    seen = await look(away, MADE, {"check": check})
    assert (seen.state, seen.code) == ("unknown", "database")
    await away.aclose()
