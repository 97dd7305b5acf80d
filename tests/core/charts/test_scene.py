"""A scene takes a text only where it can be read."""

import pytest

from core.charts.scene import Label, Scene, overlap, rectangle


def label(x: float, y: float, text: str = "text", **more: float) -> Label:
    return Label("test", text, x, y, size=10, colour="#000000", width=40, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other", "over"),
    [
        (rectangle(0, 0, 10, 10), rectangle(5, 5, 15, 15), True),
        (rectangle(0, 0, 10, 10), rectangle(2, 2, 3, 3), True),
        (rectangle(0, 0, 10, 10), rectangle(10, 0, 20, 10), False),
        (rectangle(0, 0, 10, 10), rectangle(0, 11, 10, 20), False),
        # A diamond whose box reaches over the corner of the square, though it does not itself.
        (rectangle(0, 0, 10, 10), [(14, 7), (21, 14), (14, 21), (7, 14)], False),
        (rectangle(0, 0, 10, 10), [(12, 4), (20, 12), (12, 20), (4, 12)], True),
    ],
)
def test_outlines_overlap_where_they_share_an_area(
    one: list[tuple[float, float]], other: list[tuple[float, float]], over: bool
) -> None:
    assert overlap(one, other) is overlap(other, one) is over


def test_a_text_over_another_or_beyond_the_picture_is_left_out() -> None:
    scene = Scene(100, 50, "#ffffff")
    assert scene.write(label(5, 20))
    assert not scene.write(label(30, 22)), "over the first"
    assert not scene.write(label(61, 20)), "beyond the right"
    assert not scene.write(label(5, 5)), "beyond the top"
    assert not scene.write(label(5, 40, text="")), "nothing to say"
    assert scene.write(label(50, 20))
    assert [mark.x for mark in scene.labels()] == [5, 50]


def test_slanted_texts_may_stand_closer_than_level_ones() -> None:
    scene = Scene(200, 100, "#ffffff")
    assert scene.write(label(60, 50, anchor="end", angle=45))  # type: ignore[arg-type]
    assert not scene.write(label(66, 50, anchor="end", angle=45))  # type: ignore[arg-type]
    assert scene.write(label(78, 50, anchor="end", angle=45))  # type: ignore[arg-type]
