"""``pilothouse preflight``: whether this installation is fit for production. Works with nothing running, as far as it can."""

import asyncio
from typing import Annotated

import orjson
import typer

from core.config import Settings, child_environment, load_settings
from core.errors import ConfigurationInvalid
from core.preflight.item import Item, Status
from deployments.engines import with_engines
from deployments.options import AsJson, Config, DataDir
from flows.preflighting import compose_files, preflighted

IDS = {"cors_origins": "cors", "tls_cert": "tls", "tls_key": "tls", "public_url": "tls"}
"""Items that a setting which is refused belongs to; others are ``configuration``."""
SECRETS = ("jwt_secret", "session_secret", "admin_password")
"""Settings of ``[access]`` that have an item of their name."""
STATUSES: tuple[Status, ...] = ("pass", "warn", "fail")


def preflight(
    compose: Annotated[
        list[str] | None, typer.Argument(help="Compose files of one project; else those of [preflight] and [changes.X].")
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Whether this installation is fit for production, and what to do. Example: pilothouse preflight docker-compose.yaml

    Exit code 1: an item fails.
    """
    settings, items = _settings(config, data_dir)
    if settings is not None:
        given = [compose] if compose else compose_files(settings)
        seen = asyncio.run(preflighted(with_engines(settings), given))
        refused = {each.id for each in items}
        items += [each for each in seen if each.id not in refused]
    if as_json:
        typer.echo(orjson.dumps({"items": [each.shown() for each in items]}, option=orjson.OPT_INDENT_2).decode())
    else:
        _print(items)
    raise typer.Exit(1 if any(each.status == "fail" for each in items) else 0)


def _settings(config: Config, data_dir: DataDir) -> tuple[Settings | None, list[Item]]:
    """The settings without the variables that are refused, and an item for each of those; none where the file is refused."""
    environ = child_environment({})
    items: list[Item] = []
    while True:
        try:
            return load_settings(config=config, overrides={"data_dir": data_dir}, environ=environ), items
        except ConfigurationInvalid as error:
            lines = error.message.splitlines()
            names = [line.partition(":")[0] for line in lines]
            items += [Item(_id(line), "fail", line, "Correct it: nothing starts as long as it is refused.") for line in lines]
            if not all(name in environ for name in names):
                return None, items
            for name in names:
                environ.pop(name, None)


def _id(line: str) -> str:
    ids = IDS | {f"access.{name}": name for name in SECRETS}
    return next((item for key, item in ids.items() if f" {key}:" in line), "configuration")


def _print(items: list[Item]) -> None:
    width = max(len(each.id) for each in items)
    for each in items:
        typer.echo(
            f"{each.status if each.status == STATUSES[0] else each.status.upper()}  {each.id.ljust(width)}  {each.message}"
        )
        if each.todo and each.status != "pass":
            typer.echo(f"{'':{width + 8}}-> {each.todo}")
    counts = {status: sum(each.status == status for each in items) for status in STATUSES}
    typer.echo(f"\n{counts['pass']} pass, {counts['warn']} to look at, {counts['fail']} fail")
