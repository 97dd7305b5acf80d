"""Passwords: hashed with argon2id, and checked beside the event loop.

The parameters are one of OWASP's choices for argon2id, all equally strong: 7 MiB and five passes, the one that takes least of
processors that share their way to the memory, about 20 ms. The threads that hash give way to everything else on the machine: a
wave of logins makes logins slow, and no answer of a model.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from core.errors import InputInvalid, TooManyAttempts

T = TypeVar("T")

SHORTEST, LONGEST = 8, 1024
"""Characters. A limit above keeps a login from costing more than a login."""
AT_ONCE = 1
"""Measured beside chat on two cores: two at once take the interpreter from the event loop, and are no faster for it."""
WAITING = 100
"""Logins that wait for their turn at most; more are told to come again."""
GIVES_WAY = 19
"""Niceness of the threads, the lowest there is: what chat leaves of the processors is theirs."""


class Passwords:
    """Hashes and checks, one at a time, so that many logins at once do not take the machine from those who are in."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=5, memory_cost=7_168, parallelism=1)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="passwords", initializer=_give_way)
        self._asked = 0
        self._nobodys = self._hasher.hash("nobody's password")

    async def hash(self, password: str) -> str:
        """Its argon2id hash in the usual text form. Raises ``InputInvalid`` for one that is too short or too long."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise InputInvalid(f"A password has {SHORTEST} to {LONGEST} characters.", field="password")
        return await self._beside(lambda: self._hasher.hash(password))

    async def matches(self, password: str, hashed: str | None) -> bool:
        """Whether it is the right one. With no hash the answer is no, and takes as long as for a wrong password."""
        if not password or len(password) > LONGEST:
            return False
        return await self._beside(lambda: self._verified(password, hashed or self._nobodys)) and hashed is not None

    def require_room(self) -> None:
        """Raises ``TooManyAttempts`` where so many logins wait that another one would wait for long."""
        if self._asked >= WAITING:
            raise TooManyAttempts("Too many people log in at this moment: try again in some seconds.", retry_after=5)

    def is_old(self, hashed: str) -> bool:
        """Whether it was made with other parameters than today's, and should be made anew at the next login."""
        return self._hasher.check_needs_rehash(hashed)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verified(self, password: str, hashed: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (Argon2Error, InvalidHashError):
            return False

    async def _beside(self, work: Callable[[], T]) -> T:
        self.require_room()
        self._asked += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._asked -= 1


def _give_way() -> None:
    """On Linux a thread has a priority of its own; elsewhere it keeps that of the process."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), GIVES_WAY)
