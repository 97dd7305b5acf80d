"""``pilothouse up``: everything on this machine, in the foreground, stopped in order by Ctrl-C or SIGTERM."""

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import psutil
import typer

from core.config import Settings, load_settings
from core.errors import PartMissing, PilothouseError
from core.samples import refuse_samples
from deployments.addresses import checked_port, listening
from deployments.engines import Engines
from deployments.options import Config
from deployments.part_files import DirectoryLock, end_leftovers
from deployments.prefect_server import HOST
from deployments.starting import Starting
from deployments.supervisor import PartKeepsDying, Supervisor

_ROOM = 100_000_000
_SOMETHING_TO_SET_RIGHT = 2
_LOOK_AT_PARENT_EVERY = 1.0


def up(
    data_dir: Annotated[Path | None, typer.Option(help="Where everything is kept; the XDG data directory by default.")] = None,
    host: Annotated[str | None, typer.Option(help="Address of the API [127.0.0.1]; 0.0.0.0 for all.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the API [8700]; 0 for a free one.")] = None,
    prefect_port: Annotated[int | None, typer.Option(help="Port of Prefect's server and UI [4200], always on loopback.")] = None,
    no_model: Annotated[bool, typer.Option("--no-model", help="Start no demo model.")] = False,
    workers: Annotated[int | None, typer.Option(help="API processes [1]; more than one needs REDIS_URL.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Serve HTTPS with this certificate chain (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's private key (PEM).")] = None,
    config: Config = None,
) -> None:
    """Start everything on this machine and stay in the foreground. Example: pilothouse up --data-dir ~/pilothouse"""
    began = monotonic()
    given = {
        "data_dir": data_dir,
        "host": host,
        "port": port,
        "prefect_port": prefect_port,
        "model": False if no_model else None,
        "workers": workers,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
    }
    settings = load_settings(config=config, overrides=given)
    settings = settings.model_copy(update={"hints": (*settings.hints, *refuse_samples(settings))})
    _make_room(settings.data_dir)
    with DirectoryLock(settings.data_dir):
        for part in end_leftovers(settings.data_dir):
            say(f"{part}: a process of an earlier start was still there and was ended")
        with listening(settings.host, settings.port) as bound:
            own_prefect = settings.prefect.api_url is None
            ports = {
                "port": bound.getsockname()[1],
                "prefect_port": checked_port(HOST, settings.prefect_port, "--prefect-port") if own_prefect else 0,
            }
            code = asyncio.run(_stay_up(settings.model_copy(update=ports), config, bound, began))
    raise typer.Exit(code)


def say(line: str) -> None:
    """One line for whoever started us; a reader that has gone (``up | head``) stops nothing."""
    try:
        print(line, flush=True)
    except OSError:
        sys.stdout = sys.stderr


def _make_room(data_dir: Path) -> None:
    """The data directory, ours alone where we make it. Raises ``PartMissing`` where nothing can be written there."""
    try:
        # As root other users may pass through (what lies in it is closed), so that PostgreSQL's user can.
        data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        (data_dir / "run").mkdir(mode=0o700, exist_ok=True)
        probe = data_dir / "run" / "probe"
        probe.write_bytes(b"x" * 4096)
        probe.unlink()
        free = shutil.disk_usage(data_dir).free
    except OSError as error:
        raise PartMissing(f"{data_dir} cannot be written ({error.strerror}): choose another --data-dir.") from error
    if free < _ROOM:
        raise PartMissing(
            f"{data_dir} has only {free // 1_000_000} MB left on its disk, {_ROOM // 1_000_000} MB are needed: "
            "make room, or choose another --data-dir."
        )


async def _stay_up(settings: Settings, config: Path | None, bound: socket.socket, began: float) -> int:
    """Runs until told to stop or until a part keeps dying; gives the exit code."""
    supervisor = Supervisor(settings.data_dir, say)
    told = _when_told(supervisor)
    for hint in settings.hints:
        say(f"hint: {hint}")
    starting = asyncio.create_task(Starting(settings, config, bound, supervisor, say, began).run(), name="starting")
    parent = asyncio.create_task(_parent_gone(), name="parent")
    code = 0
    try:
        await _first(starting, told, supervisor.failed)
        if starting.done() and not told.done() and not supervisor.failed.done():
            starting.result()
            await _first(told, supervisor.failed, parent)
        if supervisor.failed.done():
            raise supervisor.failed.result()
    except (PilothouseError, OSError) as error:
        typer.echo(_message(error), err=True)
        code = error.exit_code if isinstance(error, PartKeepsDying) else _SOMETHING_TO_SET_RIGHT
    finally:
        for task in (starting, parent):
            task.cancel()
        await asyncio.gather(starting, parent, return_exceptions=True)
        await _stop(supervisor, settings.data_dir, say if told.done() else lambda _: None)
    return code


async def _first(*awaited: asyncio.Future[Any]) -> None:
    await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)


async def _stop(supervisor: Supervisor, data_dir: Path, tell: Callable[[str], None]) -> None:
    began = monotonic()
    tell("stopping")
    await supervisor.stop()
    Engines.forget(data_dir)
    tell(f"stopped ({monotonic() - began:.1f} s)")


def _message(error: PilothouseError | OSError) -> str:
    return error.message if isinstance(error, PilothouseError) else f"{error.filename or 'The data directory'}: {error.strerror}"


def _when_told(supervisor: Supervisor) -> asyncio.Future[None]:
    """Done at the first Ctrl-C, SIGTERM or lost terminal; the second one ends all parts at once."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[None] = loop.create_future()

    def once_or_twice() -> None:
        if told.done():
            supervisor.kill()
        else:
            told.set_result(None)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, once_or_twice)
    return told


async def _parent_gone() -> None:
    """Returns when ``uv run``, which only waits for us, was killed; any other parent may leave us running (``nohup``)."""
    parent = os.getppid()
    try:
        name = psutil.Process(parent).name()
    except psutil.Error:
        name = ""
    while name not in {"uv", "uvx"} or os.getppid() == parent:  # noqa: ASYNC110 - nothing tells us
        await asyncio.sleep(_LOOK_AT_PARENT_EVERY)
