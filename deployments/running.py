"""``pilothouse run``: trigger a flow through the API and follow it; the exit code is the outcome."""

import time
from collections.abc import Iterator, Mapping
from functools import partial
from json import JSONDecodeError, dumps, loads
from typing import Annotated, Any
from urllib.parse import quote

import httpx
import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from core.errors import InputInvalid, PrefectNotReady
from core.ids import new_id
from deployments.client import DataDir, Event, Token, Url, Workspace, ask_when_ready, checked, connect, events_of, unreachable

CODES = {"COMPLETED": 0, "CANCELLED": 3}
"""By the run's last state; any other is 1."""
INTERRUPTED = 130
AGAIN = 60.0
"""Seconds for which a broken stream is taken up again."""
TRACEBACK, REPEATED = "\nTraceback (most recent call last):", "Finished in state "
"""What is left out of log lines, and lines that are: for who mends the flow, in Prefect's page, and what states say already."""
STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red", "DEBUG": "dim"}


def run(
    flow: Annotated[str, typer.Argument(help="A flow's name, as GET /flows lists them.")],
    parameter: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="key=value; the value may be JSON. Repeat.")
    ] = None,
    url: Url = None,
    token: Token = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
) -> None:
    """Run a flow and follow it. Example: pilothouse run purge_history -p dry_run=true

    Exit code 0: completed, 1: failed, 3: cancelled. The result is printed as JSON on stdout, everything else on stderr.
    """
    with connect(url, token, data_dir, workspace) as client:
        outcome = followed(client, f"/flows/{quote(flow, safe='')}/runs", {"parameters": parsed(parameter or [])})
    if outcome["result"] is not None:
        typer.echo(dumps(outcome["result"], ensure_ascii=False))
    raise typer.Exit(CODES.get(outcome["state"], 1))


def followed(client: httpx.Client, path: str, body: Mapping[str, object]) -> dict[str, Any]:
    """Start the run that a POST to ``path`` begins, and follow it on stderr to its end: ``{"state", "result"}``."""
    console = Console(stderr=True, highlight=False)
    # With a key, asking again after a lost answer cannot start a second run.
    headers = {"Idempotency-Key": new_id()}
    run_id = ask_when_ready(client, console.print, "POST", path, json=body, headers=headers).json()["runId"]
    console.print(f"run {run_id}")
    try:
        return Follower(client, run_id, console).follow()
    except KeyboardInterrupt:
        console.print(f"The run goes on. To cancel it: POST {client.base_url}/runs/{run_id}/cancel")
        raise typer.Exit(INTERRUPTED) from None


def amount(told: Mapping[str, Any]) -> str:
    """How far a run is, as its event tells it: ``3 of 10 turns``, ``1.2 GB of 3.4 GB, 120.0 MB/s, 94 tables``."""
    if told["what"] != "bytes":
        return f"{told['done']} of {told['total']} {told['what']}"
    parts = [f"{decimal(told['done'])} of {decimal(told['total'])}"]
    parts += [f"{decimal(int(told['rate']))}/s"] if "rate" in told else []
    return ", ".join([*parts, f"{told['tables']} tables"] if told.get("tables") else parts)


def parsed(pairs: list[str]) -> dict[str, Any]:
    """``key=value`` pairs; a value that is JSON is taken as such, else as text. Raises ``InputInvalid``."""
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key or not equals:
            raise InputInvalid(f"-p {pair}: expected key=value.")
        try:
            values[key] = loads(text)
        except JSONDecodeError:
            values[key] = text
    return values


class Follower:
    """Shows a run's events as they come."""

    def __init__(self, client: httpx.Client, run_id: str, console: Console) -> None:
        self._client = client
        self._run_id = run_id
        self._console = console
        self._last = ""

    def follow(self) -> dict[str, Any]:
        """Until the run has ended: ``{"state", "result"}``."""
        shown = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[amount]}"))
        columns = (SpinnerColumn(), *shown, TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal) as progress:
            bar = progress.add_task("scheduled", total=None, amount="")
            for event in self._events():
                data = loads(event.data)
                if event.kind == "result":
                    result: dict[str, Any] = data
                    return result
                self._show(event.kind, data, progress, bar)
        raise AssertionError("the events end with a result")

    def _show(self, kind: str, data: dict[str, Any], progress: Progress, bar: TaskID) -> None:
        say = partial(self._console.print, markup=False)
        if kind == "state":
            progress.update(bar, description=str(data["name"]).lower())
            say(f"{data['name']}: {data['message']}" if data["message"] else data["name"])
        elif kind == "log" and not data["message"].startswith(REPEATED):
            line = data["message"].partition(TRACEBACK)[0]
            say(f"{data['level']:<8} {line}", style=STYLES.get(data["level"], ""))
        elif kind == "progress":
            progress.update(bar, completed=data["done"], total=data["total"], amount=amount(data))
            if not self._console.is_terminal:
                say(amount(data))

    def _events(self) -> Iterator[Event]:
        """All events up to the result, over as many connections as it takes."""
        deadline = time.monotonic() + AGAIN
        while True:
            try:
                for event in self._stream():
                    if event.kind == "error":
                        break
                    self._last = event.id
                    deadline = time.monotonic() + AGAIN
                    yield event
                    if event.kind == "result":
                        return
            except (httpx.TransportError, PrefectNotReady) as error:
                if time.monotonic() > deadline:
                    raise unreachable(self._client) from error
            if time.monotonic() > deadline:
                raise PrefectNotReady(f"Prefect did not come back within {AGAIN:.0f} s; the run may well go on.")
            time.sleep(1.0)

    def _stream(self) -> Iterator[Event]:
        headers = {"Last-Event-ID": self._last} if self._last else {}
        with self._client.stream("GET", f"/runs/{self._run_id}/events", headers=headers) as response:
            yield from events_of(checked(response))
