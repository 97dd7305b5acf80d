"""``pilothouse up`` as a process of its own, with what it says, for tests."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.waiting import eventually

_OURS = ("DATABASE_URL", "REDIS_", "PREFECT_", "LLM_", "OPENAI_", "OLLAMA_", "PILOTHOUSE_", "MINIO_", "PG_BIN", "PORT")


class RunningUp:
    """Started on free ports in its own session; nothing of this process's configuration reaches it."""

    def __init__(self, data_dir: Path, *options: str, environ: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self._said = data_dir.with_name(f"{data_dir.name}.said")
        plain = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        ports = () if "--port" in options else ("--port", "0", "--prefect-port", "0")
        with self._said.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deployments.cli", "up", "--data-dir", str(data_dir), *ports, *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=plain | dict(environ or {}),
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._said.read_text()

    def line(self, pattern: str) -> str:
        """The first line of what was said that fits; empty while there is none."""
        found = re.search(f"^.*{pattern}.*$", self.said, re.MULTILINE)
        return found.group(0) if found else ""

    async def until(self, pattern: str, within: float = 60.0) -> str:
        """The line that fits, once it was said."""

        def there() -> str:
            found = self.line(pattern)
            assert found or self.process.poll() is None, f"up ended ({self.process.returncode}):\n{self.said}"
            return found

        return await eventually(there, within, f"{pattern} in: {self.said}")

    def parts(self) -> dict[str, int]:
        """The process of each part that runs now."""
        noted = json.loads((self.data_dir / "run" / "parts.json").read_text())
        return {name: number for name, (number, _) in noted.items()}

    def family(self) -> list[psutil.Process]:
        """``up`` and every process below it."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def interrupt(self, within: float = 60.0) -> int:
        """Ctrl-C; gives the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(within)

    def clear(self) -> None:
        """Whatever still runs of it, at the end of a test."""
        if self.process.poll() is None:
            self.interrupt()


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; a zombie has ended and only waits for whoever inherited it."""
    return [process for process in processes if process.is_running() and _status(process) != psutil.STATUS_ZOMBIE]


def _status(process: psutil.Process) -> str:
    try:
        return process.status()
    except psutil.NoSuchProcess:
        return psutil.STATUS_ZOMBIE
