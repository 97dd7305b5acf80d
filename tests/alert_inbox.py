"""A webhook of the tests' own: takes messages over real HTTP, keeps them in their order, and answers as it is told to."""

import json
import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any


@dataclass
class AlertInbox:
    """``script``: statuses of the next answers, first to last; 0 waits for ``go_on`` before it answers 200. Else it is 200.

    ``taken`` are the messages that were answered with 200, ``asked`` all, as JSON.
    """

    port: int
    script: deque[int] = field(default_factory=deque)
    taken: list[dict[str, Any]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    go_on: Event = field(default_factory=Event)
    retry_after: str = ""
    always: int = 200
    lock: Lock = field(default_factory=Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def titles(self) -> list[str]:
        """Of what was taken; how many seconds something lasted is left out, since that depends on the machine."""
        return [re.sub(r"(after|历时) \d+ (s|秒)\b", r"\1 N \2", message["title"]) for message in self.taken]


@contextmanager
def alert_inbox() -> Iterator[AlertInbox]:
    """One, until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    inbox = AlertInbox(server.server_address[1])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with inbox.lock:
                inbox.asked.append(message)
                status = inbox.script.popleft() if inbox.script else inbox.always
            if status == 0:
                inbox.go_on.wait(30)
                status = 200
            if status == 200:
                with inbox.lock:
                    inbox.taken.append(message)
            self.send_response(status)
            if status == 429 and inbox.retry_after:
                self.send_header("Retry-After", inbox.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server.RequestHandlerClass = Handler
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield inbox
    finally:
        inbox.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
