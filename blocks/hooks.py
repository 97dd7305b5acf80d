"""Commands of the operator's around a backup or in a change, and the call that a dead man's switch waits for.

A command is a list of arguments that no shell reads. It gets nothing of our settings: only where programs and home are, and in
``BACKUP_…`` or ``CHANGE_…`` variables what it is called for.
"""

import asyncio
import os
import signal
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import httpx
from pydantic import SecretStr

from blocks.tls import tls
from core.backups.errors import HookFailed
from core.config import bare_environment
from core.settings_backups import HookSettings

Moment = Literal["start", "success", "fail"]
SUFFIX: Mapping[Moment, str] = {"start": "/start", "success": "", "fail": "/fail"}
"""As healthchecks.io and its kin have it."""
GRACE = 5.0
"""Seconds between asking a command to end and killing it."""
WORDS = 300
"""Characters that are told of a failed command's last lines."""
LINES = 5
PING_SECONDS = 10.0
PINGS = 2


@dataclass(frozen=True, slots=True)
class Command:
    """What messages call it, which setting holds it, and its program with arguments. ``folder``: where it runs; None: here."""

    name: str
    key: str
    arguments: Sequence[str]
    seconds: float
    folder: Path | None = None


async def run_hook(name: str, hook: HookSettings, facts: Mapping[str, str]) -> None:
    """See ``run_command``."""
    await run_command(Command(f"The hook {name}", f"hooks.{name}.command", hook.command, hook.seconds), facts)


async def run_command(command: Command, facts: Mapping[str, str]) -> None:
    """Returns when the command has ended well and nothing holds its output open. Raises ``HookFailed`` with its last words.

    Whatever it started ends with it where it takes too long.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command.arguments,
            cwd=command.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=bare_environment(facts),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds a null byte"
        raise HookFailed(f"{command.name} cannot be run ({reason}): correct {command.key}.") from error
    said: deque[str] = deque(maxlen=LINES)
    try:
        async with asyncio.timeout(command.seconds):
            await _listen(process, said)
            code = await process.wait()
    except TimeoutError:
        await _end(process)
        more = f"see {command.key.rpartition('.')[0]}.seconds"
        raise HookFailed(f"{command.name} was ended after {command.seconds:g} s{_words(said)}; {more}.") from None
    except BaseException:
        await _end(process)
        raise
    if code:
        raise HookFailed(f"{command.name} ended with {code}{_words(said)}.")


async def ping(url: SecretStr, moment: Moment, ca_file: Path | None = None) -> bool:
    """Tell a dead man's switch; whether it took it. Never raises: a backup does not fail because of its watcher."""
    for _ in range(PINGS):
        with suppress(httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
            parts = urlsplit(url.get_secret_value())
            address = urlunsplit(parts._replace(path=parts.path.rstrip("/") + SUFFIX[moment]))
            async with httpx.AsyncClient(timeout=PING_SECONDS, verify=tls(ca_file), follow_redirects=True) as client:
                answer = await client.get(address)
            if answer.is_success:
                return True
            if answer.is_client_error:
                return False
    return False


async def _listen(process: asyncio.subprocess.Process, said: deque[str]) -> None:
    """Until its output ends; what it says is not kept but for the last lines."""
    assert process.stdout is not None
    rest = b""
    while chunk := await process.stdout.read(65_536):
        *lines, rest = (rest + chunk)[-65_536:].split(b"\n")
        said.extend(line.decode(errors="replace").strip() for line in lines if line.strip())
    if rest.strip():
        said.append(rest.decode(errors="replace").strip())


async def _end(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await process.wait()
                break
    with suppress(ProcessLookupError, PermissionError):  # what it started, and what outlived it
        os.killpg(process.pid, signal.SIGKILL)


def _words(said: deque[str]) -> str:
    words = " | ".join(said)[-WORDS:]
    return f": {words}" if words else ""
