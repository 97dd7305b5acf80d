"""Passwords: hashed with argon2id, and checked beside the event loop.

The parameters are OWASP's first choice for argon2id (19 MiB, two passes): about 30 ms of one core a login.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from core.errors import InputInvalid

T = TypeVar("T")

SHORTEST, LONGEST = 8, 1024
"""Characters. A limit above keeps a login from costing more than a login."""
AT_ONCE = 2


class Passwords:
    """Hashes and checks, two at a time, so that many logins at once do not take the machine from those who are in."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="passwords")
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
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
