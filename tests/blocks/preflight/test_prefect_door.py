"""Servers that let somebody without a password in, keep him out, or are none of Prefect's."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from blocks.preflight.prefect_door import is_open


class Door(BaseHTTPRequestHandler):
    """Answers ``/STATUS/…`` with that status."""

    def do_POST(self) -> None:
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name there)
        """Nothing on stderr."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    made = HTTPServer(("127.0.0.1", 0), Door)
    Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    made.server_close()


@pytest.mark.parametrize(("status", "expected"), [(200, True), (401, False), (403, False), (404, None), (500, None)])
async def test_what_it_answers(status: int, expected: bool | None, server: str) -> None:
    assert await is_open(f"{server}/{status}/", None) is expected


async def test_nobody_there() -> None:
    assert await is_open("http://127.0.0.1:9/api", None) is None
