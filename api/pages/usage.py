"""The usage page as HTML: one page with its style and its charts in it, that asks nobody for anything and runs no script."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

from api.pages.page import headers, style_of, template
from api.pages.rendering import Theme
from core.charts.chart import Picture
from core.quotas.counting import Standing
from core.status import words
from core.status.words import Language
from core.store.usage import By, Used
from core.usage_charts import Drawn
from core.usage_report import Days

STYLE = style_of("status.css", "usage.css")
HEADERS = headers(STYLE, vary="Accept, Accept-Language")
KEPT = ("lang", "theme")
"""What the form sends along."""
_EN: Mapping[str, str] = {
    "usage": "Usage",
    "everywhere": "All workspaces",
    "from": "From",
    "to": "To",
    "show": "Show",
    "total": "In all",
    "turns": "Turns",
    "prompt_tokens": "Tokens of prompts",
    "completion_tokens": "Tokens of answers",
    "tool_runs": "Tool runs",
    "errors": "Errors",
    "cost": "Cost",
    "quotas": "What is left of the quotas",
    "workspace": "Workspace",
    "limit": "Limit",
    "used": "Used",
    "most": "Of",
    "left": "Left",
    "share": "Share",
    "until": "Begins anew",
    "by_day": "By day",
    "by_model": "By model",
    "by_workspace": "By workspace",
    "by_token": "By user or token",
    "by_tool": "By tool",
    "nothing": "Nothing was used in this time.",
    "more": "more are in the CSV file",
    "json": "as JSON",
    "nobody": "unknown",
    "limit_turns_per_day": "Turns a day",
    "limit_turns_per_month": "Turns a month",
    "limit_tokens_per_day": "Tokens a day",
    "limit_tokens_per_month": "Tokens a month",
    "limit_tool_runs_per_day": "Tool runs a day",
    "limit_tool_runs_per_month": "Tool runs a month",
    "limit_storage_bytes": "Files",
}
_ZH: Mapping[str, str] = {
    "usage": "用量",
    "everywhere": "所有工作区",
    "from": "从",
    "to": "到",
    "show": "查看",
    "total": "合计",
    "turns": "对话轮数",
    "prompt_tokens": "提问 token",
    "completion_tokens": "回答 token",
    "tool_runs": "工具调用",
    "errors": "错误",
    "cost": "费用",
    "quotas": "配额余量",
    "workspace": "工作区",
    "limit": "限额",
    "used": "已用",
    "most": "上限",
    "left": "剩余",
    "share": "占比",
    "until": "重新计算时间",
    "by_day": "按日",
    "by_model": "按模型",
    "by_workspace": "按工作区",
    "by_token": "按用户或令牌",
    "by_tool": "按工具",
    "nothing": "这段时间没有用量。",
    "more": "项见 CSV 文件",
    "json": "JSON 格式",
    "nobody": "未知",
    "limit_turns_per_day": "每日对话轮数",
    "limit_turns_per_month": "每月对话轮数",
    "limit_tokens_per_day": "每日 token",
    "limit_tokens_per_month": "每月 token",
    "limit_tool_runs_per_day": "每日工具调用",
    "limit_tool_runs_per_month": "每月工具调用",
    "limit_storage_bytes": "文件",
}
SAID: Mapping[Language, Mapping[str, str]] = {"en": words.WORDS["en"] | _EN, "zh": words.WORDS["zh"] | _ZH}  # type: ignore[operator]


@dataclass(frozen=True, slots=True)
class UsageLook:
    """How somebody wants to see the page. ``query`` is what the address says already; ``user`` whose login shows it."""

    language: Language
    theme: Theme
    query: Mapping[str, str]
    user: str = ""

    @property
    def themes(self) -> Sequence[Literal["light", "dark"]]:
        """In which charts are drawn: both where the device decides."""
        return (self.theme,) if self.theme else ("light", "dark")


@dataclass(frozen=True, slots=True)
class UsageView:
    """What the page tells. ``workspace`` None: of all."""

    days: Days
    workspace: str | None
    total: Used
    lines: Mapping[By, Sequence[Used]]
    standings: Sequence[Standing]
    charts: Sequence[Drawn]


def usage_page(view: UsageView, look: UsageLook) -> str:
    """The whole page; every name in it is escaped."""
    said = SAID[look.language]

    def link(**changed: str | None) -> str:
        query = dict(look.query) | changed
        return f"?{urlencode({name: value for name, value in query.items() if value is not None})}"

    return template("usage.html").render(
        view=view,
        look=look,
        t=said,
        style=STYLE,
        link=link,
        kept=[(name, value) for name, value in look.query.items() if name in KEPT],
        number=lambda value: f"{value:,}",
        money=_money,
        amount=lambda limit, value: words.size(value) if limit == "storage_bytes" else f"{value:,}",
        called=lambda by, line: _called(by, line) or said["nobody"],
        uri=_uri,
    )


def _money(cost: Mapping[str, float]) -> str:
    return " + ".join(f"{amount:,.2f} {currency}" for currency, amount in sorted(cost.items())) or "–"


def _called(by: By, line: Used) -> str:
    if by == "model":
        return f"{line.provider}/{line.model}"
    return line.name or line.token if by == "token" else str(getattr(line, by))


def _uri(picture: Picture) -> str:
    return f"data:{picture.media_type};base64,{base64.b64encode(picture.data).decode()}"
