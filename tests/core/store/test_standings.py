"""What was told of alerts, while they come and go: nothing waits for each other in a circle, and the last word is what is so."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import pytest

from core.alerts import grouping
from core.alerts.alert import Alert
from core.alerts.silencing import Silence
from core.alerts.telling import Audience, Held, Outcome, told
from core.settings_alerts import AlertSettings, ChannelSettings
from core.store.alerts import Alerts
from core.store.base import Store
from core.store.standings import Standings

RULES = AlertSettings(wait=0, interval=0, flaps=100)
CHANNEL = ChannelSettings.model_validate({"kind": "webhook", "url": "http://127.0.0.1/x"})


def decide(audience: Audience, group: Sequence[Held], silences: Sequence[Silence], now: datetime) -> Outcome:
    return told(group, silences, audience, now)


async def settled(store: Store) -> list[Outcome]:
    return await Standings(store).settle(
        partial(decide, Audience({"ops": CHANNEL}, RULES, UTC)), RULES.interval, RULES.flap_minutes
    )


async def test_raised_resolved_and_told_at_once_by_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "DOUBT", 0.0)  # what comes back is told at once
    alerts, chance = Alerts(store), random.Random(3)
    names = [f"service:{number:02}" for number in range(20)]
    words: dict[str, list[str]] = {name: [] for name in names}

    async def comes_and_goes() -> None:
        for _ in range(12):
            some = chance.sample(names, 8)
            await alerts.raise_all(Alert(name, f"{name} is down", group=name[-1]) for name in some)
            await alerts.resolve_all(chance.sample(names, 8))

    async def tells() -> None:
        for _ in range(40):
            for outcome in await settled(store):
                for addressed in outcome.messages:
                    for each in addressed.message.alerts:
                        words[each["fingerprint"]].append(each["status"])

    await asyncio.gather(*(comes_and_goes() for _ in range(3)), tells())
    await tells()
    open_ = {each.fingerprint for each in await alerts.open_()}
    for name, said in words.items():
        assert said[-1:] == (["open"] if name in open_ else ["resolved"] if said else []), name
        assert all(one != other for one, other in itertools.pairwise(said)), "each is told once"


async def test_a_group_is_looked_at_again_only_when_there_is_something(store: Store) -> None:
    alerts = Alerts(store)
    await alerts.raise_all([Alert("a", "a", group="g"), Alert("b", "b", group="g")])
    (outcome,) = await settled(store)
    assert [each["fingerprint"] for each in outcome.messages[0].message.alerts] == ["a", "b"]
    assert await settled(store) == []
    await alerts.raise_(Alert("a", "a in other words", group="g"))
    assert await settled(store) == []
    await alerts.resolve("b")
    (outcome,) = await settled(store)
    assert [(each["fingerprint"], each["status"]) for each in outcome.messages[0].message.alerts] == [("b", "resolved")]
