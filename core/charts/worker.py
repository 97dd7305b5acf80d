"""A worker of the studio, ``python -m core.charts.worker MEGABYTES SECONDS IDLE``: draws one chart after another as it is asked.

It talks over the socket that it gets as standard input, in frames: four bytes of length, then that many bytes. A request is a
chart as JSON; the reply is a head as JSON and the picture. It ends when the socket does, so it cannot outlive its parent.
"""

import os
import resource
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import orjson

from core.charts.chart import Chart, Picture
from core.errors import PilothouseError, ToolFailed

LARGEST_PICTURE = 20_000_000
LARGEST_FRAME = 64_000_000
NICENESS = 7
_LENGTH = struct.Struct(">I")


def send(line: socket.socket, *frames: bytes) -> None:
    """Raises ``OSError``, ``TimeoutError`` among them, where the other side has gone or does not read."""
    for frame in frames:
        line.sendall(_LENGTH.pack(len(frame)))
        line.sendall(frame)


def receive(line: socket.socket, deadline: float | None = None) -> bytes:
    """The next frame, by ``deadline`` on the monotonic clock. Raises ``EOFError``, ``TimeoutError``, ``OSError``."""
    (length,) = _LENGTH.unpack(_exactly(line, _LENGTH.size, deadline))
    if length > LARGEST_FRAME:
        raise EOFError
    return bytes(_exactly(line, length, deadline))


def _exactly(line: socket.socket, length: int, deadline: float | None) -> bytearray:
    got = bytearray(length)
    view = memoryview(got)
    while view:
        if deadline is not None:
            line.settimeout(max(0.001, deadline - monotonic()))
        count = line.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return got


def main(megabytes: int, seconds: float, idle: float) -> None:
    """Serve until the parent ends, or nothing was asked for ``idle`` seconds (0: however long), or memory ran out."""
    line = socket.socket(fileno=os.dup(0))
    _silence()
    os.nice(NICENESS)
    _limit(megabytes)
    draw = _warmed()
    send(line, b"ready")
    while True:
        try:
            request = receive(line, monotonic() + idle if idle else None)
        except (EOFError, OSError):
            return
        # The parent counts the time; this alarm ends the chart where the parent itself was killed.
        signal.alarm(int(seconds) + 2)
        line.settimeout(None)
        send(line, *answer(draw, request))
        signal.alarm(0)


def _silence() -> None:
    """A library's word on a standard stream reaches nobody, and no frame is broken by it."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _limit(megabytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (megabytes * 1_000_000,) * 2)


def _warmed() -> Callable[[Chart], Picture]:
    from core.charts.draw import draw  # noqa: PLC0415  # half a second, and only here

    draw(Chart.model_validate({"type": "bar", "title": "图", "labels": ["a", "b"], "series": [{"values": [1, 2]}]}))
    return draw


def answer(draw: Callable[[Chart], Picture], request: bytes) -> tuple[bytes, ...]:
    """The frames that say what came of a request: the head, and the picture if there is one."""
    try:
        picture = draw(Chart.model_validate_json(request))
    except MemoryError:
        return (orjson.dumps({"memory": True}),)
    except PilothouseError as error:
        return (_refused(error),)
    except Exception as error:  # noqa: BLE001  # told to the parent; the next chart may well be fine
        return (orjson.dumps({"defect": _place(error)}),)
    if len(picture.data) > LARGEST_PICTURE:
        return (_refused(ToolFailed("The picture would be larger than 20 MB; draw fewer points or a smaller picture.")),)
    return orjson.dumps({"media_type": picture.media_type, "alt": picture.alt}), picture.data


def _refused(error: PilothouseError) -> bytes:
    return orjson.dumps({"code": error.code, "message": error.message, "field": error.field})


def _place(error: Exception) -> str:
    """Kind and line of an unexpected error, never its message, which may quote what was to be drawn."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
