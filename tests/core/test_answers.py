"""An answer put together from chunks."""

from typing import Any

import pytest

from core.answers import Answer, carries_content


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def fed(*chunks: dict[str, Any]) -> Answer:
    answer = Answer()
    for each in chunks:
        answer.feed(each)
    return answer


def test_text_usage_and_reason_are_collected() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    answer = fed(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        chunk({}, "stop"),
        {"choices": [], "usage": usage},
    )
    assert answer.message() == {"role": "assistant", "content": "Hello"}
    assert (answer.text, answer.finish_reason, answer.usage, answer.model) == ("Hello", "stop", usage, "m")


def test_a_partial_answer_can_be_read_and_fed_on() -> None:
    answer = fed(chunk({"content": "a"}), chunk({"content": "b"}))
    assert answer.text == "ab"
    answer.feed(chunk({"content": "c"}))
    assert answer.text == "abc"


def test_tool_calls_are_joined_by_index() -> None:
    answer = fed(
        chunk({"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": {"name": "two", "arguments": "{"}}]}),
        chunk({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "one", "arguments": ""}}]}),
        chunk({"tool_calls": [{"index": 1, "function": {"arguments": "}"}}, {"index": 0, "function": {"arguments": "{}"}}]}),
        chunk({}, "tool_calls"),
    )
    assert answer.message() == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "one", "arguments": "{}"}},
            {"id": "b", "type": "function", "function": {"name": "two", "arguments": "{}"}},
        ],
    }


def test_tool_calls_without_index_begin_with_their_id() -> None:
    answer = fed(
        chunk({"tool_calls": [{"id": "a", "function": {"name": "one", "arguments": "{"}}]}),
        chunk({"tool_calls": [{"function": {"arguments": "}"}}]}),
        chunk({"tool_calls": [{"id": "b", "function": {"name": "two", "arguments": "{}"}}]}),
    )
    assert [(call["id"], call["function"]["arguments"]) for call in answer.tool_calls] == [("a", "{}"), ("b", "{}")]


def test_reasoning_and_refusal_are_kept_apart_from_the_text() -> None:
    answer = fed(chunk({"reasoning": "hm "}), chunk({"reasoning_content": "well"}), chunk({"content": "yes"}))
    assert answer.message() == {"role": "assistant", "content": "yes", "reasoning_content": "hm well"}
    assert fed(chunk({"refusal": "No."})).message() == {"role": "assistant", "content": None, "refusal": "No."}


def test_an_empty_answer_has_empty_text() -> None:
    assert Answer().message() == {"role": "assistant", "content": ""}


def test_other_choices_and_odd_chunks_change_nothing() -> None:
    answer = fed({"choices": [{"index": 1, "delta": {"content": "other"}}]}, {}, chunk(None), chunk({"content": ["part"]}))
    assert answer.text == ""


@pytest.mark.parametrize(
    "delta",
    [{"content": "x"}, {"reasoning": "x"}, {"reasoning_content": "x"}, {"refusal": "x"}, {"tool_calls": [{"index": 0}]}],
)
def test_content_reasoning_refusal_and_tool_calls_are_first_tokens(delta: dict[str, Any]) -> None:
    assert carries_content(chunk(delta))


@pytest.mark.parametrize(
    "early",
    [{}, {"choices": []}, chunk(None), chunk({"role": "assistant", "content": ""}), chunk({}, "stop"), chunk({"content": None})],
)
def test_a_role_or_nothing_is_no_first_token(early: dict[str, Any]) -> None:
    assert not carries_content(early)
