"""What may be triggered is known from the code; parameters are checked against the flow's signature."""

from pathlib import Path

import pytest

from core.config import Settings
from core.errors import InputInvalid, NotFound
from flows.catalogue import CATALOGUE, deployable, triggerable

PURGE = CATALOGUE["purge_history"]


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_entry_names_a_flow_of_that_name(name: str) -> None:
    entry = CATALOGUE[name]
    assert entry.flow.name == name
    assert entry.description.endswith(".")
    assert "\n" not in entry.description


def test_a_deployable_flow_explains_its_parameters() -> None:
    for entry in deployable():
        for parameter in entry.schema["properties"].values():
            assert parameter["description"]
        if entry.schedule is not None:
            assert entry.checked(entry.schedule.parameters) == dict(entry.schedule.parameters)


def test_internal_flows_cannot_be_triggered() -> None:
    assert triggerable("purge_history") is PURGE
    for name in ("conversation", "nothing"):
        with pytest.raises(NotFound, match=f"there are: {', '.join(sorted(entry.name for entry in deployable()))}"):
            triggerable(name)


def test_parameters_are_made_of_the_right_types_and_defaults_left_out() -> None:
    assert PURGE.checked({}) == {}
    assert PURGE.checked({"dry_run": "false"}) == {"dry_run": False}


@pytest.mark.parametrize("parameters", [{"dry_run": 7}, {"dry_run": None}, {"dry_run": {"$ref": "x"}}, {"dry-run": True}])
def test_a_bad_parameter_is_named(parameters: dict[str, object]) -> None:
    with pytest.raises(InputInvalid) as caught:
        PURGE.checked(parameters)
    (name,) = parameters
    assert caught.value.field is not None
    assert caught.value.field.startswith(f"parameters.{name}")


def test_schedules_are_those_of_the_settings_where_they_say_some() -> None:
    plain = Settings(data_dir=Path("/nowhere"))
    assert [(each.cron, dict(each.parameters)) for each in PURGE.schedules(plain)] == [("0 3 * * *", {"dry_run": False})]
    assert [each.cron for each in CATALOGUE["backup"].schedules(plain)] == ["0 2 * * *"]
    assert CATALOGUE["prune"].schedules(plain) == []
    more = {"backups": {"schedule": "0 1 * * *"}, "sources": {"a": {"path": "/a", "schedule": "*/5 * * * *"}}}
    said = Settings.model_validate({"data_dir": "/nowhere", **more})
    assert [each.cron for each in CATALOGUE["backup"].schedules(said)] == ["0 1 * * *", "*/5 * * * *"]
