"""The lists of models that servers answer, as far as they say what we need: names, context lengths, vision."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any

from core.conversation import ModelInfo
from core.errors import PilothouseError

DEFAULT_CONTEXT = 8192
"""Where a server does not say (OpenAI, Ollama): configure the model to use more."""
NOT_CHAT = re.compile(
    r"embed|\bbge\b|rerank|whisper|transcri|\btts\b|dall-e|image|moderation|realtime|\baudio\b|davinci|babbage|sora|stable-diffusion",
    re.I,
)


def listed(provider: str, answer: object) -> tuple[ModelInfo, ...] | None:
    """The chat models in an answer to ``GET /models``; None if it is no such list."""
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list):
        return None
    models = (model for model in data if isinstance(model, dict) and isinstance(model.get("id"), str))
    return tuple(
        ModelInfo(name=model["id"], provider=provider, context=_context(model), vision=_sees(model))
        for model in models
        if model.get("model_type", "LLM") == "LLM" and not NOT_CHAT.search(model["id"])
    )


def _context(model: Mapping[str, Any]) -> int:
    """vLLM: ``max_model_len``; OpenRouter, Xinference: ``context_length``; Groq: ``context_window``; llama.cpp: ``n_ctx``."""
    meta = model.get("meta")
    said = [model.get(name) for name in ("max_model_len", "context_length", "context_window")]
    if isinstance(meta, dict):
        said.append(meta.get("n_ctx"))
    return next((value for value in said if isinstance(value, int) and value >= 256), DEFAULT_CONTEXT)


def _sees(model: Mapping[str, Any]) -> bool:
    """OpenRouter, llama.cpp: ``architecture.input_modalities``; Xinference: ``model_ability``."""
    architecture = model.get("architecture")
    inputs = architecture.get("input_modalities") if isinstance(architecture, dict) else None
    return "image" in (inputs or ()) or "vision" in (model.get("model_ability") or ())


class Listing:
    """A provider's own list of models, asked for again when it is old; the last good one stands in while that fails."""

    FRESH = 60.0
    FAILED = 15.0
    PATIENCE = 1.0
    """Seconds that a caller waits for a new list where the last outcome is known."""

    def __init__(self, fetch: Callable[[], Awaitable[tuple[ModelInfo, ...]]]) -> None:
        self._fetch = fetch
        self._good: tuple[ModelInfo, ...] | None = None
        self._error: PilothouseError | None = None
        self._tried: float | None = None
        self._refreshing: asyncio.Task[None] | None = None

    async def get(self, at_most: float | None = None) -> tuple[ModelInfo, ...]:
        """The list, not older than ``at_most`` seconds (60 unless told) if the provider answers in time."""
        known = self._tried is not None
        if not known or monotonic() - (self._tried or 0.0) > (at_most or (self.FRESH if self._error is None else self.FAILED)):
            if self._refreshing is None or self._refreshing.done():
                self._refreshing = asyncio.create_task(self._refresh())
            await asyncio.wait({self._refreshing}, timeout=self.PATIENCE if known else None)
        if self._good is not None:
            return self._good
        assert self._error is not None
        raise self._error

    async def _refresh(self) -> None:
        try:
            self._good, self._error = await self._fetch(), None
        except PilothouseError as error:
            self._error = error
        self._tried = monotonic()
