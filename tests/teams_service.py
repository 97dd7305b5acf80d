"""Microsoft Teams as its senders meet it: a Workflow and a connector over real HTTP, with their rules, limits and bad days."""

import json
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.teams_rules import mistakes, mistakes_of_connector

SECRET = "Kx7-very_secret_signature-0aZ"
WORKFLOW = "/powerautomate/automations/direct/workflows/5f1c9a7e02bb4d0f/triggers/manual/paths/invoke"
BARE = "/powerautomate/automations/direct/workflows/0b9d4e1177aa42cd/triggers/manual/paths/invoke"
CONNECTOR = "/webhookb2/7c1d9e52-tenant/IncomingWebhook/9f8e7d6c5b4a/1a2b3c4d-group"
QUERY = f"?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig={SECRET}"
FAILED = (
    "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error {} with ContextId tcid=0,server=X."
)
DISABLED = "Could not execute workflow '5f1c9a7e02bb4d0f' trigger 'manual' with state 'Disabled': trigger is not enabled."


@dataclass
class Teams:
    """The service and what came to it.

    ``script`` holds what goes wrong with the next requests, first to last: a status (``503``), ``429`` or ``429 date`` (with
    Retry-After), ``slow``, ``cut`` (not taken), ``drip``, ``moved`` (307 to ``elsewhere``), ``text …`` (a 200 with that text);
    ``ok`` is an ordinary one. A request that goes wrong is not taken, but for ``mute``: that one is, and never answered.
    """

    port: int
    tls: ssl.SSLContext | None = None
    per_second: int = 4
    retry_after: float = 1.0
    on: bool = True
    elsewhere: str = ""
    script: deque[str] = field(default_factory=deque)
    delivered: list[dict[str, Any]] = field(default_factory=list)
    """Cards that are in the channel, in order."""
    failed_runs: list[str] = field(default_factory=list)
    """Why a flow failed after its 202; nobody but its owner sees that."""
    muted: int = 0
    asked: list[tuple[float, int]] = field(default_factory=list)
    """Each request's time and the status that it got (0: none)."""
    bodies: list[bytes] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    """What went wrong with each of them, as in ``script``."""
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    gone: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)

    def url(self, path: str = WORKFLOW) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}{path}{'' if path == CONNECTOR else QUERY}"

    def does(self, *steps: str) -> None:
        self.script.extend(steps)

    def limited(self) -> bool:
        """Whether more than ``per_second`` were taken in the last second."""
        now = time.monotonic()
        return sum(1 for when, status in self.asked if now - when < 1 and 200 <= status < 300) >= self.per_second


class _Handler(BaseHTTPRequestHandler):
    teams: Teams

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.teams.lock:
            self.teams.paths.append(self.path)
            self.teams.headers.append(dict(self.headers))
            self.teams.bodies.append(body)
            step = self.teams.script.popleft() if self.teams.script else "ok"
            self.teams.steps.append(step)
        if step == "cut":
            self._note(0)
            self.connection.shutdown(socket.SHUT_RDWR)
        elif step == "slow":
            self._note(0)
            self.teams.gone.wait(30)
        elif step == "drip":
            self._note(0)
            self._drip()
        elif step == "mute":
            with self.teams.lock:
                self._note(self._taken(body)[0])
                self.teams.muted += 1
            self.teams.gone.wait(30)
        elif step == "moved":
            self._answer(307, "", {"Location": self.teams.elsewhere})
        elif step == "ok":
            with self.teams.lock:
                status, text, headers = self._taken(body)
                self._note(status)
            self._answer(status, text, headers, noted=True)
        else:
            self._wrong(step)

    def _wrong(self, step: str) -> None:
        what, _, rest = step.partition(" ")
        if what == "text":
            self._answer(200, rest)
        elif what == "429":
            date = formatdate(time.time() + self.teams.retry_after + 1, usegmt=True)
            self._answer(429, "", {"Retry-After": date if rest == "date" else f"{self.teams.retry_after:g}"})
        else:
            self._answer(int(what), rest)

    def _taken(self, body: bytes) -> tuple[int, str, dict[str, str]]:
        parts = urlsplit(self.path)
        if parts.path == CONNECTOR:
            return 200, self._of_connector(body), {}
        if parts.path not in {WORKFLOW, BARE}:
            return 404, _error("WorkflowNotFound", "The workflow could not be found."), {}
        if parse_qs(parts.query).get("sig") != [SECRET]:
            return 401, _error("DirectApiAuthorizationRequired", f"The signature in {self.path} is not valid."), {}
        if not self.teams.on:
            return 400, _error("WorkflowTriggerIsNotEnabled", DISABLED), {}
        if self.teams.limited():
            return 429, _error("WorkflowRunActionRateLimit", "Slow down."), {"Retry-After": f"{self.teams.retry_after:g}"}
        card = json.loads(body)
        if wrong := mistakes(card, wrapped=parts.path == WORKFLOW):
            self.teams.failed_runs.append("; ".join(wrong))
        else:
            self.teams.delivered.append(card)
        return 202, "", {}

    def _of_connector(self, body: bytes) -> str:
        if self.teams.limited():
            return FAILED.format(429)
        card = json.loads(body)
        if wrong := mistakes_of_connector(card):
            return FAILED.format(413) if wrong == ["413"] else wrong[0]
        self.teams.delivered.append(card)
        return "1"

    def _drip(self) -> None:
        """One byte of the headers at a time, which never comes to an end."""
        try:
            self.wfile.write(b"HTTP/1.1 202 Accepted\r\nX-Slow: ")
            while not self.teams.gone.wait(0.05):
                self.wfile.write(b"x")
        except OSError:
            return

    def _note(self, status: int) -> None:
        self.teams.asked.append((time.monotonic(), status))

    def _answer(self, status: int, text: str, headers: dict[str, str] | None = None, *, noted: bool = False) -> None:
        if not noted:
            self._note(status)
        data = text.encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Not on the terminal."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A sender that is killed leaves its connection: that is no news."""


@contextmanager
def teams_service(script: Iterable[str] = (), **settings: Any) -> Iterator[Teams]:
    """The service on a free port of loopback, until the end of the block."""
    server = _Server(("127.0.0.1", 0), BaseHTTPRequestHandler)
    teams = Teams(server.server_port, script=deque(script), **settings)
    server.RequestHandlerClass = type("Handler", (_Handler,), {"teams": teams})
    if teams.tls:
        server.socket = teams.tls.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield teams
    finally:
        teams.gone.set()
        server.shutdown()
        server.server_close()


def _error(code: str, message: str) -> str:
    return json.dumps({"error": {"code": code, "message": message}})
