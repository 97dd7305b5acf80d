"""One way in which the tests' tools answer, by the input ``text``; a served application with them."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest

from core.errors import InputInvalid, StoreUnavailable, ToolFailed
from core.tools.calls import ToolCall
from tests.api.fastgpt.app import Bare, bare

OUTPUT = {"chartUrl": "http://h/图.svg", "图表 url": "http://h/图.svg"}
AFTER = 0.5
"""Seconds that a ``slow`` tool takes."""


async def behave(asked: ToolCall) -> Mapping[str, Any]:
    """As ``text`` says."""
    match asked.inputs.get("text"):
        case "fail":
            raise ToolFailed("the drawing broke")
        case "away":
            raise StoreUnavailable("The store cannot be reached.")
        case "wrong":
            raise InputInvalid("yAxis: Field required", field="yAxis")
        case "crash":
            raise RuntimeError("secret detail")
        case "slow":
            await _later()
        case "endless":
            await asyncio.Event().wait()
        case "odd":
            return {"chartUrl": "half \ud83d", "number": float("nan")}
    return OUTPUT


async def _later() -> None:
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(AFTER, done.set)
    await done.wait()


@pytest.fixture
async def api(request: pytest.FixtureRequest) -> AsyncGenerator[Bare, None]:
    """``indirect`` parameters are further settings."""
    settings: dict[str, Any] = {"chat": {"ping": 0.1}, "fastgpt": {"run_timeout": 2}}
    for section, values in getattr(request, "param", {}).items():
        settings[section] = settings.get(section, {}) | values if isinstance(values, dict) else values
    async with bare(behave, **settings) as served:
        yield served
