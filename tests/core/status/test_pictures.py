"""Sparklines and bars: what is missing leaves a gap, and worse days are told apart by more than colour."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.status.pictures import bars, grade, sparkline


def test_a_line_stands_over_zero_and_fills_the_width() -> None:
    drawn = sparkline([1.0, 2.0, 0.0], 100, 20)
    assert drawn.line == "M0 10L50 0L100 20"
    assert drawn.area == "M0 20L0 10L50 0L100 20L100 20Z"
    assert drawn.highest == 2.0


def test_what_is_missing_leaves_a_gap() -> None:
    drawn = sparkline([1.0, 1.0, None, 1.0, None, 1.0, 1.0], 60, 10)
    assert drawn.line == "M0 0L10 0M50 0L60 0"
    assert drawn.dots == ((30.0, 0.0),)


@pytest.mark.parametrize("values", [[], [None, None]])
def test_nothing_known_is_nothing_drawn(values: list[float | None]) -> None:
    assert sparkline(values, 100, 20) == sparkline([], 1, 1)


@given(st.lists(st.none() | st.floats(0, 1e6), max_size=48))
def test_every_point_lies_in_the_picture(values: list[float | None]) -> None:
    drawn = sparkline(values, 104, 26)
    numbers = [float(part) for part in drawn.line.replace("M", " ").replace("L", " ").split()]
    for x, y in list(pairwise(numbers))[::2]:
        assert 0 <= x <= 104.001
        assert 0 <= y <= 26.001
    assert len(numbers) // 2 + len(drawn.dots) == sum(value is not None for value in values)


@pytest.mark.parametrize(("share", "kind"), [(1.0, "good"), (0.998, "fair"), (0.9499, "poor"), (0.0, "poor"), (None, "none")])
def test_days_have_grades(share: float | None, kind: str) -> None:
    assert grade(share) == kind


def test_bars_of_worse_days_are_shorter() -> None:
    assert bars([1.0, 0.99, 0.5, None, 1.0], 3, 24) == {
        "good": "M1.5 0V24M13.5 0V24",
        "fair": "M4.5 6V24",
        "poor": "M7.5 12V24",
        "none": "M10.5 19.2V24",
    }
