"""Every model that the configured providers have, for clients that call them by themselves: chat is only one kind."""

import re
from dataclasses import dataclass
from typing import Literal

ModelType = Literal["llm", "embedding", "rerank", "tts", "stt"]
"""FastGPT's names of the kinds it knows: chat, vectors, ranking, speaking, listening."""

_BY_NAME: tuple[tuple[ModelType | None, re.Pattern[str]], ...] = (
    ("rerank", re.compile(r"rerank|ranker", re.I)),
    (
        "embedding",
        re.compile(r"embed|\bbge\b|\bm3e\b|\be5\b|\bgte\b|minilm|text2vec|paraphrase|sentence-t5|\bstella\b|similarity", re.I),
    ),
    ("stt", re.compile(r"whisper|transcri|sensevoice|paraformer|\b(asr|stt)\b", re.I)),
    ("tts", re.compile(r"\btts\b|cosyvoice|chattts|kokoro|fish-?speech|melotts|\bbark\b", re.I)),
    (None, re.compile(r"dall-e|image|moderation|realtime|\baudio\b|davinci|babbage|\bsora\b|stable-diffusion|\bflux\b", re.I)),
)
_SEES = re.compile(r"gpt-4o|gpt-4\.1|gpt-5|claude-|gemini|\bvl\b|-vl-|vision|llava|minicpm-v|internvl|pixtral|\b4v\b", re.I)
_REASONS = re.compile(r"\bo[134]\b|gpt-5|gpt-oss|\br1\b|reason|thinking|\bqwq\b|magistral", re.I)
_CALLS = re.compile(
    r"^(gpt-(3\.5-turbo|4|5)|chatgpt|o[134]\b|claude-|gemini-|grok-|deepseek-(chat|reasoner)|qwen-(max|plus|turbo|flash)|glm-4"
    r"|moonshot|kimi|mistral-(large|medium|small)|command-r)",
    re.I,
)


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """A model and what is known of it. ``context`` and ``max_output`` in tokens, None where nobody says."""

    name: str
    provider: str
    type: ModelType
    context: int | None = None
    max_output: int | None = None
    vision: bool = False
    reasoning: bool = False
    tools: bool = False


def type_by_name(name: str) -> ModelType | None:
    """What a model most likely is; None for what is none of these (images, moderation, bare completions)."""
    for kind, names in _BY_NAME:
        if names.search(name):
            return kind
    return "llm"


def by_name(name: str, provider: str, kind: ModelType, context: int | None = None) -> CatalogueModel:
    """A model whose server says nothing of its abilities: those of well-known names.

    Tool calls only for models that nobody runs by himself: whether a server of one's own can parse them depends on its options.
    """
    if kind != "llm":
        return CatalogueModel(name, provider, kind, context)
    bare = name.rpartition("/")[2]
    return CatalogueModel(
        name,
        provider,
        kind,
        context,
        vision=bool(_SEES.search(bare)),
        reasoning=bool(_REASONS.search(bare)),
        tools=bool(_CALLS.search(bare)),
    )
