"""Files, disk, clock, users, Prefect, channels and scripts, each well, doubtful and wrong."""

from datetime import UTC, datetime

import pytest

from core.preflight import installation as checks
from core.preflight.installation import ChannelSeen, DatabaseUser, Script
from core.preflight.item import Item
from core.sweeps.observation import Observation

SENT = datetime(2026, 11, 20, tzinfo=UTC)
ME = DatabaseUser("database.url", superuser=True)


@pytest.mark.parametrize(
    ("item", "status"),
    [
        (checks.secret_files({"/d/admin-token": 0o604}), "fail"),
        (checks.secret_files({"/d/admin-token": 0o640}), "warn"),
        (checks.secret_files({"/d/admin-token": 0o600}), "pass"),
        (checks.data_dir(0o777, "/d"), "fail"),
        (checks.data_dir(0o755, "/d"), "warn"),
        (checks.data_dir(0o711, "/d"), "pass"),
        (checks.data_dir(0o700, "/d"), "pass"),
        (checks.data_dir(None, "/d"), "warn"),
        (checks.disk(Observation("down", "disk", "It is full.")), "fail"),
        (checks.disk(Observation("degraded", "disk", "It is nearly full.")), "warn"),
        (checks.disk(Observation("unreachable", "disk", "It does not answer.")), "warn"),
        (checks.disk(Observation("up")), "pass"),
        (checks.clock(-90.0), "fail"),
        (checks.clock(5.0), "warn"),
        (checks.clock(None), "warn"),
        (checks.clock(-0.4), "pass"),
        (checks.database_users([ME]), "fail"),
        (checks.database_users([DatabaseUser("database.url", superuser=True, near=True)]), "warn"),
        (checks.database_users([DatabaseUser("databases.x", superuser=None)]), "warn"),
        (checks.database_users([]), "warn"),
        (checks.database_users([DatabaseUser("databases.x", superuser=False)]), "pass"),
        (checks.workspaces(True), "pass"),
        (checks.workspaces(False), "warn"),
        (checks.workspaces(None), "warn"),
        (checks.alert_channel([], []), "fail"),
        (checks.alert_channel([ChannelSeen("ops", SENT, "It answers 404.")], ["ops"]), "fail"),
        (checks.alert_channel([ChannelSeen("ops", None)], ["ops"]), "warn"),
        (checks.alert_channel([], ["ops"]), "warn"),
        (checks.alert_channel(None, ["ops"]), "warn"),
        (checks.alert_channel([ChannelSeen("ops", SENT)], ["ops"]), "pass"),
        (checks.prefect_auth("http://p.example/api", open_=True, loopback=False), "fail"),
        (checks.prefect_auth("http://127.0.0.1/api", open_=True, loopback=True), "warn"),
        (checks.prefect_auth("http://p.example/api", open_=None, loopback=False), "warn"),
        (checks.prefect_auth("http://p.example/api", open_=False, loopback=False), "pass"),
        (checks.prefect_auth(None, open_=None, loopback=False), "pass"),
        (checks.hook_scripts(["/h.py"], [Script("/h.py", {"HIGH": 1, "LOW": 3})]), "fail"),
        (checks.hook_scripts(["/h.py"], [Script("/h.py", {"MEDIUM": 1})]), "warn"),
        (checks.hook_scripts(["/h.py"], [Script("/h.py", None)]), "warn"),
        (checks.hook_scripts(["/h.py"], None), "warn"),
        (checks.hook_scripts(["/h.py"], [Script("/h.py", {"LOW": 3})]), "pass"),
        (checks.hook_scripts([], None), "pass"),
    ],
)
def test_each_item(item: Item, status: str) -> None:
    assert item.status == status, item
    assert bool(item.todo) == (status != "pass"), item
    assert item.message.endswith(".")


def test_many_names_are_cut() -> None:
    item = checks.secret_files({f"/d/{number}": 0o644 for number in range(12)})
    assert "/d/7 (644) and 4 more" in item.message
