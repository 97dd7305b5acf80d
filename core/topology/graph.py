"""What depends on what, as a graph: its levels from the ground up, what lies above and below a service, and its cycles.

Nodes are any hashable names. Edges lead from a service to what it needs; one that leads to no node is left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, TypeVar

Node = TypeVar("Node")


class Graph(Generic[Node]):
    """``needs`` are the hard edges (``depends_on``), ``hints`` the soft ones."""

    def __init__(self, needs: Mapping[Node, Iterable[Node]], hints: Mapping[Node, Iterable[Node]] | None = None) -> None:
        self.needs: dict[Node, tuple[Node, ...]] = _within(needs, needs)
        self.hints: dict[Node, tuple[Node, ...]] = _within(hints or {}, needs)
        self._needed_by: dict[Node, list[Node]] = {node: [] for node in self.needs}
        for node, below in self.needs.items():
            for each in below:
                self._needed_by[each].append(node)

    def levels(self) -> list[list[Node]]:
        """What needs nothing first, then what needs only that, and so on; a cycle stands on one level. In the order given."""
        depth: dict[Node, int] = {}
        for cycle in cycles(self.needs):  # what is needed comes before what needs it
            inside = set(cycle)
            below = [depth[each] for node in cycle for each in self.needs[node] if each not in inside]
            depth.update(dict.fromkeys(cycle, max(below, default=-1) + 1))
        found: list[list[Node]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
        for node in self.needs:
            found[depth[node]].append(node)
        return found

    def ancestors(self, nodes: Iterable[Node]) -> set[Node]:
        """All that ``nodes`` need, over any number of steps, without the nodes themselves unless they lie on a cycle."""
        return _reached(nodes, self.needs)

    def dependants(self, node: Node) -> set[Node]:
        """All that need ``node``, over any number of steps."""
        return _reached([node], self._needed_by) - {node}


def cycles(edges: Mapping[Node, Iterable[Node]]) -> list[list[Node]]:
    """The strongly connected components, each after those that it leads to; a node on no cycle is one by itself.

    Tarjan's algorithm without recursion, since a chain may be longer than Python's stack. Edges to unknown nodes are passed over.
    """
    index: dict[Node, int] = {}
    low: dict[Node, int] = {}
    open_nodes: list[Node] = []
    is_open: set[Node] = set()
    found: list[list[Node]] = []
    for start in edges:
        if start in index:
            continue
        path = [(start, iter(tuple(edges[start])))]
        index[start] = low[start] = len(index)
        open_nodes.append(start)
        is_open.add(start)
        while path:
            node, rest = path[-1]
            following = next((each for each in rest if each in edges and (each not in index or each in is_open)), None)
            if following is not None and following not in index:
                index[following] = low[following] = len(index)
                open_nodes.append(following)
                is_open.add(following)
                path.append((following, iter(tuple(edges[following]))))
                continue
            if following is not None:
                low[node] = min(low[node], index[following])
                continue
            path.pop()
            if path:
                low[path[-1][0]] = min(low[path[-1][0]], low[node])
            if low[node] == index[node]:
                cut = open_nodes.index(node)
                component = open_nodes[cut:]
                del open_nodes[cut:]
                is_open.difference_update(component)
                found.append(component)
    return found


def _within(edges: Mapping[Node, Iterable[Node]], nodes: Mapping[Node, object]) -> dict[Node, tuple[Node, ...]]:
    return {node: tuple(each for each in dict.fromkeys(edges.get(node, ())) if each in nodes and each != node) for node in nodes}


def _reached(nodes: Iterable[Node], edges: Mapping[Node, Sequence[Node]]) -> set[Node]:
    found: set[Node] = set()
    ahead = list(nodes)
    while ahead:
        for each in edges.get(ahead.pop(), ()):
            if each not in found:
                found.add(each)
                ahead.append(each)
    return found
