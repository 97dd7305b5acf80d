"""``pilothouse models``: which models there are, in which version, and what changed."""

import json
from typing import Annotated, Any

import typer

from core.model_versions import shown
from core.store.base import Store
from core.store.models import ChangeRecord, ModelRecord, Models
from deployments.listing import minute, print_columns
from deployments.options import AsJson, Config, DataDir
from deployments.own_database import asked

Provider = Annotated[str | None, typer.Option(help="Of one provider alone.")]
Changes = Annotated[bool, typer.Option("--changes", help="What changed, the newest first, in place of what there is.")]
NEWEST = 200


def models(
    provider: Provider = None,
    changes: Changes = False,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """The models of the providers as the flow sync_models last saw them. Example: pilothouse models --provider ollama --json

    The flow runs every hour; `pilothouse run sync_models` looks now.
    """

    async def found(store: Store) -> tuple[list[ModelRecord], list[ChangeRecord]]:
        kept = Models(store)
        return await kept.all(provider), await kept.changes(NEWEST)

    records, changed = asked(config, data_dir, "models", found)
    mine = [each for each in changed if provider in (None, each.provider)]
    if as_json:
        told: Any = {"models": [_told(each) for each in records], "changes": [_change(each) for each in mine]}
        typer.echo(json.dumps(told, ensure_ascii=False, indent=2))
    elif changes:
        _print_changes(mine)
    else:
        _print_models(records)


def _print_models(records: list[ModelRecord]) -> None:
    if not records:
        typer.echo("No models are known yet; `pilothouse run sync_models` asks the providers.")
        return
    rows = [("PROVIDER", "MODEL", "VERSION", "FIRST SEEN", "CHANGED", "STATE")]
    rows += [
        (
            each.provider,
            each.model,
            shown(each.digest),
            minute(each.first_seen),
            minute(each.changed_at),
            f"gone since {minute(each.gone_at)}" if each.gone_at else "there",
        )
        for each in records
    ]
    print_columns(rows)


def _print_changes(changes: list[ChangeRecord]) -> None:
    if not changes:
        typer.echo("Nothing has changed since the models were first seen.")
        return
    rows = [("AT", "PROVIDER", "MODEL", "CHANGE", "BEFORE", "NOW", "WHAT")]
    rows += [
        (
            minute(each.at),
            each.provider,
            each.model,
            each.change,
            shown(each.before) or "-",
            shown(each.after) or "-",
            ", ".join(each.what) or "-",
        )
        for each in changes
    ]
    print_columns(rows)


def _told(each: ModelRecord) -> dict[str, Any]:
    return {
        "provider": each.provider,
        "model": each.model,
        "kind": each.kind,
        "digest": each.digest,
        "details": each.details,
        "firstSeen": each.first_seen.isoformat(),
        "seenAt": each.seen_at.isoformat(),
        "changedAt": each.changed_at.isoformat() if each.changed_at else None,
        "goneAt": each.gone_at.isoformat() if each.gone_at else None,
    }


def _change(each: ChangeRecord) -> dict[str, Any]:
    return {
        "provider": each.provider,
        "model": each.model,
        "change": each.change,
        "before": each.before or None,
        "after": each.after or None,
        "what": each.what,
        "at": each.at.isoformat(),
    }
