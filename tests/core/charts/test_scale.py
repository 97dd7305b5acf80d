"""Ticks on round numbers that hold the data, with short labels that can be told apart."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.charts.scale import bins, scale, short

VALUES = st.lists(st.floats(-1e100, 1e100) | st.integers(-1000, 1000).map(float), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-1, "-1"),
        (0.25, "0.25"),
        (1 / 3, "0.333"),
        (12.345, "12.35"),
        (1234, "1,234"),
        (8500, "8,500"),
        (9999.9, "10k"),
        (12_500, "12.5k"),
        (-45_678, "-45.7k"),
        (999_999, "1M"),
        (3_400_000, "3.4M"),
        (5e9, "5B"),
        (6.25e12, "6.25T"),
        (1e15, "1e15"),
        (-2.5e20, "-2.5e20"),
        (0.00002, "2e-5"),
        (1e-300, "0"),
    ],
)
def test_a_value_is_said_shortly(value: float, text: str) -> None:
    assert short(value) == text


@pytest.mark.parametrize(
    ("values", "waste", "labels"),
    [
        ([1, 2, 3], 1.0, ("0", "1", "2", "3")),
        ([-5, 3], 1.0, ("-6", "-4", "-2", "0", "2", "4")),
        ([0.1, 0.25], 1.0, ("0", "0.05", "0.10", "0.15", "0.20", "0.25")),
        ([12_000, 50_000], 1.0, ("0", "10k", "20k", "30k", "40k", "50k")),
        ([1_000_000, 1_200_000], 0.5, ("1.00M", "1.05M", "1.10M", "1.15M", "1.20M")),
        ([99, 101], 0.5, ("99.0", "99.5", "100.0", "100.5", "101.0")),
        ([99, 101], 1.0, ("0", "25", "50", "75", "100", "125")),
        ([1_000_000.1, 1_000_000.4], 0.5, ("1,000,000.1", "1,000,000.2", "1,000,000.3", "1,000,000.4")),
        ([0], 1.0, ("0", "0.2", "0.4", "0.6", "0.8", "1.0")),
        ([2e20], 1.0, ("0", "5e19", "1e20", "1.5e20", "2e20")),
    ],
)
def test_ticks_are_round(values: list[float], waste: float, labels: tuple[str, ...]) -> None:
    assert scale(values, 5, waste).labels == labels


@given(VALUES, st.integers(2, 8), st.sampled_from([0.3, 0.67, 1.0]))
def test_any_values_lie_between_ticks_that_can_be_told_apart(values: list[float], ticks: int, waste: float) -> None:
    made = scale(values, ticks, waste)
    slack = (made.high - made.low) * 1e-6
    assert made.low - slack <= min(values) <= max(values) <= made.high + slack
    assert all(-1e-6 <= made.share(value) <= 1 + 1e-6 for value in values)
    assert 2 <= len(made.ticks) <= 3 * ticks
    assert all(one < other for one, other in pairwise(made.ticks))
    assert len(set(made.labels)) == len(made.labels)
    if waste == 1.0:
        assert made.low <= 0 <= made.high


@given(VALUES, st.integers(1, 40))
def test_bins_hold_all_values_and_are_few(values: list[float], most: int) -> None:
    made = bins(values, most)
    slack = (made.high - made.low) * 1e-6
    assert made.low - slack <= min(values) <= max(values) <= made.high + slack
    assert 1 <= len(made.ticks) - 1 <= most + 2
