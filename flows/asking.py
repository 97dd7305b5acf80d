"""From a question to a turn being answered: its row, its stream, the models to ask, its place in a conversation."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from blocks.models import Models
from core.errors import InputInvalid, ModelUnknown
from core.ids import new_id
from core.store.turns import NewTurn, Outcome, Turns
from core.streams import Streams
from core.turns import Candidate, RunningTurn
from flows.chat import Conversations

SESSIONLESS = "without-session"
"""The conversation that holds this process's calls without a session."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a caller asks. ``options`` are OpenAI's parameters; ``model`` None lets the session or the provider order choose."""

    messages: Sequence[Mapping[str, Any]]
    session_id: str | None = None
    model: str | None = None
    options: Mapping[str, Any] | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """``running`` is None for a repeated Idempotency-Key: the turn was asked before and may be followed by its id."""

    turn_id: str
    running: RunningTurn | None


class Desk:
    """Takes questions in this process; ``boot_id`` owns the turns."""

    def __init__(self, boot_id: str, turns: Turns, streams: Streams, models: Models, conversations: Conversations) -> None:
        self._boot_id = boot_id
        self._turns = turns
        self._streams = streams
        self._models = models
        self._conversations = conversations

    async def ask(self, question: Question) -> Asked:
        """Begin the turn; it is answered whether or not anyone follows its stream.

        Raises ``ModelUnknown``, ``InputInvalid`` for an image that no candidate can see, and what ``Turns.begin`` raises.
        """
        asked = await self._candidates(question.model, question.messages) if question.model else None
        options = dict(question.options or {})
        turn = NewTurn(
            id=new_id(),
            session_id=question.session_id,
            owner=self._boot_id,
            messages=question.messages,
            options=options | {"model": question.model} if question.model else options,
            idempotency_key=question.idempotency_key,
            body_hash=_digest(question) if question.idempotency_key else None,
        )
        begun = await self._turns.begin(turn)
        if begun.repeated:
            return Asked(begun.turn_id, None)
        candidates = asked or await self._of_session(turn, begun.model)
        notice = self._models.notice(candidates[0][0]) if not begun.history and _free_text(options) else None
        self._streams.open(turn.id)
        running = RunningTurn(turn, candidates=candidates, streams=self._streams, turns=self._turns, notice=notice)
        if begun.history is None:
            running.wait_behind(self._earlier(turn.session_id), begun.system)
        else:
            running.prepare(begun.history, begun.system)
        self._conversations.take(turn.session_id or SESSIONLESS, running)
        return Asked(turn.id, running)

    async def _of_session(self, turn: NewTurn, model: str | None) -> Sequence[Candidate]:
        try:
            return await self._candidates(model, turn.messages)
        except (ModelUnknown, InputInvalid) as error:
            # The session's model was there when the session was made; the turn has a row already.
            failed = Outcome("failed", error={"code": error.code, "message": error.message})
            await self._turns.finish(turn.id, turn.owner, len(turn.messages), failed)
            raise

    async def _candidates(self, model: str | None, messages: Sequence[Mapping[str, Any]]) -> Sequence[Candidate]:
        candidates = await self._models.resolve(model)
        if not _image_in(messages):
            return candidates
        seeing = [candidate for candidate in candidates if candidate[1].vision]
        if not seeing:
            raise InputInvalid(
                f"Model {candidates[0][1].name} is configured without vision; ask another, or set `vision = true` for it.",
                field="messages",
            )
        return seeing

    def _earlier(self, session_id: str | None) -> asyncio.Event | None:
        of_session = (turn for turn in reversed(self._conversations.turns.values()) if turn.session_id == session_id)
        earlier = next(of_session, None)
        return None if earlier is None else earlier.ended


def _digest(question: Question) -> bytes:
    return hashlib.sha256(
        orjson.dumps([question.messages, question.model, question.options], option=orjson.OPT_SORT_KEYS)
    ).digest()


def _image_in(messages: Sequence[Mapping[str, Any]]) -> bool:
    return any(
        isinstance(part, Mapping) and part.get("type") == "image_url"
        for message in messages
        if isinstance(content := message.get("content"), list)
        for part in content
    )


def _free_text(options: Mapping[str, Any]) -> bool:
    """Whether an answer may hold words that are not the model's: not where a program expects a certain format."""
    return not options.get("tools") and not options.get("response_format")
