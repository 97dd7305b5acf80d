"""A checking fake of an OpenAI-compatible server: refuses what a real one would, misbehaves on request, records all.

``async with FakeUpstream() as up`` runs it in a thread of its own; the ``upstream`` fixture gives one to a test. How it
behaves is chosen by the model's name, see
``tests/upstream/behaviours.py``. ``python -m tests.upstream --port N`` runs it as a process.
"""

from collections.abc import AsyncGenerator

import pytest

from tests.upstream.server import KEY, FakeUpstream, Recorded

__all__ = ["KEY", "FakeUpstream", "Recorded", "upstream"]


@pytest.fixture
async def upstream() -> AsyncGenerator[FakeUpstream, None]:
    """A fresh fake upstream, gone after the test."""
    async with FakeUpstream() as up:
        yield up
