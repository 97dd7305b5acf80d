"""The model calls behind one answer: whom to ask, what is asked, how often, and what of it goes to the reader."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing

import structlog

from core.conversation import Candidate, ChatModel, Message, ModelInfo, ModelRequest
from core.errors import ContextExceeded, PilothouseError, ProviderFailed, ProviderUnavailable
from core.history import fit
from core.models import without_notice
from core.store.turns import NewTurn
from core.voice import Voice

log = structlog.get_logger(__name__)

LONGEST_WAIT = 30.0
"""Seconds of a provider's Retry-After that a turn waits; for longer ones the next provider is asked."""
WHOLE, LESS = 1.0, 0.6
"""Of a context window, what a prompt is fitted into at first, and after a provider found it too long."""


class Reading:
    """One turn's calls of its candidates, in order. ``prompt`` is what came before the turn; set before ``answer``."""

    def __init__(self, turn: NewTurn, candidates: Sequence[Candidate], voice: Voice) -> None:
        self.prompt: list[Message] | None = None
        self.asked: Candidate = candidates[0]
        self._turn = turn
        self._candidates = list(candidates)
        self._voice = voice
        self._tries = 0
        self._share = WHOLE
        self._not_before = 0.0

    async def answer(self) -> PilothouseError | None:
        """None once a model has answered; else why none did, or why the answer broke off.

        Raises ``ProviderUnavailable`` when the same provider deserves another attempt (nothing was sent to a reader yet).
        """
        if (wait := self._not_before - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        failure: PilothouseError = ProviderFailed("No model provider is left to ask.")
        while self._candidates:
            self.asked = self._candidates[0]
            try:
                await self._read(*self.asked)
            except ProviderUnavailable as error:
                failure = error
                if self._voice.first_token is None and self._worth_another(error):
                    raise
            except ContextExceeded as error:
                failure = error
                if self._share == WHOLE and self.prompt:
                    self._share = LESS  # tokens are estimated, and some languages take more of them
                    continue
            except PilothouseError as error:
                failure = error
            else:
                return None
            if self._voice.first_token is not None:
                break
            self._candidates.pop(0)
            self._tries, self._share = 0, WHOLE
        return failure

    def _worth_another(self, error: ProviderUnavailable) -> bool:
        wait = error.retry_after or 0.0
        model, _ = self.asked
        if self._tries >= model.retries or wait > LONGEST_WAIT:
            return False
        self._tries += 1
        self._not_before = time.monotonic() + wait
        log.info("turn_tried_again", turn_id=self._turn.id, provider=model.provider, reason=error.code, tries=self._tries)
        return True

    async def _read(self, model: ChatModel, info: ModelInfo) -> None:
        options = {name: value for name, value in self._turn.options.items() if name != "model"}
        request = ModelRequest(info.name, self._fitted(info), options)
        self._voice.speak_for(info.name)
        async with aclosing(model.stream(request)) as chunks:
            async for chunk in chunks:
                self._voice.say(chunk)

    def _fitted(self, info: ModelInfo) -> list[Message]:
        asked = self._turn.options.get("max_completion_tokens") or self._turn.options.get("max_tokens")
        reserve = min(asked or info.max_output or min(4096, info.context // 4), info.context // 2)
        new = [without_notice(dict(message)) for message in self._turn.messages]
        return fit(self.prompt or [], new, int(info.context * self._share), int(reserve * self._share))
