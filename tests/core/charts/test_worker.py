"""What a worker answers when drawing goes wrong, and the frames it speaks in."""

import socket
from collections.abc import Callable
from time import monotonic
from typing import NoReturn

import orjson
import pytest

from core.charts.chart import Chart, Picture
from core.charts.worker import LARGEST_PICTURE, answer, receive, send
from core.errors import InputInvalid

REQUEST = b'{"type": "bar", "series": [{"values": [1]}]}'


def failing(error: BaseException) -> Callable[[Chart], Picture]:
    def draw(chart: Chart) -> NoReturn:
        raise error

    return draw


def test_a_picture_follows_its_head() -> None:
    head, data = answer(lambda chart: Picture(chart.type.encode(), "image/png", "alt 图"), REQUEST)
    assert (orjson.loads(head), data) == ({"media_type": "image/png", "alt": "alt 图"}, b"bar")


def test_a_refusal_keeps_its_code_and_field() -> None:
    (head,) = answer(failing(InputInvalid("labels: too many", field="labels")), REQUEST)
    assert orjson.loads(head) == {"code": "input_invalid", "message": "labels: too many", "field": "labels"}


def test_a_defect_names_its_place_and_not_what_was_drawn() -> None:
    (head,) = answer(failing(TypeError("secret-word")), REQUEST)
    defect = orjson.loads(head)["defect"]
    assert defect.startswith("TypeError at test_worker.py:")
    assert b"secret-word" not in head
    (head,) = answer(failing(TypeError()), b"secret-word")
    assert orjson.loads(head)["defect"].startswith("ValidationError at ")
    assert b"secret-word" not in head


def test_memory_that_ran_out_is_told_as_such() -> None:
    assert answer(failing(MemoryError()), REQUEST) == (b'{"memory":true}',)


def test_a_picture_beyond_all_measure_is_refused() -> None:
    (head,) = answer(lambda _: Picture(b"x" * (LARGEST_PICTURE + 1), "image/png", ""), REQUEST)
    assert orjson.loads(head)["code"] == "tool_failed"


def test_frames_arrive_whole_or_not_at_all() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send(theirs, b"", b"x" * 50_000)
        assert (receive(ours), receive(ours, monotonic() + 5)) == (b"", b"x" * 50_000)
        with pytest.raises(TimeoutError):
            receive(ours, monotonic() + 0.05)
        theirs.sendall(b"\x00\x00\x00\x05ab")
        theirs.close()
        with pytest.raises(EOFError):
            receive(ours, monotonic() + 5)


def test_a_frame_of_absurd_length_is_not_read() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"\xff\xff\xff\xff")
        with pytest.raises(EOFError):
            receive(ours, monotonic() + 5)
