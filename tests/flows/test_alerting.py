"""From an alert to a channel and back: told once, in order, by one process, whatever breaks in between."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.context import AsyncClientContext

from core.alerts import delivering
from core.alerts.alert import Alert
from core.alerts.message import Message
from core.config import DatabaseSettings, Settings
from core.errors import ChannelRefused, NotFound
from core.ids import new_id
from core.store.alerts import Alerts
from core.store.base import Store
from core.store.notices import NewNotice, Notices
from flows import alerting as module
from flows.alerting import Alerting
from flows.holding import OpenRuns, notices
from flows.prefect_link import PrefectLink
from tests.alert_inbox import AlertInbox, alert_inbox
from tests.prefect_server import RunningServer
from tests.waiting import eventually

Desk = Callable[..., Alerting]


@pytest.fixture
def inbox() -> Iterator[AlertInbox]:
    with alert_inbox() as opened:
        yield opened


@pytest.fixture
async def store(database_url: str, prefect_client: RunningServer) -> AsyncIterator[Store]:
    opened = Store.from_settings(DatabaseSettings.model_validate({"url": database_url}))
    async with AsyncClientContext.get_or_create():
        yield opened
    await opened.aclose()


@pytest.fixture
def desk(store: Store, inbox: AlertInbox, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(delivering, "FIRST_PAUSE", 0.02)

    def opened(boot_id: str = "boot-1", alerts: dict[str, Any] | None = None, **channels: dict[str, Any]) -> Alerting:
        usual = {"hook": {"kind": "webhook", "url": inbox.url, "per_second": 100}}
        rules = {"wait": 0, "interval": 0} | (alerts or {})
        settings = Settings.model_validate({"data_dir": "/nowhere", "alerts": rules, "channels": channels or usual})
        return Alerting(boot_id, settings, store)

    return opened


def down(name: str, **more: Any) -> Alert:
    return Alert(f"service:{name}", f"{name} is down", service=name, origin="sweep", **more)


def sql(url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(statement.encode(), values)
        return found.fetchall() if found.description else []


async def told(desk: Alerting) -> None:
    await desk.settle()
    await desk.deliver()


async def test_down_and_up_again_are_two_messages_and_nothing_in_between(store: Store, desk: Desk, inbox: AlertInbox) -> None:
    alerts, here = Alerts(store), desk()
    await alerts.raise_(down("postgres", text="refused", facts={"Folded": "3 services"}))
    for _ in range(3):
        await told(here)
        await alerts.raise_(down("postgres"))
    await alerts.resolve("service:postgres", "it answers again")
    for _ in range(3):
        await told(here)
    assert inbox.titles == ["postgres is down", "postgres is up again after N s"]
    first, last = inbox.taken
    assert (first["kind"], first["severity"], first["text"]) == ("firing", "critical", "refused")
    assert first["alerts"][0]["id"] == last["alerts"][0]["id"]
    assert (last["kind"], last["text"]) == ("resolved", "it answers again")


async def test_two_that_have_nothing_to_do_with_each_other_are_two_messages(store: Store, desk: Desk, inbox: AlertInbox) -> None:
    alerts = Alerts(store)
    await alerts.raise_all([down("postgres"), down("grafana", severity="warning")])
    await alerts.raise_all([Alert(f"am:{name}", name, group="am") for name in ("one", "two", "three")])
    await told(desk())
    assert sorted(inbox.titles) == ["3 alerts: one and 2 more", "grafana is down", "postgres is down"]


async def test_what_is_over_before_it_was_told_is_never_told(store: Store, desk: Desk, inbox: AlertInbox) -> None:
    alerts, here = Alerts(store), desk(alerts={"wait": 60})
    await alerts.raise_(down("postgres"))
    await told(here)
    await alerts.resolve("service:postgres")
    await told(here)
    assert inbox.asked == []
    assert (await alerts.page(5))[0].told == ""


async def test_a_restart_in_the_middle_repeats_nothing(store: Store, desk: Desk, inbox: AlertInbox) -> None:
    alerts = Alerts(store)
    await alerts.raise_(down("postgres"))
    first = desk("boot-1")
    await told(first)
    await first.stop(1)
    second = desk("boot-2")
    await alerts.raise_(down("postgres"))
    await told(second)
    await alerts.resolve("service:postgres")
    await told(second)
    assert inbox.titles == ["postgres is down", "postgres is up again after N s"]


async def test_each_channel_gets_what_it_asked_for_and_the_end_of_it(store: Store, desk: Desk, inbox: AlertInbox) -> None:
    kind = {"kind": "webhook", "per_second": 100}
    with alert_inbox() as other:
        here = desk(
            pager=kind | {"url": inbox.url, "severities": ["critical"], "language": "zh"},
            dify=kind | {"url": other.url, "services": ["dify-*"], "resolved": False},
        )
        alerts = Alerts(store)
        await alerts.raise_(down("dify-api", severity="warning"))
        await alerts.raise_(down("postgres"))
        await told(here)
        assert (inbox.titles, other.titles) == (["postgres 不可用"], ["dify-api is down"])
        await alerts.raise_(down("dify-api"))
        await told(here)
        assert inbox.titles[1:] == ["dify-api 不可用"], "it has grown critical"
        await alerts.raise_(down("dify-api", severity="info"))
        await alerts.resolve_all(["service:dify-api", "service:postgres"])
        await told(here)
        assert sorted(inbox.titles[2:]) == ["dify-api 已恢复，历时 N 秒", "postgres 已恢复，历时 N 秒"]
        assert len(other.taken) == 1 + 1, "it grew worse"


async def test_a_channel_that_is_away_gets_everything_later_in_order(store: Store, desk: Desk, inbox: AlertInbox) -> None:
    alerts, here = Alerts(store), desk()
    inbox.script.extend([503, 500, 503])
    for number in range(4):
        await alerts.raise_(down(f"s{number}"))
        await told(here)
    await eventually(lambda: _drained(here), what="all is sent")
    assert inbox.titles == [f"s{number} is down" for number in range(4)]
    assert [message["title"] for message in inbox.asked[:4]] == ["s0 is down"] * 4, "the first one stands before the others"
    assert len({message["id"] for message in inbox.asked[:4]}) == 1


async def test_one_channel_that_hangs_holds_up_no_other(store: Store, desk: Desk, inbox: AlertInbox) -> None:
    kind = {"kind": "webhook", "per_second": 100}
    with alert_inbox() as other:
        inbox.script.append(0)
        here = desk(slow=kind | {"url": inbox.url}, quick=kind | {"url": other.url})
        await here.start()
        for number in range(3):
            await Alerts(store).raise_(down(f"s{number}"))
        await eventually(lambda: len(other.taken) == 3, what="the other channel has all of them")
        assert inbox.taken == []
        inbox.go_on.set()
        await eventually(lambda: len(inbox.taken) == 3, what="the slow one has them")
        await here.stop(5)
        assert sorted(inbox.titles) == sorted(other.titles)


async def test_what_is_refused_is_given_up_at_once_and_goes_to_the_fallback(
    store: Store, desk: Desk, inbox: AlertInbox, database_url: str
) -> None:
    kind = {"kind": "webhook", "per_second": 100}
    with alert_inbox() as other:
        inbox.always = 404
        here = desk(teams=kind | {"url": inbox.url, "fallback": "hook"}, hook=kind | {"url": other.url, "services": ["no"]})
        await Alerts(store).raise_(down("postgres"))
        await told(here)
        await told(here)
        assert (len(inbox.asked), other.titles) == (1, ["postgres is down"])
        assert other.taken[0]["text"] == "Channel teams could not take this."
        status, error = sql(database_url, "SELECT status, error FROM pilothouse.notices WHERE channel = 'teams'")[0]
        assert (status, error["code"]) == ("given_up", "channel_refused")
        (teams, hook) = sorted(await Notices(store).outboxes(), key=lambda each: each.channel, reverse=True)
        assert (teams.given_up, teams.waiting, hook.given_up, hook.waiting) == (1, 0, 0, 0)


async def test_the_fallback_gets_nothing_twice(store: Store, desk: Desk, inbox: AlertInbox) -> None:
    kind = {"kind": "webhook", "per_second": 100}
    with alert_inbox() as other:
        inbox.always = other.always = 404
        first = kind | {"url": inbox.url, "fallback": "b"}
        here = desk(a=first, b=kind | {"url": other.url, "fallback": "a"})
        await Alerts(store).raise_(down("postgres"))
        for _ in range(3):
            await told(here)
        assert (len(inbox.asked), len(other.asked)) == (1, 1)


async def test_the_fallback_does_not_wait_for_the_end_of_a_long_outage(
    store: Store, desk: Desk, inbox: AlertInbox, database_url: str
) -> None:
    kind = {"kind": "webhook", "per_second": 100}
    with alert_inbox() as other:
        inbox.always = 503
        here = desk(teams=kind | {"url": inbox.url, "fallback": "hook"}, hook=kind | {"url": other.url, "services": ["no"]})
        await Alerts(store).raise_(down("postgres"))
        await told(here)
        assert other.taken == []
        sql(database_url, "UPDATE pilothouse.notices SET created_at = now() - interval '3 minutes', due_at = now()")
        await told(here)
        inbox.always = 200
        await eventually(lambda: _drained(here), what="all is sent")
        assert (inbox.titles, other.titles) == (["postgres is down"], ["postgres is down"])


async def test_what_cannot_be_sent_for_a_day_is_given_up(store: Store, desk: Desk, inbox: AlertInbox, database_url: str) -> None:
    here = desk()
    inbox.always = 503
    await Alerts(store).raise_(down("postgres"))
    await told(here)
    sql(database_url, "UPDATE pilothouse.notices SET created_at = now() - interval '25 hours', due_at = now()")
    await told(here)
    assert (len(inbox.asked), (await Notices(store).outboxes())[0].given_up) == (2, 1)


async def test_retry_after_is_honoured(store: Store, desk: Desk, inbox: AlertInbox, database_url: str) -> None:
    inbox.retry_after = "37"
    inbox.script.append(429)
    await Alerts(store).raise_(down("postgres"))
    await told(desk())
    ((seconds,),) = sql(database_url, "SELECT extract(epoch FROM due_at - tried_at)::int FROM pilothouse.notices")
    assert 36 <= seconds <= 40


async def test_two_processes_send_each_message_once_and_in_order(store: Store, desk: Desk, inbox: AlertInbox) -> None:
    both = [desk("boot-1"), desk("boot-2")]
    alerts = Alerts(store)
    for number in range(9):
        await alerts.raise_(down(f"s{number}"))
        await asyncio.gather(*(told(here) for here in both))
    await eventually(lambda: _drained(both[0]), what="all is sent")
    assert inbox.titles == [f"s{number} is down" for number in range(9)]


async def test_a_storm_is_a_few_messages_that_name_every_alert(store: Store, desk: Desk, inbox: AlertInbox) -> None:
    alerts, here = Alerts(store), desk()
    assert await alerts.raise_all(down(f"s{number:03}") for number in range(150)) == 150
    await told(here)
    assert len(inbox.taken) == 2
    assert inbox.titles[0] == "100 messages at once, the worst: s000 is down"
    named = [line.removesuffix(" is down") for message in inbox.taken for line in message["entries"]]
    assert named == [f"s{number:03}" for number in range(150)]


async def test_a_storm_that_broke_off_is_sent_again_as_it_was(store: Store, desk: Desk, inbox: AlertInbox) -> None:
    alerts, here = Alerts(store), desk()
    inbox.script.extend([503, 503])
    await alerts.raise_all(down(f"s{number:03}") for number in range(20))
    await told(here)
    await alerts.raise_all(down(f"t{number:03}") for number in range(20))
    await here.settle()
    await eventually(lambda: _drained(here), what="all is sent")
    assert len({(each["id"], *each["entries"]) for each in [*inbox.asked[:3], inbox.taken[0]]}) == 1
    assert len(inbox.taken[0]["entries"]) == 20


async def test_with_no_channel_alerts_are_kept_and_logged(
    store: Store, desk: Desk, capsys: pytest.CaptureFixture[str], database_url: str
) -> None:
    settings = Settings.model_validate({"data_dir": "/nowhere", "alerts": {"wait": 0}})
    await Alerts(store).raise_(down("postgres"))
    outcomes = await Alerting("boot-1", settings, store).settle()
    assert [outcome.messages for outcome in outcomes] == [()]
    assert (await Alerts(store).page(1))[0].told == "firing"
    assert sql(database_url, "SELECT count(*) FROM pilothouse.notices") == [(0,)]
    assert "postgres is down" in capsys.readouterr().out


async def test_what_only_tells_of_something_is_over_once_told(store: Store, desk: Desk, inbox: AlertInbox) -> None:
    alerts, here = Alerts(store), desk()
    note = Alert("api:1", "The release is out", severity="info", lasting=False)
    for _ in range(2):
        assert await alerts.raise_(note)
        await told(here)
        assert (await alerts.page(1))[0].status == "resolved"
        await told(here)
    assert inbox.titles == ["The release is out"] * 2


async def test_daily_messages_go_out_once_a_day(
    store: Store, desk: Desk, inbox: AlertInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "moment_due", lambda clock, now, zone: now.date() if clock == "09:00" else None)
    kind = {"kind": "webhook", "per_second": 100, "url": inbox.url, "alive": "09:00"}
    both = [desk(name, alerts={"digest": "09:00"}, hook=kind) for name in ("boot-1", "boot-2")]
    for _ in range(2):
        for here in both:
            await told(here)
    assert sorted(inbox.titles) == ["Last 24 hours: nothing to report", "Pilothouse is alive"]


async def test_a_channel_can_be_tried(desk: Desk, inbox: AlertInbox) -> None:
    here = desk()
    assert (await here.trial("hook")).status == 200
    assert inbox.taken[0]["kind"] == "test"
    inbox.script.append(404)
    with pytest.raises(ChannelRefused, match="404"):
        await here.trial("hook")
    with pytest.raises(NotFound, match="hook"):
        await here.trial("unknown")


async def test_a_channel_that_is_gone_keeps_nothing_waiting(store: Store, desk: Desk) -> None:
    await Notices(store).add([NewNotice("gone", "1", Message(new_id(), "firing", "x"))])
    assert await desk().deliver() == 0
    assert (await Notices(store).outboxes())[0].given_up == 1


async def _drained(here: Alerting) -> bool:
    return await here.deliver() == 0


async def test_sends_are_task_runs_of_one_flow_run_that_say_ids_alone(store: Store, inbox: AlertInbox) -> None:
    channels = {"hook": {"kind": "webhook", "url": inbox.url, "per_second": 100}}
    settings = Settings.model_validate({"data_dir": "/nowhere", "alerts": {"wait": 0}, "channels": channels})
    async with PrefectLink.opened() as link:
        assert await link.presence.wait_up(30)
        open_runs = OpenRuns(link.presence, idle=60, items=10)
        boot = new_id()
        assert await open_runs.place(notices, boot, 30)
        here = Alerting(boot, settings, store, open_runs)
        await Alerts(store).raise_(down("secret-project"))
        await told(here)
        (flow_run_id,) = open_runs.ids()
        await open_runs.aclose()
        run = await link.client.read_flow_run(UUID(flow_run_id))
        within = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(flow_run_id)]))
        runs = await eventually(lambda: link.client.read_task_runs(flow_run_filter=within), 20, "the task run is recorded")
    assert (run.name, run.parameters) == (boot, {"process": boot})
    assert [each.name for each in runs] == [inbox.taken[0]["id"]]
    assert "secret-project" not in repr([run.model_dump(), *(each.model_dump() for each in runs)])
