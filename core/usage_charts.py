"""The usage report as charts."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.charts.chart import Chart, Picture, Series
from core.status.words import Language
from core.store.usage import By, Used
from core.tools.tool import Bench
from core.usage_report import Days

MOST = 10
"""Lines of a chart; what is beyond is one more."""
LONG = 62
"""Days that are drawn each; of longer times months are."""
WORDS: Mapping[Language, Mapping[str, str]] = {
    "en": {"day": "Tokens by day", "month": "Tokens by month", "model": "Tokens by model", "workspace": "Tokens by workspace"}
    | {
        "prompt": "Prompts",
        "completion": "Answers",
        "rest": "all others",
        "turns": "Turns by day",
        "turns_month": "Turns by month",
    },
    "zh": {"day": "每日 token 用量", "month": "每月 token 用量", "model": "各模型 token 用量", "workspace": "各工作区 token 用量"}
    | {"prompt": "提问", "completion": "回答", "rest": "其他", "turns": "每日对话轮数", "turns_month": "每月对话轮数"},
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart in each theme that may be asked for."""

    title: str
    pictures: Mapping[str, Picture]


def charts_of(lines: Mapping[By, Sequence[Used]], about: Days, language: Language, *, everywhere: bool) -> list[Chart]:
    """By day (or month), by model and by workspace; none of what nothing was used."""
    said = WORDS[language]
    labels, prompts, answers, turns = _over_time(lines["day"], about)
    period = "day" if len(labels) == len(about.all) and len(labels) <= LONG else "month"
    charts = []
    if any(prompts) or any(answers):
        charts.append(_bars(said[period], labels, {said["prompt"]: prompts, said["completion"]: answers}))
    if any(turns):
        title = said["turns" if period == "day" else "turns_month"]
        charts.append(_bars(title, labels, {"": turns}))
    by: list[By] = ["model", "workspace"] if everywhere else ["model"]
    for each in by:
        found = [line for line in lines[each] if line.prompt_tokens + line.completion_tokens]
        if found:
            charts.append(_ranked(said[each], each, found, said))
    return charts


async def drawn(charts: Sequence[Chart], bench: Bench, themes: Sequence[Literal["light", "dark"]]) -> list[Drawn]:
    """All of them, in worker processes."""

    async def one(chart: Chart) -> Drawn:
        pictures = await asyncio.gather(*(bench.draw(chart.model_copy(update={"theme": theme})) for theme in themes))
        return Drawn(chart.title, dict(zip(themes, pictures, strict=True)))

    return list(await asyncio.gather(*(one(chart) for chart in charts)))


def _over_time(lines: Sequence[Used], about: Days) -> tuple[list[str], list[float], list[float], list[float]]:
    """Labels, tokens of prompts and answers, and turns, a value for each day or month, those of nothing included."""
    daily = len(about.all) <= LONG
    sums: dict[str, list[float]] = {(f"{day:%m-%d}" if daily else f"{day:%Y-%m}"): [0.0, 0.0, 0.0] for day in about.all}
    for line in lines:
        if line.day is not None:
            found = sums[f"{line.day:%m-%d}" if daily else f"{line.day:%Y-%m}"]
            for at, value in enumerate((line.prompt_tokens, line.completion_tokens, line.turns)):
                found[at] += value
    return list(sums), *([each[at] for each in sums.values()] for at in range(3))  # type: ignore[return-value]


def _bars(title: str, labels: list[str], values: Mapping[str, Sequence[float]], *, horizontal: bool = False) -> Chart:
    series = [Series(name=name, values=list(each), x=None) for name, each in values.items()]
    height = 120 + 34 * len(labels) if horizontal else 300
    return Chart(
        type="bar", title=title, labels=labels, series=series, stacked=True, horizontal=horizontal, width=760, height=height
    )


def _ranked(title: str, by: By, lines: Sequence[Used], said: Mapping[str, str]) -> Chart:
    top, rest = lines[:MOST], lines[MOST:]
    labels = [f"{line.provider}/{line.model}" if by == "model" else line.workspace for line in top]
    prompts: list[float] = [line.prompt_tokens for line in top]
    answers: list[float] = [line.completion_tokens for line in top]
    if rest:
        labels.append(said["rest"])
        prompts.append(sum(line.prompt_tokens for line in rest))
        answers.append(sum(line.completion_tokens for line in rest))
    return _bars(title, labels, {said["prompt"]: prompts, said["completion"]: answers}, horizontal=True)
