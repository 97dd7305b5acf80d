"""From a question to a turn being answered: its row, its stream, the models to ask."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from blocks.models import Models
from core.conversation import Candidate
from core.errors import InputInvalid, NotFound, PilothouseError, told
from core.ids import new_id
from core.quotas.gate import Gate, Left
from core.reading import OURS
from core.store.prompts import Prompts
from core.store.turns import Begun, NewTurn, Outcome, Turns
from core.streams import Streams
from core.tools.toolbox import Toolbox
from core.turns import RunningTurn

Told = Callable[[RunningTurn], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Question:
    """What a caller asks. ``options`` are OpenAI's parameters; ``model`` None lets the session or the provider order choose.

    ``tools`` are ids of our tools that the model may use, on behalf of the token ``token_id``.
    """

    messages: Sequence[Mapping[str, Any]]
    session_id: str | None = None
    model: str | None = None
    options: Mapping[str, Any] | None = None
    idempotency_key: str | None = None
    tools: Sequence[str] = ()
    token_id: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """``running`` is None for a repeated Idempotency-Key: the turn was asked before and may be followed by its id."""

    turn_id: str
    running: RunningTurn | None
    left: Left | None = None
    """How it stands with the tightest limit, where the turn has one."""


class Desk:
    """Makes questions turns of this process, whose ``boot_id`` owns them; whoever gets a turn starts it."""

    def __init__(
        self,
        boot_id: str,
        turns: Turns,
        prompts: Prompts,
        streams: Streams,
        models: Models,
        toolbox: Toolbox | None = None,
        told: Told | None = None,
        gate: Gate | None = None,
    ) -> None:
        """``told`` is awaited with every turn that has ended, before its reader hears of the end; ``gate`` lets turns in."""
        self._told = told
        self._gate = gate
        self._boot_id = boot_id
        self._toolbox = toolbox
        self._turns = turns
        self._prompts = prompts
        self._streams = streams
        self._models = models

    async def begin(self, question: Question) -> Asked:
        """The turn's row and stream.

        Raises ``ModelUnknown``, ``InputInvalid`` for an image that no candidate can see or a tool that is not there,
        ``QuotaSpent`` before anything is kept, and what ``Turns.begin`` raises.
        """
        asked = await self._candidates(question.model, question.messages) if question.model else None
        options = dict(question.options or {})
        if question.tools and self._toolbox is not None:
            self._toolbox.offer(question.tools)
            options["tool_ids"] = list(question.tools)
        turn = NewTurn(
            id=new_id(),
            session_id=question.session_id,
            owner=self._boot_id,
            messages=question.messages,
            options=options | {"model": question.model} if question.model else options,
            idempotency_key=question.idempotency_key,
            body_hash=_digest(question) if question.idempotency_key else None,
            token_id=question.token_id,
        )
        async with self._let_in(turn) as left:
            begun = await self._turns.begin(turn)
            if begun.repeated:
                await self._give_back(turn.id)
                return Asked(begun.turn_id, None)
            return Asked(turn.id, await self._running(turn, begun, asked), left)

    async def again(self, turn_id: str) -> RunningTurn:
        """A turn that ended without a whole answer, to be answered anew. Raises ``NotFound``, ``Conflict``, ``QuotaSpent``."""
        asker = await self._turns.asked_by(turn_id)
        async with self._let_in(NewTurn(turn_id, None, self._boot_id, [], {}, token_id=asker)):
            reopened = await self._prompts.reopen(turn_id, self._boot_id)
            asked = reopened.turn.options.get("model")
            candidates = await self._of_session(reopened.turn, asked) if asked else None
            return await self._running(reopened.turn, reopened.begun, candidates)

    async def repeat(self, message_id: str) -> RunningTurn:
        """A user's message of ``/history``, asked once more as a new turn of its session. Raises ``NotFound``, as ``begin``."""
        session_id, message, options = await self._prompts.message(message_id)
        rest = {name: value for name, value in options.items() if name not in OURS}
        tools = options.get("tool_ids", ())
        asked = await self.begin(Question([message], session_id, options.get("model"), rest, tools=tools))
        if asked.running is None:
            raise NotFound("No such message.")
        return asked.running

    @asynccontextmanager
    async def _let_in(self, turn: NewTurn) -> AsyncIterator[Left | None]:
        """What the turn takes of its limits is held; given back where the block fails."""
        if self._gate is None:
            yield None
            return
        bound = turn.options.get("max_completion_tokens") or turn.options.get("max_tokens")
        left = await self._gate.turn(turn.id, turn.workspace, turn.token_id, turn.messages, bound)
        try:
            yield left
        except BaseException:
            await asyncio.shield(self._give_back(turn.id))
            raise

    async def _give_back(self, turn_id: str) -> None:
        if self._gate is not None:
            await self._gate.settle(turn_id)

    async def _ended(self, turn: RunningTurn) -> None:
        told = [self._told(turn)] if self._told is not None else []
        if self._gate is not None and (outcome := turn.outcome) is not None:
            used = outcome.prompt_tokens + outcome.completion_tokens
            told.append(self._gate.settle(turn.id, turns=int(outcome.answered), tokens=used))
        await asyncio.gather(*told)

    async def _running(self, turn: NewTurn, begun: Begun, asked: Sequence[Candidate] | None) -> RunningTurn:
        candidates = asked or await self._of_session(turn, begun.model)
        answered = any(message.get("role") == "assistant" for message in turn.messages)
        first = begun.history == [] and not answered and _free_text(turn.options)
        self._streams.open(turn.id)
        running = RunningTurn(
            turn,
            candidates=candidates,
            streams=self._streams,
            turns=self._turns,
            system=begun.system,
            notice=self._models.notice(candidates[0][0]) if first else None,
            toolbox=self._toolbox,
            token_id=turn.token_id,
            told=self._ended,
        )
        if begun.history is not None:
            running.prepare(begun.history)
        return running

    async def _of_session(self, turn: NewTurn, model: str | None) -> Sequence[Candidate]:
        try:
            return await self._candidates(model, turn.messages)
        except PilothouseError as error:
            # The session's model was there when the session was made; whatever became of it, the turn has a row already.
            failed = Outcome("failed", error=told(error))
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


def _digest(question: Question) -> bytes:
    asked = [question.messages, question.model, question.options, list(question.tools)]
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).digest()


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
