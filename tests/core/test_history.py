"""A history fitted into a context window, for any history."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.conversation import Message
from core.errors import ContextExceeded, InputInvalid
from core.history import PER_ATTACHMENT, PER_MESSAGE, estimate, fit, tokens_of

ROOMY = 1_000_000


def said(role: str, text: str = "x") -> Message:
    return {"role": role, "content": text}


def tool_round(number: int, calls: int, size: int = 1) -> list[Message]:
    ids = [f"call-{number}-{n}" for n in range(calls)]
    function = {"name": "look", "arguments": "a" * size}
    asked = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": i, "type": "function", "function": function} for i in ids],
    }
    return [asked, *({"role": "tool", "tool_call_id": i, "content": "r" * size} for i in ids)]


sizes = st.integers(0, 200)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[Message], list[Message]]:
    """A history and a request that ends as requests do: with a user message or with tool results."""
    history: list[Message] = [said("system", f"s{n}" + "x" * draw(sizes)) for n in range(draw(st.integers(0, 2)))]
    for n in range(draw(st.integers(0, 8))):
        history.append(said("user", f"u{n}" + "x" * draw(sizes)))
        if draw(st.booleans()):
            history += tool_round(n, draw(st.integers(1, 3)), draw(sizes))
        if draw(st.booleans()):
            history.append(said("assistant", f"a{n}" + "x" * draw(sizes)))
    new = [said("user", "newest" + "x" * draw(sizes))]
    for n in range(100, 100 + draw(st.integers(0, 3))):
        new += tool_round(n, draw(st.integers(1, 2)), draw(sizes))
    if draw(st.booleans()):
        new.insert(0, said("system", "for this request"))
    return history, new


def fitted(history: list[Message], new: list[Message], context: int, reserve: int) -> list[Message] | None:
    try:
        return fit(history, new, context, reserve)
    except ContextExceeded:
        return None


def is_subsequence(kept: list[Message], whole: list[Message]) -> bool:
    rest = iter(whole)
    return all(any(message is candidate for candidate in rest) for message in kept)


@given(conversations(), st.integers(64, 3000), st.integers(0, 500))
def test_what_is_kept(conversation: tuple[list[Message], list[Message]], context: int, reserve: int) -> None:
    history, new = conversation
    kept = fitted(history, new, context, reserve)
    users = [message for message in new if message["role"] == "user"]
    if kept is None:  # only when nothing could be left out any more
        needed = [m for m in history + new if m["role"] == "system"] + users
        last = next(at for at in range(len(new) - 1, -1, -1) if new[at]["role"] != "tool")
        needed += [message for message in new[last:] if message not in needed]
        assert sum(map(tokens_of, needed)) > context - reserve
        return
    assert is_subsequence(kept, history + new)
    assert sum(map(tokens_of, kept)) <= context - reserve
    assert kept[-1] is new[-1]
    assert users[-1] in kept
    assert [m for m in kept if m["role"] == "system"] == [m for m in history + new if m["role"] == "system"]


@given(conversations(), st.integers(64, 3000))
def test_tool_calls_and_results_stay_together(conversation: tuple[list[Message], list[Message]], context: int) -> None:
    kept = fitted(*conversation, context, 0) or []
    calls = [call["id"] for message in kept for call in message.get("tool_calls", [])]
    results = [message["tool_call_id"] for message in kept if message["role"] == "tool"]
    assert calls == results


@given(conversations(), st.integers(64, 3000))
def test_the_oldest_go_first(conversation: tuple[list[Message], list[Message]], context: int) -> None:
    """Whatever of the history is kept is its end, beginning with a user message unless all of it is there."""
    history, new = conversation
    kept = fitted(history, new, context, 0) or []
    talk = [message for message in history if message["role"] != "system"]
    old = [message for message in kept if any(message is each for each in talk)]
    assert old == talk[len(talk) - len(old) :]
    if old and len(old) < len(talk):
        assert old[0]["role"] == "user"


@given(conversations())
def test_everything_is_kept_where_there_is_room(conversation: tuple[list[Message], list[Message]]) -> None:
    history, new = conversation
    assert fit(history, new, ROOMY, 100) == history + new


def test_a_message_too_long_by_itself_is_refused_naming_the_field() -> None:
    with pytest.raises(ContextExceeded, match="too long") as refused:
        fit([], [said("user", "word " * 5000)], 4096, 1024)
    assert (refused.value.field, refused.value.code, refused.value.permanent) == ("messages", "context_exceeded", True)


def test_a_repeated_system_message_counts_once() -> None:
    rules = said("system", "be brief")
    assert fit([rules, said("user"), said("assistant")], [rules, said("user", "y")], ROOMY, 0) == [
        rules,
        said("user"),
        said("assistant"),
        said("user", "y"),
    ]


def test_unanswered_tool_calls_of_the_past_are_left_out() -> None:
    asked, first, _ = tool_round(1, 2)
    history = [said("user"), asked, first, {"role": "tool", "tool_call_id": "nobody", "content": "?"}]
    assert fit(history, [said("user", "y")], ROOMY, 0) == [said("user"), said("user", "y")]


def test_results_in_the_request_answer_calls_in_the_history() -> None:
    asked, *results = tool_round(1, 2)
    assert fit([said("user"), asked], results, ROOMY, 0) == [said("user"), asked, *results]


@pytest.mark.parametrize("new", [tool_round(1, 2)[:2], [said("user"), tool_round(1, 1)[1]]])
def test_a_request_with_unpaired_tool_messages_is_refused(new: list[Message]) -> None:
    with pytest.raises(InputInvalid, match="tool"):
        fit([], new, ROOMY, 0)


def test_past_reasoning_is_not_sent_again() -> None:
    thought = {"role": "assistant", "content": "yes", "reasoning_content": "hm"}
    assert fit([said("user"), thought], [said("user")], ROOMY, 0)[1] == said("assistant", "yes")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("abcdefgh", 2), ("12345678", 4), ("天空是蓝色的", 6), ("Почему", 3), ("😀", 2), ("\ud800", 1)],
)
def test_the_estimate(text: str, tokens: int) -> None:
    assert estimate(text) == tokens


@given(st.text(), st.text())
def test_the_estimate_grows_with_the_text(one: str, two: str) -> None:
    assert max(estimate(one), estimate(two)) <= estimate(one + two) <= estimate(one) + estimate(two) + 1


def test_parts_names_and_calls_are_counted() -> None:
    parts: list[dict[str, Any]] = [
        {"type": "text", "text": "abcd"},
        {"type": "image_url", "image_url": {"url": "data:," + "A" * 9000}},
    ]
    assert tokens_of({"role": "user", "content": parts, "name": "abcd"}) == PER_MESSAGE + 1 + PER_ATTACHMENT + 1
    assert tokens_of(tool_round(1, 1, 400)[0]) > 100
