"""What a database says, as JSON and as a table: exact numbers, bounded sizes, nothing that cannot be written."""

import json
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.databases import CELL, LONGEST, Gathering, Rows, cut, plain, read_json, statement, table, there_are
from core.errors import InputInvalid
from core.store.keepable import as_json


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (2**53 - 1, 2**53 - 1),
        (2**53, "9007199254740992"),
        (-(10**30), "-1000000000000000000000000000000"),
        (Decimal("1.10"), 1.1),
        (Decimal("100.00"), 100),
        (Decimal("1E+3"), 1000),
        (Decimal("0.1000000000000000055511151231257827"), "0.1000000000000000055511151231257827"),
        (Decimal("1E+400"), "1E+400"),
        (Decimal("NaN"), None),
        (math.inf, None),
        (math.nan, None),
        (True, True),
        (b"\x00\xff", "AP8="),
        ("a\0b\ud800", "a\ufffdb?"),
        (date(2024, 2, 29), "2024-02-29"),
        (datetime(2024, 2, 29, 12, tzinfo=UTC), "2024-02-29T12:00:00+00:00"),
        (time(12, 30), "12:30:00"),
        ({1: (2**60, {"a": b"x"})}, {"1": ["1152921504606846976", {"a": "eA=="}]}),
        (complex(1, 2), "(1+2j)"),
    ],
)
def test_a_value_as_json_says_it(value: object, said: object) -> None:
    found = plain(value)
    assert (found, type(found)) == (said, type(said))


@given(st.decimals())
def test_a_number_keeps_every_digit(value: Decimal) -> None:
    """A reader that knows only doubles gets the same number, or a text that holds it."""
    said = orjson.loads(orjson.dumps(plain(value)))
    if value.is_finite():
        assert Decimal(said if isinstance(said, str) else repr(float(said))) == value
    else:
        assert said is None


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.integers(-(2**53) + 1, 2**53 - 1),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_a_document_is_read_as_it_is(document: object) -> None:
    read = read_json(json.dumps(document))
    assert as_json({"rows": [[read]]}) is not None
    assert "\\u0000" in json.dumps(document) or "\\ud" in json.dumps(document) or read == document


@pytest.mark.parametrize("text", ["[" * 5000 + "]" * 5000, "[" * 300 + "]" * 300, "{'a': 1}", "[1, 2", "-"])
def test_what_is_no_document_or_too_deep_stays_a_text(text: str) -> None:
    assert read_json(text) == text


def test_numbers_of_a_document_that_nothing_reads_stay_texts() -> None:
    digits = "9" * 5000
    assert read_json(f"[{digits}, {digits}.5, 1e999999, 12345678901234567890, 0.1]") == [
        digits,
        f"{digits}.5",
        "1E+999999",
        "12345678901234567890",
        0.1,
    ]


def test_a_long_value_is_cut() -> None:
    assert cut("x" * CELL) == ("x" * CELL, False)
    assert cut("x" * (CELL + 1)) == ("x" * CELL + "…", True)
    assert cut([1, 2]) == ([1, 2], False)
    shortened, was_cut = cut({"a": list(range(CELL))})
    assert (str(shortened)[:8], len(str(shortened)), was_cut) == ('{"a":[0,', CELL + 1, True)


def test_rows_are_gathered_until_there_are_enough() -> None:
    gathering = Gathering(["n"], limit=2)
    assert [gathering.add([n]) for n in range(3)] == [True, True, False]
    assert gathering.end() == Rows(("n",), [[0], [1]], truncated=True)
    exactly = Gathering(["n"], limit=2)
    assert [exactly.add([n]) for n in range(2)] == [True, True]
    assert exactly.end() == Rows(("n",), [[0], [1]], truncated=False)


def test_rows_are_gathered_until_they_are_too_large() -> None:
    gathering = Gathering(["text"], limit=100, size=50)
    assert [gathering.add(["x" * 20]) for _ in range(3)] == [True, True, False]
    assert gathering.end() == Rows(("text",), [["x" * 20]] * 2, truncated=True)


def test_a_table_shows_what_would_break_it() -> None:
    found = Rows(["name", "a|b"], [["x\ny | z\\", None], [{"k": "v|"}, 1.5]], truncated=False)
    assert table(found).split("\n") == [
        "| name | a\\|b |",
        "| --- | --- |",
        "| x y \\| z\\\\ |  |",
        '| {"k":"v\\|"} | 1.5 |',
    ]


def test_a_table_says_how_much_it_leaves_out() -> None:
    many = Rows(["n"], [[n] for n in range(60)], truncated=False)
    assert table(many).endswith("| 49 |\n\n(50 of 60 rows)")
    assert table(Rows(["n"], [[1]], truncated=True)).endswith("\n\n(1 of 1 or more rows)")
    assert table(Rows(["n"], [], truncated=False)).endswith("\n\n(no rows)")
    wide = table(Rows(["n"] * 100, [["x" * 300] * 100] * 50, truncated=False))
    assert len(wide) < 40_000
    assert wide.endswith("(2 of 50 rows)")


def test_a_statement_loses_its_semicolon_only() -> None:
    assert statement("  SELECT ';' ; ;\n") == "SELECT ';'"
    for nothing in ("", " ", ";", " ;\n; "):
        with pytest.raises(InputInvalid, match="no statement"):
            statement(nothing)
    for unfit in ("SELECT '\0'", "SELECT '\udfff'"):
        with pytest.raises(InputInvalid, match="character"):
            statement(unfit)
    with pytest.raises(InputInvalid, match="longer than"):
        statement("SELECT " + "1" * LONGEST)


def test_missing_tables_are_answered_with_those_there_are() -> None:
    assert there_are([]) == " There is no table that may be read."
    assert there_are(["a", "b"]) == " The tables are: a, b."
    assert there_are([str(n) for n in range(41)]).endswith(", 39, ….")
