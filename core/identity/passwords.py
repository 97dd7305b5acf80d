"""Passwords: hashed with argon2id, and checked beside the event loop.

The parameters are one of OWASP's choices for argon2id, all equally strong: 7 MiB and five passes, the one that takes least of
processors that share their way to the memory, about 10 ms by libsodium, which uses their vector instructions. The thread that
hashes gives way to others, but gets its share: at the lowest priority of all a busy machine would let nobody in.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id

from core.errors import InputInvalid, TooManyAttempts

T = TypeVar("T")

PASSES, KIBIBYTES = 5, 7_168
TODAYS = f"$argon2id$v=19$m={KIBIBYTES},t={PASSES},p=1$"
SHORTEST, LONGEST = 8, 1024
"""Characters. A limit above keeps a login from costing more than a login."""
AT_ONCE = 1
"""Measured beside chat on two cores: two at once take the interpreter from the event loop, and are no faster for it."""
WAITING = 100
"""Logins that wait for their turn at most; more are told to come again."""
GIVES_WAY = 5
"""Niceness of the thread: beside others that want a whole processor it gets a quarter of one."""


class Passwords:
    """Hashes and checks, one at a time, so that many logins at once do not take the machine from those who are in."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="passwords", initializer=_give_way)
        self._asked = 0
        self._nobodys = _hashed("nobody's password")

    async def hash(self, password: str) -> str:
        """Its argon2id hash in the usual text form. Raises ``InputInvalid`` for one that is too short or too long."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise InputInvalid(f"A password has {SHORTEST} to {LONGEST} characters.", field="password")
        return await self._beside(lambda: _hashed(password))

    async def matches(self, password: str, hashed: str | None) -> bool:
        """Whether it is the right one. With no hash the answer is no, and takes as long as for a wrong password."""
        if not password or len(password) > LONGEST:
            return False
        return await self._beside(lambda: _verified(password, hashed or self._nobodys)) and hashed is not None

    def require_room(self) -> None:
        """Raises ``TooManyAttempts`` where so many logins wait that another one would wait for long."""
        if self._asked >= WAITING:
            raise TooManyAttempts("Too many people log in at this moment: try again in some seconds.", retry_after=5)

    def is_old(self, hashed: str) -> bool:
        """Whether it was made with other parameters than today's, and should be made anew at the next login."""
        return not hashed.startswith(TODAYS)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _beside(self, work: Callable[[], T]) -> T:
        self.require_room()
        self._asked += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._asked -= 1


def _hashed(password: str) -> str:
    return argon2id.str(password.encode(), PASSES, KIBIBYTES * 1024).decode()


def _verified(password: str, hashed: str) -> bool:
    try:
        return argon2id.verify(hashed.encode(), password.encode())
    except (CryptoError, ValueError):  # a wrong one, or no hash of this kind
        return False


def _give_way() -> None:
    """On Linux a thread has a priority of its own; elsewhere it keeps that of the process."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), GIVES_WAY)
