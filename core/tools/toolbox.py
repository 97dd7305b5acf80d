"""The tools that a process's turns may use: each choice of them prepared once, and what was learned about models."""

from collections.abc import Sequence
from typing import Self

from core.config import Settings
from core.errors import ConfigurationInvalid, InputInvalid, NotFound
from core.store.turns import NewTurn
from core.tools.configured import shelf_for
from core.tools.offering import Offer, Ways, offer
from core.tools.shelf import Shelf
from core.tools.using import Caller, ToolUse
from core.voice import Voice

NEEDS_DATABASES = "database"
"""The toolset that is of no use without ``[databases.X]``."""


class Toolbox:
    """Tools of ``shelf``, run by ``caller``; a turn has at most ``rounds`` rounds of calls.

    ``usual`` are the ids offered to a turn that names none.
    """

    def __init__(self, shelf: Shelf, caller: Caller, rounds: int = 5, usual: Sequence[str] = ()) -> None:
        self.usual = tuple(usual)
        self._shelf = shelf
        self._caller = caller
        self._rounds = rounds
        self._ways = Ways()
        self._offers: dict[tuple[str, ...], Offer] = {}

    @classmethod
    def from_settings(cls, settings: Settings, caller: Caller) -> Self:
        """The whole shelf, offering ``chat.tools``. Raises ``ConfigurationInvalid`` for a tool that is not there."""
        ids = [one for one in settings.chat.tools if settings.databases or one.partition("/")[0] != NEEDS_DATABASES]
        made = cls(shelf_for(settings), caller, settings.chat.tool_rounds, ids)
        try:
            made.offer(ids)
        except InputInvalid as error:
            raise ConfigurationInvalid(f"chat.{error.message}") from error
        return made

    def offer(self, ids: Sequence[str]) -> Offer:
        """Raises ``InputInvalid`` for an id that is not on the shelf."""
        wanted = tuple(sorted(set(ids)))
        if wanted not in self._offers:
            try:
                tools = [self._shelf.find(tool_id) for tool_id in wanted]
            except NotFound as error:
                raise InputInvalid(f"tools: {error.message}", field="tools") from error
            self._offers[wanted] = offer(tools)
        return self._offers[wanted]

    def use(self, turn: NewTurn, voice: Voice, token_id: str | None) -> ToolUse | None:
        """For a turn that was asked with tools; one that is no longer on the shelf is left out."""
        known = {tool.id for tool in self._shelf.tools}
        ids = [tool_id for tool_id in turn.options.get("tool_ids", ()) if tool_id in known]
        if not ids:
            return None
        return ToolUse(turn, voice, self.offer(ids), self._ways, self._caller, self._rounds, token_id)
