"""A turn that uses tools: what its models are offered and told, what runs, and what the reader sees."""

import asyncio
from datetime import UTC, datetime

import orjson
import pytest

from core.conversation import ToolWay
from core.errors import InputInvalid, ProviderUnavailable, RequestRefused, StoreUnavailable, ToolFailed, TurnInterrupted
from core.following import replayed
from core.store.turns import TurnRecord
from core.tools.calls import ToolCall
from tests.core.scripted import IMAGE, Scene, ScriptedModel, calls, city, says


async def test_a_model_calls_a_tool_and_answers_with_its_result() -> None:
    model = ScriptedModel([says("Let me see."), *calls(("weather_now", city("Paris")))], [says("It is "), says("sunny.")])
    scene = Scene(model)
    outcome = await scene.turn.attempt()
    assert (outcome.status, outcome.answer, outcome.finish_reason) == ("done", "Let me see.\n\nIt is sunny.", "stop")
    assert outcome.usage == {"prompt_tokens": 4, "completion_tokens": 2, "details": {"cached": 2}}
    assert outcome.message == {"role": "assistant", "content": outcome.answer}
    assert scene.caller.calls == [ToolCall("weather/now", {"city": "Paris"}, "chat", "token", "session", "turn")]
    first, second = model.requests
    assert [one["function"]["name"] for one in first.options["tools"]] == ["maps_draw", "weather_now"]
    assert first.options.keys() == second.options.keys() == {"tools"}
    _, called, result = second.messages
    assert called["tool_calls"][0]["function"] == {"name": "weather_now", "arguments": '{"city":"Paris"}'}
    assert called["content"] == "Let me see."
    assert (result["role"], result["tool_call_id"]) == ("tool", called["tool_calls"][0]["id"])
    assert "sunny in Paris" in result["content"]
    assert [(one["toolId"], one["status"]) for one in await scene.told()] == [("weather/now", "running"), ("weather/now", "done")]
    running, done = await scene.told()
    assert (running["inputs"], done["output"]) == ({"city": "Paris"}, {"text": "sunny in Paris"})
    assert running["id"] == done["id"]


async def test_a_picture_is_put_into_the_answer_and_its_address_kept_from_the_model() -> None:
    model = ScriptedModel(calls(("maps_draw", city("Paris"))), [says("A map.")])
    scene = Scene(model)
    outcome = await scene.turn.attempt()
    assert outcome.answer == f"{IMAGE}A map."
    assert IMAGE in await scene.chunks(), "a chunk of its own"
    result = model.requests[1].messages[-1]["content"]
    assert "host" not in result
    assert "sees the picture already" in result
    assert outcome.first_token_ms is not None
    record = TurnRecord(
        "turn", "session", "done", "o", {}, outcome.answer, list(outcome.marks), dict(outcome.message or {}), "p", "m", None,
        "stop", None, datetime.now(UTC), 1, 1, None, None, None, None,
    )  # fmt: skip
    again = [orjson.loads(event.data)["choices"][0]["delta"] for event in replayed(record, 0) if event.kind == "chunk"]
    assert [delta["content"] for delta in again] == await scene.chunks()


async def test_several_calls_run_side_by_side_and_are_bounded() -> None:
    many = calls(*[("weather_now", city(f"c{at}")) for at in range(20)])
    model = ScriptedModel(many, [says("ok")])
    scene = Scene(model)
    await scene.turn.attempt()
    assert len(scene.caller.calls) == 16
    assert 1 < scene.caller.most_at_once <= 4
    results = [message["content"] for message in model.requests[1].messages if message["role"] == "tool"]
    assert len(results) == 20
    assert sum("make fewer" in result for result in results) == 4


async def test_a_model_that_repeats_itself_is_told_again_and_nothing_shows_twice() -> None:
    twice = calls(("maps_draw", city("Paris")), ("maps_draw", '{"city": "Paris"}'))
    model = ScriptedModel(twice, calls(("maps_draw", city("Paris"))), [says("ok")])
    scene = Scene(model)
    outcome = await scene.turn.attempt()
    assert len(scene.caller.calls) == 1
    assert outcome.answer == f"{IMAGE}ok"
    ids = [call["id"] for message in model.requests[2].messages for call in message.get("tool_calls") or ()]
    assert len(set(ids)) == 3, "the second round's id was the first round's"


async def test_endless_calls_end_with_a_call_without_tools() -> None:
    rounds = [calls(("weather_now", city(f"c{at}"))) for at in range(3)]
    model = ScriptedModel(*rounds, [says("enough"), *calls(("weather_now", city("x")))])
    scene = Scene(model, rounds=3)
    outcome = await scene.turn.attempt()
    assert (outcome.answer, outcome.finish_reason, outcome.status) == ("enough", "stop", "done")
    assert ["tools" in request.options for request in model.requests] == [True, True, True, False]
    assert len(scene.caller.calls) == 3


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("weather_now", '{"city": ', "no valid JSON"),
        ("weather_now", "[1]", "one JSON object"),
        ("no such tool!", city("Paris"), "no such tool"),
        ("weather_now", city("bad"), "city: no such city"),
        ("weather_now", city("broken"), "went wrong inside Pilothouse"),
        ("weather_now", city("away"), "store is away"),
    ],
)
async def test_a_call_that_fails_is_told_to_the_model_and_the_stream(name: str, arguments: str, said: str) -> None:
    model = ScriptedModel(calls((name, arguments)), [says("Sorry.")])
    scene = Scene(model)
    scene.caller.answers = {
        "bad": InputInvalid("city: no such city", field="city"),
        "broken": ZeroDivisionError(),
        "away": StoreUnavailable("The store is away."),
    }
    outcome = await scene.turn.attempt()
    assert (outcome.status, outcome.answer) == ("done", "Sorry.")
    called, result = model.requests[1].messages[1:]
    assert result["content"].startswith("Error: ")
    assert said in result["content"].replace("There is no such tool", "no such tool")
    sent = called["tool_calls"][0]["function"]
    assert isinstance(orjson.loads(sent["arguments"]), dict), "whatever the model sent, templates parse it"
    assert " " not in sent["name"]
    failed = (await scene.told())[-1]
    assert failed["status"] == "failed"
    assert failed["error"]["message"]


async def test_a_failed_call_may_be_made_again() -> None:
    model = ScriptedModel(*[calls(("weather_now", city("Paris")))] * 2, [says("ok")])
    scene = Scene(model)
    scene.caller.answers = {"Paris": ToolFailed("not now")}
    await scene.turn.attempt()
    assert len(scene.caller.calls) == 2


async def test_a_retry_runs_no_tool_again() -> None:
    model = ScriptedModel(calls(("maps_draw", city("Paris"))), [ProviderUnavailable("busy")], [says("A map.")])
    scene = Scene(model)
    with pytest.raises(ProviderUnavailable):
        await scene.turn.attempt()
    outcome = await scene.turn.attempt()
    assert (outcome.status, outcome.answer) == ("done", f"{IMAGE}A map.")
    assert len(scene.caller.calls) == 1


async def test_the_next_provider_goes_on_with_what_the_tools_gave() -> None:
    one = ScriptedModel(calls(("maps_draw", city("Paris"))), [ProviderUnavailable("busy")], retries=0)
    two = ScriptedModel([says("A map.")], provider="two")
    scene = Scene(one, two)
    outcome = await scene.turn.attempt()
    assert (outcome.answer, outcome.provider) == (f"{IMAGE}A map.", "two")
    assert [message["role"] for message in two.requests[0].messages] == ["user", "assistant", "tool"]


async def test_words_of_a_call_that_breaks_off_are_not_said_again() -> None:
    model = ScriptedModel(calls(("maps_draw", city("Paris"))), [says("A "), ProviderUnavailable("gone")])
    scene = Scene(model)
    with pytest.raises(TurnInterrupted):
        await scene.turn.attempt()
    (kept,) = scene.turns.kept
    assert (kept.status, kept.answer) == ("interrupted", f"{IMAGE}A ")


async def test_cancel_while_a_tool_runs() -> None:
    running, ended = asyncio.Event(), asyncio.Event()

    async def stay() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    model = ScriptedModel([says("One moment."), *calls(("weather_now", city("slow")))])
    scene = Scene(model)
    scene.caller.answers = {"slow": stay}
    scene.turn.start()
    await running.wait()
    await scene.turn.stop("cancelled")
    assert ended.is_set()
    (kept,) = scene.turns.kept
    assert (kept.status, kept.answer) == ("cancelled", "One moment.\n\n")
    assert [one["status"] for one in await scene.told()] == ["running", "failed"]
    assert [event.kind for event in await scene.events()][-3:] == ["error", "turn", "done"]


async def test_a_refusal_of_tools_is_asked_again_without_and_remembered() -> None:
    model = ScriptedModel([RequestRefused("does not support tools")], [says("ok")])
    scene = Scene(model)
    assert (await scene.turn.attempt()).answer == "ok"
    assert ["tools" in request.options for request in model.requests] == [True, False]
    later = ScriptedModel([says("ok")])
    await Scene(later, toolbox=scene.toolbox).turn.attempt()
    assert "tools" not in later.requests[0].options


async def test_a_refusal_for_another_reason_is_not_remembered() -> None:
    model = ScriptedModel([RequestRefused("no such parameter")], [RequestRefused("no such parameter")])
    scene = Scene(model)
    with pytest.raises(RequestRefused):
        await scene.turn.attempt()
    later = ScriptedModel([says("ok")])
    await Scene(later, toolbox=scene.toolbox).turn.attempt()
    assert "tools" in later.requests[0].options


async def test_a_small_context_is_not_filled_with_descriptions_of_tools() -> None:
    model = ScriptedModel([says("ok")])
    await Scene(model, context=256).turn.attempt()
    assert "tools" not in model.requests[0].options


@pytest.mark.parametrize(("way", "tools"), [("off", ("weather/now",)), ("auto", ())])
async def test_turns_without_tools_are_as_they_were(way: ToolWay, tools: tuple[str, ...]) -> None:
    model = ScriptedModel([says("What "), says("weather?")])
    scene = Scene(model, text="weather in Paris", way=way, tools=tools)
    assert (await scene.turn.attempt()).answer == "What weather?"
    assert [request.options for request in model.requests] == [{}]
