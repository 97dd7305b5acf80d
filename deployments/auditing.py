"""``pilothouse audit``: whether the audit log is as it was written, and its entries for other programs."""

import asyncio
from datetime import UTC, datetime
from json import JSONDecodeError, loads
from typing import Annotated

import orjson
import typer

from core.audit.entry import Kept, as_ecs
from core.config import Settings, load_settings
from core.errors import ConfigurationInvalid
from core.store.audit import Audit, Seal, Verdict
from deployments.listing import minute, print_columns
from deployments.own_database import AsJson, Config, DataDir, asked
from deployments.secret_files import secret_path

KEY, HEAD = "audit", "audit-head"
PAGE = 1000

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Who did what, sealed so that no change stays unseen. Example: pilothouse audit verify",
)


@app.callback()
def audit() -> None:
    """Who did what, sealed so that no change stays unseen. Example: pilothouse audit verify"""


@app.command()
def verify(as_json: AsJson = False, config: Config = None, data_dir: DataDir = None) -> None:
    """Check every entry against its seal; exit 1 where one was changed or is missing. Example: pilothouse audit verify"""
    settings = load_settings(config=config, overrides={"data_dir": data_dir})
    keys, head = audit_keys(settings), _noted_head(settings)
    verdict: Verdict = asked(config, data_dir, "an audit log", lambda store: Audit(store).verify(keys, head))
    if as_json:
        found = {"batches": verdict.batches, "entries": verdict.entries, "unsealed": verdict.unsealed, "wrong": verdict.wrong}
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        for line in verdict.wrong:
            typer.echo(line, err=True)
        said = "NOT as it was sealed" if verdict.wrong else "as it was sealed"
        typer.echo(f"{said}: {verdict.entries} entries in {verdict.batches} batches, {verdict.unsealed} not sealed yet")
    raise typer.Exit(1 if verdict.wrong else 0)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many at most, newest first.")] = 50,
    actor: Annotated[str | None, typer.Option(help="Of this token or user alone, as `user:ID`.")] = None,
    action: Annotated[str | None, typer.Option(help="Of this kind alone, such as login.")] = None,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Entries, newest first. Example: pilothouse audit list --action login"""
    found: list[Kept] = asked(
        config, data_dir, "an audit log", lambda store: Audit(store).page(limit, actor=actor, action=action)
    )
    rows = [("AT", "WHO", "FROM", "ACTION", "OUTCOME", "OBJECT")]
    rows += [
        (minute(each.at), each.actor_name or each.actor or "-", each.address or "-", each.action, each.outcome, each.object)
        for each in found
    ]
    print_columns(rows)


@app.command()
def export(
    since: Annotated[datetime | None, typer.Option(help="From then on (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="Before then (UTC).")] = None,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Entries on stdout, as JSON lines with ECS's field names. Example: pilothouse audit export --since 2026-11-01 > a.jsonl"""
    start, end = (moment.replace(tzinfo=UTC) if moment is not None else None for moment in (since, until))

    async def written(log: Audit) -> None:
        seq = 0
        while page := await log.since(seq, PAGE):
            seq = page[-1].seq
            lines = [
                orjson.dumps(as_ecs(each)).decode()
                for each in page
                if (start is None or each.at >= start) and (end is None or each.at < end)
            ]
            if lines:
                await asyncio.to_thread(typer.echo, "\n".join(lines))

    asked(config, data_dir, "an audit log", lambda store: written(Audit(store)))


def audit_keys(settings: Settings) -> list[str]:
    """The key that signs seals and those of before. Raises ``ConfigurationInvalid`` where it is on another machine."""
    path = secret_path(settings.data_dir, KEY)
    configured = settings.audit.key.get_secret_value() if settings.audit.key is not None else None
    key = configured or (path.read_text().strip() if path.is_file() else None)
    if key is None:
        raise ConfigurationInvalid(f"The key of the audit log is not here: set audit.key, or use the data directory with {path}.")
    return [key, *(before.get_secret_value() for before in settings.audit.keys_before)]


def _noted_head(settings: Settings) -> Seal | None:
    try:
        noted = loads((settings.data_dir / HEAD).read_text())
        return Seal(int(noted["batch"]), bytes.fromhex(noted["digest"]))
    except (OSError, JSONDecodeError, KeyError, TypeError, ValueError):
        return None
