"""Child processes that end when their parent does, even when the parent is killed with -9.

Linux: the kernel sends a signal of our choice (``PR_SET_PDEATHSIG``), set between fork and exec. It is tied to the *thread* that
forked, so children are started from the main thread. Elsewhere a tiny shell watches both processes instead.
"""

import ctypes
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil

_PR_SET_PDEATHSIG = 1
_WATCH = (
    'while kill -0 "$1" 2>/dev/null && kill -0 "$2" 2>/dev/null; do sleep 1; done; kill -0 "$1" 2>/dev/null || kill -"$3" "$2"'
)

HAS_PDEATHSIG = sys.platform == "linux"
# Looked up once here: between fork and exec nothing should be imported or allocated that is not needed.
_prctl = ctypes.CDLL(None, use_errno=True).prctl if HAS_PDEATHSIG else None


def dying_with_parent(signum: signal.Signals) -> Callable[[], None]:
    """A ``preexec_fn`` after which the child gets ``signum`` when this process ends. Does nothing but on Linux."""
    parent = os.getpid()

    def before_exec() -> None:
        if _prctl is not None:
            _prctl(_PR_SET_PDEATHSIG, int(signum), 0, 0, 0)
            if os.getppid() != parent:  # it died before the call above
                os._exit(1)

    return before_exec


def watch_from_outside(child: int, signum: signal.Signals) -> subprocess.Popen[bytes]:
    """A shell that sends ``signum`` to ``child`` when this process has gone; it ends with either of them."""
    number = signum.name.removeprefix("SIG")
    return subprocess.Popen(  # noqa: S603 - our own script, numbers as arguments
        ["/bin/sh", "-c", _WATCH, "watch", str(os.getpid()), str(child), number],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@contextmanager
def forking_beside_threads() -> Iterator[None]:
    """No warning of Python 3.12 about it: what runs between fork and exec here are system calls only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def end_children() -> None:
    """Kill every process that this one started, directly or not; for a library that leaves them running."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
