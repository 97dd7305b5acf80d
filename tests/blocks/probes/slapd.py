"""A real OpenLDAP server on loopback that takes logins over TLS alone."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port, listens

SCHEMAS, MODULES = Path("/etc/ldap/schema"), Path("/usr/lib/ldap")
ADMIN, PASSWORD = "cn=admin,dc=example,dc=com", "right ü"
CONFIGURATION = """
include {schemas}/core.schema
modulepath {modules}
moduleload back_mdb
pidfile {folder}/slapd.pid
TLSCertificateFile {certificate}
TLSCertificateKeyFile {certificate}
TLSVerifyClient never
security simple_bind=64
{more}
database mdb
suffix dc=example,dc=com
rootdn {admin}
rootpw "{password}"
directory {folder}
{overlays}
"""


@dataclass(frozen=True)
class Slapd:
    port: int
    tls_port: int


def missing() -> str:
    """Why it cannot be started here; empty when it can."""
    return "" if program() and SCHEMAS.is_dir() else "slapd is not installed (apt-get install slapd)"


def program() -> str | None:
    return shutil.which("slapd", path="/usr/sbin:/usr/local/sbin:/usr/libexec:/usr/bin")


@contextmanager
def slapd(folder: Path, certificate: Path, more: str = "", overlays: str = "") -> Iterator[Slapd]:
    """Runs until the block ends; ``more`` and ``overlays`` are lines of its configuration, before and within the database's."""
    folder.mkdir(parents=True)
    file, found = folder / "slapd.conf", Slapd(free_port(), free_port())
    file.write_text(
        CONFIGURATION.format(
            schemas=SCHEMAS,
            modules=MODULES,
            folder=folder,
            certificate=certificate,
            more=more,
            overlays=overlays,
            admin=ADMIN,
            password=PASSWORD,
        ),
        encoding="utf-8",
    )
    addresses = f"ldap://127.0.0.1:{found.port}/ ldaps://127.0.0.1:{found.tls_port}/"
    log = folder / "log"
    with log.open("wb") as output:
        command = [str(program()), "-f", str(file), "-h", addresses, "-d", "0"]
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 30
        while not (listens(found.port) and listens(found.tls_port)):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield found
    finally:
        process.terminate()
        process.wait(10)
