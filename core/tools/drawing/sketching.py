"""What is asked of a model without tool calls for ``drawing/chart``: the kind and the title, and the points where need be.

The figures are read from the user's own words where these are plain (``core/charts/figures.py``). Where they are not, the model
writes the points; the schema lets it use no number that the user did not, and names that the user did not use are refused.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from core.charts.figures import Figures, figures, numbers_in, quoted
from core.tools.drafting import Draft

KINDS: Mapping[str, re.Pattern[str]] = {
    kind: re.compile(words, re.I)
    for kind, words in {
        "bar": r"\bbars?\b|\bcolumn|柱|条形",
        "line": r"\blines?\b|\btrend|折线|曲线|趋势|走势",
        "pie": r"\bpie\b|饼",
        "donut": r"\bdo(?:ugh)?nut|\bring\b|环形|圆环",
        "area": r"\barea\b|面积",
        "radar": r"\bradar\b|\bspider\b|雷达",
        "funnel": r"\bfunnel|漏斗",
    }.items()
}
"""The kinds that a list of names with numbers can become, and the words that ask for them."""
OF_ONE_SERIES = ("pie", "donut", "funnel")
POINTS = 40
"""Points that a model may write; of more it loses count."""
QUESTION = re.compile(
    r"\s*(?:what|why|when|who|where|which|how|explain|define|describe|write|tell|translate|summari|什么|为什么|怎么|如何|哪|写|翻译)",
    re.I,
)
REQUEST = re.compile(
    r"\b(?:draw|plot|make|create|show|visuali[sz]e|generate|render|put|turn|convert|want|need|like|give|get|see"
    r"|(?:graph|chart) (?:the|this|these|it))\b|画|绘|生成|制作|做|要|给|显示",
    re.I,
)
PICTURE = re.compile(r"chart|graph|plot|diagram|visuali[sz]|\bpie\b|donut|图|可视化", re.I)
BEGINS = re.compile(r"\W*(?:please\s+|an?\s+)*(?:\w+\s+)?(?:chart|graph|plot|diagram)\b", re.I)
"""``bar chart: …``: a request without a verb."""
AGAIN = re.compile(r"\b(?:it|that|this|them|these|those|same|again|instead|now|as an?|into an?)\b|改|换|再|也|成", re.I)
TOPIC = re.compile(
    r"\b(?:chart|graph|plot)\s+(?:of|for|about|showing)\s+(?!th(?:is|at|ese|ose|em)\b)(?:the |my |our )?"
    r"([^:：\n|\d,]{3,60}?)\s*(?:[:：]|\n|\(|\bfor\b|\bby\b)",
    re.I,
)
SMALL = ("and", "the", "per", "for")
EXAMPLES: Sequence[tuple[str, Mapping[str, Any] | None]] = (
    ("Draw a bar chart of cats 4, dogs 7", {"chartType": "bar", "title": "Cats and dogs"}),
    ("What is a bar chart?", None),
    ("Make a pie chart: tea 20%, coffee 80%", {"chartType": "pie", "title": "Tea and coffee"}),
)
EXAMPLES_WITH_POINTS: Sequence[tuple[str, Mapping[str, Any] | None]] = (
    (
        "Draw a bar chart. We have 4 cats but 7 dogs.",
        {
            "chartType": "bar",
            "title": "Cats and dogs",
            "points": [{"label": "cats", "value": 4}, {"label": "dogs", "value": 7}],
        },
    ),
    ("What are the 3 best charts for 12 months?", None),
)


def sketched(texts: Sequence[str]) -> Draft | None:
    """See ``Drafting``. A chart may be asked of figures that the user gave before: "now as a pie chart"."""
    newest = texts[0]
    if QUESTION.match(newest) and not REQUEST.search(newest):
        return None
    numbers = numbers_in(newest)
    found, said = figures(newest), newest
    if found is None and len(numbers) < 2 and AGAIN.search(newest):
        found, said = next(((one, text) for text in texts[1:] if (one := figures(text)) is not None), (None, newest))
    if found is not None:
        schema = _schema(newest, said, len(found.series))
        asked = said is not newest or REQUEST.search(newest) or BEGINS.match(newest)
        sure = asked and PICTURE.search(newest) is not None
        return Draft(schema, partial(_of_figures, found, f"{newest}\n{said}"), EXAMPLES, bool(sure))
    if len(numbers) < 2:
        return None
    schema = _schema(newest, newest, 1, sorted(set(numbers)))
    return Draft(schema, partial(_of_points, newest), EXAMPLES_WITH_POINTS)


def _schema(newest: str, said: str, series: int, numbers: Sequence[float] = ()) -> dict[str, Any]:
    possible = [kind for kind in KINDS if series == 1 or kind not in OF_ONE_SERIES]
    named = [kind for kind in possible if KINDS[kind].search(newest)]
    title = quoted(newest) or _topic(said)
    properties: dict[str, Any] = {
        "chartType": {"enum": named or possible},
        "title": {"const": title} if title else {"type": "string", "maxLength": 60},
    }
    if numbers:
        point = {
            "type": "object",
            "properties": {"label": {"type": "string", "maxLength": 40}, "value": {"enum": [_plain(one) for one in numbers]}},
            "required": ["label", "value"],
            "additionalProperties": False,
        }
        properties["points"] = {"type": "array", "items": point, "minItems": 2, "maxItems": POINTS}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _topic(said: str) -> str | None:
    found = TOPIC.search(said)
    return found[1][:1].upper() + found[1][1:] if found else None


def _of_figures(found: Figures, said: str, answer: Mapping[str, Any]) -> dict[str, Any] | None:
    series = [{"name": name, "values": list(values)} for name, values in found.series.items()]
    return {
        "type": answer.get("chartType"),
        "title": _title(answer, said, found.labels),
        "labels": list(found.labels),
        "series": series,
    }


def _of_points(said: str, answer: Mapping[str, Any]) -> dict[str, Any] | None:
    points = [point for point in answer.get("points") or () if isinstance(point, dict)]
    labels, values = [str(point.get("label", "")).strip() for point in points], [point.get("value") for point in points]
    known = numbers_in(said)
    grounded = all(label and label.casefold() in said.casefold() for label in labels) and all(value in known for value in values)
    if len(points) < 2 or not grounded or len(set(labels)) < len(labels):
        return None
    return {
        "type": answer.get("chartType"),
        "title": _title(answer, said, labels),
        "labels": labels,
        "series": [{"name": "", "values": values}],
    }


def _title(answer: Mapping[str, Any], said: str, labels: Sequence[str]) -> str:
    """The model's, if all its words are the user's, each once, and it names all that is drawn or nothing of it; else that."""
    title = str(answer.get("title", "")).strip(" ,.;:")
    words = [word.casefold() for word in re.findall(r"[^\W\d_]{3,}", title) if word.casefold() not in SMALL]
    named = sum(any(word in label.casefold() for word in words) for label in labels)
    if words and len(set(words)) == len(words) and named in (0, len(labels)) and all(word in said.casefold() for word in words):
        return title
    return ", ".join(labels[:3]) + ("…" if len(labels) > 3 else "")


def _plain(number: float) -> float:
    return int(number) if number.is_integer() else number
