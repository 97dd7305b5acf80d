"""Waiting for a named condition with a deadline, in place of sleeping."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, TypeVar, overload

T = TypeVar("T")
What = str | Callable[[], str]


@overload
async def eventually(condition: Callable[[], Awaitable[T]], within: float = 30.0, what: What = "") -> T: ...


@overload
async def eventually(condition: Callable[[], T], within: float = 30.0, what: What = "") -> T: ...


async def eventually(condition: Callable[[], Any], within: float = 30.0, what: What = "") -> Any:
    """The first truthy answer of ``condition``; fails, saying ``what`` was awaited, when none came ``within`` seconds.

    ``what`` may tell, when it is asked in the end, what was seen instead.
    """
    began = monotonic()
    while True:
        answer = condition()
        value = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        waited = monotonic() - began
        if waited >= within:
            raise AssertionError(
                f"within {within} s: {(what() if callable(what) else what) or 'the condition'} (last: {value!r})"
            )
        # What is waited for needs the processor more than the question does, the longer it takes.
        await asyncio.sleep(min(0.01 + waited / 20, 0.25))
