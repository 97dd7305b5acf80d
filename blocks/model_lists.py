"""The lists of models that servers answer, as far as they say what we need: names, kinds, context lengths, abilities."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any, Generic, TypeVar

from core.conversation import ModelInfo, ToolWay
from core.errors import PilothouseError
from core.model_catalogue import CatalogueModel, ModelType, by_name, type_by_name

T = TypeVar("T")
Entry = Mapping[str, Any]
DEFAULT_CONTEXT = 8192
"""Where a server does not say (OpenAI, Ollama): configure the model to use more."""
TYPES: Mapping[str, ModelType] = {
    "llm": "llm",
    "vlm": "llm",
    "chat": "llm",
    "language": "llm",
    "embedding": "embedding",
    "embeddings": "embedding",
    "rerank": "rerank",
}
"""By ``model_type`` (Xinference) or ``type`` (LM Studio, Together), in lower case; ``audio`` is told apart by abilities."""
NO_TYPE = {"image", "video", "flexible", "moderation"}


def entries_of(answer: object) -> tuple[Entry, ...] | None:
    """The models in an answer to ``GET /models``, each once; None if it is no such list."""
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list):
        return None
    named: dict[str, Entry] = {}
    for one in data:
        if isinstance(one, dict) and isinstance(name := one.get("id"), str) and name:
            named.setdefault(name, one)
    return tuple(named.values())


def listed(provider: str, entries: Sequence[Entry], tools: ToolWay = "auto") -> tuple[ModelInfo, ...]:
    """The chat models among them; ``tools`` is how they are asked to use ours."""
    return tuple(
        ModelInfo(one["id"], provider, _context(one) or DEFAULT_CONTEXT, _sees(one), tools=tools)
        for one in entries
        if _type(one) == "llm"
    )


def catalogued(provider: str, entries: Sequence[Entry]) -> tuple[CatalogueModel, ...]:
    """All of them that are of a kind we know, with what their server says of them, or else their names."""
    return tuple(_catalogued(provider, one, kind) for one in entries if (kind := _type(one)) is not None)


def _catalogued(provider: str, entry: Entry, kind: ModelType) -> CatalogueModel:
    known = by_name(entry["id"], provider, kind, _context(entry))
    if kind != "llm":
        # Xinference: how long a text its embedding and ranking models take.
        longest = entry.get("max_tokens")
        return known if not isinstance(longest, int) or longest < 1 else replace(known, context=longest)
    known = replace(known, max_output=_max_output(entry))
    abilities = _words(entry, "model_ability") | _words(entry, "supported_parameters") | _words(entry, "capabilities")
    if not abilities:
        return replace(known, vision=known.vision or _sees(entry))
    return replace(
        known,
        vision=_sees(entry) or "vision" in abilities,
        reasoning=bool(abilities & {"reasoning", "thinking"}),
        tools=bool(abilities & {"tools", "tool_use", "function_calling"}),
    )


def _words(entry: Entry, key: str) -> set[str]:
    """Xinference and OpenRouter: a list of words; Mistral: an object of booleans."""
    said = entry.get(key)
    if isinstance(said, dict):
        return {str(word) for word, true in said.items() if true is True}
    return {word for word in said if isinstance(word, str)} if isinstance(said, list) else set()


def _type(entry: Entry) -> ModelType | None:
    said = str(entry.get("model_type") or entry.get("type") or "").lower()
    if said == "audio":
        abilities = _words(entry, "model_ability")
        if any(word.startswith("text2audio") for word in abilities):
            return "tts"
        if any(word.startswith("audio2text") for word in abilities):
            return "stt"
    if said in TYPES or said in NO_TYPE:
        return TYPES.get(said)
    return type_by_name(entry["id"])


def _context(entry: Entry) -> int | None:
    """vLLM: ``max_model_len``; OpenRouter, Xinference: ``context_length``; Groq: ``context_window``; llama.cpp: ``n_ctx``."""
    meta = entry.get("meta")
    said = [entry.get(name) for name in ("max_model_len", "context_length", "context_window", "max_context_length")]
    if isinstance(meta, dict):
        said.append(meta.get("n_ctx"))
    return next((value for value in said if isinstance(value, int) and value >= 256), None)


def _max_output(entry: Entry) -> int | None:
    """Groq: ``max_completion_tokens``; OpenRouter has it in ``top_provider``."""
    top = entry.get("top_provider")
    said = entry.get("max_completion_tokens") or (top.get("max_completion_tokens") if isinstance(top, dict) else None)
    return said if isinstance(said, int) and said > 0 else None


def _sees(entry: Entry) -> bool:
    """OpenRouter, llama.cpp: ``architecture.input_modalities``; Xinference: ``model_ability``."""
    architecture = entry.get("architecture")
    inputs = architecture.get("input_modalities") if isinstance(architecture, dict) else None
    return "image" in (inputs or ()) or "vision" in _words(entry, "model_ability")


class Listing(Generic[T]):
    """A provider's own list of models, asked for again when it is old; the last good one stands in while that fails."""

    FRESH = 60.0
    FAILED = 15.0
    PATIENCE = 1.0
    """Seconds that a caller waits for a new list where the last outcome is known."""

    def __init__(self, fetch: Callable[[], Awaitable[tuple[T, ...]]], good: tuple[T, ...] | None = None) -> None:
        """``good``: a list from before, which stands in until the first one comes."""
        self._fetch = fetch
        self._good = good
        self._error: PilothouseError | None = None
        self._tried: float | None = None
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def good(self) -> tuple[T, ...] | None:
        """The last list that came, without asking."""
        return self._good

    async def get(self, at_most: float | None = None) -> tuple[T, ...]:
        """The list, not older than ``at_most`` seconds (60 unless told) if the provider answers in time."""
        lasts = at_most or (self.FRESH if self._error is None else self.FAILED)
        if self._tried is None or monotonic() - self._tried > lasts:
            if self._refreshing is None or self._refreshing.done():
                self._refreshing = asyncio.create_task(self._refresh())
            known = self._tried is not None or self._good is not None
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
