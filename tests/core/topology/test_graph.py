"""The graph of services: its levels, its cycles, what lies above and below; for any graph."""

from hypothesis import given
from hypothesis import strategies as some

from core.topology.graph import Graph, cycles

edges = some.integers(0, 12).flatmap(
    lambda size: some.dictionaries(some.integers(0, size), some.lists(some.integers(0, size + 2), max_size=4), max_size=size + 1)
)


def test_levels_go_up_from_what_needs_nothing() -> None:
    graph = Graph({"web": ["api"], "api": ["db", "redis"], "db": [], "redis": [], "mail": [], "worker": ["api", "mail"]})
    assert graph.levels() == [["db", "redis", "mail"], ["api"], ["web", "worker"]]
    assert graph.ancestors(["web"]) == {"api", "db", "redis"}
    assert graph.dependants("db") == {"api", "web", "worker"}


def test_a_circle_stands_on_one_level() -> None:
    graph = Graph({"a": ["b"], "b": ["c", "db"], "c": ["a"], "db": [], "top": ["c"]})
    assert graph.levels() == [["db"], ["a", "b", "c"], ["top"]]
    assert graph.dependants("a") == {"b", "c", "top"}


def test_edges_to_nowhere_and_to_oneself_are_left_out() -> None:
    graph = Graph({"a": ["a", "gone", "b", "b"], "b": []}, {"a": ["gone", "b"], "gone": ["a"]})
    assert graph.needs == {"a": ("b",), "b": ()}
    assert graph.hints == {"a": ("b",), "b": ()}


def test_a_chain_may_be_long() -> None:
    graph = Graph({number: [number - 1] for number in range(5000)})
    assert len(graph.levels()) == 5000
    assert len(graph.dependants(0)) == 4999


@given(edges)
def test_every_service_stands_above_all_that_it_needs(needs: dict[int, list[int]]) -> None:
    graph = Graph(needs)
    level = {node: number for number, nodes in enumerate(graph.levels()) for node in nodes}
    assert level.keys() == needs.keys()
    circles = {node: set(circle) for circle in cycles(graph.needs) for node in circle}
    for node, below in graph.needs.items():
        for each in below:
            assert level[each] < level[node] or each in circles[node]


@given(edges)
def test_circles_are_those_who_reach_each_other_and_come_in_order(needs: dict[int, list[int]]) -> None:
    graph = Graph(needs)
    found = cycles(graph.needs)
    assert sorted(node for circle in found for node in circle) == sorted(needs)
    seen: set[int] = set()
    for circle in found:
        for node in circle:
            reached = graph.ancestors([node])
            assert {each for each in reached if node in graph.ancestors([each])} | {node} == set(circle)
        seen |= set(circle)
        assert graph.ancestors(circle) <= seen
