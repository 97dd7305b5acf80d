"""Which channels want an alert, and which silences cover it; which links a browser may be given."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.alerts.alert import Alert, Link
from core.alerts.delivering import pause
from core.alerts.incoming import cut, safe_links
from core.alerts.routing import fits, routed, worst
from core.alerts.silencing import Silence, silenced
from core.settings_alerts import ChannelSettings

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
ALERT = Alert("service:dify-api", "dify-api is down", "warning", service="dify-api", platform="dify")


def channel(**rules: Any) -> ChannelSettings:
    return ChannelSettings.model_validate({"kind": "webhook", "url": "http://127.0.0.1/x", **rules})


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ({}, True),
        ({"severities": ["critical"]}, False),
        ({"severities": ["critical", "warning"]}, True),
        ({"services": ["dify-*"]}, True),
        ({"services": ["DIFY-*", "postgres"]}, False),
        ({"platforms": ["dify"], "services": ["dify-*"], "severities": ["warning"]}, True),
        ({"platforms": ["fastgpt"], "services": ["dify-*"]}, False),
    ],
)
def test_a_channel_gets_what_fits_all_its_rules(rules: dict[str, Any], wanted: bool) -> None:
    assert routed(ALERT, {"a": channel(**rules)}) == (("a",) if wanted else ())


def test_patterns() -> None:
    assert fits("anything", [])
    assert not fits("", ["a*"])
    assert worst(["info", "critical", "warning"]) == "critical"
    assert worst([]) == "info"


@pytest.mark.parametrize(
    ("rules", "covers"),
    [
        ({"services": ("dify-*",)}, True),
        ({"services": ("dify-*",), "severities": ("critical",)}, False),
        ({"fingerprints": ("service:*",), "platforms": ("d?fy",)}, True),
        ({"services": ("*",), "starts_at": NOW + timedelta(seconds=1)}, False),
        ({"services": ("*",), "ends_at": NOW}, False),
    ],
)
def test_a_silence_covers_what_fits_all_its_rules_while_it_holds(rules: dict[str, Any], covers: bool) -> None:
    kept: dict[str, Any] = {"starts_at": NOW - timedelta(hours=1), "ends_at": NOW + timedelta(hours=1), **rules}
    silence = Silence("1", made_by="ann", **kept)
    longer = Silence("2", NOW, NOW + timedelta(days=1), "bob", services=("postgres",))
    assert silenced(ALERT, [silence, longer], NOW) == (silence if covers else None)


def test_links_lead_to_web_pages_alone() -> None:
    given = [
        ("a", "https://example.org/a?x=1"),
        ("b", "javascript:alert(1)"),
        ("c", "data:text/html,x"),
        ("d", "http://"),
        ("e", None),
        ("f", 7),
        ("g", "https://" + "x" * 3000),
        ("h", "//example.org"),
        ("i", "http://[::1"),
    ]
    assert safe_links(given) == (Link("a", "https://example.org/a?x=1"),)
    assert len(safe_links([("a", "http://x.org")] * 20)) == 6
    assert (cut("abcdef", 6), cut("abcdefg", 6)) == ("abcdef", "abcde…")


def test_pauses_grow_and_never_end_before_the_other_side_wants() -> None:
    pauses = [pause(tries, None) for tries in range(1, 12)]
    assert all(0.5 * min(60, 2**tries) <= seconds <= min(60, 2**tries) for tries, seconds in enumerate(pauses, 1))
    assert 37 <= pause(1, 37) <= 38
    assert pause(10**6, None) <= 60
