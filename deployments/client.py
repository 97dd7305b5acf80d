"""How commands find and speak to a running Pilothouse: by ``--url`` and ``--token``, else by the data directory of ``up``."""

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from json import JSONDecodeError, loads
from pathlib import Path
from typing import Annotated

import httpx
import typer

from core.config import Settings, load_settings
from core.errors import PartMissing, PilothouseError, PrefectNotReady, named
from deployments.api_parts import admin_token_file

Url = Annotated[str | None, typer.Option(envvar="PILOTHOUSE_URL", help="The API's address; else that of `pilothouse up`.")]
Token = Annotated[str | None, typer.Option(envvar="PILOTHOUSE_TOKEN", help="A token for it; else the data directory's own.")]
Workspace = Annotated[
    str | None, typer.Option(envvar="PILOTHOUSE_WORKSPACE", help="In which workspace; else the token's, or one's first.")
]
DataDir = Annotated[Path | None, typer.Option(help="The data directory of `pilothouse up`.")]

# Streams are never silent for longer than their pings.
TIMEOUT = httpx.Timeout(10.0, read=60.0)
PREFECT_WAIT = 60.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Event:
    """One server-sent event; ``data`` is text."""

    id: str
    kind: str
    data: str


def connect(url: str | None, token: str | None, data_dir: Path | None, workspace: str | None = None) -> httpx.Client:
    """A client with the address, token and workspace. Raises ``PartMissing`` where nothing says them."""
    settings = load_settings(overrides={"data_dir": data_dir})
    noted = _noted(settings.data_dir)
    address = (url or noted or "").rstrip("/")
    if not address:
        raise PartMissing(f"No Pilothouse runs on {settings.data_dir}: start it with `pilothouse up`, or give --url and --token.")
    if token is None and address == noted:  # the admin token is for our own address only
        token = _kept_token(settings.data_dir)
    if token is None:
        raise PartMissing(f"A token is needed for {address}: give --token or PILOTHOUSE_TOKEN.")
    loopback = httpx.URL(address).host in LOOPBACK
    return httpx.Client(
        base_url=address,
        headers={"Authorization": f"Bearer {token}"} | ({"X-Workspace": workspace} if workspace else {}),
        timeout=TIMEOUT,
        verify=_trust(settings),
        trust_env=not loopback,  # no proxy stands between us and this machine
    )


def ask(
    client: httpx.Client, method: str, path: str, json: object = None, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """The answer. Raises ``PartMissing`` when nothing answers, and what the API's problem says by its code."""
    try:
        return checked(client.request(method, path, json=json, headers=headers))
    except httpx.TransportError as error:
        raise unreachable(client) from error


def ask_when_ready(
    client: httpx.Client,
    say: Callable[[str], None],
    method: str,
    path: str,
    json: object = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """``ask``, again for up to a minute while Prefect is not ready; ``say`` is told once."""
    deadline = time.monotonic() + PREFECT_WAIT
    told = False
    while True:
        try:
            return ask(client, method, path, json, headers)
        except PrefectNotReady as error:
            if time.monotonic() > deadline:
                raise
            if not told:
                say(f"{error.message} Waiting for up to {PREFECT_WAIT:.0f} s.")
                told = True
            time.sleep(1.0)


def checked(response: httpx.Response) -> httpx.Response:
    """The same, unless it is a refusal."""
    if response.is_success:
        return response
    response.read()
    try:
        problem = loads(response.text)
        raise named({"code": str(problem["code"]), "message": str(problem["detail"])})
    except (JSONDecodeError, KeyError, TypeError):
        raise PilothouseError(f"{response.request.url} answered {response.status_code}; is that a Pilothouse?") from None


def unreachable(client: httpx.Client) -> PartMissing:
    """What to say when nothing answers."""
    return PartMissing(f"Nothing answers at {client.base_url}: is Pilothouse running there?")


def events_of(response: httpx.Response) -> Iterator[Event]:
    """The stream's events as they come (WHATWG HTML, 9.2.6; our servers send one data line each)."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif not line and "data" in fields:
            yield Event(fields.get("id", ""), fields.get("event", "message"), fields["data"])
            fields = {}


def _noted(data_dir: Path) -> str | None:
    try:
        return str(loads((data_dir / "address.json").read_text())["url"]).rstrip("/")
    except (OSError, JSONDecodeError, KeyError):
        return None


def _kept_token(data_dir: Path) -> str | None:
    try:
        return admin_token_file(data_dir).read_text().strip() or None
    except OSError:
        return None


def _trust(settings: Settings) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=settings.ca_file)
