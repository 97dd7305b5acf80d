"""FastGPT's paths over tools of the tests' own, on a real socket and without a database: what the paths do, at little cost."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, Field

from api import problems
from api.fastgpt import serving
from api.requests import Requests
from blocks.models import Models
from core.config import Settings
from core.store.access import Principal
from core.tools.calls import CallResult, ToolCall
from core.tools.shelf import Shelf
from core.tools.tool import Output, Tool, Toolset, Words
from tests.api.boundless import Boundless
from tests.waiting import eventually

Behaviour = Callable[[ToolCall], Awaitable[Mapping[str, Any]]]


class Point(BaseModel):
    x: float


class Everything(BaseModel):
    """Every kind of field there is."""

    text: Annotated[str, Field(description="A text", json_schema_extra={"zh": "文本"}, max_length=80)]
    choice: Literal["折线图", "bar"] = "bar"
    essay: Annotated[str | None, Field(max_length=4000)] = None
    number: Annotated[float, Field(ge=0, le=9.5)] = 3
    whole: int | None = None
    flag: bool = False
    names: list[str] = []
    values: list[float] | str = Field(default=[], json_schema_extra={"fastgpt": {"renderTypeList": ["input", "reference"]}})
    flags: list[bool] = []
    points: list[Point] = []
    point: Point | None = None
    mapping: dict[str, int] = {}


async def _never(inputs: BaseModel, bench: object) -> Mapping[str, Any]:
    raise AssertionError("the calls are answered by the test")


OUTPUTS = (Output("chartUrl", "string", Words("图表 url", "Chart URL"), Words("图片的地址", "The picture's address")),)
PROBE = Toolset(
    "probe", Words("测试", "Probes"), Words("测试工具", "Tools for tests"), "/imgs/tools/probe.svg", ("search", "tools")
)
EMPTY = Toolset("vacant", Words("空", "Vacant"), Words("没有", "Nothing"), "core/workflow/template/BI", ("own",))
SHELF = Shelf(
    (PROBE, EMPTY),
    (
        Tool("probe/echo", Words("回声", "Echo"), Words("返回输入", "Gives back"), "0.1.0", Everything, OUTPUTS, _never),
        Tool("probe/later", Words("稍后", "Later"), Words("更新", "Newer"), "0.1.1", Point, OUTPUTS, _never),
    ),
)


class ByScope:
    """Stands in for the table of tokens: a token's text is its scopes."""

    async def verify(self, plaintext: str) -> Principal | None:
        return None if plaintext == "wrong" else Principal("t1", "name", frozenset(plaintext.split(",")))


@dataclass
class Calls:
    """Stands in for ``ToolCalls``: answers as the test says, and notes what it was asked."""

    behaviour: Behaviour
    asked: list[ToolCall] = field(default_factory=list)
    ended: int = 0

    async def call(self, asked: ToolCall) -> CallResult:
        self.asked.append(asked)
        output = await self.behaviour(asked)
        self.ended += 1
        return CallResult(f"run-{len(self.asked)}", dict(output))


@dataclass
class Bare:
    """A served application: ``url``, the application itself, the calls it made."""

    url: str
    app: FastAPI
    calls: Calls


@asynccontextmanager
async def bare(behaviour: Behaviour, **settings: Any) -> AsyncGenerator[Bare, None]:
    """FastGPT's paths alone; ``settings`` as in the file."""
    tree = Settings.model_validate({"data_dir": Path("unused"), **settings})
    app = FastAPI()
    calls = Calls(behaviour)
    models = Models.from_settings(tree)
    app.state.parts = SimpleNamespace(tokens=ByScope(), tool_calls=calls, models=models, settings=tree, gate=Boundless())
    problems.install(app, tree.api_prefix)
    serving.install(app, APIRouter(), tree, SHELF)
    app.add_middleware(Requests, chat=tree.chat, prefix=tree.api_prefix)
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    server = uvicorn.Server(uvicorn.Config(app, http="httptools", log_config=None, lifespan="off", ws="none"))
    served = asyncio.create_task(server.serve([listening]))
    await eventually(lambda: server.started, what="the server listens")
    try:
        yield Bare(f"http://127.0.0.1:{listening.getsockname()[1]}", app, calls)
    finally:
        server.should_exit = True
        await served
        await models.aclose()
