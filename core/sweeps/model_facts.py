"""Models judged by the turns that they answered: whether too many fail, and whether the first token takes too long.

A provider that is down explains all its models, and what failed until it came back is not held against them afterwards. Where
all models of a provider fail although it lists them, it is the provider that fails, which is one alert and not one for each.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from core.errors import DatabaseUnavailable
from core.settings import Settings
from core.store.base import Store
from core.store.model_figures import Figures, ModelFigures
from core.store.services import Services
from core.sweeps.judging import RANKS
from core.sweeps.observation import Observation, Probe
from core.sweeps.service import ServiceState
from core.topology.ours import NAME, provider_service

ERRORS = "errors"
Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


class ModelFact:
    """How one model of a provider does."""

    def __init__(self, provider: str, model: str, settings: Settings, store: Store, clock: Clock = _now) -> None:
        self._provider, self._model = provider, model
        self._settings, self._store, self._clock = settings, store, clock

    async def look(self) -> Observation:
        """See ``Probe.look``."""
        try:
            kept = await _kept(self._store, self._provider)
            if kept is not None and kept.state == "down":
                return Observation("down", "provider", f"Its provider {self._provider} is down.")
            since = _since(kept, self._settings, self._clock())
            return judged(await ModelFigures(self._store).of(self._provider, self._model, since), self._settings)
        except DatabaseUnavailable:
            return Observation("unknown", "database", "Nothing is known while our own database does not answer.")


class ProviderFact:
    """How a provider is, by ``probe``; and where that is well, by whether any of its models answers."""

    def __init__(self, provider: str, probe: Probe, settings: Settings, store: Store, clock: Clock = _now) -> None:
        self._provider, self._probe = provider, probe
        self._settings, self._store, self._clock = settings, store, clock

    async def look(self) -> Observation:
        """See ``Probe.look``."""
        seen = await self._probe.look()
        if seen.state != "up":
            return seen
        try:
            kept = await _kept(self._store, self._provider)
            if kept is not None and kept.state == "down" and kept.code != ERRORS:
                return seen  # it was away: what failed meanwhile says nothing of how it is now
            figures = await ModelFigures(self._store).since(_since(kept, self._settings, self._clock()))
        except DatabaseUnavailable:
            return seen
        failing = together([each for each in figures if each.provider == self._provider], self._settings)
        return seen if failing is None else replace(failing, seconds=seen.seconds, facts={**seen.facts, **failing.facts})


def judged(figures: Figures, settings: Settings) -> Observation:
    """What the figures of a model say of it; with too few turns, that nothing speaks against it."""
    bounds = settings.model_watch
    span = f"the last {bounds.window / 60:g} minutes"
    facts = _facts(figures)
    if figures.turns < bounds.fewest:
        return Observation("up", message=f"{figures.turns} turns in {span}: too few to judge it by.", facts=facts)
    share, slow = 100 * (figures.error_share or 0.0), figures.first_token_p95
    if share >= bounds.errors:
        words = f"{figures.errors} of {figures.turns} turns in {span} failed: look at the server's log."
        return Observation("down" if share >= bounds.errors_down else "degraded", ERRORS, words, figures.first_token, facts)
    if slow is not None and slow > bounds.first_token:
        words = f"The first token took longer than {bounds.first_token:g} s in more than 5 of 100 turns of {span} ({slow:.1f} s)."
        return Observation("degraded", "slow", f"{words} Is the server overloaded?", figures.first_token, facts)
    return Observation("up", seconds=figures.first_token, facts=facts)


def together(figures: Sequence[Figures], settings: Settings) -> Observation | None:
    """What all models of a provider say of it, where they are several and all fail; else None."""
    told = [(each, judged(each, settings)) for each in figures if each.turns >= settings.model_watch.fewest]
    if len(told) < 2 or any(seen.code != ERRORS for _, seen in told):
        return None
    errors, turns = sum(each.errors for each, _ in told), sum(each.turns for each, _ in told)
    state = max((seen.state for _, seen in told), key=lambda each: RANKS[each])
    words = f"It lists its models, but all {len(told)} that were asked fail: {errors} of {turns} turns. Look at its log."
    return Observation(state, ERRORS, words, facts={"turns": turns, "errors": errors})


async def _kept(store: Store, provider: str) -> ServiceState | None:
    """How the last look left a provider."""
    name = provider_service(provider)
    return next((each for each in await Services(store).all(NAME) if each.name == name), None)


def _since(provider: ServiceState | None, settings: Settings, now: datetime) -> datetime:
    """From when on turns count: the window, but nothing from before the provider came back."""
    since = now - _window(settings)
    return max(since, provider.since) if provider is not None and provider.state == "up" and provider.flips else since


def _window(settings: Settings) -> timedelta:
    return timedelta(seconds=settings.model_watch.window)


def _facts(figures: Figures) -> dict[str, str | float | int]:
    facts: dict[str, str | float | int] = {"turns": figures.turns, "errors": figures.errors, "retries": figures.retries}
    facts["fallbacks"] = figures.fallbacks
    more = {"first_token_p95": figures.first_token_p95, "tokens_per_second": figures.tokens_per_second}
    return facts | {name: value for name, value in more.items() if value is not None}
