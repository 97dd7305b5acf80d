"""Tools for models without tool calls: a constrained decision where a question holds a cue, else an ordinary answer."""

from typing import Any

import orjson
import pytest

from core.errors import InputInvalid, ProviderUnavailable, RequestRefused
from tests.core.scripted import IMAGE, Scene, Script, ScriptedModel, says


def decision(tool: str, **inputs: Any) -> Script:
    return [says(orjson.dumps({"tool": tool, "inputs": inputs} if inputs else {"tool": tool}).decode())]


async def test_a_model_without_tool_calls_decides_by_a_schema() -> None:
    model = ScriptedModel(decision("maps_draw", city="Paris"), [says("A map.")])
    scene = Scene(model, text="Draw a map of Paris", way="schema")
    outcome = await scene.turn.attempt()
    assert outcome.answer == f"{IMAGE}A map."
    assert outcome.usage == {"prompt_tokens": 4, "completion_tokens": 2, "details": {"cached": 2}}
    asked, answered = model.requests
    schema = asked.options["response_format"]["json_schema"]["schema"]
    assert [choice["properties"]["tool"] for choice in schema["anyOf"]] == [
        {"const": "maps_draw"}, {"const": "weather_now"}, {"const": "none"},
    ]  # fmt: skip
    (only,) = answered.messages
    assert only["role"] == "user"
    assert only["content"].startswith("Draw a map of Paris\n\n(The user has just been shown a picture: Map of")
    assert "http" not in only["content"]
    assert "response_format" not in answered.options


@pytest.mark.parametrize(
    "script",
    [
        decision("none"),
        decision("no_such_tool", city="Paris"),
        [says("{not json")],
        [RequestRefused("response_format?")],
        [ProviderUnavailable("busy")],
    ],
)
async def test_a_wrong_decision_ends_in_an_ordinary_answer(script: Script) -> None:
    model = ScriptedModel(script, [says("ok")])
    scene = Scene(model, text="a map", way="schema")
    outcome = await scene.turn.attempt()
    assert (outcome.status, outcome.answer) == ("done", "ok")
    assert scene.caller.calls == []
    assert [message["content"] for message in model.requests[-1].messages] == ["a map"]


async def test_a_decision_that_fails_as_a_tool_is_told_to_the_model() -> None:
    model = ScriptedModel(decision("weather_now", city="bad"), [says("Sorry.")])
    scene = Scene(model, text="the weather", way="schema")
    scene.caller.answers = {"bad": InputInvalid("city: no such city")}
    assert (await scene.turn.attempt()).answer == "Sorry."
    assert "and failed: city: no such city" in model.requests[1].messages[0]["content"]


async def test_questions_without_a_cue_cost_nothing_more() -> None:
    model = ScriptedModel([says("Hi.")])
    await Scene(model, text="hello, you", way="schema").turn.attempt()
    (request,) = model.requests
    assert request.options == {}


async def test_a_refused_schema_is_not_tried_again() -> None:
    model = ScriptedModel([RequestRefused("tools?")], [RequestRefused("response_format?")], [says("ok")])
    scene = Scene(model, text="a map")
    assert (await scene.turn.attempt()).answer == "ok"
    later = ScriptedModel([says("ok")])
    await Scene(later, text="a map", toolbox=scene.toolbox).turn.attempt()
    assert [request.options for request in later.requests] == [{}]
