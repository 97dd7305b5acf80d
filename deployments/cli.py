"""``pilothouse``: the command line. A command's module is imported only when that command runs, so ``--help`` answers at once."""

import sys
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from core.errors import ConfigurationInvalid, DatabaseTooNew, PartMissing, PilothouseError


class Listed(NamedTuple):
    """A command: its name, ``module:function`` (or ``module:typer_app`` for a group), and its line in ``--help``."""

    name: str
    target: str
    line: str


COMMANDS = (
    Listed("up", "deployments.up:up", "Start everything on this machine and stay in the foreground."),
    Listed("serve", "deployments.serve:app", "Run one part alone against given engines: api, flows."),
    Listed("chat", "deployments.chatting:chat", "One streamed answer, or a small prompt loop."),
    Listed("run", "deployments.running:run", "Run a flow and follow it; the exit code is the outcome."),
    Listed("backup", "deployments.backing_up:backup", "Save a source or a set now and follow it."),
    Listed("backups", "deployments.backing_up:app", "Which backups there are: list, rescan."),
    Listed("restore", "deployments.restoring:restore", "Put a backup back into a target, or a whole data directory."),
    Listed("drill", "deployments.restoring:drill", "Restore the newest backups for proof; exit 3: nothing to drill."),
    Listed("sweep", "deployments.sweeping:sweep", "Look at every service now; exit 0: well, 1: degraded, 2: down, 3: unknown."),
    Listed("status", "deployments.sweeping:status", "How the last sweep left the services; exit codes as of sweep."),
    Listed("models", "deployments.models:models", "Which models there are, in which version, and what changed."),
    Listed("alert", "deployments.alerting:alert", "Tell people of something, by the channels that want it."),
    Listed("alerts", "deployments.alerting:app", "Which alerts hold, and whether channels work: list, test, channels."),
    Listed("silence", "deployments.alerting:silences", "Tell nobody of some alerts for a while: add, list, end."),
    Listed("setup", "deployments.setup:setup", "Publish blocks, deployments, schedules and limits to Prefect."),
    Listed("topology", "deployments.topologies:app", "What depends on what: import compose files, show."),
    Listed("user", "deployments.users:app", "Accounts of people: create, list, role, password, disable, enable."),
    Listed("workspace", "deployments.workspaces:app", "Departments that are kept apart: create, list, members, invite …"),
    Listed("audit", "deployments.auditing:app", "Who did what: verify, list, export."),
    Listed(
        "preflight", "deployments.preflight:preflight", "Whether all is fit for production, and what to do; exit 1: it is not."
    ),
    Listed("token", "deployments.tokens:app", "Tokens for the API: create, list, revoke."),
    Listed("usage", "deployments.usage:usage", "What was used, by workspace, model, day, token or tool, and its cost."),
    Listed("config", "deployments.configuring:app", "Settings in force, and where each came from."),
    Listed("logs", "deployments.logs:logs", "A part's log; the list of parts without one."),
)


class _Unloaded(TyperCommand):
    """Stands for a command whose module is not imported yet."""

    def __init__(self, listed: Listed) -> None:
        super().__init__(listed.name, help=listed.line, short_help=listed.line)
        self._target = listed.target

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return _loaded(self._target, self.name).make_context(info_name, args, parent=parent, **extra)


class _Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return [listed.name for listed in COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return next((_Unloaded(listed) for listed in COMMANDS if listed.name == cmd_name), None)


def _loaded(target: str, name: str | None) -> Any:
    module, _, attribute = target.partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        command = get_command(found)
    else:
        alone = typer.Typer(add_completion=False)
        alone.command(name)(found)
        command = get_command(alone)
    command.name = name
    return command


app = typer.Typer(cls=_Commands, no_args_is_help=True, pretty_exceptions_show_locals=False)


@app.callback()
def pilothouse() -> None:
    """A private AI platform's daily work as Prefect flows behind one small API. Start it with: pilothouse up"""


def main() -> None:
    """The console script. What we report ourselves is one line on stderr: exit 2 for something to set right first, else 1."""
    try:
        app()
    except PilothouseError as error:
        typer.echo(error.message, err=True)
        sys.exit(2 if isinstance(error, ConfigurationInvalid | DatabaseTooNew | PartMissing) else 1)


if __name__ == "__main__":
    main()
