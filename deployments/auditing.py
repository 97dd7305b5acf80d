"""``pilothouse audit``: whether the audit log is as it was written, and its entries for other programs."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated

import orjson
import typer

from core.audit.entry import Kept, as_ecs
from core.audit.head import FILE, Head
from core.config import Settings, load_settings
from core.errors import ConfigurationInvalid
from core.store.audit import Audit, Verdict
from deployments.listing import minute, print_columns
from deployments.options import AsJson, Config, DataDir
from deployments.own_database import asked
from deployments.secret_files import secret_path

KEY = "audit"
PAGE = 1000
SOON = timedelta(seconds=30)
CUT = (
    "Batch {0} was noted when it was sealed, and was gone later, when others were sealed: entries were taken out, or the database"
    " was put back to an earlier state. Delete {1} once that is explained."
)

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
    keys, head = audit_keys(settings), Head(settings.data_dir)
    verdict: Verdict = asked(config, data_dir, "an audit log", lambda store: Audit(store).verify(keys, head.read()))
    wrong = [*verdict.wrong, *(CUT.format(each.number, settings.data_dir / FILE) for each in head.lost())]
    if as_json:
        found = {"batches": verdict.batches, "entries": verdict.entries, "unsealed": verdict.unsealed, "wrong": wrong}
        typer.echo(orjson.dumps(found | {"unsealedSince": verdict.since}, option=orjson.OPT_INDENT_2).decode())
    else:
        for line in wrong:
            typer.echo(line, err=True)
        said = "NOT as it was sealed" if wrong else "as it was sealed"
        typer.echo(f"{said}: {verdict.entries} entries in {verdict.batches} batches, {_waiting(verdict)}")
    raise typer.Exit(1 if wrong else 0)


def _waiting(verdict: Verdict) -> str:
    """An API process seals within seconds; what is written by commands and flows while none runs waits for one."""
    if verdict.since is None or datetime.now(UTC) - verdict.since < SOON:
        return f"{verdict.unsealed} not sealed yet"
    return f"{verdict.unsealed} not sealed since {verdict.since:%Y-%m-%d %H:%M:%S} UTC: start the API, which seals them"


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
