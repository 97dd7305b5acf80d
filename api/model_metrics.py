"""Metrics of models for Prometheus: what this process counts of each, and what all processes together counted lately."""

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from core.store.model_figures import Figures
from core.store.turns import Outcome

MODELS = 50
"""Models with series of their own; others count under ``other``, whoever provides them."""
OTHER = ("other", "other")
NONE = "none"
"""A turn of which no model was asked."""
FIRST_TOKEN = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 30.0, 60.0)
LABELS = ["worker", "provider", "model"]


class ModelMeters:
    """What one process counts of its turns, by provider and model."""

    def __init__(self, registry: CollectorRegistry, worker: str) -> None:
        self._worker = worker
        self._known: set[tuple[str, str]] = set()

        def counter(name: str, said: str, *more: str) -> Counter:
            return Counter(f"pilothouse_model_{name}", said, [*LABELS, *more], registry=registry)

        self._first = Histogram(
            "pilothouse_model_first_token_seconds",
            "From the question to a model until its first token.",
            LABELS,
            buckets=FIRST_TOKEN,
            registry=registry,
        )
        self._turns = counter("turns", "Turns that a model answered, or was the last to fail.", "status")
        self._tokens = counter("output_tokens", "Tokens that it said, as its server counts them.")
        self._seconds = counter("output_seconds", "From first tokens to the ends of their answers.")
        self._errors = counter("errors", "Calls that were given up, by what was wrong.", "code")
        self._retries = counter("retries", "Times that it was asked again within a turn.")
        self._fallbacks = counter("fallbacks", "Turns in which the next model was asked in its place.")

    def turn(self, outcome: Outcome) -> None:
        """Count a turn that ended."""
        labels = self._labels(outcome.provider or NONE, outcome.model or NONE)
        self._turns.labels(*labels, outcome.status).inc()
        if outcome.model_first_ms is not None:
            self._first.labels(*labels).observe(outcome.model_first_ms / 1000)
        if outcome.model_ms is not None and outcome.model_tokens is not None:
            self._tokens.labels(*labels).inc(outcome.model_tokens)
            self._seconds.labels(*labels).inc(outcome.model_ms / 1000)
        for attempt in outcome.attempts or ():
            labels = self._labels(attempt["provider"], attempt["model"])
            self._retries.labels(*labels).inc(attempt["retries"])
            self._fallbacks.labels(*labels).inc(bool(attempt.get("left")))
            if code := attempt.get("code"):
                self._errors.labels(*labels, code).inc()

    def _labels(self, provider: str, model: str) -> tuple[str, str, str]:
        named = (provider, model)
        if named not in self._known and len(self._known) >= MODELS:
            named = OTHER
        self._known.add(named)
        return self._worker, *named


def recent(figures: Sequence[Figures]) -> Iterator[Metric]:
    """The figures by which sweeps judge models; the same from every process."""
    labels = ["provider", "model"]
    turns = GaugeMetricFamily("pilothouse_model_recent_turns", "Turns within model_watch.window.", labels=labels)
    errors = GaugeMetricFamily("pilothouse_model_recent_error_ratio", "Of these, those in which it failed.", labels=labels)
    first = GaugeMetricFamily("pilothouse_model_recent_first_token_seconds", "Their first tokens.", labels=[*labels, "quantile"])
    speed = GaugeMetricFamily(
        "pilothouse_model_recent_tokens_per_second", "How fast it spoke from the first token on.", labels=labels
    )
    for each in figures[:MODELS]:
        named = [each.provider, each.model]
        turns.add_metric(named, each.turns)
        for metric, more, value in (
            (errors, [], each.error_share),
            (first, ["0.5"], each.first_token),
            (first, ["0.95"], each.first_token_p95),
            (speed, [], each.tokens_per_second),
        ):
            if value is not None:
                metric.add_metric([*named, *more], value)
    yield from (turns, errors, first, speed)
