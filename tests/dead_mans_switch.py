"""A dead man's switch that notes what it hears, for tests."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest


class Switch(BaseHTTPRequestHandler):
    """Notes what it is asked, and answers as it is told to."""

    status = 200
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not on the terminal."""


@pytest.fixture
def switch() -> Iterator[ThreadingHTTPServer]:
    Switch.asked, Switch.status = [], 200
    server = ThreadingHTTPServer(("127.0.0.1", 0), Switch)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
