"""A real nginx on loopback with our shipped configuration, and a program to stand behind it that tells what reached it."""

import asyncio
import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.ports import listens

SHIPPED = Path(__file__).parents[2] / "deployments" / "nginx"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
MAIN = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/conf.d/*.conf;
}}
"""


@dataclass
class Program:
    """Answers with the request's headers; ``/v1/stream`` and ``/stream`` send their last event when ``go_on`` is set."""

    port: int = 0
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    go_on: Event = field(default_factory=Event)

    async def told(self, request: Request) -> JSONResponse:
        self.asked.append((request.url.path, dict(request.headers)))
        return JSONResponse({"path": request.url.path, "body": len(await request.body()), "headers": dict(request.headers)})

    async def stream(self, request: Request) -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            yield "data: first\n\n"
            await asyncio.to_thread(self.go_on.wait, 10)
            yield "data: last\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async def echo(self, socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(f"{socket.headers.get('x-auth-user')}: {await socket.receive_text()}")
        await socket.close()


@contextmanager
def program() -> Iterator[Program]:
    """One, until the block ends."""
    made = Program()
    routes = [
        WebSocketRoute("/{path:path}", made.echo),
        *(Route(path, made.stream) for path in ("/v1/stream", "/stream")),
        Route("/{path:path}", made.told, methods=["GET", "POST"]),
    ]
    config = uvicorn.Config(Starlette(routes=routes), port=0, log_config=None, lifespan="off", ws="websockets-sansio")
    server = uvicorn.Server(config)
    thread = Thread(target=server.run)
    thread.start()
    awaited(lambda: server.started)
    made.port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        made.go_on.set()
        server.should_exit = True
        thread.join(10)


@dataclass(frozen=True)
class Nginx:
    """Where it listens, and the folder with its configuration."""

    folder: Path
    port: int
    tls_port: int


def placed(text: str, nginx: Nginx, certificate: Path, upstreams: dict[str, int]) -> str:
    """A shipped file with other ports, addresses of upstreams and files of the certificate, and nothing else."""
    for name, port in upstreams.items():
        text = re.sub(rf"(upstream {name} {{\n    server )127\.0\.0\.1:\d+;", rf"\g<1>127.0.0.1:{port};", text)
    text = re.sub(r"(listen )80\b", rf"\g<1>127.0.0.1:{nginx.port}", text)
    text = re.sub(r"(listen )443\b", rf"\g<1>127.0.0.1:{nginx.tls_port}", text)
    return re.sub(r"(ssl_certificate(?:_key)? )\S+;", rf"\g<1>{certificate};", text)


def checked(folder: Path) -> subprocess.CompletedProcess[str]:
    """What ``nginx -t`` says."""
    return subprocess.run([*_command(folder), "-t"], capture_output=True, text=True, timeout=30, check=False)


@contextmanager
def running(nginx: Nginx, certificate: Path, upstreams: dict[str, int]) -> Iterator[Nginx]:
    """Until the block ends."""
    (nginx.folder / "conf.d").mkdir(parents=True)
    (nginx.folder / "nginx.conf").write_text(MAIN.format(folder=nginx.folder), encoding="utf-8")
    for file in SHIPPED.glob("*.conf"):
        text = placed(file.read_text(encoding="utf-8"), nginx, certificate, upstreams)
        (nginx.folder / "conf.d" / file.name).write_text(text, encoding="utf-8")
    log = nginx.folder / "error.log"
    with log.open("ab") as output:
        process = subprocess.Popen(_command(nginx.folder), stdout=output, stderr=output)
    try:
        awaited(lambda: listens(nginx.tls_port) or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield nginx
    finally:
        process.terminate()
        process.wait(10)


def awaited(condition: object) -> None:
    """Until it holds."""
    assert callable(condition)
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _command(folder: Path) -> list[str]:
    return [str(NGINX), "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
