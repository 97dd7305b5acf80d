"""``pilothouse restore``: a backup into a target, through the API; or a whole data directory from a store, with nothing running.

``pilothouse drill``: the newest backups restored for proof.
"""

import asyncio
from functools import partial
from json import dumps
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from core.config import load_settings
from core.errors import InputInvalid
from deployments.client import DataDir, Token, Url, Workspace, connect
from deployments.options import AsJson
from deployments.running import CODES, followed

NOTHING_TO_DRILL = 3
SCHEME = "s3://"


def restore(
    backup_id: Annotated[str | None, typer.Argument(metavar="ID", help="As `pilothouse backups list` shows it.")] = None,
    into: Annotated[str | None, typer.Option(help="A target of the configuration, [targets.NAME]; or the source itself.")] = None,
    only: Annotated[str | None, typer.Option(help="One table (schema.table) or one file of it.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Delete what the target holds; asks for its name.")] = False,
    confirm: Annotated[str | None, typer.Option(help="The name that --replace asks for: the source's, if it is that.")] = None,
    store: Annotated[str | None, typer.Option(help="A store of backups: a folder, or s3://bucket/prefix.")] = None,
    into_data_dir: Annotated[Path | None, typer.Option(help="With --store: the empty data directory to make again.")] = None,
    identity: Annotated[Path | None, typer.Option(help="With --store: file of the age secret key that opens backups.")] = None,
    config: Annotated[Path | None, typer.Option(help="With --store: a configuration file.")] = None,
    url: Url = None,
    token: Token = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
) -> None:
    """Put a backup back. Examples: pilothouse restore ID --into spare; pilothouse restore --store /mnt/b --into-data-dir DIR

    Exit code 0: restored and the same as what was saved, 1: not.
    """
    if store is not None or into_data_dir is not None:
        if store is None or into_data_dir is None or backup_id or into or only or replace:
            raise InputInvalid("Expected either ID and --into, or --store and --into-data-dir.")
        _way_back(store, into_data_dir, identity, config)
        return
    if backup_id is None or into is None:
        raise InputInvalid("Expected ID and --into TARGET; or --store and --into-data-dir for a whole data directory.")
    if replace and confirm is None:
        confirm = typer.prompt(f"All that {into} holds will be deleted. Repeat its name", err=True)
    body = {"target": into, "confirm": confirm or into, "replace": replace, "only": only}
    with connect(url, token, data_dir, workspace) as client:
        outcome = followed(client, f"/backups/{quote(backup_id, safe='')}/restore", body)
    if outcome["result"] is not None:
        typer.echo(dumps(outcome["result"], ensure_ascii=False))
    raise typer.Exit(CODES.get(outcome["state"], 1))


def drill(
    name: Annotated[str | None, typer.Argument(help="One source; all without it.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
) -> None:
    """Restore the newest backups into throwaway places and compare them. Example: pilothouse drill dify --json

    Exit code 0: good, 1: not, 3: there is no good backup to drill, or nowhere to restore it to.
    """
    with connect(url, token, data_dir, workspace) as client:
        outcome = followed(client, "/flows/drill/runs", {"parameters": {"name": name} if name is not None else {}})
    result: dict[str, Any] | None = outcome["result"]
    if result is not None:
        _show(result, as_json)
        if result["result"] in ("nothing_to_drill", "no_target"):
            raise typer.Exit(NOTHING_TO_DRILL)
    raise typer.Exit(CODES.get(outcome["state"], 1))


def _show(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(dumps(result, ensure_ascii=False))
        return
    for each in result.get("drills", [result]):
        if each["result"] == "nothing_to_drill":
            typer.echo(f"{each['source']}: nothing to drill")
            continue
        took = "" if each["seconds"] is None else f", restored in {each['seconds']:.1f} s"
        many = "" if each["rows"] is None else f", {each['rows']} rows in {each['tables']} tables"
        why = f" ({each['message']})" if each["message"] else ""
        typer.echo(f"{each['source']}: {each['result']}{many}{took}{why}")
        for difference in each["differences"]:
            typer.echo(f"  {difference}")
    if "drills" in result and not result["drills"]:
        typer.echo("nothing to drill: there is no source")


def _way_back(store: str, data_dir: Path, identity: Path | None, config: Path | None) -> None:
    from deployments.way_back import restore_data_dir  # noqa: PLC0415  (loads what only this needs)

    given: dict[str, object] = {"data_dir": data_dir, "backups.identity": f"file:{identity}" if identity else None}
    if store.startswith(SCHEME):
        bucket, _, prefix = store.removeprefix(SCHEME).partition("/")
        given |= {"backups.store.bucket": bucket, "backups.store.prefix": f"{prefix.strip('/')}/" if prefix.strip("/") else None}
    else:
        given["backups.store.folder"] = store
        if not Path(store).is_dir():
            raise InputInvalid(f"--store {store}: there is no such folder; expected one, or s3://bucket/prefix.")
    settings = load_settings(config=config, overrides=given)
    asyncio.run(restore_data_dir(settings, partial(typer.echo, err=True)))
