"""Which services are the cause: shapes that matter one by one, and what must hold for any graph."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

from hypothesis import given
from hypothesis import strategies as some

from core.sweeps.folding import Condition, Fold, folded
from core.sweeps.judging import worse
from core.sweeps.observation import State
from core.topology.graph import Graph

BEGAN = datetime(2026, 11, 21, tzinfo=UTC)
STATES: tuple[State, ...] = get_args(State)
NEEDS = {"db": [], "redis": [], "api": ["db", "redis"], "worker": ["api"], "web": ["api"], "mail": []}


def state_named(word: str) -> State:
    return next(state for state in STATES if state == word)


def fold(needs: dict[str, list[str]], states: str, hints: dict[str, list[str]] | None = None, **more: object) -> Fold[str]:
    """``states``: ``db=down api=down``; all others are up. ``more``: fields of conditions, such as ``api={"looks": 1}``."""
    said = dict(each.split("=") for each in states.split())
    conditions: dict[str, Condition[str]] = {}
    for name in needs:
        given_for_it = more.get(name, {})
        assert isinstance(given_for_it, dict)
        conditions[name] = replace(Condition(state_named(said.get(name, "up")), BEGAN), **given_for_it)
    return folded(Graph(needs, hints or {}), conditions)


def test_what_needs_it_hangs_under_the_one_that_is_down() -> None:
    found = fold(NEEDS, "db=down api=down web=down mail=down")
    assert found.fates == {"db": "root", "api": "folded", "web": "folded", "mail": "root"}
    assert found.under["db"] == ["api", "web"]
    assert found.under.get("mail") is None


def test_one_that_is_up_in_between_shows_that_it_does_without() -> None:
    assert fold(NEEDS, "db=down web=down").fates == {"db": "root", "web": "root"}


def test_what_cannot_be_told_is_looked_through() -> None:
    for between in ("unknown", "unreachable"):
        assert fold(NEEDS, f"db=down api={between} web=down").under["db"] == ["web"]


def test_a_degraded_one_explains_no_child_that_is_down() -> None:
    found = fold(NEEDS, "db=degraded api=down worker=degraded")
    assert found.fates == {"db": "root", "api": "root", "worker": "folded"}
    assert found.beside == {"api": ("db",)}
    assert found.roots == {"worker": "api"}
    assert fold(NEEDS, "db=degraded api=degraded web=degraded").under["db"] == ["api", "web"]
    assert fold(NEEDS, "db=down api=degraded").under["db"] == ["api"]


def test_of_two_causes_the_first_takes_it_and_keeps_it() -> None:
    assert fold(NEEDS, "db=down redis=down api=down").roots == {"api": "db"}
    later = {"since": BEGAN + timedelta(minutes=1)}
    assert fold(NEEDS, "db=down redis=down api=down", db=later).roots == {"api": "redis"}
    assert fold(NEEDS, "db=down redis=down api=down", api={"root": "redis"}).roots == {"api": "redis"}
    assert fold(NEEDS, "db=down redis=down api=down", redis={"alerting": True}).roots == {"api": "redis"}


def test_a_circle_is_one_cause_that_the_first_stands_for() -> None:
    circle = {"a": ["b"], "b": ["c"], "c": ["a"], "top": ["c"]}
    found = fold(circle, "a=down b=down c=down top=down", b={"alerting": True})
    assert found.fates["b"] == "root"
    assert set(found.under["b"]) == {"a", "c", "top"}
    assert fold(circle, "a=down b=down c=down top=down").under["a"] == ["b", "c", "top"]
    assert fold({**circle, "c": ["a", "db"], "db": []}, "a=down b=down c=down db=down").under["db"] == ["a", "b", "c"]


def test_hints_count_only_where_nothing_surer_is_known() -> None:
    hints = {"web": ["mail"], "mail": ["redis"]}
    assert fold(NEEDS, "mail=down web=down", hints).roots == {"web": "mail"}
    assert fold(NEEDS, "mail=down web=down api=down", hints).roots == {"web": "api"}
    assert fold(NEEDS, "mail=down redis=down", hints).roots == {"mail": "redis"}


def test_hints_in_a_circle_leave_one_cause() -> None:
    found = fold({"api": [], "daemon": []}, "api=down daemon=down", {"api": ["daemon"], "daemon": ["api"]})
    assert found.fates == {"api": "root", "daemon": "folded"}


def test_a_child_waits_for_the_verdict_on_what_it_needs() -> None:
    pending = {"worsening": True}
    assert fold(NEEDS, "api=down", db=pending).fates == {"api": "waits"}
    assert fold(NEEDS, "api=down web=down", db=pending).fates == {"api": "waits", "web": "folded"}
    assert fold(NEEDS, "mail=down", {"mail": ["redis"]}, redis=pending).fates == {"mail": "waits"}
    assert fold(NEEDS, "api=down", db=pending, api={"alerting": True}).fates == {"api": "root"}


def test_after_its_cause_a_child_is_looked_at_again_before_it_is_told() -> None:
    assert fold(NEEDS, "api=down", api={"root": "db", "looks": 3}).fates == {"api": "waits"}
    assert fold(NEEDS, "api=down", api={"looks": 0}).fates == {"api": "root"}


def test_what_was_told_stays_told_until_it_is_over() -> None:
    found = fold(NEEDS, "db=down api=down web=down", api={"alerting": True})
    assert found.fates == {"db": "root", "api": "root", "web": "folded"}


def test_maintenance_keeps_quiet_with_all_that_hangs_under_it() -> None:
    assert fold(NEEDS, "db=down api=down", db={"quiet": True}).fates == {"db": "quiet", "api": "folded"}
    assert fold(NEEDS, "db=down", db={"quiet": True, "alerting": True}).fates == {"db": "root"}


@some.composite
def scenes(draw: some.DrawFn) -> tuple[Graph[int], dict[int, Condition[int]]]:
    size = draw(some.integers(1, 9))
    nodes = some.integers(0, size - 1)
    edges = some.lists(some.lists(nodes, max_size=3), min_size=size, max_size=size)
    condition = some.builds(
        Condition,
        state=some.sampled_from(STATES),
        since=some.integers(0, 3).map(lambda minutes: BEGAN + timedelta(minutes=minutes)),
        worsening=some.booleans(),
        alerting=some.booleans(),
        quiet=some.booleans(),
        root=some.none() | nodes,
        looks=some.integers(0, 2),
    )
    graph = Graph(dict(enumerate(draw(edges))), dict(enumerate(draw(edges))))
    return graph, dict(enumerate(draw(some.lists(condition, min_size=size, max_size=size))))


@given(scenes())
def test_for_any_graph(scene: tuple[Graph[int], dict[int, Condition[int]]]) -> None:
    graph, conditions = scene
    found = folded(graph, conditions)
    assert found.fates.keys() == {node for node, each in conditions.items() if each.opened}, "all that is bad, and nothing else"
    assert found.roots.keys() == {node for node, fate in found.fates.items() if fate == "folded"}
    reached: dict[int, set[int]] = {}
    for node, root in found.roots.items():
        assert root != node
        assert found.fates[root] != "folded", "what others hang under hangs under nothing itself"
        assert not worse(conditions[node].state, conditions[root].state)
        reached.setdefault(node, _below(graph, node))
        assert root in reached[node]
    for node, each in conditions.items():
        if each.opened and each.alerting:
            assert found.fates[node] == "root"
    assert not found.fates or set(found.fates.values()) != {"folded"}, "something always stands for the rest"


def _below(graph: Graph[int], node: int) -> set[int]:
    both = {each: [*graph.needs[each], *graph.hints[each]] for each in graph.needs}
    return Graph(both).ancestors([node])
