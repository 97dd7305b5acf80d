"""The ledger of usage: a line for each end, added up by day without losing anything, and told as it is."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest

from core.errors import ConfigurationInvalid, InputInvalid
from core.settings import Settings
from core.settings_quotas import PriceSettings
from core.store.base import Store
from core.store.processes import Processes
from core.store.tracking import Tracking
from core.store.turns import NewTurn, Outcome, Turns
from core.store.usage import BY, Usage, Used
from core.usage import TokenCount
from core.usage_report import as_csv, days, total

PRICES = {"p/m": PriceSettings(input=10, output=20, currency="EUR")}
LONG_AGO, SOON = datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=1)


async def ended(store: Store, number: int, outcome: Outcome, workspace: str = "default") -> str:
    turns = Turns(store, prices=PRICES)
    turn = NewTurn(f"t{number}", None, "boot", [{"role": "user", "content": "hi"}], {}, workspace=workspace, token_id="dify")
    await turns.begin(turn)
    assert await turns.finish(turn.id, "boot", 1, outcome)
    return turn.id


async def test_every_end_is_one_line_that_outlives_its_turn_and_its_day(store: Store) -> None:
    answered = Outcome("done", provider="p", model="m", message={"content": "x"}, prompt_tokens=100_000, completion_tokens=50_000)
    await ended(store, 1, answered)
    await ended(store, 2, answered, "research")
    await ended(store, 3, Outcome("failed", provider="p", model="m"))
    await ended(store, 4, Outcome("done", provider="q", model="m", message={"content": "x"}, prompt_tokens=5))
    usage = Usage(store, "Asia/Shanghai")
    before = {by: await usage.report(by, LONG_AGO, SOON) for by in BY}
    assert [(line.workspace, line.turns, line.errors, line.cost) for line in before["workspace"]] == [
        ("default", 2, 1, {"EUR": 2.0}),
        ("research", 1, 0, {"EUR": 2.0}),
    ]
    assert [(line.token, line.turns) for line in before["token"]] == [("dify", 3)]
    assert await usage.fold(SOON) == 3, "what is alike is one line"
    assert await usage.fold(SOON) == 0
    assert {by: await usage.report(by, LONG_AGO, SOON) for by in BY} == before
    assert total(before["model"]) == total(before["day"])
    assert [line.workspace for line in await usage.report("workspace", LONG_AGO, SOON, "research")] == ["research"]


async def test_a_turn_of_a_dead_process_counts_for_nothing_until_the_process_says_otherwise(store: Store) -> None:
    turns, usage = Turns(store), Usage(store)
    await Processes(store).renew("other", "api")
    await turns.begin(NewTurn("t", None, "slow", [{"role": "user", "content": "hi"}], {}))
    assert await Tracking(store).end_orphans() == ["t"]
    assert [(line.turns, line.errors) for line in await usage.report("workspace", LONG_AGO, SOON)] == [(0, 1)]
    await turns.finish("t", "slow", 1, Outcome("done", message={"content": "x"}, prompt_tokens=7))
    found = await usage.report("workspace", LONG_AGO, SOON)
    assert [(line.turns, line.errors, line.prompt_tokens) for line in found] == [(1, 0, 7)]


def test_csv_is_for_spreadsheets_and_runs_nothing_in_them() -> None:
    lines = [Used(token="a", name='=HYPERLINK("x")', turns=2, cost={"EUR": 1.5}), Used(token="b", name="b, c", prompt_tokens=3)]
    rows = list(csv.DictReader(io.StringIO(as_csv(lines, "token"))))
    assert [row["name"] for row in rows] == ['\'=HYPERLINK("x")', "b, c"]
    assert [(row["turns"], row["cost_EUR"]) for row in rows] == [("2", "1.500000"), ("0", "")]


def test_tokens_are_those_that_servers_count_else_estimated() -> None:
    count = TokenCount()
    question = [{"role": "user", "content": "hello there"}]
    count.asked(question)
    count.heard({"choices": [{"delta": {"content": "hi"}}]})
    count.heard({"choices": [], "usage": {"prompt_tokens": 30, "completion_tokens": 4}})
    count.ended()
    assert (count.prompt, count.completion) == (30, 4)
    count.asked(question)
    count.ended()
    assert (count.prompt, count.completion) == (30, 4), "nothing was said"
    count.asked(question)
    count.heard({"choices": [{"delta": {"content": "four letters and more"}}]})
    count.ended()
    assert count.prompt > 30
    assert count.completion > 4


def test_days_that_are_none_are_refused_by_name() -> None:
    about = days("2026-11-01", "2026-11-30", "Asia/Shanghai")
    assert (about.since.isoformat(), len(about.all)) == ("2026-11-01T00:00:00+08:00", 30)
    for first, last in (("2026-02-30", None), ("yesterday", None), ("2026-11-02", "2026-11-01"), ("1990-01-01", "2026-01-01")):
        with pytest.raises(InputInvalid, match="from"):
            days(first, last, "UTC")


def test_prices_and_limits_that_are_none_are_refused(tmp_path: object) -> None:
    for wrong, expected in (
        ({"quotas": {"turns_per_day": "many"}}, "whole number"),
        ({"quotas": {"workspaces": {"Not A Name": {}}}}, "workspace's name"),
        ({"quotas": {"tokens": {"x": {"storage_bytes": 1}}}}, "storage_bytes"),
        ({"prices": {"gpt": {"input": 1, "output": 1}}}, "provider"),
    ):
        with pytest.raises((ConfigurationInvalid, ValueError), match=expected):
            Settings(data_dir=tmp_path, **wrong)  # type: ignore[arg-type]
