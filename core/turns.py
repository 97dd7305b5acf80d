"""A turn while it is being answered: from its row to the stream and to the outcome in the store.

Knows nothing of HTTP or Prefect: whoever runs ``attempt`` decides when to try again, and is told by the error's ``permanent``.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

import structlog

from core.conversation import Candidate, Message
from core.errors import DatabaseUnavailable, PilothouseError, ProviderUnavailable, TurnInterrupted, told
from core.markdown import without_pictures
from core.model_calls import answer_tokens, milliseconds
from core.model_calls import told as told_attempts
from core.models import without_notice
from core.reading import Reading
from core.saving import save
from core.store.turns import NewTurn, Outcome, Status, Turns
from core.streams import Streams
from core.tools.toolbox import Toolbox
from core.voice import Voice
from core.workspaces import outer

log = structlog.get_logger(__name__)

LONGEST_PAUSE = 0.5
"""Seconds between two looks at whether the session's earlier turn, answered by another process, has ended."""
BROKE = PilothouseError("Something went wrong inside Pilothouse; its log has the details under this turn's id.")
STOPPED = TurnInterrupted("The server was stopped during the answer.")


class RunningTurn:
    """One turn of this process, from its row to its outcome.

    ``notice`` is said before the answer, if given. A turn that was asked with tools calls those of ``toolbox``, on behalf of
    the token ``token_id``. ``told`` is awaited with the turn once it has ended, before its reader hears of the end.
    """

    def __init__(
        self,
        turn: NewTurn,
        *,
        candidates: Sequence[Candidate],
        streams: Streams,
        turns: Turns,
        system: str | None = None,
        notice: str | None = None,
        toolbox: Toolbox | None = None,
        token_id: str | None = None,
        told: Callable[["RunningTurn"], Awaitable[None]] | None = None,
    ) -> None:
        self.id = turn.id
        self.session_id = turn.session_id
        self.workspace = turn.workspace
        self.token_id = token_id
        self.flow_run_id: str | None = None
        self.task_run_id: str | None = None
        self.outcome: Outcome | None = None
        self.unkept = False
        """The outcome is not in the store, which still believes the turn to be running; see ``keep``."""
        said_session = None if turn.session_id is None else outer(turn.session_id, turn.workspace)
        self.voice = Voice(streams, turn.id, said_session, notice)
        self.spoke = self.voice.spoke
        self.ended = asyncio.Event()
        self.tracking = asyncio.Event()
        """The ids of its runs are known."""
        self._turn = turn
        tools = toolbox.use(turn, self.voice, token_id) if toolbox is not None else None
        self._reading = Reading(turn, candidates, self.voice, tools)
        self._turns = turns
        self._system = system
        self._told = told
        self.behind: asyncio.Event | None = None
        """Set when the session's earlier turn ends, if this process answers that one."""
        self._born = time.monotonic()
        self._ahead: asyncio.Task[Outcome] | None = None
        self._reader: asyncio.Task[Any] | None = None
        self._ending: asyncio.Task[Outcome] | None = None
        self._stopped_as: Status | None = None

    def __str__(self) -> str:
        return self.id

    @property
    def question(self) -> Sequence[Mapping[str, Any]]:
        """What was asked, as OpenAI messages."""
        return self._turn.messages

    def noted(self, task_run_id: str, flow_run_id: str | None) -> None:
        """Say by which runs the turn is tracked."""
        self.task_run_id, self.flow_run_id = task_run_id, flow_run_id
        self.tracking.set()

    def prepare(self, history: Sequence[Message]) -> None:
        """Say what came before: the turn is the session's running one. Not called, the turn waits to become it."""
        said = [without_pictures(without_notice(message)) for message in history]
        self._reading.prompt = [{"role": "system", "content": self._system}, *said] if self._system else said

    def start(self) -> None:
        """Begin the first attempt now; the first call of ``attempt`` then joins it.

        So the bookkeeping of a tracked run (some milliseconds, or a whole flow run to open) never stands before the model call.
        """
        self._ahead = asyncio.create_task(self._guarded(), name=f"turn {self.id}")
        self._ahead.add_done_callback(_retrieved)

    async def attempt(self) -> Outcome:
        """Ask the providers in order until one has answered; returns how the turn ended.

        Raises ``ProviderUnavailable`` when the same provider deserves another attempt (nothing was sent to a reader yet),
        ``TurnInterrupted`` or the last provider's error when the turn has ended without a whole answer.
        """
        ahead, self._ahead = self._ahead, None
        return await (self._guarded() if ahead is None else ahead)

    async def stop(self, status: Literal["cancelled", "interrupted"]) -> None:
        """Stop the model call, because somebody asked for it or because the process ends; what came so far is kept."""
        self._stopped_as = status
        if self._reader is not None:
            self._reader.cancel()
            await self.ended.wait()
        else:
            await self._end(status, STOPPED if status == "interrupted" else None)

    async def keep(self) -> None:
        """Save the outcome that could not be saved when the turn ended. Raises ``DatabaseUnavailable``."""
        if self.unkept and self.outcome is not None:
            await self._turns.finish(self.id, self._turn.owner, len(self._turn.messages), self.outcome)
            self.unkept = False

    async def give_up(self) -> None:
        """End a turn that nobody will attempt again, as failed; does nothing when it has ended."""
        if self.outcome is None and self._reader is None:
            await self._end("failed", ProviderUnavailable("The model providers failed too often."))

    async def _guarded(self) -> Outcome:
        if self._ending is not None:
            return await asyncio.shield(self._ending)
        self._reader = asyncio.current_task()
        try:
            await self._turn_comes()
            self.voice.tell("running")
            return await self._attempt()
        except PilothouseError:
            raise
        except Exception as error:
            log.exception("turn_broke", turn_id=self.id)
            await self._end("failed" if self.voice.first_token is None else "interrupted", BROKE)
            raise BROKE from error
        except asyncio.CancelledError:
            if self._stopped_as is None:
                await asyncio.shield(self._end("interrupted", STOPPED))
                raise
            if self._reader is not None:
                self._reader.uncancel()
            return await self._end(self._stopped_as, STOPPED if self._stopped_as == "interrupted" else None)
        finally:
            self._reader = None

    async def _turn_comes(self) -> None:
        """Wait until no earlier turn of the session is unanswered, whichever process answers it."""
        pause = 0.02
        while self._reading.prompt is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await (self.behind.wait() if self.behind is not None else asyncio.sleep(pause * 2))
            self.behind = None
            pause = min(pause * 1.5, LONGEST_PAUSE)
            history = await self._turns.claim(self.id)
            if history is not None:
                self.prepare(history)

    async def _attempt(self) -> Outcome:
        failure = await self._reading.answer()
        if failure is None:
            return await self._end("done", None)
        if self.voice.first_token is None:
            await self._end("failed", failure)
            raise failure
        await self._end("interrupted", failure)
        raise TurnInterrupted(f"The answer broke off: {failure.message}") from failure

    async def _end(self, status: Status, failure: PilothouseError | None) -> Outcome:
        # A task of its own: whoever is cancelled meanwhile, the outcome is saved and the stream ended, once.
        if self._ending is None:
            self._ending = asyncio.create_task(self._conclude(status, failure), name=f"end of turn {self.id}")
        return await asyncio.shield(self._ending)

    async def _conclude(self, status: Status, failure: PilothouseError | None) -> Outcome:
        if status == "interrupted" and failure is not None:
            failure = TurnInterrupted(failure.message)
        self.outcome = self._outcome(status, failure)
        try:
            await save(self._turns, self._turn, self.outcome)
        except DatabaseUnavailable as error:
            self.unkept = True
            failure = failure or error
        except Exception:  # whatever a model said that the database refuses, the stream still ends, and so does the turn
            log.exception("answer_refused", turn_id=self.id)
            self.outcome = Outcome("failed", error=told(BROKE))
            self.unkept, status, failure = True, "failed", BROKE
        if self._told is not None:
            await self._told(self)
        self.voice.end(status, failure)
        self.ended.set()
        return self.outcome

    def _outcome(self, status: Status, failure: PilothouseError | None) -> Outcome:
        now = time.monotonic()
        model, info = self._reading.asked
        said = self.voice.answer
        first = None if self.voice.first_token is None else round((self.voice.first_token - self._born) * 1000)
        return Outcome(
            status=status,
            answer=said.text,
            marks=self.voice.marks,
            message=None if self.voice.first_token is None else said.message(),
            provider=model.provider,
            model=info.name,
            usage=said.usage,
            finish_reason=said.finish_reason,
            error=None if failure is None else told(failure),
            first_token_ms=first,
            duration_ms=round((now - self._born) * 1000),
            attempts=told_attempts(self._reading.attempts(failure.code if failure and status == "failed" else None)),
            model_first_ms=milliseconds(self._reading.pace.first),
            model_ms=milliseconds(self._reading.pace.speaking or None),
            model_tokens=answer_tokens(said.usage),
            prompt_tokens=self._reading.tokens.prompt,
            completion_tokens=self._reading.tokens.completion,
        )


def _retrieved(task: asyncio.Task[Outcome]) -> None:
    # Whoever joins the attempt hears of its error; asked for here too, so that asyncio never reports it as unheard.
    if not task.cancelled():
        task.exception()
