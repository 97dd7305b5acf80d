"""Words that FastGPT shows: its twelve categories of tools, and our texts in the shape it has for two languages."""

from typing import Any

from core.tools.tool import Words

CATEGORIES: tuple[tuple[str, str, str, str], ...] = (
    ("tools", "Tools", "工具", "工具"),
    ("search", "Search", "搜索", "搜尋"),
    ("multimodal", "Multimodal", "多模态", "多模態"),
    ("communication", "Communication", "通信", "通訊"),
    ("finance", "Finance", "金融", "金融"),
    ("design", "Design", "设计", "設計"),
    ("productivity", "Productivity", "生产力", "生產力"),
    ("news", "News", "新闻", "新聞"),
    ("entertainment", "Entertainment", "娱乐", "娛樂"),
    ("social", "Social", "社交", "社群"),
    ("scientific", "Scientific", "科学", "科學"),
    ("other", "Other", "其他", "其他"),
)
"""Id, and its name in English, simplified and traditional Chinese."""


def categories(key: str) -> list[dict[str, Any]]:
    """All categories; ``key`` is what this generation calls their id (``type``, later ``id``)."""
    return [{key: name, "name": {"en": en, "zh-CN": zh, "zh-Hant": hant}} for name, en, zh, hant in CATEGORIES]


def i18n(words: Words) -> dict[str, str]:
    """Traditional Chinese is left out: FastGPT shows the simplified text then."""
    return {"en": words.en, "zh-CN": words.zh}


def category(tags: tuple[str, ...]) -> str:
    """The one category that older FastGPTs take of a tool's tags."""
    return next((tag for tag in tags if any(tag == known for known, *_ in CATEGORIES)), "other")
