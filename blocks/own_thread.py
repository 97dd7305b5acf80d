"""Work that blocks for minutes, in a thread of its own: the event loop's shared ones are few, and stores need them.

A thread can be a quiet one: lower priority for processor and disk, and one core left to others. The system keeps both per thread
and hands them on to every thread and program that is started from it, so a dump tool and the compressor's workers have them too,
with nothing run between fork and exec.
"""

import asyncio
import contextvars
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

import psutil

from blocks.handover import Abandoned
from core.backups.errors import RestoreFailed

T = TypeVar("T")
NICE = 10
PATIENCE = 30.0
"""Seconds that a thread has to end once it was told to."""


def in_own_thread(work: Callable[[], T], name: str, *, quiet: bool = False) -> asyncio.Future[T]:
    """What ``work`` gives. A cancelled waiter does not end it: await it shielded, tell the work to stop, then wait ``ended``."""
    context = contextvars.copy_context()

    def working() -> T:
        if quiet:
            _be_quiet()
        return context.run(work)

    executor = ThreadPoolExecutor(1, thread_name_prefix=name)
    try:
        return asyncio.get_running_loop().run_in_executor(executor, working)
    finally:
        executor.shutdown(wait=False)


async def put_back(place: str, work: Callable[[threading.Event], T], *, fast: bool) -> T:
    """What a restore gives that works in a thread: ``work`` gets the event that tells it that nobody waits any more.

    Raises ``RestoreFailed`` where it was broken off, and whatever it raises.
    """
    stopped = threading.Event()
    working = in_own_thread(partial(work, stopped), "restore", quiet=not fast)
    try:
        return await asyncio.shield(working)
    except Abandoned:
        raise RestoreFailed(f"{place}: the restore was broken off.") from None
    finally:
        stopped.set()
        await ended(working)


async def ended(*works: asyncio.Future[T] | None) -> None:
    """Waits for threads that were told to stop, whatever they give."""
    waited = [work for work in works if work is not None]
    if waited:
        done, _ = await asyncio.wait(waited, timeout=PATIENCE)
        for work in done:
            work.cancelled() or work.exception()


def cores(*, fast: bool) -> int:
    """How many processor cores work of ours may use: all of those that this process has, or all but one."""
    count = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return count if fast else max(1, count - 1)


def _be_quiet() -> None:
    """For the calling thread and whatever it starts. Not all of it is to be had everywhere, and none of it is needed."""
    if sys.platform != "linux":
        return
    thread = threading.get_native_id()
    with suppress(OSError, psutil.Error):
        os.setpriority(os.PRIO_PROCESS, thread, NICE)
    with suppress(OSError, psutil.Error):
        psutil.Process(thread).ionice(psutil.IOPRIO_CLASS_BE, 7)
    with suppress(OSError):
        free = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, free[1:] or free)
