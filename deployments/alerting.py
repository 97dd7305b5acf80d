"""``pilothouse alert``: tell people of something. ``alerts``: which hold, and whether channels work. ``silence``: not now."""

import getpass
import re
from datetime import UTC, datetime, timedelta
from json import dumps
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from core.alerts.phrases import lasted
from core.errors import InputInvalid
from deployments.client import DataDir, Token, Url, Workspace, ask, connect
from deployments.listing import minute, print_columns
from deployments.options import AsJson

PAGE = 200
SPAN = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*(min|m|h|d|w)")
UNITS = {"m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Which alerts there are. Example: pilothouse alerts list")
silences = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Tell nobody for a while. Example: pilothouse silence add 'dify-*' --for 2h"
)


@app.callback()
def alerts() -> None:
    """Which alerts there are, and whether channels work. Example: pilothouse alerts list"""


@silences.callback()
def silence() -> None:
    """Tell nobody of some alerts for a while. Example: pilothouse silence add 'dify-*' --for 2h"""


def alert(
    text: Annotated[str, typer.Argument(help="What to tell; its first line is the title unless --title says it.")],
    title: Annotated[str | None, typer.Option(help="What happened, in one line.")] = None,
    severity: Annotated[str, typer.Option(help="critical, warning or info.")] = "warning",
    service: Annotated[str | None, typer.Option(help="The service that it is about.")] = None,
    key: Annotated[str | None, typer.Option(help="It holds until it is resolved under this key.")] = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="What has this key is over.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
) -> None:
    """Tell people of something, by the channels that want it. Example: pilothouse alert "The release is out" --severity info"""
    body: dict[str, Any] = {"text": text, "severity": severity}
    body |= {name: value for name, value in (("title", title), ("service", service), ("key", key)) if value is not None}
    body |= {"status": "resolved"} if resolved else {}
    with connect(url, token, data_dir, workspace) as client:
        made = ask(client, "POST", "/alerts", body).json()
    if as_json:
        typer.echo(dumps(made, ensure_ascii=False))
    elif resolved:
        typer.echo("resolved" if made["changed"] else "nothing of this key held")
    else:
        typer.echo(made["id"] if made["changed"] else f"{made['id']} (it held already)")


@app.command("list")
def list_alerts(
    all_: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 100,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
) -> None:
    """Alerts that hold; with --all also those that are over. Example: pilothouse alerts list --json"""
    query = {} if all_ else {"status": "open"}
    found = _pages("/alerts", "alerts", limit, query, (url, token, data_dir, workspace))
    if as_json:
        typer.echo(dumps({"alerts": found}, ensure_ascii=False, indent=2))
        return
    if not found:
        typer.echo("no alerts" if all_ else "no alert holds; --all shows those that are over")
        return
    now = datetime.now(UTC)
    rows: list[tuple[str, ...]] = [("SEVERITY", "STATUS", "SINCE", "LASTS", "TITLE", "TOLD TO")]
    print_columns(rows + [_alert_row(each, now) for each in found])


@app.command("test")
def try_channel(
    channel: Annotated[str, typer.Argument(help="A channel of the configuration.")],
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
) -> None:
    """Send one message to a channel, and say what came back. Example: pilothouse alerts test ops"""
    with connect(url, token, data_dir, workspace) as client:
        answer = ask(client, "POST", f"/channels/{quote(channel, safe='')}/test").json()
    if as_json:
        typer.echo(dumps(answer, ensure_ascii=False))
        return
    words = f": {answer['words']}" if answer["words"] else ""
    typer.echo(f"{answer['channel']} answered {answer['status']}{words}")


@app.command("channels")
def list_channels(
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
) -> None:
    """Where alerts go, what waits there, and what was given up in the last day. Example: pilothouse alerts channels"""
    with connect(url, token, data_dir, workspace) as client:
        found = ask(client, "GET", "/channels").json()["channels"]
    if as_json:
        typer.echo(dumps({"channels": found}, ensure_ascii=False, indent=2))
        return
    if not found:
        typer.echo("no channel is configured: alerts are on the status page and in the log")
        return
    rows: list[tuple[str, ...]] = [("CHANNEL", "KIND", "WAITING", "GIVEN UP", "LAST SENT", "TROUBLE")]
    for each in found:
        trouble = each["error"]["message"] if each["error"] else "-"
        waiting, given_up = str(each["waiting"]), str(each["givenUp"])
        rows.append((each["name"], each["kind"], waiting, given_up, _minute(each["sentAt"]), trouble))
    print_columns(rows)


@silences.command("add")
def add_silence(
    services: Annotated[list[str] | None, typer.Argument(help="Services, as names or patterns such as 'dify-*'.")] = None,
    for_: Annotated[str, typer.Option("--for", help="How long from now on: 30min, 2h, 3d.")] = "",
    until: Annotated[str, typer.Option(help="Or until when, such as 2026-12-01T06:00+08:00.")] = "",
    platform: Annotated[list[str] | None, typer.Option(help="Only of these platforms, as patterns.")] = None,
    severity: Annotated[list[str] | None, typer.Option(help="Only of these severities.")] = None,
    fingerprint: Annotated[list[str] | None, typer.Option(help="Only these alerts, as patterns.")] = None,
    comment: Annotated[str, typer.Option(help="Why.")] = "",
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
) -> None:
    """Tell nobody of some alerts for a while. Example: pilothouse silence add postgres 'dify-*' --for 2h --comment upgrade"""
    lists = {"services": services, "platforms": platform, "severities": severity, "fingerprints": fingerprint}
    body: dict[str, Any] = {name: values for name, values in lists.items() if values}
    body |= {"endsAt": _end(for_, until), "comment": comment, "by": _who()}
    with connect(url, token, data_dir, workspace) as client:
        made = ask(client, "POST", "/silences", body).json()
    typer.echo(dumps(made, ensure_ascii=False) if as_json else f"{made['id']} until {_minute(made['endsAt'])}")


@silences.command("list")
def list_silences(
    all_: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 100,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
) -> None:
    """Silences that hold or are to come. Example: pilothouse silence list"""
    found = _pages("/silences", "silences", limit, {"all": "true"} if all_ else {}, (url, token, data_dir, workspace))
    if as_json:
        typer.echo(dumps({"silences": found}, ensure_ascii=False, indent=2))
        return
    if not found:
        typer.echo("no silence holds")
        return
    rows: list[tuple[str, ...]] = [("ID", "WHAT", "FROM", "UNTIL", "BY", "COMMENT")]
    for each in found:
        names = ("services", "platforms", "severities", "fingerprints")
        what = "; ".join(f"{name}: {', '.join(each[name])}" for name in names if each[name])
        rows.append((each["id"], what, _minute(each["startsAt"]), _minute(each["endsAt"]), each["by"], each["comment"] or "-"))
    print_columns(rows)


@silences.command("end")
def end_silence(
    silence_id: Annotated[str, typer.Argument(help="Its id, as `pilothouse silence list` shows it.")],
    url: Url = None,
    token: Token = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
) -> None:
    """End a silence now. Example: pilothouse silence end 0199f8a0-…"""
    with connect(url, token, data_dir, workspace) as client:
        ask(client, "DELETE", f"/silences/{quote(silence_id, safe='')}")
    typer.echo("ended")


def _pages(path: str, name: str, limit: int, query: dict[str, str], where: tuple[Any, Any, Any, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    asked: dict[str, str] = dict(query)
    with connect(*where) as client:
        more = True
        while more and len(found) < limit:
            page = ask(client, "GET", f"{path}?{urlencode(asked | {'limit': str(min(PAGE, limit - len(found)))})}").json()
            found += page[name]
            more = page["next"] is not None
            asked["before"] = page["next"] or ""
    return found


def _end(for_: str, until: str) -> str:
    """When a silence ends. Raises ``InputInvalid`` unless exactly one of the two says so."""
    if bool(for_) == bool(until):
        raise InputInvalid("A silence needs an end: give either --for, such as 2h, or --until.")
    if until:
        return until
    found = SPAN.fullmatch(for_.strip())
    if found is None:
        raise InputInvalid("--for: expected a length of time such as 30min, 2h or 3d.")
    return (datetime.now(UTC) + timedelta(seconds=float(found[1]) * UNITS[found[2]])).isoformat()


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""


def _alert_row(each: dict[str, Any], now: datetime) -> tuple[str, ...]:
    since = datetime.fromisoformat(each["raisedAt"])
    ended = datetime.fromisoformat(each["resolvedAt"]) if each["resolvedAt"] else now
    notes = (["flapping"] if each["flapping"] else []) + (["silenced"] if each["silence"] else [])
    told = ", ".join([*each["channels"], *notes]) or "-"
    return (each["severity"], each["status"], f"{since:%Y-%m-%d %H:%M} UTC", lasted(ended - since), each["title"], told)


def _minute(text: str | None) -> str:
    return minute(datetime.fromisoformat(text) if text else None)
