"""Making the embedded PostgreSQL's cluster: its files, roles and databases, before any server runs in it."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import PilothouseError
from deployments.children import dying_with_parent, forking_beside_threads
from deployments.postgres_programs import Programs

OWNED_DATABASES = ("pilothouse", "prefect")
"""Each belongs to a role of the same name; every other database is reached as the superuser ``postgres``."""


class PostgresFailed(PilothouseError):
    """The embedded server could not be made, did not start or did not stop; the message holds its last words."""

    code = "database_unavailable"


def make_cluster(data: Path, seen: Path, programs: Programs, as_account: Mapping[str, Any], passwords: Mapping[str, str]) -> None:
    """A cluster at ``data``, whose parent the server's account sees as ``seen``; ``passwords`` by role.

    It is made beside its place and moved there when complete, so that an interrupted start leaves none by halves.
    ``as_account`` holds the arguments of ``subprocess`` that run a program as the server's account.
    """
    unfinished, word = data.with_name("data.new"), data.with_name("initial-password")
    shutil.rmtree(unfinished, ignore_errors=True)
    _write_private(word, passwords["postgres"], as_account.get("user"), as_account.get("group"))
    own = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if programs.major >= 17 else []
    place = str(seen / unfinished.name)
    try:
        initdb: list[str | Path] = [
            programs.folder / "initdb",
            "--pgdata",
            place,
            "--pwfile",
            seen / word.name,
            "--username=postgres",
        ]
        _run([*initdb, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", *own], as_account)
        # A lone backend reads SQL from its input: no password in any argument, no server to wait for.
        _run([programs.folder / "postgres", "--single", "-D", place, "postgres"], as_account, _first_statements(passwords))
    finally:
        word.unlink()
    unfinished.rename(data)


def _first_statements(passwords: Mapping[str, str]) -> str:
    # Ours makes the roles that requests are asked as; see core.store.roles.
    may = dict.fromkeys(OWNED_DATABASES, "") | {OWNED_DATABASES[0]: "CREATEROLE "}
    return "".join(
        f"CREATE ROLE {name} LOGIN {may[name]}PASSWORD '{passwords[name]}';\nCREATE DATABASE {name} OWNER {name};\n"
        for name in OWNED_DATABASES
    )


def _run(command: list[str | Path], as_account: Mapping[str, Any], text: str = "") -> None:
    with forking_beside_threads():
        done = subprocess.run(  # noqa: S603 - PostgreSQL's own programs, our arguments
            command,
            input=text.encode(),
            capture_output=True,
            timeout=120,
            check=False,
            preexec_fn=dying_with_parent(signal.SIGKILL),
            **as_account,
        )
    told = (done.stdout + done.stderr).decode(errors="replace")
    # The lone backend exits with 0 whatever its statements did.
    complaints = [line for line in told.splitlines() if "error:" in line or "ERROR:" in line or "FATAL:" in line]
    if done.returncode or complaints:
        raise PostgresFailed(f"The embedded PostgreSQL could not be set up: {' '.join(complaints or [told[-300:]])[:400]}")


def _write_private(path: Path, text: str, uid: int | None, gid: int | None) -> None:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123 - a mode from the first byte
        file.write(text)
    if uid is not None and gid is not None:
        os.chown(path, uid, gid)
