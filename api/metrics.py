"""Metrics for Prometheus: facts of the database, the same from every process, and what this process counts itself.

What a process counts has the label ``worker``, since each scrape reaches one of several. Labels are names of the configuration
and words of our own; how many there may be of each is bounded.
"""

import asyncio
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.auth import require
from api.model_metrics import FIRST_TOKEN, MODELS, ModelMeters, recent
from api.parts import Parts, TheParts
from api.status_page import status_of
from core.status.asking import Status
from core.status.view import STATES, BackupView, SweepView
from core.store.access import Principal
from core.store.deliveries import open_alerts
from core.store.model_figures import Figures, ModelFigures
from core.store.notices import Outbox
from core.store.service_history import Brief, ServiceHistory
from core.tools.running import RunningCall
from core.topology.ours import hidden_from
from core.turns import RunningTurn
from core.workspaces import DEFAULT, EVERY, current_workspace, enter

router = APIRouter(tags=["health"])
SERVICES = 10_000
"""Services with series of their own; platforms are counted whole."""
NUMBERS = {"up": 0, "degraded": 1, "down": 2, "unreachable": 3, "unknown": 4}


class Meters:
    """What this process counts."""

    def __init__(self, parts: Parts) -> None:
        self.registry = CollectorRegistry()
        self.worker = str(os.getpid())
        self._models: set[str] = set()
        self._turns = Counter("pilothouse_turns", "Chat turns that ended.", ["worker", "model", "status"], registry=self.registry)
        self._tools = Counter(
            "pilothouse_tool_runs", "Tool runs that ended.", ["worker", "tool", "status"], registry=self.registry
        )
        self._first = Histogram(
            "pilothouse_first_token_seconds",
            "From a turn's beginning to its first token.",
            ["worker", "model"],
            buckets=FIRST_TOKEN,
            registry=self.registry,
        )
        self._of_models = ModelMeters(self.registry, self.worker)
        running = Gauge("pilothouse_turns_running", "Chat turns being answered.", ["worker"], registry=self.registry)
        running.labels(self.worker).set_function(lambda: len(parts.conversations.turns))
        calls = Gauge("pilothouse_tool_runs_running", "Tools being run.", ["worker"], registry=self.registry)
        calls.labels(self.worker).set_function(lambda: len(parts.tool_calls.calls))
        prefect = Gauge(
            "pilothouse_prefect_up", "1 while Prefect's server answers this process.", ["worker"], registry=self.registry
        )
        prefect.labels(self.worker).set_function(lambda: parts.link.presence.up)
        parts.conversations.on_end.append(self.turn)
        parts.tool_calls.on_end.append(self.call)

    def turn(self, turn: RunningTurn) -> None:
        """Count a turn that ended."""
        outcome = turn.outcome
        if outcome is None:
            return
        model = outcome.model or "none"
        if model not in self._models and len(self._models) >= MODELS:
            model = "other"
        self._models.add(model)
        self._turns.labels(self.worker, model, outcome.status).inc()
        if outcome.first_token_ms is not None:
            self._first.labels(self.worker, model).observe(outcome.first_token_ms / 1000)
        self._of_models.turn(outcome)

    def call(self, call: RunningCall) -> None:
        """Count a tool run that ended; tools are those on the shelf, and as few."""
        if call.outcome is not None:
            self._tools.labels(self.worker, call.run.tool_id, call.outcome.status).inc()


def install(app: FastAPI, parts: Parts) -> None:
    """Begin to count."""
    app.state.meters = Meters(parts)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the database says."""

    services: list[Brief]
    platforms: dict[str, dict[str, int]]
    sweep: SweepView
    alerts: dict[str, int]
    outboxes: list[Outbox]
    backups: tuple[BackupView, ...]
    models: list[Figures]
    now: datetime


async def facts_of(parts: Parts, status: Status) -> Facts:
    """Raises ``DatabaseUnavailable``."""
    now = datetime.now(UTC)
    history = ServiceHistory(parts.store)
    hidden = hidden_from(current_workspace(), parts.settings)
    return Facts(
        services=[each for each in await history.brief(SERVICES) if f"{each.topology}/{each.name}" not in hidden],
        platforms={name: {str(state): count for state, count in of.items()} for name, of in (await history.counts()).items()},
        sweep=await status.sweep(now),
        alerts=await open_alerts(parts.store),
        outboxes=await status.outboxes(),
        backups=await status.backups(now),
        models=await ModelFigures(parts.store).since(now - timedelta(seconds=parts.settings.model_watch.window)),
        now=now,
    )


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
async def metrics(caller: Annotated[Principal, Depends(require("read"))], parts: TheParts, request: Request) -> Response:
    """Prometheus' text format, or OpenMetrics where that is asked for. While the database is away nobody's token can be checked,
    so there is nothing: 503."""
    if caller.workspace == DEFAULT:
        enter(EVERY)  # whoever watches the installation; of another workspace, its own alerts and backups
    meters: Meters = request.app.state.meters
    facts = await facts_of(parts, status_of(request))
    encoder, kind = choose_encoder(request.headers.get("accept", ""))
    # A thousand services are some milliseconds of work that a turn would wait for.
    body = await asyncio.to_thread(lambda: encoder(_registry(meters, facts)))
    return Response(body, media_type=kind, headers={"Cache-Control": "no-store"})


def _registry(meters: Meters, facts: Facts) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given(_facts(facts)))
    registry.register(_Given(meters.registry.collect()))
    registry.register(_Given(_labelled(ProcessCollector(registry=None).collect(), meters.worker)))
    return registry


class _Given(Collector):
    """Metrics that are there already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)


def _labelled(metrics: Iterable[Metric], worker: str) -> Iterator[Metric]:
    """The same with the label ``worker``: of several processes each has a memory of its own."""
    for metric in metrics:
        metric.samples = [sample._replace(labels={**sample.labels, "worker": worker}) for sample in metric.samples]
        yield metric


def _facts(facts: Facts) -> Iterator[Metric]:
    info = GaugeMetricFamily("pilothouse_info", "Which release this is.", labels=["version"])
    info.add_metric([version("pilothouse")], 1)
    yield info
    yield from _services(facts)
    sweep = facts.sweep
    if sweep.at is not None:
        yield GaugeMetricFamily("pilothouse_last_sweep_timestamp_seconds", "When the last sweep ended.", sweep.at.timestamp())
        yield GaugeMetricFamily("pilothouse_last_sweep_duration_seconds", "How long it took.", sweep.seconds)
    yield GaugeMetricFamily(
        "pilothouse_sweep_overdue", "1 when no sweep came for clearly longer than the interval.", sweep.overdue
    )
    alerts = GaugeMetricFamily("pilothouse_alerts_open", "Alerts that hold now.", labels=["severity"])
    for severity in ("critical", "warning", "info"):
        alerts.add_metric([severity], facts.alerts.get(severity, 0))
    yield alerts
    yield from _notices(facts)
    yield from _backups(facts.backups)
    yield from recent(facts.models)


def _services(facts: Facts) -> Iterator[Metric]:
    labels = ["service", "platform"]
    up = GaugeMetricFamily("pilothouse_service_up", "1 up or degraded, 0 down; none while nobody could tell.", labels=labels)
    said = ", ".join(f"{number} {state}" for state, number in NUMBERS.items())
    state = GaugeMetricFamily("pilothouse_service_state", f"{said}.", labels=labels)
    latency = GaugeMetricFamily("pilothouse_service_latency_seconds", "How long the last answer took.", labels=labels)
    seen: set[tuple[str, str]] = set()
    for each in facts.services:
        # Two topologies may have a service of the same name under one platform.
        name = each.name if (each.name, each.platform) not in seen else f"{each.topology}/{each.name}"
        seen.add((name, each.platform))
        if each.state in {"up", "degraded", "down"}:
            up.add_metric([name, each.platform], each.state != "down")
        state.add_metric([name, each.platform], NUMBERS[each.state])
        if each.seconds is not None:
            latency.add_metric([name, each.platform], each.seconds)
    counts = GaugeMetricFamily("pilothouse_services", "Services by state.", labels=["platform", "state"])
    for platform, of in facts.platforms.items():
        for one in STATES:
            counts.add_metric([platform, one], of.get(one, 0))
    yield from (up, state, latency, counts)


def _notices(facts: Facts) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("pilothouse_notices_waiting", "Messages that wait to be sent.", labels=["channel"])
    oldest = GaugeMetricFamily("pilothouse_notices_oldest_seconds", "How long the oldest of them has waited.", labels=["channel"])
    given_up = GaugeMetricFamily("pilothouse_notices_given_up", "Messages given up in the last 24 hours.", labels=["channel"])
    for outbox in facts.outboxes:
        waiting.add_metric([outbox.channel], outbox.waiting)
        given_up.add_metric([outbox.channel], outbox.given_up)
        since = outbox.oldest_at
        oldest.add_metric([outbox.channel], 0 if since is None else max(0.0, (facts.now - since).total_seconds()))
    yield from (waiting, oldest, given_up)


def _backups(backups: Iterable[BackupView]) -> Iterator[Metric]:
    def family(name: str, said: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"pilothouse_{name}", said, labels=["source"])

    good_at = family("backup_last_success_timestamp_seconds", "When the newest good backup began.")
    size = family("backup_size_bytes", "Its size as stored.")
    took = family("backup_duration_seconds", "How long it took.")
    fresh = family("backup_fresh", "1 when the newest attempt was good and none is late.")
    drilled = family("drill_last_timestamp_seconds", "When the newest drill was.")
    proven = family("drill_last_good", "1 when it put everything back.")
    needed = family("drill_duration_seconds", "How long it took to put everything back.")
    for each in backups:
        values = (
            (good_at, each.good_at.timestamp() if each.good_at else None),
            (size, each.size),
            (took, each.seconds),
            (fresh, each.fresh == "fresh"),
            (drilled, each.drill_at.timestamp() if each.drill_at else None),
            (proven, each.drill == "good" if each.drill else None),
            (needed, each.drill_seconds),
        )
        for metric, value in values:
            if value is not None:
                metric.add_metric([each.source], float(value))
    yield from (good_at, size, took, fresh, drilled, proven, needed)
