"""``pilothouse workspace``: make and delete workspaces, and say who is in them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import orjson
import typer

from core.settings_access import ROLES
from core.store.base import Store
from core.store.members import Members, Membership
from core.store.users import Users
from core.store.workspaces import Workspace, Workspaces
from deployments.listing import minute, print_columns
from deployments.options import AsJson, Config, DataDir
from deployments.own_database import asked, whoever

T = TypeVar("T")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Departments that are kept apart. Example: pilothouse workspace create research",
)
Name = Annotated[str, typer.Argument(metavar="WORKSPACE", help="As `pilothouse workspace list` shows it.")]
Who = Annotated[str, typer.Argument(metavar="USER", help="The e-mail address, or the id that `pilothouse user list` shows.")]
Group = Annotated[
    str,
    typer.Argument(metavar="GROUP", help="A DN or common name of a directory, a provider's group; in any case."),
]
Role = Annotated[str, typer.Option(help=f"{', '.join(ROLES)}; an admin manages this workspace alone.")]


@app.callback()
def workspace() -> None:
    """Departments that are kept apart. Example: pilothouse workspace create research --title "Research" """


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Small letters, digits and hyphens; it stays.")],
    title: Annotated[str, typer.Option(help="What people see.")] = "",
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Make one. Example: pilothouse workspace create research --title "Research" """
    made = _ask(config, data_dir, lambda store: Workspaces(store).create(name, title, whoever()))
    _tell(_shown(made), f"{made.name}: {made.title}", as_json)


@app.command("list")
def list_(as_json: AsJson = False, config: Config = None, data_dir: DataDir = None) -> None:
    """All of them, and how many are in each. Example: pilothouse workspace list --json"""

    async def all_of_them(store: Store) -> list[tuple[Workspace, int]]:
        members = Members(store)
        return [(each, len(await members.list(each.name))) for each in await Workspaces(store).list()]

    found = _ask(config, data_dir, all_of_them)
    rows = [("NAME", "TITLE", "MEMBERS", "MADE")]
    rows += [(each.name, each.title, str(count), minute(each.created_at)) for each, count in found]
    _show({"workspaces": [_shown(each) | {"members": count} for each, count in found]}, rows, as_json)


@app.command()
def rename(
    name: Name,
    title: Annotated[str, typer.Argument(help="What people shall see.")],
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Give one another title. Example: pilothouse workspace rename research "Research & Development" """
    changed = _ask(config, data_dir, lambda store: Workspaces(store).rename(name, title, whoever()))
    typer.echo(f"{changed.name}: {changed.title}")


@app.command()
def delete(name: Name, config: Config = None, data_dir: DataDir = None) -> None:
    """Delete an empty one; says what is in it where it is not. Example: pilothouse workspace delete research"""
    _ask(config, data_dir, lambda store: Workspaces(store).delete(name, whoever()))
    typer.echo(f"{name} is gone.")


@app.command()
def members(name: Name, as_json: AsJson = False, config: Config = None, data_dir: DataDir = None) -> None:
    """Who is in one, and which groups are invited. Example: pilothouse workspace members research"""

    async def both(store: Store) -> tuple[list[Membership], dict[str, str]]:
        await Workspaces(store).known(name)
        return await Members(store).list(name), await Members(store).invitations(name)

    people, groups = _ask(config, data_dir, both)
    rows = [("WHO", "NAME", "ROLE", "FROM")]
    rows += [(f"group {group}", "", role, "") for group, role in groups.items()]
    rows += [(each.login, each.name, each.role, f"{each.source}, by group" if each.by_group else each.source) for each in people]
    shown = [
        {"userId": each.user_id, "login": each.login, "name": each.name, "role": each.role, "byGroup": each.by_group}
        for each in people
    ]
    invited = [{"group": group, "role": role} for group, role in groups.items()]
    _show({"members": shown, "invitations": invited}, rows, as_json)


@app.command()
def add(name: Name, who: Who, role: Role = "member", config: Config = None, data_dir: DataDir = None) -> None:
    """Let somebody in, or change their role. Example: pilothouse workspace add research ann@example.com --role admin"""

    async def put(store: Store) -> str:
        await Workspaces(store).known(name)
        user = await Users(store).found(who)
        await Members(store).put(name, user.id, role, whoever())
        return user.login

    typer.echo(f"{_ask(config, data_dir, put)} is in {name} as {role}.")


@app.command()
def remove(name: Name, who: Who, config: Config = None, data_dir: DataDir = None) -> None:
    """Take somebody out of one. Example: pilothouse workspace remove research ann@example.com"""

    async def removed(store: Store) -> str:
        user = await Users(store).found(who)
        await Members(store).remove(name, user.id, whoever())
        return user.login

    typer.echo(f"{_ask(config, data_dir, removed)} is in {name} no more.")


@app.command()
def invite(name: Name, group: Group, role: Role = "member", config: Config = None, data_dir: DataDir = None) -> None:
    """Let a group's people in from their next login on. Example: pilothouse workspace invite research AI-Users"""
    _ask(config, data_dir, lambda store: Members(store).invite(name, group, role, whoever()))
    typer.echo(f"The people of {group} are in {name} as {role} from their next login on.")


@app.command()
def uninvite(name: Name, group: Group, config: Config = None, data_dir: DataDir = None) -> None:
    """Invite a group no more; who came by one logs in again. Example: pilothouse workspace uninvite research AI-Users"""
    _ask(config, data_dir, lambda store: Members(store).uninvite(name, group, whoever()))
    typer.echo(f"{group} is invited to {name} no more.")


def _ask(config: Path | None, data_dir: Path | None, question: Callable[[Store], Awaitable[T]]) -> T:
    return asked(config, data_dir, "workspaces", question)


def _show(found: Mapping[str, object], rows: Sequence[Sequence[str]], as_json: bool) -> None:
    if as_json:
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        print_columns(rows)


def _tell(found: Mapping[str, object], words: str, as_json: bool) -> None:
    typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() if as_json else words)


def _shown(each: Workspace) -> dict[str, object]:
    return {"name": each.name, "title": each.title, "createdAt": each.created_at}
