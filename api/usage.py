"""What was used, by whom, of what, and what is left: as JSON, as CSV, and as a page for people."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse

from api.auth import WORKSPACE
from api.pages.rendering import Theme
from api.pages.usage import HEADERS, UsageLook, UsageView, usage_page
from api.parts import Parts, TheParts
from api.status_page import Visitor, who_is_shown
from core.errors import Forbidden
from core.quotas.counting import Standing
from core.status.words import language_of
from core.store.access import Principal
from core.store.usage import BY, By, Usage
from core.usage_charts import charts_of, drawn
from core.usage_report import Days, as_csv, by_of, days, told, total

router = APIRouter(tags=["administration"])
CONTENT: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {}, "text/csv": {}, "text/html": {}}}}
DAY = "A day such as 2026-11-21."


@router.get("/usage", summary="What was used, and what is left", responses=CONTENT, response_model=None)
@router.head("/usage", include_in_schema=False, response_model=None)
async def usage(
    request: Request,
    parts: TheParts,
    caller: Annotated[Principal, Depends(Visitor("read"))],
    first: Annotated[str | None, Query(alias="from", max_length=20, description=DAY)] = None,
    last: Annotated[str | None, Query(alias="to", max_length=20, description=DAY)] = None,
    by: Annotated[str, Query(max_length=20)] = "day",
    workspace: Annotated[str | None, Query(max_length=100, description="Only this one.")] = None,
    shape: Annotated[Literal["json", "csv", "html"] | None, Query(alias="format")] = None,
    theme: Annotated[Theme, Query()] = "",
    lang: Annotated[Literal["en", "zh"] | None, Query()] = None,
) -> Response | dict[str, Any]:
    """From the day `from` to the day `to`, both included, of `timezone`; this month's where nothing is said. `by` is `workspace`,
    `model`, `day`, `token` or `tool`. People see their own workspace, administrators all, or the one that `X-Workspace` names.
    `format` is `json`, `csv` or `html`, else what `Accept` says. Costs are by the prices of their time."""
    asked, about = by_of(by), days(first, last, parts.settings.timezone)
    within = _within(caller, workspace if workspace is not None else request.headers.get(WORKSPACE))
    ledger = Usage(parts.store.system if "admin" in caller.scopes else parts.store, parts.settings.timezone)
    wanted = shape or _accepted(request)
    if wanted == "html":
        language = language_of(lang, request.headers.get("accept-language", ""))
        look = UsageLook(language, theme, request.query_params, who_is_shown(request, caller))
        view = await _view(parts, ledger, about, within, look)
        return HTMLResponse(usage_page(view, look), headers=dict(HEADERS))
    lines = await ledger.report(asked, about.since, about.until, within)
    if wanted == "csv":
        named = f"usage-{asked}-{about.first}-{about.last}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{named}"', "Vary": "Accept", "Cache-Control": "no-store"}
        return PlainTextResponse(as_csv(lines, asked), headers=headers, media_type="text/csv; charset=utf-8")
    return {
        "from": about.first,
        "to": about.last,
        "timezone": parts.settings.timezone,
        "by": asked,
        "rows": [told(line, asked) for line in lines],
        "total": told(total(lines)),
        "quotas": [_standing(each) for each in await _standings(parts, ledger, within)],
    }


def _within(caller: Principal, workspace: str | None) -> str | None:
    """The workspace that is asked about; None: all. Raises ``Forbidden``."""
    if "admin" in caller.scopes:
        return workspace or None
    if workspace and workspace != caller.workspace:
        raise Forbidden("You see the workspace that you work in; choose another with `X-Workspace`.")
    return caller.workspace


async def _standings(parts: Parts, ledger: Usage, workspace: str | None) -> list[Standing]:
    names = [workspace] if workspace is not None else [each.name for each in await parts.workspaces.list()]
    found = [standing for name in names for standing in await parts.gate.standings(name)]
    limits = await parts.gate.limits()
    for name in names:
        most = limits.number("storage_bytes", "workspace", name)
        if most is not None:
            origin = limits.of("workspace", name)["storage_bytes"].origin
            found.append(Standing(name, "storage_bytes", most, await ledger.stored(name), None, origin))
    return found


async def _view(parts: Parts, ledger: Usage, about: Days, workspace: str | None, look: UsageLook) -> UsageView:
    lines = {each: await ledger.report(each, about.since, about.until, workspace) for each in BY}
    everywhere = workspace is None
    shown: tuple[By, ...] = ("model", "workspace", "token", "tool") if everywhere else ("model", "token", "tool")
    charts = charts_of(lines, about, look.language, everywhere=everywhere)
    return UsageView(
        about,
        workspace,
        total(lines["day"]),
        {each: lines[each] for each in shown},
        await _standings(parts, ledger, workspace),
        await drawn(charts, parts.tool_calls.bench, look.themes),
    )


def _standing(each: Standing) -> dict[str, Any]:
    return {
        "workspace": each.workspace,
        "limit": each.limit,
        "most": each.most,
        "used": each.used,
        "left": each.left,
        "resetsAt": each.until,
        "origin": each.origin,
    }


def _accepted(request: Request) -> Literal["json", "csv", "html"]:
    accept = request.headers.get("accept", "")
    return "html" if "text/html" in accept else "csv" if "text/csv" in accept else "json"
