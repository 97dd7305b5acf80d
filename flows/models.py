"""``sync_models``: which models there are, in which version, and whether that changed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import acreate_table_artifact

from blocks.model_versions import ModelShelf
from core.config import Settings, load_settings
from core.errors import PilothouseError
from core.model_versions import Changed, Version, alert_of, provider_named, shown
from core.store.alerts import Alerts
from core.store.base import Store
from core.store.model_figures import ModelFigures
from core.store.models import ModelRecord, Models
from core.store.runs import Runs
from tasks.models import keep_versions, list_versions
from tasks.retrying import NOWHERE
from tasks.runs import keep_result, report_progress

USED = timedelta(days=7)
"""Within which a model that the configuration does not name was asked, so that people are told when it changes."""
KEPT = 365.0
"""Days for which changes, and models that are gone, are kept."""
SHOWN = 500
"""Models in the artifact's table, and changes in the result."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the flow works with."""

    settings: Settings
    models: Models
    figures: ModelFigures
    alerts: Alerts
    runs: Runs


@dataclass(frozen=True, slots=True)
class Synced:
    """What came of one provider; ``error`` where it could not be asked."""

    provider: str
    versions: Sequence[Version] = ()
    changes: Sequence[Changed] = field(default=())
    error: PilothouseError | None = None


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Parts]:
    """The parts, until the block ends."""
    store = Store.from_settings(settings.database, application="pilothouse flows")
    try:
        yield Parts(settings, Models(store), ModelFigures(store), Alerts(store), Runs(store))
    finally:
        await store.aclose()


@flow(name="sync_models", persist_result=False, result_storage=NOWHERE, timeout_seconds=900)
async def sync_models(provider: str | None = None) -> dict[str, Any]:
    """Asks every provider which models it has in which version, and tells when one that is used changed, came or went.

    Versions are Ollama's digests, the digest of the demo model's file, and what other servers tell in their lists. A provider
    that is away stops no other and leaves its models as they were; sweeps tell that it is away.

    Args:
        provider: One provider alone; all without it. That one being away fails the run.
    """
    settings = load_settings()
    if provider is not None:
        provider_named(provider, settings)
    async with opened(settings) as parts:
        names = [provider] if provider is not None else sorted(settings.providers)
        wanted = await _wanted(parts)
        synced = await asyncio.gather(*(_synced(parts, name, wanted.get(name, set())) for name in names))
        report_progress(len(names), len(names), "providers")
        told = await _told(parts)
        result = _result(synced, told)
        await keep_result(parts.runs, result)
        table = _table(await parts.models.all(provider))
        await acreate_table_artifact(table, key="models", description="The models that there are, and which version of them.")
    if provider is not None and synced[0].error is not None:
        raise synced[0].error
    return result


async def _wanted(parts: Parts) -> dict[str, set[str]]:
    """By provider the models whose changes people want to hear of: those it is configured for, and those asked lately."""
    found: dict[str, set[str]] = {}
    for name, provider in parts.settings.providers.items():
        # Ollama lists by its whole name what people may ask for without a tag.
        found[name] = {each for model in provider.models for each in (model.name, f"{model.name}:latest")}
    for used in await parts.figures.used(datetime.now(UTC) - USED):
        found.setdefault(used.provider, set()).update((used.model, f"{used.model}:latest"))
    return found


async def _synced(parts: Parts, name: str, wanted: set[str]) -> Synced:
    shelf = None
    try:
        shelf = ModelShelf.from_settings(name, parts.settings)
        known = {each.model: each.version for each in await parts.models.all(name)}
        versions = await list_versions(shelf, known)
        changes = await keep_versions(parts.models, name, versions, wanted)
    except PilothouseError as error:
        get_run_logger().warning("The models of %s are not known: %s", name, error.message)
        return Synced(name, error=error)
    finally:
        if shelf is not None:
            await shelf.aclose()
    for each in changes:
        get_run_logger().info("%s/%s: %s (%s)", name, each.model, each.change, ", ".join(each.what) or "whole")
    return Synced(name, versions, changes)


async def _told(parts: Parts) -> int:
    """Raise an alert for each change that people want to hear of; one that an earlier run could not raise is raised now."""
    changes = await parts.models.changes(untold=True)
    for each in changes:
        name = f"model-change:{each.id}"
        await parts.alerts.raise_once(alert_of(each.changed, name), name)
        await parts.models.told(each.id)
    await parts.models.retire(list(parts.settings.providers))
    await parts.models.forget(KEPT)
    return len(changes)


def _result(synced: Sequence[Synced], told: int) -> dict[str, Any]:
    """Names, digests and counts."""
    changes = [each for one in synced for each in one.changes]
    return {
        "providers": {one.provider: len(one.versions) for one in synced if one.error is None},
        "away": {one.provider: one.error.code for one in synced if one.error is not None},
        "changes": [
            {"provider": each.provider, "model": each.model, "change": each.change, "what": list(each.what)}
            for each in changes[:SHOWN]
        ],
        "told": told,
    }


def _table(records: Sequence[ModelRecord]) -> list[dict[str, Any]]:
    newest = sorted(records, key=lambda each: each.gone_at or each.changed_at or each.first_seen, reverse=True)
    return [
        {
            "provider": each.provider,
            "model": each.model,
            "version": f"{each.kind} {shown(each.digest)}",
            "first seen": f"{each.first_seen:%Y-%m-%d %H:%M} UTC",
            "changed": f"{each.changed_at:%Y-%m-%d %H:%M} UTC" if each.changed_at else "",
            "gone": f"{each.gone_at:%Y-%m-%d %H:%M} UTC" if each.gone_at else "",
        }
        for each in newest[:SHOWN]
    ]
