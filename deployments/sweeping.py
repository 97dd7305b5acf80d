"""``pilothouse sweep``: look at every service now. ``pilothouse status``: how the last sweep left them.

Exit codes as monitoring plugins give them: 0 all is well, 1 something is degraded, 2 something is down, 3 nobody can tell.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from json import dumps
from typing import Annotated, Any
from urllib.parse import urlencode

import httpx
import typer

from deployments.client import DataDir, Token, Url, Workspace, ask, connect
from deployments.listing import print_columns
from deployments.options import AsJson
from deployments.running import followed

CODES = {"ok": 0, "warning": 1, "critical": 2}
UNKNOWN = 3
PAGE = 1000
WORST = ("down", "degraded", "unreachable", "unknown", "up")

All = Annotated[bool, typer.Option("--all", help="Those that are well too.")]


def sweep(
    topology: Annotated[str | None, typer.Argument(help="One topology alone; all without it.")] = None,
    every: All = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
) -> None:
    """Look at every service now, and follow it. Example: pilothouse sweep dify --json

    Exit code 0: all is well, 1: something is degraded, 2: something is down, 3: nobody can tell, or the sweep failed.
    """
    parameters = {"topology": topology} if topology is not None else {}
    with connect(url, token, data_dir, workspace) as client:
        outcome = followed(client, "/flows/health_sweep/runs", {"parameters": parameters})
        result: dict[str, Any] | None = outcome["result"]
        if outcome["state"] != "COMPLETED" or result is None:
            raise typer.Exit(UNKNOWN)
        if as_json:
            typer.echo(dumps(result, ensure_ascii=False, indent=2))
        else:
            found = _asked(client)
            mine = [each for each in found["services"] if topology is None or each["id"].partition("/")[0] == topology]
            _show(mine, result["counts"], every)
    raise typer.Exit(_code(result["counts"]))


def status(
    every: All = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
) -> None:
    """How the last sweep left the services. Example: pilothouse status --json

    Exit code 0: all is well, 1: something is degraded or the sweeps are late, 2: something is down, 3: nobody can tell.
    """
    with connect(url, token, data_dir, workspace) as client:
        found = _asked(client, history=as_json)
    if as_json:
        typer.echo(dumps(found, ensure_ascii=False, indent=2))
    else:
        _show(found["services"], found["counts"], every)
        _tell_sweep(found["sweep"])
    raise typer.Exit(CODES.get(found["status"], UNKNOWN))


def _asked(client: httpx.Client, history: bool = False) -> dict[str, Any]:
    """The status with all services, however many there are; uptimes and latencies only where they are wanted."""
    options = {"limit": PAGE, "history": str(history).lower()}
    found: dict[str, Any] = ask(client, "GET", f"/status.json?{urlencode(options)}").json()
    if not found["page"]["complete"]:
        services: dict[str, Any] = {}
        for name in [each["name"] for each in found["platforms"]]:
            number, pages = 1, 1
            while number <= pages:
                query = urlencode({"platform": name, "page": number, **options})
                page = ask(client, "GET", f"/status.json?{query}").json()
                services |= {each["id"]: each for each in page["services"]}
                number, pages = number + 1, page["page"]["pages"]
        found["services"] = list(services.values())
    return found


def _show(services: list[dict[str, Any]], counts: Mapping[str, int], every: bool) -> None:
    chosen = sorted((each for each in services if every or each["state"] != "up"), key=lambda each: WORST.index(each["state"]))
    rows = [("SERVICE", "STATE", "FOR", "UNDER", "MESSAGE"), *(_row(each, datetime.now(UTC)) for each in chosen)]
    if chosen:
        print_columns(rows)
    told = [f"{counts.get(state, 0)} {state}" for state in reversed(WORST) if counts.get(state, 0)]
    typer.echo(", ".join(told) or "no services")


def _row(each: Mapping[str, Any], now: datetime) -> tuple[str, ...]:
    state = f"{each['state']} (maintenance)" if each["maintenance"] else str(each["state"])
    since = each["since"]  # null for one that has not been looked at
    lasts = _span(datetime.fromisoformat(since), now) if since else "-"
    return each["id"], state, lasts, each["because"] or "", each["message"]


def _tell_sweep(sweep: Mapping[str, Any]) -> None:
    if sweep["at"] is None:
        typer.echo("not swept yet")
        return
    late = ", which is longer ago than it should be" if sweep["overdue"] else ""
    typer.echo(f"swept {_span(datetime.fromisoformat(sweep['at']), datetime.now(UTC))} ago{late}")


def _code(counts: Mapping[str, int]) -> int:
    for state, code in (("down", "critical"), ("degraded", "warning"), ("up", "ok")):
        if counts.get(state, 0):
            return CODES[code]
    return UNKNOWN


def _span(moment: datetime, now: datetime) -> str:
    """The largest unit that there is one of: ``3 h``."""
    seconds = max(0.0, (now - moment).total_seconds())
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"
