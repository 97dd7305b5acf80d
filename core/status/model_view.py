"""Models as the status page shows them: how each did in the last day, and in which version it is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic

from core.config import Settings
from core.model_versions import shown
from core.store.base import Store
from core.store.model_figures import Figures, ModelFigures
from core.store.models import ModelRecord, Models
from core.store.services import Services
from core.sweeps.observation import State
from core.topology.ours import NAME, model_service

DAY = timedelta(days=1)
SHOWN = 50
"""Models that are listed, those that were asked most often first."""
FRESH = 20.0
"""Seconds for which figures of a day are shown again: with very many turns they take some tenths of a second."""


@dataclass(frozen=True, slots=True)
class ModelView:
    """A provider's model. ``figures`` are of the last day; ``version`` is the beginning of a digest, empty where none is."""

    provider: str
    model: str
    figures: Figures
    state: State = "unknown"
    message: str = ""
    version: str = ""
    changed_at: datetime | None = None
    gone: bool = False


class ModelViews:
    """Asks for them, and remembers them for a moment."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._figures, self._models, self._services = ModelFigures(store), Models(store), Services(store)
        self._configured = [(name, m.name) for name, each in settings.providers.items() for m in each.models if m.is_chat]
        self._known: tuple[float, tuple[ModelView, ...]] | None = None

    async def now(self) -> tuple[ModelView, ...]:
        """Those of the configuration, and those that were asked in the last day. Raises ``DatabaseUnavailable``."""
        if self._known is None or monotonic() - self._known[0] > FRESH:
            figures = await self._figures.since(datetime.now(UTC) - DAY)
            named = [*self._configured, *((each.provider, each.model) for each in figures)]
            states = {each.name: (each.state, each.message) for each in await self._services.all(NAME)}
            self._known = monotonic(), model_views(self._configured, figures, await self._models.some(named), states)
        return self._known[1]


def model_views(
    configured: Sequence[tuple[str, str]],
    figures: Sequence[Figures],
    records: Iterable[ModelRecord],
    states: Mapping[str, tuple[State, str]],
) -> tuple[ModelView, ...]:
    """Put together; ``states`` by the name of the service that stands for a model."""
    by_model = {(each.provider, each.model): each for each in figures}
    versions = {(each.provider, each.model): each for each in records}
    found = []
    for key in dict.fromkeys([*by_model, *configured]):
        state, message = states.get(model_service(*key), ("unknown", ""))
        # Ollama lists by its whole name what people may ask for without a tag.
        record = versions.get(key) or versions.get((key[0], f"{key[1]}:latest"))
        view = ModelView(*key, by_model.get(key) or Figures(*key), state, message)
        if record is not None:
            gone = record.gone_at is not None
            view = ModelView(*key, view.figures, state, message, shown(record.digest), record.changed_at, gone)
        found.append(view)
    return tuple(sorted(found, key=lambda each: (-each.figures.turns, each.provider, each.model))[:SHOWN])
