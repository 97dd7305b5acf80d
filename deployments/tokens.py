"""``pilothouse token``: make, list and revoke tokens."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import orjson
import typer

from core.errors import InputInvalid
from core.store.access import Token, Tokens
from core.workspaces import DEFAULT
from deployments.listing import minute, print_columns
from deployments.options import AsJson, Config, DataDir
from deployments.own_database import asked, whoever

T = TypeVar("T")

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
LONGEST = timedelta(days=36_500)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Tokens for the API. Example: pilothouse token create --name dify --scope chat",
)


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
    workspace: Annotated[str, typer.Option(help="Whose work its requests are; a token of scope admin may choose any.")] = DEFAULT,
    expires: Annotated[str | None, typer.Option(help="30d, 12h, 90m, 4w, or a date; without it the token stays valid.")] = None,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Make a token and print it, this once. Example: pilothouse token create --name dify --scope chat --expires 30d"""
    expires_at = expiry(expires, datetime.now(UTC)) if expires is not None else None
    made, plaintext = _ask(config, data_dir, lambda tokens: tokens.create(name, scope, expires_at, workspace, whoever()))
    if as_json:
        typer.echo(orjson.dumps({**_shown(made), "token": plaintext}, option=orjson.OPT_INDENT_2).decode())
        return
    ends = f"until {minute(made.expires_at)}" if made.expires_at else "until it is revoked"
    typer.echo(f"Token {made.id} ({', '.join(made.scopes)}), valid {ends}. It is shown this once:", err=True)
    typer.echo(plaintext)


@app.command("list")
def list_(as_json: AsJson = False, config: Config = None, data_dir: DataDir = None) -> None:
    """Every token without its secret, newest first. Example: pilothouse token list --json"""
    found = _ask(config, data_dir, lambda tokens: tokens.list())
    if as_json:
        typer.echo(orjson.dumps({"tokens": [_shown(each) for each in found]}, option=orjson.OPT_INDENT_2).decode())
        return
    rows = [("ID", "NAME", "SCOPES", "STATUS", "EXPIRES", "LAST USED", "WORKSPACE")]
    rows += [
        (
            *(each.id, each.name, ",".join(each.scopes), each.status),
            *(minute(each.expires_at), minute(each.last_used_at), each.workspace),
        )
        for each in found
    ]
    print_columns(rows)


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `pilothouse token list` shows it.")],
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """End a token: a running API refuses it within seconds. Example: pilothouse token revoke 3f9c2a7b10"""
    ended = _ask(config, data_dir, lambda tokens: tokens.revoke(token_id, whoever()))
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
    return asked(config, data_dir, "tokens", lambda store: question(Tokens(store)))


def _shown(each: Token) -> dict[str, object]:
    return {
        "id": each.id,
        "name": each.name,
        "scopes": each.scopes,
        "workspace": each.workspace,
        "status": each.status,
        "createdAt": each.created_at,
        "expiresAt": each.expires_at,
        "revokedAt": each.revoked_at,
        "lastUsedAt": each.last_used_at,
    }
