"""The model calls behind one answer: whom to ask, what is asked, how often, and what of it goes to the reader."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import structlog

from core.answers import Answer, carries_content
from core.conversation import Candidate, ChatModel, Message, ModelInfo, ModelRequest
from core.errors import ContextExceeded, PilothouseError, ProviderFailed, ProviderUnavailable, RequestRefused
from core.history import fit
from core.model_calls import Attempt, Pace
from core.models import without_notice
from core.store.turns import NewTurn
from core.tools import deciding
from core.tools.using import ToolUse
from core.usage import TokenCount
from core.voice import Voice

log = structlog.get_logger(__name__)

LONGEST_WAIT = 30.0
"""Seconds of a provider's Retry-After that a turn waits; for longer ones the next provider is asked."""
LONGEST_DECISION = 60.0
"""Seconds that a model may take to decide whether to use a tool; then the question is answered without."""
WHOLE, LESS = 1.0, 0.6
"""Of a context window, what a prompt is fitted into at first, and after a provider found it too long."""
CALLING = ("tool_calls", "function_call")
"""Reasons for the end of a call that are none for the end of an answer."""
OURS = ("model", "tool_ids")
"""Options of a turn that are for us; all others are passed on to the provider."""


class Reading:
    """One turn's calls of its candidates, in order. ``prompt`` is what came before the turn; set before ``answer``.

    With ``tools`` an answer takes several rounds: the tools that a model calls are run, and it is asked again with their results.
    """

    def __init__(self, turn: NewTurn, candidates: Sequence[Candidate], voice: Voice, tools: ToolUse | None = None) -> None:
        self.prompt: list[Message] | None = None
        self.asked: Candidate = candidates[0]
        self.pace = Pace()
        self.tokens = TokenCount()
        self._given_up: list[Attempt] = []
        self._turn = turn
        self._candidates = list(candidates)
        self._voice = voice
        self._tools = tools
        self._decided = False
        self._said = 0
        self._tries = 0
        self._share = WHOLE
        self._not_before = 0.0

    def attempts(self, code: str | None = None) -> list[Attempt]:
        """The models with which something went wrong so far, in the order in which they were asked. ``code``: of the error with
        which the turn ended before the last of them was given up."""
        return [*self._given_up, *([self._attempt(code)] if self._tries else [])]

    async def answer(self) -> PilothouseError | None:
        """None once a model has answered; else why none did, or why the answer broke off.

        Raises ``ProviderUnavailable`` when the same provider deserves another attempt (nothing of its call was sent to a reader).
        """
        if (wait := self._not_before - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        failure: PilothouseError = ProviderFailed("No model provider is left to ask.")
        while self._candidates:
            self.asked = self._candidates[0]
            try:
                await self._rounds(*self.asked)
            except ProviderUnavailable as error:
                failure = error
                if self._silent and self._worth_another(error):
                    raise
            except ContextExceeded as error:
                failure = error
                if self._share == WHOLE and self.prompt:
                    self._share = LESS  # tokens are estimated, and some languages take more of them
                    continue
            except RequestRefused as error:
                failure = error
                if self._silent and self._tools is not None and self._tools.way(self.asked[1]) == "native":
                    self._tools.turn_away(self.asked[1])
                    continue
            except PilothouseError as error:
                failure = error
            else:
                return None
            goes_on = self._silent and len(self._candidates) > 1
            self._given_up.append(self._attempt(failure.code, left=goes_on))
            self._tries = 0
            if not self._silent:
                break
            self._candidates.pop(0)
            self._share, self.pace = WHOLE, Pace()
        return failure

    def _attempt(self, code: str | None = None, *, left: bool = False) -> Attempt:
        model, info = self.asked
        return Attempt(model.provider, info.name, self._tries, code, left)

    @property
    def _silent(self) -> bool:
        """Nothing of the latest call was sent to a reader."""
        return len(self._voice.marks) == self._said

    def _worth_another(self, error: ProviderUnavailable) -> bool:
        wait = error.retry_after or 0.0
        model, _ = self.asked
        if self._tries >= model.retries or wait > LONGEST_WAIT:
            return False
        self._tries += 1
        self._not_before = time.monotonic() + wait
        log.info("turn_tried_again", turn_id=self._turn.id, provider=model.provider, reason=error.code, tries=self._tries)
        return True

    async def _rounds(self, model: ChatModel, info: ModelInfo) -> None:
        tools = self._tools
        if tools is None:
            await self._read(model, info)
            return
        if tools.way(info) == "schema" and not self._decided:
            await self._decide(model, info, tools)
        while True:
            heard = await self._read(model, info, offered=tools.way(info) == "native" and tools.more)
            tools.accepted(info)
            if not heard.tool_calls:
                return
            await tools.answer(heard)

    async def _decide(self, model: ChatModel, info: ModelInfo, tools: ToolUse) -> None:
        """Ask whether to use a tool, and use it; whatever goes wrong with that, the question is answered without."""
        self._decided = True
        asked = deciding.question(tools.offer, [*(self.prompt or []), *map(dict, self._turn.messages)], info)
        if asked is None:
            return
        self._voice.speak_for(info.name)
        try:
            async with asyncio.timeout(LONGEST_DECISION):
                decision = await deciding.decided(model, asked)
        except (PilothouseError, TimeoutError) as error:
            log.info("tool_not_decided", turn_id=self._turn.id, provider=info.provider, reason=type(error).__name__)
            if isinstance(error, RequestRefused):
                tools.turn_away(info)
            return
        self._voice.answer.feed({"usage": decision.usage})
        self.tokens.add(decision.usage)
        if decision.inputs is not None:
            await tools.use(decision.name, decision.inputs)

    async def _read(self, model: ChatModel, info: ModelInfo, *, offered: bool = False) -> Answer:
        """One call of a model, said as it comes. Of tools that were offered, what it wants is in what is returned."""
        self._said = len(self._voice.marks)
        options = {name: value for name, value in self._turn.options.items() if name not in OURS}
        if self._tools is not None and offered:
            options["tools"] = self._tools.offer.functions
        request = ModelRequest(info.name, self._fitted(info, offered=offered), options)
        self._voice.speak_for(info.name)
        heard = Answer()
        as_it_comes = self._tools is None or not (offered or self._tools.rounds)
        self.pace.asked()
        self.tokens.asked(request.messages)
        try:
            async with aclosing(model.stream(request)) as chunks:
                async for chunk in chunks:
                    self.pace.heard(chunk)
                    self.tokens.heard(chunk)
                    if as_it_comes:
                        self._voice.say(chunk)
                        continue
                    if offered:
                        heard.feed(chunk)
                    self._voice.say(_spoken(chunk, goes_on=bool(heard.tool_calls), begun=self._voice.first_token is not None))
        finally:
            self.pace.ended()
            self.tokens.ended()
        return heard

    def _fitted(self, info: ModelInfo, *, offered: bool) -> list[Message]:
        asked = self._turn.options.get("max_completion_tokens") or self._turn.options.get("max_tokens")
        reserve = min(asked or info.max_output or min(4096, info.context // 4), info.context // 2)
        context = int(info.context * self._share)
        new = [without_notice(dict(message)) for message in self._turn.messages]
        if self._tools is not None:
            new = self._tools.added(new, info, context)
            context -= self._tools.offer.tokens if offered else 0
        return fit(self.prompt or [], new, context, int(reserve * self._share))


def _spoken(chunk: dict[str, Any], *, goes_on: bool, begun: bool) -> dict[str, Any]:
    """A chunk without tool calls, which are ours to answer, and without the end of a call that is not the answer's.

    Of an answer that has ``begun``, chunks that say nothing are left out: each round starts with one.
    """
    choices = chunk.get("choices")
    if not choices:
        return chunk
    choice = choices[0]
    delta, finish = choice.get("delta") or {}, choice.get("finish_reason")
    if not finish and "tool_calls" not in delta and (not begun or carries_content(chunk)):
        return chunk
    said = {key: value for key, value in delta.items() if key != "tool_calls"}
    if finish:
        finish = None if goes_on else "stop" if finish in CALLING else finish
    spoken = {**chunk, "choices": [{**choice, "delta": said, "finish_reason": finish}]}
    return spoken if finish or carries_content(spoken) else {**chunk, "choices": []}
