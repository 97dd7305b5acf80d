"""``pilothouse user``: make, list and change accounts of people."""

import sys
from collections.abc import Awaitable, Callable
from getpass import getpass
from pathlib import Path
from typing import Annotated, TypeVar

import orjson
import typer

from core.errors import InputInvalid
from core.identity.passwords import Passwords
from core.settings_access import ROLES
from core.store.base import Store
from core.store.members import Members
from core.store.users import User, Users
from core.workspaces import DEFAULT
from deployments.listing import minute, print_columns
from deployments.options import AsJson, Config, DataDir
from deployments.own_database import asked, whoever

T = TypeVar("T")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Accounts of people. Example: pilothouse user create ann@example.com --role operator",
)

Who = Annotated[str, typer.Argument(metavar="USER", help="The e-mail address, or the id that `pilothouse user list` shows.")]
Role = Annotated[str, typer.Option(help=f"{', '.join(ROLES)}: each may do what those before it may.")]


@app.callback()
def user() -> None:
    """Accounts of people. Example: pilothouse user create ann@example.com --role operator"""


@app.command()
def create(
    email: Annotated[str, typer.Argument(help="What they log in with.")],
    name: Annotated[str, typer.Option(help="What others see.")] = "",
    role: Role = "member",
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Make a local account; asks for the password, or reads it from stdin. Example: pilothouse user create ann@example.com"""
    password = _password()

    async def made(users: Users, passwords: Passwords) -> User:
        return await users.create(email, name, role, await passwords.hash(password), whoever())

    _tell(_ask(config, data_dir, made), as_json)


@app.command("list")
def list_(as_json: AsJson = False, config: Config = None, data_dir: DataDir = None) -> None:
    """Everybody who has an account or has logged in. Example: pilothouse user list --json"""

    async def all_of_them(store: Store) -> tuple[list[User], dict[str, dict[str, str]]]:
        users, found = Users(store), list[User]()
        while page := await users.list(after=found[-1].login if found else ""):
            found += page
        return found, await Members(store).of(*(each.id for each in found))

    found, places = asked(config, data_dir, "users", all_of_them)
    if as_json:
        shown = [_shown(each) | {"workspaces": places[each.id]} for each in found]
        typer.echo(orjson.dumps({"users": shown}, option=orjson.OPT_INDENT_2).decode())
        return
    rows = [("LOGIN", "NAME", "ROLE", "FROM", "STATUS", "LAST LOGIN", "WORKSPACES")]
    rows += [
        (
            *(each.login, each.name, each.role, each.source, "disabled" if each.disabled else "active"),
            *(minute(each.last_login_at), _named(each, places[each.id])),
        )
        for each in found
    ]
    print_columns(rows)


@app.command()
def role(
    who: Who, role: Annotated[str, typer.Argument(help=", ".join(ROLES))], config: Config = None, data_dir: DataDir = None
) -> None:
    """Give somebody another role; ends their logins. Example: pilothouse user role ann@example.com operator"""

    async def changed(users: Users, _: Passwords) -> User:
        return await users.change((await users.found(who)).id, role=role, by=whoever())

    _tell(_ask(config, data_dir, changed))


@app.command()
def password(who: Who, config: Config = None, data_dir: DataDir = None) -> None:
    """Set a password; asks for it, or reads it from stdin. Example: pilothouse user password ann@example.com"""
    new = _password()

    async def changed(users: Users, passwords: Passwords) -> User:
        found = await users.found(who)
        if found.source != "local":
            raise InputInvalid(f"{found.login} logs in by {found.source}: the password is changed there.", field="user")
        return await users.change(found.id, password=await passwords.hash(new), by=whoever())

    _tell(_ask(config, data_dir, changed))


@app.command()
def disable(who: Who, config: Config = None, data_dir: DataDir = None) -> None:
    """Shut somebody out, at once. Example: pilothouse user disable ann@example.com"""
    _switch(who, True, config, data_dir)


@app.command()
def enable(who: Who, config: Config = None, data_dir: DataDir = None) -> None:
    """Let somebody in again. Example: pilothouse user enable ann@example.com"""
    _switch(who, False, config, data_dir)


def _switch(who: str, disabled: bool, config: Path | None, data_dir: Path | None) -> None:
    async def changed(users: Users, _: Passwords) -> User:
        return await users.change((await users.found(who)).id, disabled=disabled, by=whoever())

    _tell(_ask(config, data_dir, changed))


def _password() -> str:
    """Never an argument, which every process of this machine could read."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first = getpass("Password: ")
    if getpass("Once more: ") != first:
        raise InputInvalid("The two are not the same.", field="password")
    return first


def _ask(config: Path | None, data_dir: Path | None, question: Callable[[Users, Passwords], Awaitable[T]]) -> T:
    passwords = Passwords()
    try:
        return asked(config, data_dir, "users", lambda store: question(Users(store), passwords))
    finally:
        passwords.close()


def _tell(changed: User, as_json: bool = False) -> None:
    if as_json:
        typer.echo(orjson.dumps(_shown(changed), option=orjson.OPT_INDENT_2).decode())
    else:
        typer.echo(f"{changed.login}: {changed.role}{', disabled' if changed.disabled else ''}")


def _named(user: User, places: dict[str, str]) -> str:
    """``research (operator), sales (viewer)``; who is in none by name is in the default one with their own role."""
    if user.role == "admin":
        return "all"
    return ", ".join(f"{name} ({role})" for name, role in places.items()) or DEFAULT


def _shown(each: User) -> dict[str, object]:
    return {
        "id": each.id,
        "source": each.source,
        "login": each.login,
        "email": each.email,
        "name": each.name,
        "role": each.role,
        "disabled": each.disabled,
        "createdAt": each.created_at,
        "lastLoginAt": each.last_login_at,
    }
