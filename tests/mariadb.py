"""A real MariaDB for tests, where Debian's ``mariadb-server`` is installed: an own data folder, a port on loopback."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pymysql
import pytest

PROGRAM = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin:/usr/local/sbin")
PASSWORD = "a/b@c:d%e"
"""Every login of the tests has it; it needs quoting in a URL."""


class MariaDBServer:
    """Root gets in with ``PASSWORD``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "MariaDBServer":
        assert PROGRAM is not None
        data = self._folder / "data"
        as_user = ["--user=root"] if os.geteuid() == 0 else []
        if not data.exists():
            install = shutil.which("mariadb-install-db") or "/usr/bin/mariadb-install-db"
            options = [f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
            subprocess.run([install, "--no-defaults", *as_user, *options], check=True, capture_output=True, timeout=60)
            first = self._folder / "first.sql"
            first.write_text(f"ALTER USER root@localhost IDENTIFIED BY '{PASSWORD}';")
            as_user.append(f"--init-file={first}")
        options = [f"--datadir={data}", f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={self._folder}/sock"]
        small = ["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M", "--skip-name-resolve=0"]
        with (self._folder / "mariadb.log").open("ab") as log:
            self.process = subprocess.Popen([PROGRAM, "--no-defaults", *as_user, *options, *small], stdout=log, stderr=log)
        deadline = monotonic() + 30
        while not self._answers():
            assert self.process.poll() is None, (self._folder / "mariadb.log").read_text()[-2000:]
            assert monotonic() < deadline, "mariadbd does not answer"
        return self

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as root; the rows of the last one."""
        with self._connect() as connection, connection.cursor() as cursor:
            for text in statements:
                cursor.execute(text)
            return list(cursor.fetchall())

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def _connect(self) -> "pymysql.Connection[Any]":
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user="root",
            password=PASSWORD,
            autocommit=True,
            connect_timeout=5,
            ssl_disabled=True,
        )

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except pymysql.OperationalError:
            return False
        return True


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDBServer]:
    """One server for all tests that do not stop it."""
    if PROGRAM is None:
        pytest.skip("mariadbd is not installed (Debian: mariadb-server)")
    server = MariaDBServer(Path(tmp_path_factory.mktemp("mariadb")))
    try:
        yield server.start()
    finally:
        server.kill()
