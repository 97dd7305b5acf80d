"""What a look at a store finds on the way, and what that comes to: the worst finding gives the state, all of them are said."""

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable
from time import perf_counter

from blocks.probes.observing import late
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation, State

_log = logging.getLogger(__name__)
SHARE = 0.95
"""Of a probe's time that a look takes, so that it can say itself that nothing came."""
WARN, CRITICAL = 80.0, 95.0
"""Percent."""
UNCHECKED = "The login was not checked: set username and password."
STRANGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
"""What clients raise when a server answers what they never thought of."""
_WORST: tuple[State, ...] = ("down", "unreachable", "degraded", "unknown", "up")


class Ended(Exception):
    """What makes any further question to the service pointless."""

    def __init__(self, observation: Observation) -> None:
        super().__init__(observation.code)
        self.observation = observation


class Findings:
    """What one look has found so far. Messages are whole sentences."""

    def __init__(self) -> None:
        self.facts: dict[str, str | float | int] = {}
        self.seconds: float | None = None
        self._began = perf_counter()
        self._found: list[tuple[State, str, str]] = []
        self._notes: list[str] = []

    def begin(self) -> None:
        """What was done until now is not the service's time."""
        self._began = perf_counter()

    def answered(self) -> None:
        """The service has done what it is there for; what is asked from here on are questions about itself."""
        if self.seconds is None:
            self.seconds = perf_counter() - self._began

    def note(self, sentence: str) -> None:
        """Said even when all is well."""
        self._notes.append(sentence)

    def add(self, state: State, code: str, sentence: str) -> None:
        self._found.append((state, code, sentence))

    def unchecked(self, sentence: str = UNCHECKED) -> None:
        """It answers, and more cannot be known without a credential."""
        self.answered()
        self.facts["login"] = "not checked"
        self.note(sentence)

    def share(self, what: str, percent: float, limits: tuple[float, float], sentence: str) -> None:
        """``percent`` in use of something, and the limits from which that is degraded and down."""
        self.facts[f"{what}_percent"] = round(percent, 1)
        if percent >= min(limits):
            self.add("down" if percent >= limits[1] else "degraded", what, sentence)

    def observation(self, slow: float | None) -> Observation:
        """What it comes to; an answer after more than ``slow`` seconds is degraded."""
        if slow is not None and self.seconds is not None and self.seconds > slow:
            self.add("degraded", "slow", f"It took {self.seconds:.2g} s to answer, more than {slow:g} s.")
        found = sorted(self._found, key=lambda each: _WORST.index(each[0]))
        state, code = found[0][:2] if found else ("up", "ok")
        return Observation(state, code, " ".join([each[2] for each in found] + self._notes), self.seconds, dict(self.facts))


async def looked(where: str, limit: float, slow: float | None, work: Callable[[Findings], Awaitable[None]]) -> Observation:
    """What ``work`` finds of ``where`` within ``limit`` seconds; nothing that is wrong with a service is raised."""
    found = Findings()
    try:
        async with asyncio.timeout(limit * SHARE):
            await work(found)
    except Ended as ended:
        told = ended.observation
        found.add(told.state, told.code, told.message)
    except TimeoutError:
        if found.seconds is None:
            return late(where, limit)
        found.add("degraded", "slow", f"{where} answers, but told nothing more within {limit:g} s: is it overloaded?")
    except STRANGE as error:
        _log.warning("%s was looked at in vain: %s", where, type(error).__name__)
        sentence = f"{where} answered what we do not understand ({type(error).__name__}): does something else listen there?"
        found.add("down", "protocol", sentence)
    return found.observation(slow)


def down(code: str, sentence: str) -> Ended:
    return Ended(Observation("down", code, sentence))


def limits_of(service: ServiceSettings, usual: tuple[float, float] = (WARN, CRITICAL)) -> tuple[float, float]:
    """Percent from which the service is degraded, and down."""
    return usual[0] if service.warn is None else service.warn, usual[1] if service.critical is None else service.critical
