"""``pilothouse backup``: save a source or a set now. ``pilothouse backups``: which backups there are."""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from json import dumps
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import typer
from rich.filesize import decimal

from core.config import Settings, load_settings
from core.errors import ConfigurationInvalid
from deployments.client import DataDir, Token, Url, Workspace, ask, connect
from deployments.engines import with_engines
from deployments.listing import print_columns
from deployments.options import AsJson, Config
from deployments.running import CODES, followed

if TYPE_CHECKING:
    from blocks.backup_store import Rescanned

FAILED = 1
SOME_FAILED = 4
ALREADY_RUNNING = 5
PAGE = 200

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Which backups there are. Example: pilothouse backups list --source dify"
)


@app.callback()
def backups() -> None:
    """Which backups there are. Example: pilothouse backups list --source dify"""


def backup(
    name: Annotated[str | None, typer.Argument(help="A source or a set; without it all that are due.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Take all cores at normal priority.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
) -> None:
    """Save a source or a set now, and follow it. Example: pilothouse backup dify

    Exit code 0: all good, 1: failed, 3: cancelled, 4: some sources failed and others are good, 5: it is being backed up already.
    """
    parameters: dict[str, object] = ({"name": name} if name is not None else {}) | ({"fast": True} if fast else {})
    with connect(url, token, data_dir, workspace) as client:
        outcome = followed(client, "/flows/backup/runs", {"parameters": parameters})
    result: dict[str, Any] | None = outcome["result"]
    made = result["backups"] if result is not None else []
    if as_json:
        typer.echo(dumps(result, ensure_ascii=False))
    elif result is not None:
        for line in [_told(each) for each in made] or ["nothing was due"]:
            typer.echo(line)
    raise typer.Exit(_code(outcome["state"], made))


@app.command("list")
def list_(
    source: Annotated[str | None, typer.Option(help="Of this source alone.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 100,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
) -> None:
    """Backups, newest first. Example: pilothouse backups list --source dify --json"""
    found: list[dict[str, Any]] = []
    query: dict[str, str | int] = {"source": source} if source is not None else {}
    with connect(url, token, data_dir, workspace) as client:
        more = True
        while more and len(found) < limit:
            page = ask(client, "GET", f"/backups?{urlencode(query | {'limit': min(PAGE, limit - len(found))})}").json()
            found += page["backups"]
            more = page["next"] is not None
            query["before"] = page["next"]
    if as_json:
        typer.echo(dumps({"backups": found}, ensure_ascii=False, indent=2))
        return
    rows: list[tuple[str, ...]] = [("ID", "SOURCE", "SET", "STATUS", "STARTED", "AGE", "SIZE", "PARTS", "VERIFIED", "BASE")]
    rows += [_row(each, datetime.now(UTC)) for each in found]
    print_columns(rows)


@app.command()
def rescan(
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Rebuild the catalogue from the manifests in the store; run twice is run once. Example: pilothouse backups rescan

    Asks the configured database, else that of the `pilothouse up` on the data directory.
    """
    settings = with_engines(load_settings(config=config, overrides={"data_dir": data_dir}))
    if settings.database.url is None:
        raise ConfigurationInvalid(
            f"There is no database for a catalogue: set DATABASE_URL, or run `pilothouse up` on {settings.data_dir} first."
        )
    done = asyncio.run(_rescanned(settings))
    if as_json:
        typer.echo(dumps(asdict(done), ensure_ascii=False, indent=2))
        return
    typer.echo(
        f"backups in the store: {done.found}; new to the catalogue: {len(done.added)}, changed: {len(done.changed)}, "
        f"no longer in the store: {len(done.missing)}"
    )
    for key, why in {**done.damaged, **done.problems}.items():
        typer.echo(f"{key}: {why}")


async def _rescanned(settings: Settings) -> "Rescanned":
    from blocks.backup_store import BackupStore, rescan  # noqa: PLC0415  (loads Prefect)
    from core.store.backup_scans import BackupScans  # noqa: PLC0415
    from core.store.base import Store  # noqa: PLC0415
    from core.store.schema import migrate  # noqa: PLC0415

    assert settings.database.url is not None
    await migrate(settings.database.url.get_secret_value())
    store = Store.from_settings(settings.database, "pilothouse backups")
    try:
        return await rescan(BackupStore.from_settings(settings), BackupScans(store))
    finally:
        await store.aclose()


def _code(state: str, made: list[dict[str, Any]]) -> int:
    failed = [each for each in made if each["error"] is not None]
    if state in CODES or not failed:
        return CODES.get(state, FAILED)
    if len(failed) < len(made):
        return SOME_FAILED
    return ALREADY_RUNNING if all(each["error"]["code"] == "dump_running" for each in failed) else FAILED


def _told(each: dict[str, Any]) -> str:
    if each["error"] is not None:
        return f"{each['source']}: failed ({each['error']['code']}) {each['error']['message']}"
    notes = "".join(f"\n  {note}" for note in each["notes"])
    sizes = f"{decimal(each['plainSize'])}, stored as {decimal(each['size'])}"
    return f"{each['source']}: good, {sizes}, {each['tables']} tables, {each['seconds']:.1f} s, id {each['id']}{notes}"


def _row(each: dict[str, Any], now: datetime) -> tuple[str, ...]:
    started = datetime.fromisoformat(each["startedAt"])
    verified = f"{_age(datetime.fromisoformat(each['verifiedAt']), now)} ago" if each["verifiedAt"] else "-"
    if each["verifiedResult"] not in (None, "good"):
        verified += f" ({each['verifiedResult']})"
    return (
        each["id"],
        each["source"],
        each["set"] or "-",
        each["status"] if each["error"] is None else f"{each['status']} ({each['error']['code']})",
        f"{started:%Y-%m-%d %H:%M} UTC",
        _age(started, now),
        decimal(each["size"]) if each["size"] is not None else "-",
        str(len(each["parts"])),
        verified,
        each["base"] or "-",
    )


def _age(moment: datetime, now: datetime) -> str:
    """The largest unit that there is one of: ``3 h``."""
    seconds = max(0.0, (now - moment).total_seconds())
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"
