"""``pilothouse token``: make, list and revoke tokens, straight in the database, so that it works before and without the API.

The database is the configured one, else that of the ``pilothouse up`` running on the data directory.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import orjson
import typer

from core.config import load_settings
from core.errors import ConfigurationInvalid, InputInvalid
from core.store.access import Token, Tokens
from core.store.base import Store
from core.store.schema import migrate
from deployments.engines import with_engines

T = TypeVar("T")

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
LONGEST = timedelta(days=36_500)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Tokens for the API. Example: pilothouse token create --name dify --scope chat",
)

Config = Annotated[Path | None, typer.Option(help="The configuration file; else pilothouse.toml here or in the data directory.")]
DataDir = Annotated[Path | None, typer.Option(help="Where everything is kept on this machine.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.callback()
def token() -> None:
    """Tokens for the API. Example: pilothouse token create --name dify --scope chat --scope read"""


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Who or what will use it, e.g. dify.")],
    scope: Annotated[
        list[str],
        typer.Option(help="chat, tools, plugin, flows:NAME, flows:* (every flow), alerts, heartbeat, read, admin (all); repeat."),
    ],
    expires: Annotated[str | None, typer.Option(help="30d, 12h, 90m, 4w, or a date; without it the token stays valid.")] = None,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Make a token and print it, this once. Example: pilothouse token create --name dify --scope chat --expires 30d"""
    expires_at = expiry(expires, datetime.now(UTC)) if expires is not None else None
    made, plaintext = _ask(config, data_dir, lambda tokens: tokens.create(name, scope, expires_at))
    if as_json:
        typer.echo(orjson.dumps({**_shown(made), "token": plaintext}, option=orjson.OPT_INDENT_2).decode())
        return
    ends = f"until {_minute(made.expires_at)}" if made.expires_at else "until it is revoked"
    typer.echo(f"Token {made.id} ({', '.join(made.scopes)}), valid {ends}. It is shown this once:", err=True)
    typer.echo(plaintext)


@app.command("list")
def list_(as_json: AsJson = False, config: Config = None, data_dir: DataDir = None) -> None:
    """Every token without its secret, newest first. Example: pilothouse token list --json"""
    found = _ask(config, data_dir, lambda tokens: tokens.list())
    if as_json:
        typer.echo(orjson.dumps({"tokens": [_shown(each) for each in found]}, option=orjson.OPT_INDENT_2).decode())
        return
    rows = [("ID", "NAME", "SCOPES", "STATUS", "EXPIRES", "LAST USED")]
    rows += [
        (each.id, each.name, ",".join(each.scopes), each.status, _minute(each.expires_at), _minute(each.last_used_at))
        for each in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `pilothouse token list` shows it.")],
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """End a token: a running API refuses it within seconds. Example: pilothouse token revoke 3f9c2a7b10"""
    ended = _ask(config, data_dir, lambda tokens: tokens.revoke(token_id))
    typer.echo(f"Token {ended.id} ({ended.name}) is revoked.")


def expiry(text: str, now: datetime) -> datetime:
    """``30d`` from ``now``, or an ISO 8601 date or time (UTC where it names no zone). Raises ``InputInvalid``."""
    if (period := re.fullmatch(r"(\d{1,5})([mhdw])", text)) is not None:
        length = timedelta(**{UNITS[period[2]]: int(period[1])})
        if length > LONGEST:
            raise InputInvalid("--expires: at most 100 years; without it a token stays valid.", field="expires")
        return now + length
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputInvalid("--expires: expected 30d, 12h, 90m, 4w, or a date such as 2031-01-31.", field="expires") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _ask(config: Path | None, data_dir: Path | None, question: Callable[[Tokens], Awaitable[T]]) -> T:
    settings = with_engines(load_settings(config=config, overrides={"data_dir": data_dir}))
    if settings.database.url is None:
        raise ConfigurationInvalid(
            f"There is no database to keep tokens in: set DATABASE_URL, or run `pilothouse up` on {settings.data_dir} first."
        )
    url = settings.database.url.get_secret_value()

    async def asked() -> T:
        await migrate(url)
        store = Store.from_settings(settings.database, "pilothouse token")
        try:
            return await question(Tokens(store))
        finally:
            await store.aclose()

    return asyncio.run(asked())


def _shown(each: Token) -> dict[str, object]:
    return {
        "id": each.id,
        "name": each.name,
        "scopes": each.scopes,
        "status": each.status,
        "createdAt": each.created_at,
        "expiresAt": each.expires_at,
        "revokedAt": each.revoked_at,
        "lastUsedAt": each.last_used_at,
    }


def _minute(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if moment else "-"
