"""Cards: what is on them, that nothing in a text is taken for a mark, and that whatever is asked of them fits."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.teams_cards import BUDGET, adaptive, connector
from blocks.teams_text import cost, escaped, fitted, line, paragraphs
from core.alerts.alert import Link
from core.alerts.message import Kind, Message
from core.alerts.storms import MOST, MOST_BYTES
from core.settings_services import Severity
from tests.teams_rules import LIMIT, mistakes, mistakes_of_connector, read, size, texts_of

MARKS = "\\`*_[]<>#~&-+=1.){} |!:/\"'\n\t张😀é\u200d\u0301"
ANY_TEXT = st.text(alphabet=st.one_of(st.sampled_from(MARKS), st.characters(), st.sampled_from(["\ud800", "\u202e", "\x00"])))
LONG_TEXT = st.builds(lambda text, times: text * times, ANY_TEXT, st.sampled_from([1, 1, 3, 400, 9_000]))
PERSON = st.one_of(
    st.just("On Call <oncall@example.com>"), st.builds("{} <{}@example.com>".format, ANY_TEXT, st.text(min_size=1))
)
URLS = st.one_of(st.just("https://status.example.com/x?y=1"), ANY_TEXT, st.builds("https://example.com/{}".format, LONG_TEXT))
MESSAGES = st.builds(
    Message,
    id=st.just("0193-1"),
    kind=st.sampled_from(["firing", "resolved", "reminder", "digest", "alive", "test"]),
    title=LONG_TEXT,
    severity=st.sampled_from(["critical", "warning", "info"]),
    lines=st.lists(LONG_TEXT, max_size=8).map(tuple),
    facts=st.lists(st.tuples(LONG_TEXT, LONG_TEXT), max_size=12).map(tuple),
    entries=st.one_of(st.lists(LONG_TEXT, max_size=8), st.builds(lambda text: [text] * 1_000, ANY_TEXT)).map(tuple),
    links=st.lists(st.builds(Link, LONG_TEXT, URLS), max_size=9).map(tuple),
    mentions=st.lists(PERSON, max_size=30).map(tuple),
    language=st.sampled_from(["en", "zh"]),
)
DOWN = Message(
    "0193-2",
    "firing",
    "postgres_main is down",
    "critical",
    lines=("Connection refused [10.0.0.5]:5432", "第二行 <b>不是 HTML</b>"),
    facts=(("Since", "2026-11-21 08:30 UTC"), ("受影响", "7 个服务")),
    entries=("dify_api", "dify_worker"),
    links=(Link("Status page", "https://ph.example.com/status"), Link("Runbook", "https://wiki.example.com/pg")),
    mentions=("On Call <oncall@example.com>", "张伟 <zhang.wei@example.com>"),
)


def content(message: Message) -> dict[str, Any]:
    body = adaptive(message)
    assert mistakes(body) == []
    found: dict[str, Any] = body["attachments"][0]["content"]
    return found


def with_words(message: Message) -> list[str]:
    return texts_of(adaptive(message))


def test_a_card_says_what_the_message_says() -> None:
    card = content(DOWN)
    shown = texts_of(card)
    assert shown == [
        "postgres_main is down",
        " On Call   张伟 ",
        "Connection refused [10.0.0.5]:5432",
        "第二行 <b>不是 HTML</b>",
        *("Since", "2026-11-21 08:30 UTC", "受影响", "7 个服务"),
        *("dify_api", "dify_worker"),
    ]
    assert card["version"] == "1.4"
    assert card["msteams"]["width"] == "Full"
    assert [(action["type"], action["title"]) for action in card["actions"]] == [
        ("Action.OpenUrl", "Status page"),
        ("Action.OpenUrl", "Runbook"),
    ]
    assert card["msteams"]["entities"][1] == {
        "type": "mention",
        "text": "<at>张伟</at>",
        "mentioned": {"id": "zhang.wei@example.com", "name": "张伟"},
    }


def test_a_bare_card_is_the_same_without_its_wrapping() -> None:
    assert adaptive(DOWN, wrap=False) == content(DOWN)
    assert mistakes(adaptive(DOWN, wrap=False), wrapped=False) == []
    assert mistakes(adaptive(DOWN, wrap=False)) != []


@pytest.mark.parametrize(
    ("kind", "severity", "colour", "theme"),
    [
        ("firing", "critical", "Attention", "E81123"),
        ("reminder", "warning", "Warning", "F7A30B"),
        ("resolved", "critical", "Good", "107C10"),
        ("digest", "info", "Accent", "0078D4"),
    ],
)
def test_the_colour_tells_how_bad_it_is(kind: Kind, severity: Severity, colour: str, theme: str) -> None:
    message = Message("1", kind, "x", severity)
    head = content(message)["body"][0]
    assert (head["style"], head["items"][0]["color"]) == (colour.lower(), colour)
    assert connector(message)["themeColor"] == theme


@pytest.mark.parametrize(("kind", "severity"), [("resolved", "critical"), ("reminder", "critical"), ("firing", "warning")])
def test_people_are_called_for_what_fires_and_is_critical_only(kind: Kind, severity: Severity) -> None:
    message = Message("1", kind, "x", severity, mentions=DOWN.mentions)
    assert "entities" not in content(message)["msteams"]


def test_a_text_cannot_call_anyone() -> None:
    message = Message(
        "1", "firing", "<at>On Call</at>", "critical", lines=("<at>On Call</at>",), mentions=("A_<b>B <a@b.c>", "A <a@b.c>")
    )
    assert [entity["text"] for entity in content(message)["msteams"]["entities"]] == ["<at>AbB</at>"]
    assert with_words(message)[0] == "<at>On Call</at>"


@settings(max_examples=150, deadline=None)
@given(text=ANY_TEXT)
def test_a_text_is_read_as_it_was_written(text: str) -> None:
    plain = paragraphs(text)
    assert read(escaped(plain)) == (plain.split("\n") if plain else [])


@settings(max_examples=80, deadline=None)
@given(text=LONG_TEXT, room=st.integers(0, 400))
def test_a_cut_text_keeps_its_beginning_whole_and_says_that_it_was_cut(text: str, room: int) -> None:
    plain = line(text)
    cut = fitted(plain, room)
    assert cost(cut) <= room
    shown = "".join(read(cut))
    assert shown == plain or not shown or (shown.endswith("…") and plain.startswith(shown[:-1]))


def test_a_text_is_not_cut_within_a_character() -> None:
    family = "👩\u200d👩\u200d👧"
    for room in range(4, 200):
        cut = fitted(f"ab{family}e\u0301" * 3, room).removesuffix("…")
        assert cut.replace(family, "").replace("e\u0301", "").strip("abe") == ""


@settings(max_examples=40, deadline=None)
@given(message=MESSAGES)
def test_whatever_a_message_holds_its_card_is_valid_small_and_names_it(message: Message) -> None:
    card, message_card = adaptive(message), connector(message)
    assert mistakes(card) == []
    assert mistakes_of_connector(message_card) == []
    for body in (card, message_card):
        assert len(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()) <= BUDGET
        assert size(body) <= LIMIT
        assert json.loads(json.dumps(body)) == body
    title = line(message.title)
    head = texts_of(card)[0]
    assert head == title or (head.endswith("…") and title.startswith(head[:-1])) or (not title and head)


@pytest.mark.parametrize("text", ["a", "张", "😀", "<", '"', "\\", "'_", "&\u0301"])
def test_what_takes_the_most_room_fits_as_well(text: str) -> None:
    much = text * 30_000
    links = tuple(Link(much, f"https://example.com/{'a' * 1_400}") for _ in range(9))
    people = tuple(f"{text * 400}{at} <{'u' * 200}{at}@example.com>" for at in range(60))
    message = Message("1", "firing", much, "critical", (much,) * 5, ((much, much),) * 50, (much,) * 5_000, links, people)
    for body in (adaptive(message), connector(message)):
        assert len(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()) <= BUDGET
        assert size(body) <= LIMIT
    assert with_words(message)[-1].endswith("more lines did not fit here.")


def left_out(words: Sequence[str]) -> int:
    return int("".join(filter(str.isdecimal, words[-1])))


def test_what_does_not_fit_is_counted() -> None:
    entries = tuple(f"服务-{number} 无法访问" for number in range(2_000))
    for language, note in (("en", "more lines did not fit here."), ("zh", "行未能显示。")):
        shown = with_words(Message("1", "firing", "Many", entries=entries, language=language))  # type: ignore[arg-type]
        assert shown[-1].endswith(note)
        listed = [text for text in shown if text.startswith("服务-")]
        assert listed == list(entries[: len(listed)])
        assert len(listed) > 200
        assert left_out(shown) == 2_000 - len(listed)


def test_long_lines_leave_room_for_entries_and_entries_for_lines() -> None:
    message = Message("1", "firing", "Both", lines=("word " * 5_000,) * 4, entries=("x" * 200,) * 500)
    shown = with_words(message)
    assert len([text for text in shown if text.startswith("x")]) >= 40
    assert len([text for text in shown if text.startswith("word")]) >= 2


@pytest.mark.parametrize("letter", ["a", "长", "_"])
def test_each_title_of_a_storm_is_on_its_card(letter: str) -> None:
    length = MOST_BYTES // MOST // len(letter.encode())
    entries = tuple(f"{number:03}{letter * (length - 3)}" for number in range(MOST))
    shown = with_words(Message("1", "firing", "100 alerts", "critical", entries=entries, facts=DOWN.facts, links=DOWN.links))
    assert [text for text in shown if text[:3].isdecimal() and text[3:4] == letter] == list(entries)


def test_only_links_that_lead_to_a_page_become_buttons() -> None:
    bad = (
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://",
        "http://[::1",
        "https://a b",
        f"https://x.example/{'a' * 2_000}",
    )
    links = tuple(Link("x", url) for url in bad) + tuple(Link("", f"http://x.example/{number}") for number in range(9))
    card = content(Message("1", "test", "x", links=links, language="zh"))
    assert [(action["title"], action["url"]) for action in card["actions"]] == [
        ("打开", f"http://x.example/{number}") for number in range(6)
    ]
    assert len(connector(Message("1", "test", "x", links=links))["potentialAction"]) == 4
