"""The examples of docs/tools.md work as they stand."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from core.charts.chart import Chart, Picture
from core.databases import AT_ONCE, CELL, LONGEST, SIZE, Rows
from core.tools.offering import offer
from core.tools.running import LIMIT
from core.tools.shelf import shelf
from core.tools.tool import Tool

PAGE = (Path(__file__).parents[3] / "docs" / "tools.md").read_text(encoding="utf-8")


class NoBench:
    """For a tool that needs none."""

    async def draw(self, chart: Chart) -> Picture:
        raise AssertionError(chart)

    async def query(self, database: str, sql: str) -> Rows:
        raise AssertionError(database)


async def test_the_example_of_a_tool_is_one() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    module = ModuleType("example")
    exec(compile(example, "docs/tools.md", "exec"), module.__dict__)
    tool = module.TOOL
    assert isinstance(tool, Tool)
    made = await tool.run(tool.checked({"text": "two words"}), NoBench())
    assert made == {"words": 2, "characters": 9}
    assert made.keys() == {output.key for output in tool.outputs}
    assert offer([tool]).functions[0]["function"]["name"] == "text_count"


@pytest.mark.parametrize("tool_id", [tool.id for tool in shelf().tools])
def test_the_example_inputs_of_every_tool_are_right(tool_id: str) -> None:
    section = PAGE.split(f"\n## {tool_id}\n")[1].split("\n## ")[0]
    (example,) = re.findall(r"```json\n(.*?)```", section, re.DOTALL)
    shelf().find(tool_id).checked(json.loads(example))
    for output in shelf().find(tool_id).outputs:
        assert f"`{output.key}`" in section or not output.shown


def test_the_limits_are_those_of_the_code() -> None:
    limits = PAGE.split("\n## Limits\n")[1]
    for said in (
        f"| {LIMIT:.0f} s |",
        f"{LONGEST:,} characters; {AT_ONCE} at a time",
        f"{SIZE // 1_000_000} MB of JSON",
        f"{CELL:,} characters a value",
    ):
        assert said in limits
