"""The status page as text, of every state of affairs: what it must say, and that it holds together."""

import re
from dataclasses import replace
from html import unescape
from zoneinfo import ZoneInfo

import pytest

from api.pages.rendering import HEADERS, STYLE, Look, plain_page, status_page
from core.status.view import Page, StatusView, SweepView
from core.status.words import Language
from tests.core.status import samples

SHANGHAI = ZoneInfo("Asia/Shanghai")


def said(view: StatusView, language: Language = "en", **look: object) -> str:
    """The page's words without its marks."""
    page = status_page(view, Look(language, SHANGHAI, **look))  # type: ignore[arg-type]
    body = page.partition("<body>")[2]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "en",
            ["PostgreSQL 主库 is down", "since 15:25 · 2 h 5 min", "Explains 5:", "given up (41 tries)", "because of postgres"],
        ),
        (
            "en",
            [
                "by the API itself, in place of the flow",
                "Sweeps are overdue",
                "Last good 2 d 7 h ago · 812 MB",
                "differs 3 d ago",
            ],
        ),
        ("en", ["not reachable from here", "The GPU is being changed", "until 20:30", "3 waiting, the oldest for 12 min"]),
        ("zh", ["PostgreSQL 主库 故障", "始于 15:25 · 2 小时 5 分钟", "巡检已逾期", "已放弃 (尝试 41 次)", "维护中"]),
    ],
)
def test_everything_that_is_wrong_is_said(language: Language, words: list[str]) -> None:
    page = said(samples.troubled(), language)
    assert [word for word in words if word not in page] == []


def test_all_is_well() -> None:
    page = said(samples.calm())
    assert "Everything works Last sweep 1 min 10 s ago by the flow, took 1 s, every 5 min" in page
    assert "overdue" not in page
    assert "What is wrong" not in page
    assert page.index("Other services") > page.index("astron-agent")


def test_several_outages_are_counted_in_the_headline() -> None:
    assert "9 services are down" in said(samples.many())


def test_sweeps_that_stopped_are_the_headline_where_nothing_else_is_wrong() -> None:
    late = replace(samples.calm(), sweep=SweepView(overdue=True))
    assert said(late).partition("Sweeps are overdue")[2].startswith(" No sweep yet")
    assert "had no network itself" in said(replace(samples.calm(), sweep=SweepView(online=False)))


def test_nothing_checked_yet_is_said() -> None:
    page = said(StatusView(samples.NOW))
    assert "Nothing has been checked yet" in page
    assert "No services are known." in page


def test_pages_lead_on_and_keep_what_was_chosen() -> None:
    page = status_page(
        samples.many(), Look("en", SHANGHAI, "dark", query=(("theme", "dark"), ("platform", "platform-4"), ("page", "2")))
    )
    links = [unescape(link) for link in re.findall(r'href="(\?[^"]*)"', page)]
    assert "?theme=dark&platform=platform-4&page=1#services" in links
    assert "?theme=dark&platform=platform-4&page=3#services" in links
    assert "?theme=dark&platform=platform-7&page=1#services" in links
    last = replace(samples.many(), page=Page(11, 11, "platform-4", whole=False))
    assert "Next" not in said(last)
    assert "Page 11 of 11" in said(last)


def test_every_anchor_is_there_once() -> None:
    page = status_page(samples.troubled(), Look("en", SHANGHAI))
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def test_the_policy_names_the_style_that_is_there() -> None:
    for page in (status_page(samples.calm(), Look("en", SHANGHAI)), plain_page("door.html", Look("zh", SHANGHAI), samples.NOW)):
        assert f"<style>{STYLE}</style>" in page
        assert page.count("<style>") == 1
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    assert "</style" not in STYLE


def test_while_the_database_is_away_the_page_says_so_and_tries_again() -> None:
    page = plain_page("away.html", Look("en", SHANGHAI, "dark"), samples.NOW)
    assert "The database does not answer" in page
    assert 'http-equiv="refresh" content="10"' in page
