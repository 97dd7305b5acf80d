"""Metrics as Prometheus reads them: the database's facts, what the process counts, and nothing malformed."""

from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from deployments.postgres import EmbeddedPostgres
from tests.api.serving import MODELS, Chat, Served, beside, launched, provider
from tests.api.test_status_page import SETTINGS, fill
from tests.upstream import FakeUpstream
from tests.waiting import eventually

Read = dict[str, Metric]


@pytest.fixture(scope="module")
def watched(
    postgres: EmbeddedPostgres, template_database: str, standing_upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """An API that can chat, whose database has been swept."""
    folder = tmp_path_factory.mktemp("watched")
    url = standing_upstream.base_url
    providers = {
        "fake": provider(url, *MODELS, "fail-503-1"),
        "hasty": provider(url, "fail-502-1", retries=0, order=200),
        "spare": provider(url, "fail-502-1", order=300),
    }
    with launched(postgres, template_database, folder, providers, settings=SETTINGS) as api:
        beside(fill(api.database_url))
        yield api


async def read(client: httpx.AsyncClient) -> Read:
    response = await client.get("/metrics")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/plain; version=")
    return {metric.name: metric for metric in text_string_to_metric_families(response.text)}


def value(metrics: Read, name: str, **labels: str) -> float:
    found = [
        sample.value
        for metric in metrics.values()
        for sample in metric.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) == 1, (name, labels, found)
    return float(found[0])


async def test_it_says_what_the_database_knows(watched: Served) -> None:
    async with watched.client() as client:
        metrics = await read(client)
    assert value(metrics, "pilothouse_service_up", service="db", platform="shop") == 0
    assert value(metrics, "pilothouse_service_up", service="search", platform="shop") == 1
    assert value(metrics, "pilothouse_service_state", service="search") == 1
    assert value(metrics, "pilothouse_service_latency_seconds", service="vllm") == pytest.approx(0.02)
    assert not [sample for sample in metrics["pilothouse_service_up"].samples if sample.labels["service"] == "mail"]
    assert value(metrics, "pilothouse_services", platform="shop", state="down") == 3
    assert value(metrics, "pilothouse_sweep_overdue") == 0
    assert value(metrics, "pilothouse_alerts_open", severity="critical") == 1
    assert value(metrics, "pilothouse_notices_given_up", channel="teams") == 1
    assert value(metrics, "pilothouse_notices_waiting", channel="mail") == 1
    assert value(metrics, "pilothouse_backup_fresh", source="orders") == 1
    assert value(metrics, "pilothouse_backup_fresh", source="users") == 0
    assert value(metrics, "pilothouse_backup_size_bytes", source="orders") == 4200
    assert value(metrics, "pilothouse_drill_duration_seconds", source="orders") == 21


async def test_every_metric_is_described_and_no_series_comes_twice(watched: Served) -> None:
    async with watched.client() as client:
        metrics = await read(client)
    for metric in metrics.values():
        assert metric.documentation, metric.name
        assert metric.type in {"gauge", "counter", "histogram"}, metric.name
        series = Counter((sample.name, *sorted(sample.labels.items())) for sample in metric.samples)
        assert [each for each, times in series.items() if times > 1] == []
    counted = ("process_", "pilothouse_turns", "pilothouse_first", "pilothouse_model_output")
    own = [metric for name, metric in metrics.items() if name.startswith(counted)]
    assert len(own) > 5
    assert all("worker" in sample.labels for metric in own for sample in metric.samples)


async def test_turns_and_tool_runs_are_counted(watched: Served) -> None:
    async with watched.client() as client:
        before = await read(client)
        chat = await Chat(client).open()
        assert (await chat.ask("hello", "plain")).status_code == 200
        assert (await chat.ask("draw it", "chart")).status_code == 200

        async def counted() -> Read | None:
            metrics = await read(client)
            return metrics if metrics["pilothouse_turns"].samples and metrics["pilothouse_tool_runs"].samples else None

        metrics = await eventually(counted, what="the turn and the run to be counted")
    assert metrics is not None
    assert before["pilothouse_turns"].samples == []
    assert value(metrics, "pilothouse_turns_total", model="plain", status="done") == 1
    assert value(metrics, "pilothouse_first_token_seconds_count", model="plain") == 1
    assert 0 < value(metrics, "pilothouse_first_token_seconds_sum", model="plain") < 10
    assert value(metrics, "pilothouse_tool_runs_total", tool="drawing/chart", status="done") == 1


async def test_models_are_counted_with_what_went_wrong(watched: Served) -> None:
    async with watched.client() as client:
        chat = await Chat(client).open()
        assert (await chat.ask("hello", "fail-503-1")).status_code == 200
        assert (await chat.ask("hello", "refuse-401")).status_code == 502
        assert (await chat.ask("hello", "fail-502-1")).status_code == 200

        async def counted() -> Read | None:
            metrics = await read(client)
            ended = [each for each in metrics["pilothouse_model_turns"].samples if each.labels["provider"] == "spare"]
            return metrics if ended else None

        metrics = await eventually(counted, what="the error to be counted")
    assert metrics is not None
    answered = {"provider": "fake", "model": "fail-503-1"}
    assert value(metrics, "pilothouse_model_turns_total", status="done", **answered) == 1
    assert value(metrics, "pilothouse_model_retries_total", **answered) == 1
    assert value(metrics, "pilothouse_model_first_token_seconds_count", **answered) == 1
    assert value(metrics, "pilothouse_model_output_tokens_total", **answered) > 0
    assert value(metrics, "pilothouse_model_recent_turns", **answered) == 1
    assert value(metrics, "pilothouse_model_recent_error_ratio", **answered) == 0
    assert value(metrics, "pilothouse_model_recent_first_token_seconds", quantile="0.95", **answered) > 0
    failed = {"provider": "fake", "model": "refuse-401"}
    assert value(metrics, "pilothouse_model_errors_total", code="provider_failed", **failed) == 1
    assert value(metrics, "pilothouse_model_recent_error_ratio", **failed) == 1
    assert value(metrics, "pilothouse_model_fallbacks_total", provider="hasty") == 1
    assert value(metrics, "pilothouse_model_recent_error_ratio", provider="hasty") == 1
    assert value(metrics, "pilothouse_model_turns_total", provider="spare", status="done") == 1


async def test_open_metrics_are_given_where_they_are_asked_for(watched: Served) -> None:
    accept = "application/openmetrics-text; version=1.0.0"
    async with watched.client() as client:
        response = await client.get("/metrics", headers={"Accept": accept})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert "pilothouse_service_up" in {metric.name for metric in open_metrics(response.text)}  # type: ignore[no-untyped-call]
