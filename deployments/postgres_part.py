"""The embedded PostgreSQL as a part that the supervisor watches."""

import signal
import subprocess

from deployments.postgres import EmbeddedPostgres


class PostgresPart:
    """Ends last and without waiting for clients; cleared of what a kill left before each start."""

    name = "postgres"
    stage = 0
    grace = 30.0
    stop_signal = signal.SIGINT

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server

    def prepare(self) -> None:
        self._server.prepare()

    def spawn(self, output: int) -> subprocess.Popen[bytes]:
        return self._server.spawn(output)

    async def is_ready(self) -> bool:
        return self._server.is_ready()

    def release(self) -> None:
        self._server.release()
