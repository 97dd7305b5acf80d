"""Models as FastGPT lists them: for each kind every field that any of its releases insists on."""

from collections.abc import Mapping
from typing import Any

from api.fastgpt.brands import brand_of
from core.model_catalogue import CatalogueModel, ModelType

CONTEXT: Mapping[ModelType, int] = {"llm": 8192, "embedding": 8000, "rerank": 8000, "tts": 0, "stt": 0}
"""Tokens, where nobody says."""
SPLIT = 512
"""Tokens of the pieces that texts are cut into for an embedding model, unless it takes less."""
VOICES = ("alloy", "echo", "fable", "onyx", "nova", "shimmer")
"""OpenAI's, whose names other servers of speech take as well."""


def model_item(model: CatalogueModel) -> dict[str, Any]:
    """One item; whoever reads it drops the keys that his release does not know."""
    item = {"type": model.type, "provider": brand_of(model.provider), "model": model.name, "name": model.name}
    context = model.context or CONTEXT[model.type]
    match model.type:
        case "llm":
            return item | _llm(model, context)
        case "embedding":
            return item | {"defaultToken": min(SPLIT, context), "maxToken": context, "weight": 100}
        case "rerank":
            return item | {"maxToken": context}
        case "tts":
            return item | {"voices": [{"label": voice, "value": voice} for voice in VOICES]}
        case "stt":
            return item


def _llm(model: CatalogueModel, context: int) -> dict[str, Any]:
    answer = min(model.max_output or 4096, context // (2 if model.max_output else 4))
    return {
        "maxContext": context,
        "maxTokens": answer,
        "quoteMaxToken": max(context - answer, context // 2),
        "maxTemperature": 1,
        "vision": model.vision,
        "reasoning": model.reasoning,
        "reasoningEffort": False,
        "toolChoice": model.tools,
        "showTopP": True,
        "showStopSign": True,
        "responseFormatList": ["text", "json_object"],
        "censor": False,
        "datasetProcess": True,
        "usedInClassify": True,
        "usedInExtractFields": True,
        "usedInToolCall": True,
        "useInEvaluation": True,
        "defaultSystemChatPrompt": "",
        "defaultConfig": {},
        "fieldMap": {},
    }
