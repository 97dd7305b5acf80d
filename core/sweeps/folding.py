"""Which of the services that are surely bad are the cause, and which only hang under another one that is.

A service is explained by one that it needs and that is as bad or worse: a degraded one explains no child that is down. What
stands between them and cannot be told (``unknown``, ``unreachable``) is looked through; one that is up is not, since it shows
that it does without. Hints count only for a service that nothing surer explains. Services that explain each other in a circle are
one cause, which the first of them to fail stands for. A child waits while something that it needs may just be failing too.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Generic, Literal, TypeVar

from core.sweeps.judging import worse
from core.sweeps.observation import State
from core.topology.graph import Graph, cycles

Node = TypeVar("Node", bound=Hashable)
Fate = Literal["root", "folded", "waits", "quiet"]
"""``root``: it has an alert, or gets one. ``waits``: for the verdict on another, or for more looks. ``quiet``: maintenance."""


@dataclass(frozen=True, slots=True)
class Condition(Generic[Node]):
    """What folding asks of a service. ``root``: under what it was folded. ``looks``: see ``ServiceState``."""

    state: State
    since: datetime
    worsening: bool = False
    alerting: bool = False
    quiet: bool = False
    root: Node | None = None
    looks: int = 0

    @property
    def opened(self) -> bool:
        return self.state in ("down", "degraded")


@dataclass(frozen=True)
class Fold(Generic[Node]):
    """``fates`` of the services that are bad; ``roots`` of those that are folded; ``beside``: what they need that is bad as well,
    but not bad enough to explain them."""

    fates: Mapping[Node, Fate]
    roots: Mapping[Node, Node]
    beside: Mapping[Node, tuple[Node, ...]]

    @cached_property
    def under(self) -> Mapping[Node, Sequence[Node]]:
        """What is folded under a root, where that is anything."""
        found: dict[Node, list[Node]] = {}
        for node, root in self.roots.items():
            found.setdefault(root, []).append(node)
        return found


def folded(graph: Graph[Node], conditions: Mapping[Node, Condition[Node]]) -> Fold[Node]:
    """The fate of every service that is bad. ``conditions`` holds all nodes of the graph."""
    opened = [node for node, each in conditions.items() if each.opened]
    found = {node: _explaining(graph.needs, conditions, node) for node in opened}
    hard = _tops({node: surely for node, (surely, _, _) in found.items()}, conditions)
    # A hint leads to the cause of what it hints at, so that both are folded under the same one.
    soft: dict[Node, set[Node]] = {}
    awaited: set[Node] = {node for node, (_, perhaps, _) in found.items() if perhaps}
    for node in opened:
        soft[node] = set(hard[node])
        if hard[node] == {node}:
            hinted, perhaps, _ = _explaining(graph.hints, conditions, node, far=graph.needs)
            soft[node] = {top for each in hinted for top in hard[each]} - {node}
            awaited |= {node} if perhaps else set()
    causes = _tops(soft, conditions)
    fates: dict[Node, Fate] = {}
    roots: dict[Node, Node] = {}
    for node in opened:
        fates[node], root = _fate(node, conditions, causes[node], waits=node in awaited)
        if root != node:
            roots[node] = root
    return Fold(fates, roots, {node: tuple(lesser) for node, (_, _, lesser) in found.items() if lesser})


def _fate(node: Node, conditions: Mapping[Node, Condition[Node]], causes: Collection[Node], *, waits: bool) -> tuple[Fate, Node]:
    """And under which it is folded, else itself."""
    own = conditions[node]
    if own.alerting:  # what has been said is only taken back once it is over
        return "root", node
    if causes != {node}:
        return "folded", own.root if own.root is not None and own.root in causes else _first(causes, conditions)
    if own.quiet:
        return "quiet", node
    return ("waits" if waits or own.looks > 0 else "root"), node


def _explaining(
    edges: Mapping[Node, Sequence[Node]],
    conditions: Mapping[Node, Condition[Node]],
    node: Node,
    far: Mapping[Node, Sequence[Node]] | None = None,
) -> tuple[set[Node], set[Node], list[Node]]:
    """What explains ``node`` along ``edges``, what may be about to, and what is bad but not bad enough.

    Beyond what cannot be told the way goes on along ``far``.
    """
    own = conditions[node].state
    surely: set[Node] = set()
    perhaps: set[Node] = set()
    lesser: list[Node] = []
    seen, ahead = {node}, list(edges.get(node, ()))
    while ahead:
        each = ahead.pop()
        if each in seen:
            continue
        seen.add(each)
        condition = conditions[each]
        if condition.opened and not worse(own, condition.state):
            surely.add(each)
            continue
        if condition.worsening:
            perhaps.add(each)
        if condition.opened:
            lesser.append(each)
        if condition.state in ("unknown", "unreachable"):
            ahead += (far or edges).get(each, ())
    return surely, perhaps, lesser


def _tops(explained: Mapping[Node, Iterable[Node]], conditions: Mapping[Node, Condition[Node]]) -> dict[Node, set[Node]]:
    """Of each node the causes at the end of its ways; itself where nothing explains it. A circle is stood for by one of it."""
    tops: dict[Node, set[Node]] = {}
    for circle in cycles(explained):
        inside = set(circle)
        outside = {each for node in circle for each in explained[node] if each not in inside}
        found = {top for each in outside for top in tops[each]} if outside else {_first(circle, conditions)}
        tops.update(dict.fromkeys(circle, found))
    return tops


def _first(nodes: Collection[Node], conditions: Mapping[Node, Condition[Node]]) -> Node:
    """The one that stands for all: one with an alert before the others, then the first that failed."""

    def order(node: Node) -> tuple[bool, datetime, str]:
        return not conditions[node].alerting, conditions[node].since, str(node)

    return min(nodes, key=order)
