"""Which workspace a flow run belongs to: the one of the caller who triggered it, else the default one."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.backups.sources import sources_of
from core.config import Settings
from core.errors import Forbidden, NotFound
from core.store.base import Store
from core.store.tool_runs import ToolRuns
from core.store.turns import Turns
from core.workspaces import DEFAULT, EVERY, current_workspace
from flows.catalogue import CatalogueEntry

_TAG = "workspace:"


def workspace_tag(workspace: str) -> str:
    """The tag of a run that belongs to it."""
    return _TAG + (DEFAULT if workspace == EVERY else workspace)


def require_own_run(tags: Sequence[str]) -> None:
    """Raises ``NotFound`` for a run with tags of another workspace than that whose work is being done."""
    of = next((tag.removeprefix(_TAG) for tag in tags if tag.startswith(_TAG)), DEFAULT)
    if current_workspace() not in (EVERY, of):
        raise NotFound("There is no such run.")


async def require_own_work(entry: CatalogueEntry, parameters: Mapping[str, Any], settings: Settings, store: Store) -> None:
    """Whether a workspace may trigger this. Raises ``NotFound`` for what belongs to another, ``Forbidden`` for a flow whose work
    is the whole installation's, which is the default workspace's to begin."""
    workspace = current_workspace()
    if entry.name == "chat_turn":
        turn = parameters.get("turn_id") or str(parameters.get("message_id")).rpartition(".")[0]
        await Turns(store).get(turn)
    elif entry.name == "tool_run":
        await ToolRuns(store).get(str(parameters["input_id"]))
    elif workspace in (EVERY, DEFAULT):
        return
    elif entry.name not in ("backup", "drill"):
        raise Forbidden(f"{entry.name} works for the whole installation: only the default workspace may begin it.")
    else:
        source = sources_of(settings).get(str(parameters.get("name")))
        if source is None or source.workspace != workspace:
            raise NotFound("No such source in this workspace: give the name of one that belongs to it.")
