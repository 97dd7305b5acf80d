"""The picture of what needs what: boxes that do not touch, needs below, and no line that says nothing new."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from core.status.layout import HEIGHT, WIDTH, Item, Picture, fitted, picture
from tests.core.status.samples import NEEDS


def drawn(needs: dict[str, tuple[str, ...]], hints: dict[str, tuple[str, ...]] | None = None, down: str = "") -> Picture:
    hints = hints or {}
    items = [
        Item(name, name, "down" if name == down else "up", needs.get(name, ()), hints.get(name, ()))
        for name in {**needs, **hints}
    ]
    found = picture(items)
    assert found is not None
    return found


def heights(found: Picture) -> dict[str, float]:
    return {box.item.name: box.y for box in found.boxes}


def test_what_is_needed_stands_below() -> None:
    at = heights(drawn(NEEDS))
    assert all(at[need] > at[name] for name, needs in NEEDS.items() for need in needs)


def test_what_follows_from_other_lines_is_not_drawn() -> None:
    found = drawn({"db": (), "api": ("db",), "web": ("api", "db")})
    assert len(found.lines) == 2


def test_a_circle_stands_on_one_level_and_is_drawn() -> None:
    found = drawn({"a": ("b",), "b": ("a",), "c": ("a", "b")})
    at = heights(found)
    assert at["a"] == at["b"] > at["c"]
    assert len(found.lines) == 3


def test_hints_are_told_apart_and_what_leads_to_trouble_is_marked() -> None:
    found = drawn({"db": (), "api": ("db",)}, {"api": ("cache",), "cache": ()}, down="db")
    assert sorted((line.hint, line.troubled) for line in found.lines) == [(False, True), (True, False)]


def test_what_stands_alone_is_counted_and_not_drawn() -> None:
    found = drawn({"db": (), "api": ("db",), "cron": (), "mail": ("somewhere else",)})
    assert sorted(heights(found)) == ["api", "db"]
    assert found.alone == 2


def test_nothing_to_draw_is_no_picture() -> None:
    assert picture([]) is None
    assert picture([Item("a", "a", "up", needs=("a", "gone"))]) is None


NAMES = [f"s{number}" for number in range(14)]


@given(st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=4).map(tuple), min_size=1))
def test_boxes_never_touch_and_every_line_ends_in_the_picture(needs: dict[str, tuple[str, ...]]) -> None:
    found = picture([Item(name, name, "up", needs.get(name, ())) for name in NAMES])
    if found is None:
        return
    for one, other in combinations(found.boxes, 2):
        assert abs(one.x - other.x) >= WIDTH or abs(one.y - other.y) >= HEIGHT
    for box in found.boxes:
        assert 0 <= box.x <= found.width - WIDTH
        assert 0 <= box.y <= found.height - HEIGHT


def test_a_wide_level_takes_several_rows() -> None:
    found = drawn({"db": (), **{f"api-{number:02}": ("db",) for number in range(20)}})
    assert found.width < 7 * (WIDTH + 20)
    assert len(set(heights(found).values())) == 5


def test_titles_are_cut_where_they_would_not_fit() -> None:
    assert fitted("postgres") == "postgres"
    assert fitted("a-name-that-is-far-too-long") == "a-name-that-is-f…"
    assert fitted("中文名字很长的数据库服务") == "中文名字很长的数…"
