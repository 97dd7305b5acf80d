"""The providers and channels that FastGPT shows by name: its own list, with those of our configuration first."""

from collections.abc import Mapping
from typing import Any

from core.config import ProviderSettings

BRANDS: Mapping[str, tuple[str, str, str]] = {
    "OpenAI": ("", "", ""),
    "Claude": ("", "", ""),
    "Gemini": ("", "", ""),
    "Meta": ("", "", ""),
    "MistralAI": ("", "", "mistral"),
    "Grok": ("", "", ""),
    "Groq": ("", "", ""),
    "Jina": ("", "", ""),
    "AliCloud": ("阿里云", "阿里雲", ""),
    "Qwen": ("通义千问", "通義千問", ""),
    "Doubao": ("豆包", "豆包", ""),
    "DeepSeek": ("深度求索", "深度求索", ""),
    "ChatGLM": ("智谱", "智譜", ""),
    "Ernie": ("文心一言", "文心一言", ""),
    "Moonshot": ("月之暗面", "月之暗面", ""),
    "MiniMax": ("", "", ""),
    "SparkDesk": ("讯飞星火", "訊飛星火", "sparkDesk"),
    "Hunyuan": ("腾讯混元", "騰訊混元", ""),
    "Baichuan": ("百川智能", "百川智能", ""),
    "StepFun": ("阶跃星辰", "階躍星辰", ""),
    "ai360": ("360 智脑", "360 智腦", ""),
    "Yi": ("零一万物", "零一萬物", ""),
    "Siliconflow": ("硅基流动", "矽基流動", ""),
    "PPIO": ("派欧云", "派歐雲", ""),
    "OpenRouter": ("", "", ""),
    "Ollama": ("", "", ""),
    "novita": ("", "", ""),
    "vertexai": ("", "", ""),
    "BAAI": ("智源", "智源", "BAAI"),
    "FishAudio": ("", "", ""),
    "Intern": ("书生", "書生", ""),
    "Moka": ("", "", ""),
    "Other": ("其他", "其他", "huggingface"),
}
"""By FastGPT's id: its name in simplified and traditional Chinese and its icon, where those are not the id."""
CHANNELS: tuple[tuple[int, str, str, str], ...] = (
    (1, "OpenAI", "OpenAI", "OpenAI"),
    (3, "Azure", "微软 Azure", "OpenAI"),
    (14, "Anthropic", "Anthropic", "Claude"),
    (12, "Google Gemini (OpenAI)", "Google Gemini (OpenAI)", "Gemini"),
    (24, "Google Gemini", "Google Gemini", "Gemini"),
    (28, "Mistral AI", "Mistral AI", "MistralAI"),
    (29, "Groq", "Groq", "Groq"),
    (45, "Grok", "Grok", "Grok"),
    (17, "Alibaba Cloud", "阿里云百炼", "Qwen"),
    (40, "Volcengine", "火山引擎", "Doubao"),
    (44, "Volcengine Audio", "火山引擎语音", "Doubao"),
    (36, "DeepSeek", "DeepSeek", "DeepSeek"),
    (13, "Baidu Cloud V2", "百度智能云 V2", "Ernie"),
    (15, "Baidu Cloud", "百度智能云", "Ernie"),
    (16, "Zhipu AI", "智谱 AI", "ChatGLM"),
    (18, "iFLYTEK Spark", "讯飞星火", "SparkDesk"),
    (19, "360 AI", "360 智脑", "ai360"),
    (23, "Tencent Hunyuan", "腾讯混元", "Hunyuan"),
    (25, "Moonshot AI", "月之暗面", "Moonshot"),
    (26, "Baichuan", "百川智能", "Baichuan"),
    (27, "MiniMax", "MiniMax", "MiniMax"),
    (31, "01.AI", "零一万物", "Yi"),
    (32, "StepFun", "阶跃星辰", "StepFun"),
    (43, "SiliconFlow", "硅基流动", "Siliconflow"),
    (20, "OpenRouter", "OpenRouter", "OpenRouter"),
    (30, "Ollama", "Ollama", "Ollama"),
    (41, "Novita", "Novita", "novita"),
    (42, "Vertex AI", "Vertex AI", "vertexai"),
    (47, "Jina AI", "Jina AI", "Jina"),
    (33, "AWS", "AWS", "Other"),
    (35, "Cohere", "Cohere", "Other"),
    (37, "Cloudflare", "Cloudflare", "Other"),
)
"""The kinds of channels of AI Proxy, through which FastGPT calls models: number, name in English and Chinese, provider."""
_BY_LOWER = {brand.lower(): brand for brand in BRANDS}


def brand_of(provider: str) -> str:
    """FastGPT's id of a provider of ours: its own spelling where it knows the name."""
    return _BY_LOWER.get(provider.lower(), provider)


def brands(providers: Mapping[str, ProviderSettings]) -> list[dict[str, Any]]:
    """``modelProviders``, in the order in which they are shown: ours by their ``order``, then FastGPT's, ``Other`` last."""
    ours = [brand_of(name) for name, _ in sorted(providers.items(), key=lambda item: item[1].order)]
    return [{"provider": brand, "value": _names(brand), "avatar": icon_of(brand)} for brand in dict.fromkeys([*ours, *BRANDS])]


def channel_map() -> dict[str, dict[str, Any]]:
    """``aiproxyIdMap``: channels by number, up to plugin release 0.5."""
    return {
        str(number): {"name": _named(en, zh), "provider": brand, "avatar": icon_of(brand)} for number, en, zh, brand in CHANNELS
    }


def channels() -> list[dict[str, Any]]:
    """``aiproxyChannels``: the same as later releases have it."""
    return [{"channelId": number, "name": _named(en, zh), "avatar": icon_of(brand)} for number, en, zh, brand in CHANNELS]


def icon_of(brand: str) -> str:
    """The key of one of FastGPT's own pictures; that of ``Other`` for a provider that it does not know."""
    return f"model/{BRANDS.get(brand, BRANDS['Other'])[2] or brand.lower()}"


def _names(brand: str) -> dict[str, str]:
    zh, hant, _ = BRANDS.get(brand, ("", "", ""))
    return {"en": brand, "zh-CN": zh or brand, "zh-Hant": hant or brand}


def _named(en: str, zh: str) -> dict[str, str]:
    return {"en": en, "zh-CN": zh, "zh-Hant": zh}
