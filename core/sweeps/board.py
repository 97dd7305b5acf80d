"""All services of a sweep and what is known of them: looks come in, what to look at again and what to tell comes out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from core.alerts.alert import Alert
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.sweeps.folding import Condition, Fold, folded
from core.sweeps.judging import Flip, Thresholds, judged, worse
from core.sweeps.observation import Observation
from core.sweeps.service import Key, ServiceState
from core.sweeps.telling import Around, Place, alert_of, digest_of
from core.sweeps.windows import in_maintenance
from core.topology.graph import Graph
from core.topology.topology import Topology

OFFLINE = Observation("unknown", "offline", "Not looked at: this machine has no network.")


@dataclass(frozen=True, slots=True)
class Tidings:
    """Alerts to raise; services that are ``over`` it, and those of which nothing more can be said (``lost``)."""

    alerts: Sequence[Alert]
    over: Sequence[ServiceState]
    lost: Sequence[ServiceState]


class Board:
    """``kept`` is how the last sweep left the services; those that are in no topology any more are ``gone``."""

    def __init__(self, settings: Settings, topologies: Sequence[Topology], kept: Iterable[ServiceState], now: datetime) -> None:
        self.services: dict[Key, ServiceSettings] = {
            Key(topology.name, name): service for topology in topologies for name, service in topology.services.items()
        }
        self._settings = settings
        before = {each.key: each for each in kept}
        self.states: dict[Key, ServiceState] = {}
        for position, (key, service) in enumerate(self.services.items()):
            known = before.get(key) or ServiceState(key.topology, key.name, service.check, now)
            self.states[key] = _described(known, position, service)
        self.gone: list[ServiceState] = [each for key, each in before.items() if key not in self.services]
        self.blurred: set[Key] = set()
        """Those that could not be looked at, since this machine has no network."""
        self.flips = 0
        self._failing: dict[Key, datetime] = {}
        """Since when the looks at a service have been bad without a good one, as far as this board has seen."""
        self.graph: Graph[Key] = Graph(
            {key: [Key(key.topology, name) for name in each.depends_on] for key, each in self.states.items()},
            {key: [Key(key.topology, name) for name in each.hints] for key, each in self.states.items()},
        )
        self._saved: Mapping[Key, ServiceState] = before
        self._fold: Fold[Key] = Fold({}, {}, {})

    def thresholds(self, key: Key) -> Thresholds:
        """What it takes to change the mind about a service."""
        own, all_of_them = self.services[key], self._settings.sweeps
        return Thresholds(own.open_after or all_of_them.open_after, own.close_after or all_of_them.close_after)

    def note(self, key: Key, seen: Observation, now: datetime) -> Flip | None:
        """Take in one look; the flip that it decided."""
        self.blurred.discard(key)
        before = self.states[key]
        known, flip = judged(before.known, seen.state, self.thresholds(key), now)
        looks = before.looks - (seen.state in ("down", "degraded") and before.root is None and before.looks > 0)
        if seen.state in ("down", "degraded"):
            self._failing.setdefault(key, now)
        else:
            self._failing.pop(key, None)
        better = known.state in ("down", "degraded") and not worse(seen.state, known.state) and seen.state != known.state
        said = before if better else seen  # why it is as it is, and not what one good look at it said
        counts = flip is not None and flip.before != "unknown"
        self.flips += counts
        self.states[key] = replace(
            before,
            state=known.state,
            since=known.since,
            pending=known.pending,
            streak=known.streak,
            code=said.code,
            message=said.message,
            seconds=seen.seconds,
            facts=dict(seen.facts),
            checked_at=now,
            good_at=now if seen.state in ("up", "degraded") else before.good_at,
            flips=before.flips + counts,
            looks=looks,
        )
        return flip

    def blur(self, key: Key, now: datetime) -> None:
        """It seemed to fail, but so would anything: what is known of it stays."""
        self.blurred.add(key)
        before = self.states[key]
        said = replace(before, code=OFFLINE.code, message=OFFLINE.message, seconds=None, facts={})
        self.states[key] = replace(said, pending=None, streak=0, checked_at=now)

    def settle(self, place: Place, now: datetime) -> Tidings:
        """Fold what is known now; what there is to tell of it that has not been told."""
        zone = self._settings.timezone
        for key, each in self.states.items():
            quiet = in_maintenance(self.services[key].maintenance, now, zone)
            if quiet != each.maintenance:
                self.states[key] = replace(each, maintenance=quiet)
        self._fold = self._blamed(folded(self.graph, {key: _condition(each) for key, each in self.states.items()}))
        alerts: list[Alert] = []
        over: dict[bool, list[ServiceState]] = {True: [], False: []}
        for key, each in self.states.items():
            fate = self._fold.fates.get(key)
            if fate == "root":
                alerts += self._told(key, place)
            elif fate == "folded":
                self.states[key] = replace(each, root=str(self._fold.roots[key]), looks=self.thresholds(key).open_after)
            elif fate is not None:
                self.states[key] = replace(each, root=None)
            elif each.state in ("up", "unknown"):
                over[each.state == "up"] += [each] if each.told is not None else []
                self.states[key] = replace(each, root=None, looks=0, told=None)
        return Tidings(alerts, over[True], over[False])

    def again(self) -> list[Key]:
        """Those to look at again before anything more can be said: undecided ones, waiting ones, and all that those need."""
        waiting = {key for key, fate in self._fold.fates.items() if fate == "waits"}
        failing = {key for key, each in self.states.items() if each.known.worsening} | waiting
        undecided = {key for key, each in self.states.items() if each.known.undecided}
        wanted = undecided | failing | (self.graph.ancestors(failing) if failing else set())
        return [key for key in self.states if key in wanted] if undecided or waiting else []

    def levels(self, wanted: Iterable[Key] | None = None) -> list[list[Key]]:
        """The services, or those ``wanted`` of them, from the ground up."""
        chosen = self.states.keys() if wanted is None else set(wanted)
        found = [[key for key in level if key in chosen] for level in self.graph.levels()]
        return [level for level in found if level]

    def changed(self) -> list[ServiceState]:
        """Those that are not as they were when this was last asked."""
        found = [each for key, each in self.states.items() if self._saved.get(key) != each]
        self._saved = dict(self.states)
        return found

    def sampled(self) -> list[ServiceState]:
        """How each service counts in its history."""
        blurred = {key: replace(self.states[key], state="unknown") for key in self.blurred}
        return [blurred.get(key, each) for key, each in self.states.items()]

    def counts(self, topology: str | None = None) -> dict[str, int]:
        """Services by state, of one topology or all."""
        found = dict.fromkeys(("up", "degraded", "down", "unreachable", "unknown"), 0)
        for each in self.states.values():
            found[each.state] += topology in (None, each.topology)
        return found

    def _blamed(self, fold: Fold[Key]) -> Fold[Key]:
        """A new cause waits until all that it needs has been looked at since it began to fail, and was found not to be it."""
        fates = dict(fold.fates)
        for key, fate in fold.fates.items():
            if fate == "root" and self.states[key].told is None:
                since = self._failing.get(key)
                looked = [self.states[each].checked_at for each in self.graph.ancestors([key]) - {key}]
                if looked and (since is None or any(at is None or at <= since for at in looked)):
                    fates[key] = "waits"
        return replace(fold, fates=fates)

    def _told(self, key: Key, place: Place) -> list[Alert]:
        """Its alert, where that says something new."""
        each = replace(self.states[key], root=None)
        improving = each.known.undecided and not each.known.worsening
        if improving or each.maintenance or key in self.blurred:  # nothing is to be said before that is over
            self.states[key] = each
            return []
        under = [self.states[child] for child in self._fold.under.get(key, ())]
        beside = [self.states[other] for other in self._fold.beside.get(key, ())]
        alert = alert_of(each, Around(under, len(self.graph.dependants(key)), beside), place)
        digest = digest_of(alert)
        self.states[key] = replace(each, told=digest, looks=0)
        return [alert] if digest != each.told else []


def _described(known: ServiceState, position: int, service: ServiceSettings) -> ServiceState:
    return replace(
        known,
        kind=service.check,
        position=position,
        title=service.title or "",
        platform=service.platform,
        severity=service.severity,
        runbook=service.runbook,
        depends_on=service.depends_on,
        hints=service.hints,
    )


def _condition(each: ServiceState) -> Condition[Key]:
    topology, _, name = (each.root or "").partition("/")
    return Condition(
        state=each.state,
        since=each.since,
        worsening=each.known.worsening,
        alerting=each.told is not None,
        quiet=each.maintenance,
        root=Key(topology, name) if each.root else None,
        looks=each.looks,
    )
