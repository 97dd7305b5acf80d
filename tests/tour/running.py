"""One ``pilothouse up`` for the tour: started as a user would, offline, its lines read as they come."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil

OFFLINE = Path(__file__).parent.parent / "offline"


class Running:
    """``url`` and ``token`` of a running Pilothouse; may be stopped and started again on the same data."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self.record = folder / "offline.txt"
        self.lines: list[str] = []
        self._folder = folder
        self._changed = threading.Condition()
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return self.said("ready: ", within=0).removeprefix("ready: ")

    @property
    def prefect(self) -> str:
        return self.said("prefect: http").removeprefix("prefect: ").split()[0]

    @property
    def token(self) -> str:
        return (self.data_dir / "admin-token").read_text(encoding="utf-8").strip()

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def command(self, *arguments: str) -> list[str]:
        """A command line that finds this Pilothouse by its data directory."""
        return [sys.executable, "-m", "deployments.cli", *arguments, "--data-dir", str(self.data_dir)]

    def environment(self) -> dict[str, str]:
        """Nothing of the caller's settings; every Python process in it refuses and notes what is not loopback."""
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "TMPDIR", "TZ"}}
        return kept | {"HOME": str(self._folder), "PYTHONPATH": str(OFFLINE), "OFFLINE_RECORD": str(self.record)}

    def start(self) -> None:
        """Returns when chat answers."""
        self.lines = []
        self._process = subprocess.Popen(
            self.command("up", "--port", "0", "--prefect-port", "0"),
            cwd=self._folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        self.said("ready: ", within=60)

    def stop(self) -> int:
        """As Ctrl-C does; the exit code. Fails where a process is left."""
        assert self._process is not None
        family = self.family()
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(timeout=60)
        _, left = psutil.wait_procs(family, timeout=5)
        assert left == []
        return code

    def family(self) -> list[psutil.Process]:
        """Every process under this one, itself included."""
        assert self._process is not None
        top = psutil.Process(self._process.pid)
        return [top, *top.children(recursive=True)]

    def said(self, beginning: str, within: float = 100) -> str:
        """The first line that begins so, once it is there."""
        return self.until(lambda: next((line for line in self.lines if line.startswith(beginning)), ""), within)

    def until(self, found: Callable[[], str], within: float) -> str:
        with self._changed:
            self._changed.wait_for(lambda: found() or self.ended(), within)
            assert found(), "".join(f"\n{line}" for line in self.lines)
            return found()

    def guarded(self) -> set[int]:
        """The processes that took the guard in when they started."""
        return {int(number) for number in Path(f"{self.record}.guarded").read_text(encoding="ascii").split()}

    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def close(self) -> None:
        if not self.ended():
            self.stop()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as said:
            for line in said:
                with self._changed:
                    self.lines.append(line.rstrip())
                    self._changed.notify_all()
        process.wait()
        with self._changed:
            self._changed.notify_all()
