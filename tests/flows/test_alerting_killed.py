"""A dispatcher that is killed again and again in the middle of sending loses nothing, and tells everything in order."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from core.alerts.alert import Alert
from core.config import DatabaseSettings, Settings, child_environment, prefect_environment
from core.store.alerts import Alerts
from core.store.base import Store
from core.store.notices import Notices
from tests.alert_inbox import AlertInbox, alert_inbox
from tests.waiting import eventually

LOTS = (3, 12, 5, 25, 8)
"""Alerts before each kill: a few go out one by one, many together."""


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    opened = Store.from_settings(DatabaseSettings.model_validate({"url": database_url}))
    yield opened
    await opened.aclose()


@pytest.fixture
def inbox() -> Iterator[AlertInbox]:
    with alert_inbox() as opened:
        yield opened


class Dispatchers:
    """One runs at a time, with no Prefect to be found; ``start`` gives its pid."""

    def __init__(self, folder: Path, database_url: str, hook: str) -> None:
        settings = Settings.model_validate({"data_dir": folder, "prefect": {"api_url": "http://127.0.0.1:9/api"}})
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.flows.dispatcher", database_url, hook],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(prefect_environment(settings, "api")),
            text=True,
            start_new_session=True,
        )
        self.pid = 0

    async def start(self) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("start\n")
        self.process.stdin.flush()
        # The dispatchers themselves write their logs there, too.
        while not (line := await asyncio.to_thread(self.process.stdout.readline)).strip().isdigit():
            assert line, "the dispatchers ended"
        self.pid = int(line)
        return self.pid

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def dispatchers(tmp_path: Path, database_url: str, inbox: AlertInbox) -> Iterator[Dispatchers]:
    opened = Dispatchers(tmp_path, database_url, inbox.url)
    yield opened
    opened.stop()


async def test_nothing_is_lost_or_out_of_order_over_five_kills(store: Store, inbox: AlertInbox, dispatchers: Dispatchers) -> None:
    alerts = Alerts(store)
    names: list[str] = []
    for kill, size in enumerate(LOTS):
        pid = await dispatchers.start()
        lot = [f"{kill}-{number:02}" for number in range(size)]
        names += lot
        asked = len(inbox.asked)
        inbox.script.append(0)
        for name in lot:
            await alerts.raise_(Alert(f"service:{name}", f"{name} is down", service=name))
        # It hangs in mid-send: the other side has the message, and nobody knows it yet.
        await eventually(partial(_hangs, inbox, asked), within=30, what="a message on its way")
        os.kill(pid, signal.SIGKILL)
        inbox.go_on.set()
        inbox.go_on.clear()
    await dispatchers.start()
    outbox = Notices(store)
    await eventually(lambda: _all_sent(alerts, outbox, len(names)), within=30, what="everything is sent")
    told: dict[str, None] = {}
    for message in inbox.asked:
        told |= dict.fromkeys(message["entries"] or [message["title"]])
    assert [title.removesuffix(" is down") for title in told] == names
    ids: dict[str, str] = {}
    for message in inbox.asked:
        assert ids.setdefault(message["id"], repr(message["entries"])) == repr(message["entries"]), "sent again it is the same"
    assert len(inbox.asked) <= len(ids) + len(LOTS), "only what hung was sent twice"


def _hangs(inbox: AlertInbox, asked: int) -> bool:
    return len(inbox.asked) > asked and not inbox.script


async def _all_sent(alerts: Alerts, outbox: Notices, count: int) -> bool:
    found = await alerts.page(200)
    return len(found) == count and all(each.told == "firing" for each in found) and not await outbox.waiting()
