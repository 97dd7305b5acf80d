"""What is saved by name and by schedule: our own, the configured, what of it is due."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.backups.sources import UNSEALED, Unit, found_source, left_out, schedules, sources_of, unit_named, units_of
from core.config import Settings
from core.errors import ConfigurationInvalid, NotFound

RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"


def configured(data_dir: Path = Path("/nowhere"), **more: object) -> Settings:
    return Settings.model_validate({"data_dir": data_dir, **more})


def everything(data_dir: Path, **more: object) -> Settings:
    (data_dir / "secrets").mkdir(exist_ok=True)
    urls = {"database": {"url": "postgresql://u@h/ours"}, "prefect": {"database_url": "postgresql://u@h/prefect"}}
    return configured(data_dir, **urls, **more)


def test_nothing_is_saved_of_what_is_not_there() -> None:
    assert sources_of(configured()) == {}
    assert units_of(configured()) == []


def test_our_own_are_both_databases_and_the_keys(tmp_path: Path) -> None:
    found = sources_of(everything(tmp_path))
    assert list(found) == ["pilothouse", "prefect", "configuration"]
    assert found["prefect"].exclude_data == ("events", "event_resources")
    assert found["prefect"].kind == "postgres"


def test_prefect_on_a_file_of_its_own_is_left_to_its_operator() -> None:
    settings = configured(prefect={"database_url": "sqlite+aiosqlite:////tmp/prefect.db"})
    assert sources_of(settings) == {}


def test_a_section_takes_the_place_of_our_own(tmp_path: Path) -> None:
    settings = everything(tmp_path, sources={"prefect": {"url": "postgresql://u@h/other"}})
    assert sources_of(settings)["prefect"].exclude_data == ()
    mine = everything(tmp_path, sources={"configuration": {"path": "/etc/pilothouse"}})
    assert not left_out(mine)


def test_keys_are_only_saved_sealed(tmp_path: Path) -> None:
    settings = everything(tmp_path)
    assert left_out(settings)
    assert [unit.name for unit in units_of(settings)] == ["pilothouse", "prefect"]
    with pytest.raises(ConfigurationInvalid) as caught:
        found_source("configuration", settings)
    assert caught.value.message == UNSEALED
    sealed = everything(tmp_path, backups={"recipients": [RECIPIENT]})
    assert "configuration" in [unit.name for unit in units_of(sealed)]


def test_a_source_of_a_set_is_saved_with_it_and_apart_only_by_its_own_schedule() -> None:
    sources = {name: {"path": f"/{name}"} for name in ("a", "b", "c")}
    sources["b"] |= {"schedule": "0 * * * *"}
    settings = configured(sources=sources, sets={"s": {"sources": ["a", "b"], "schedule": "30 1 * * *"}})
    assert units_of(settings) == [
        Unit("s", ("a", "b"), "30 1 * * *", is_set=True),
        Unit("b", ("b",), "0 * * * *"),
        Unit("c", ("c",), "0 2 * * *"),
    ]
    assert schedules(settings) == ["0 2 * * *", "0 * * * *", "30 1 * * *"]
    assert unit_named("a", settings) == Unit("a", ("a",), "0 2 * * *")
    with pytest.raises(NotFound, match="there are: a, b, c, s"):
        unit_named("x", settings)


@pytest.mark.parametrize(
    ("last", "due"),
    [(None, True), ("2026-03-01T17:59", True), ("2026-03-01T18:00", False), ("2026-03-02T11:00", False)],
)
def test_due_is_what_is_older_than_the_schedules_last_time(last: str | None, due: bool) -> None:
    now = datetime(2026, 3, 2, 12, tzinfo=UTC)  # 02:00 in Shanghai was 18:00 UTC
    before = datetime.fromisoformat(last).replace(tzinfo=UTC) if last else None
    assert Unit("a", ("a",), "0 2 * * *").is_due(before, "Asia/Shanghai", now) is due
