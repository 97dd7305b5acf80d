"""The shelf: every tool there is, and the rules that all of them keep."""

import json

import pytest

from core.errors import NotFound
from core.tools.shelf import shelf
from core.tools.tool import Tool

TOOLS = [pytest.param(tool, id=tool.id) for tool in shelf().tools]


def test_tools_are_found_by_their_ids() -> None:
    ids = [tool.id for tool in shelf().tools]
    assert ids == sorted(set(ids))
    assert {"drawing/baseChart", "drawing/chart"} <= set(ids)
    assert all(shelf().find(tool.id) is tool for tool in shelf().tools)
    assert {tool.toolset for tool in shelf().tools} == {toolset.id for toolset in shelf().toolsets}


def test_an_unknown_id_is_answered_with_those_there_are() -> None:
    with pytest.raises(NotFound, match=r"there are: .*drawing/baseChart, drawing/chart"):
        shelf().find("drawing/none")


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_says_all_that_its_callers_need(tool: Tool) -> None:
    assert "-" not in tool.id
    assert tool.id.count("/") == 1
    assert all((tool.name.zh, tool.name.en, tool.description.zh, tool.description.en, tool.version))
    assert any(output.shown for output in tool.outputs)
    keys = [output.key for output in tool.outputs]
    assert len(keys) == len(set(keys)) > 0


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_schema_is_plain_for_every_kind_of_model(tool: Tool, language: str) -> None:
    schema = tool.schema("zh" if language == "zh" else "en")
    text = json.dumps(schema)
    assert not any(word in text for word in ('"$ref"', '"$defs"', '"null"', '"title": "', '"fastgpt"', '"zh"'))
    assert all(field.get("description") for field in schema["properties"].values())
    assert set(schema["required"]) <= schema["properties"].keys()
