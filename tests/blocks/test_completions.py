"""Server-sent events in any cutting, and whole answers as chunks."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.completions import EventParser, chunk_of

payloads = st.lists(st.text(min_size=1).map(lambda text: orjson.dumps({"t": text})), max_size=6)


@given(payloads, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.lists(st.integers(1, 30), max_size=60), st.booleans())
def test_events_survive_any_cutting(sent: list[bytes], newline: bytes, sizes: list[int], ended: bool) -> None:
    body = b"".join(b": comment" + newline + b"data: " + payload + newline + newline for payload in sent)
    if not ended:
        body = body.removesuffix(newline)
    parser, got, at = EventParser(), [], 0
    for size in sizes:
        got += parser.feed(body[at : at + size])
        at += size
    got += parser.feed(body[at:]) + parser.flush()
    assert got == sent
    assert parser.held == 0


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"event: x\nid: 1\ndata: a\nretry: 3\n\n", [b"a"]),
        (b"\n\n\n: nothing\n\n", []),
        (b"data: [DONE]", [b"[DONE]"]),
    ],
)
def test_the_standards_rules(body: bytes, events: list[bytes]) -> None:
    parser = EventParser()
    assert parser.feed(body) + parser.flush() == events


def test_a_whole_answer_with_tool_calls_becomes_a_chunk() -> None:
    calls = [{"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in range(2)]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    completion = {
        "id": "1",
        "object": "chat.completion",
        "choices": [{"message": message, "finish_reason": "tool_calls"}],
        "usage": {"n": 1},
    }
    chunk = chunk_of(completion)
    assert chunk is not None
    assert chunk["usage"] == {"n": 1}
    assert chunk["choices"][0]["finish_reason"] == "tool_calls"
    assert [call["index"] for call in chunk["choices"][0]["delta"]["tool_calls"]] == [0, 1]
    assert "content" not in chunk["choices"][0]["delta"]


@pytest.mark.parametrize("other", [None, [], {}, {"choices": [1]}, {"choices": [{"text": "x"}]}, {"data": []}])
def test_anything_else_is_no_answer(other: object) -> None:
    assert chunk_of(other) is None
