"""What is known of a service changes only when enough looks in a row say so; for any course of looks."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as some

from core.sweeps.judging import RANKS, Flip, Known, Thresholds, judged, worse
from core.sweeps.observation import State

BEGAN = datetime(2026, 11, 21, tzinfo=UTC)
STATES: tuple[State, ...] = get_args(State)
USUAL = Thresholds(3, 2)
courses = some.lists(some.sampled_from(STATES), max_size=60)
thresholds = some.builds(Thresholds, some.integers(1, 5), some.integers(1, 5))


def course(seen: list[State], start: Known, rules: Thresholds = USUAL) -> tuple[list[Known], list[Flip]]:
    known, flips, now = [start], [], start.since
    for each in seen:
        now += timedelta(seconds=20)
        after, flip = judged(known[-1], each, rules, now)
        known.append(after)
        flips += [flip] if flip is not None else []
    return known, flips


def at(state: State) -> Known:
    return Known(BEGAN, state)


@pytest.mark.parametrize(
    ("start", "seen", "after"),
    [
        ("unknown", "up", "up"),
        ("unknown", "degraded", "degraded"),
        ("unknown", "down down", "unknown"),
        ("unknown", "down down down", "down"),
        ("unknown", "unreachable", "unreachable"),
        ("up", "down down up", "up"),
        ("up", "down down up down down", "up"),
        ("up", "down down down", "down"),
        ("up", "degraded degraded degraded", "degraded"),
        ("up", "down degraded down", "degraded"),
        ("up", "down degraded down down", "degraded"),
        ("up", "down degraded down down down", "down"),
        ("up", "unreachable unreachable unreachable", "unreachable"),
        ("up", "unreachable down unreachable down", "up"),
        ("up", "unknown unknown", "up"),
        ("down", "up", "down"),
        ("down", "up up", "up"),
        ("down", "up degraded", "degraded"),
        ("down", "degraded up", "degraded"),
        ("down", "degraded up up", "up"),
        ("down", "up down up", "down"),
        ("degraded", "up up", "up"),
        ("degraded", "down down down", "down"),
        ("unreachable", "up up", "up"),
        ("unreachable", "up", "unreachable"),
    ],
)
def test_courses(start: State, seen: str, after: State) -> None:
    known, _ = course(seen.split(), at(start))  # type: ignore[arg-type]
    assert known[-1].state == after


@given(courses, some.sampled_from(STATES), thresholds)
def test_only_a_flip_changes_the_state_and_what_is_known_stays_sound(seen: list[State], start: State, rules: Thresholds) -> None:
    known, flips = course(seen, at(start), rules)
    changes = [(one.state, other.state) for one, other in pairwise(known) if one.state != other.state]
    assert changes == [(flip.before, flip.after) for flip in flips]
    for each in known:
        assert (each.pending is None) == (each.streak == 0)
        assert each.pending != each.state
        assert each.streak < max(rules.open_after, rules.close_after)
        assert each.worsening == (each.pending is not None and worse(each.pending, each.state))
    assert [flip.at for flip in flips] == sorted(flip.at for flip in flips)
    assert known[-1].since == (flips[-1].at if flips else BEGAN)


def test_what_went_down_by_way_of_degraded_is_not_left_there() -> None:
    known, flips = course(["down", "degraded", "down"], at("up"))
    assert [(flip.before, flip.after) for flip in flips] == [("up", "degraded")]
    assert known[-1].worsening, "it is looked at again at once, though degraded is sure"


@given(courses, some.sampled_from(STATES), thresholds)
def test_a_flip_is_never_further_than_the_looks_that_decided_it(seen: list[State], start: State, rules: Thresholds) -> None:
    """Each of them lies at least as far from what was known; and nothing goes down on fewer than ``open_after`` of them."""
    known = at(start)
    for number, each in enumerate(seen):
        after, flip = judged(known, each, rules, BEGAN)
        if flip is not None and flip.before in RANKS and flip.after in RANKS:
            needed = rules.open_after if worse(flip.after, flip.before) else rules.close_after
            deciding = seen[number + 1 - needed : number + 1]
            assert len(deciding) == needed
            way = 1 if worse(flip.after, flip.before) else -1
            assert all(way * RANKS[one] >= way * RANKS[flip.after] for one in deciding)
        if flip is not None and flip.after == "down":
            assert seen[number + 1 - rules.open_after : number + 1] == ["down"] * rules.open_after
        known = after


@given(courses, some.sampled_from(STATES), some.sampled_from(STATES), thresholds)
def test_what_is_seen_for_long_enough_is_believed(seen: list[State], start: State, at_last: State, rules: Thresholds) -> None:
    most = max(rules.open_after, rules.close_after)
    known, _ = course([*seen, *([at_last] * 2 * most)], at(start), rules)
    assert known[-1].state == at_last
    assert not known[-1].undecided


@given(some.sampled_from(STATES), some.lists(some.just("down"), max_size=2))
def test_what_wavers_below_the_thresholds_never_flips(start: State, failing: list[State]) -> None:
    wavering: list[State] = ["up", *failing] * 20
    _, flips = course(wavering, at("up"))
    assert flips == []
