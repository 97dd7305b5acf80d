"""Scales: from values to positions, with round ticks and short labels that read the same in every language."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
PLAIN = 10_000
"""Below it numbers are written in full; from it on as 12.5k, 3.4M, 5B, 6T, and from 1e15 on as powers of ten."""
_WHOLE = (1, 2, 5, 10)
"""Widths that bins may have, times a power of ten."""
_TINY = 1e-90
"""Differences below it count as none."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from ``low`` to ``high``, with a label for each tick."""

    low: float
    high: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]

    def share(self, value: float) -> float:
        """Where ``value`` lies between ``low`` (0) and ``high`` (1)."""
        return (value - self.low) / (self.high - self.low)


def scale(values: Iterable[float], ticks: int, waste: float = 1.0) -> Scale:
    """A scale that holds ``values`` between round numbers in about ``ticks`` steps. It begins (or ends) at 0, unless more than
    the share ``waste`` of it would be empty for that."""
    low, high = _ends(list(values), waste)
    step = _step((high - low) / max(1, ticks))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    at = tuple(index * step for index in range(first, last + 1))
    return Scale(at[0], at[-1], at, tick_labels(at, step))


def bins(values: Sequence[float], most: int) -> Scale:
    """A scale whose ticks are the edges of about ``most`` bins of one round width that hold all ``values``."""
    low, high = min(values), max(values)
    largest = max(abs(low), abs(high))
    if high - low < max(largest * 1e-9, _TINY):
        step = _step(largest / 10, _WHOLE) if largest > _TINY else 1.0
    else:
        step = _step((high - low) / most, _WHOLE)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    edges = tuple(index * step for index in range(first, max(last, first + 1) + 1))
    return Scale(edges[0], edges[-1], edges, tick_labels(edges, step))


def _ends(values: Sequence[float], waste: float) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=0.0)
    largest = max(abs(low), abs(high))
    if largest < _TINY:
        return 0.0, 1.0
    if min(abs(low), abs(high)) <= waste * largest:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low < largest * 1e-9:
        # All alike: the value in the middle, or a bar from zero to it.
        low, high = low - largest / 2, high + largest / 2
    return low, high


def _step(rough: float, factors: Sequence[float] = (1, 2, 2.5, 5, 10)) -> float:
    """The smallest of ``factors`` times a power of ten that is not below ``rough``."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next((power * factor for factor in factors if power * factor >= rough * (1 - 1e-9)), 10 * power)


def tick_labels(ticks: Sequence[float], step: float) -> tuple[str, ...]:
    """A label for each tick, all in one unit and with the same decimals, as many as tell them apart."""
    largest = max(abs(tick) for tick in ticks)
    if largest >= 1e15 or largest < 1e-4:
        return tuple(_power(tick) if abs(tick) > step / 2 else "0" for tick in ticks)
    fitting = ((size, unit) for size, unit in _UNITS if largest >= max(size, PLAIN) and _decimals(step / size) <= 2)
    size, unit = next(fitting, (1.0, ""))
    decimals = _decimals(step / size)
    return tuple(f"{tick / size:,.{decimals}f}{unit}" if abs(tick) > step / 2 else "0" for tick in ticks)


def _decimals(step: float) -> int:
    """How many decimals a multiple of ``step`` needs."""
    whole = (step * 10**places for places in range(12))
    return next((places for places, value in enumerate(whole) if value > 0.5 and abs(value - round(value)) < 1e-6 * value), 12)


def _power(value: float) -> str:
    digits, _, exponent = f"{value:.2e}".partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"


def short(value: float) -> str:
    """One value with three significant digits or, below ``PLAIN``, up to four: 12.5k, 3.4M, 1,234, 0.25."""
    size = abs(value)
    if size < _TINY:
        return "0"
    if size >= 9.995e14 or size < 1e-4:
        return _power(value)
    if size < PLAIN - 0.5:
        return _trimmed(f"{value:,.{max(0, 3 - math.floor(math.log10(size)))}f}") if size >= 1 else f"{value:.3g}"
    for base, unit in reversed(_UNITS):
        if size < base * 999.5 or unit == "T":
            return _trimmed(f"{value / base:.{max(0, 2 - math.floor(math.log10(size / base) + 1e-9))}f}") + unit
    return _power(value)


def _trimmed(number: str) -> str:
    return number.rstrip("0").rstrip(".") if "." in number else number
