"""What a browser holds while somebody logs in elsewhere, and who comes back by the claims of a token."""

from dataclasses import replace
from typing import Any

import jwt
import pytest

from core.errors import LoginRefused
from core.identity.oidc import AUDIENCE, LoginsElsewhere
from core.identity.oidc_claims import email_of, person_of, stored
from core.settings_oidc import OidcSettings

SECRET = "a secret of this test and of nobody else"


def settings(**more: Any) -> OidcSettings:
    return OidcSettings.model_validate({"issuer": "https://login.example.com", "client_id": "us"} | more)


def test_a_cookie_is_of_our_secret_alone() -> None:
    ours = LoginsElsewhere(SECRET)
    begun, cookie = ours.begin("own", "/docs")
    assert LoginsElsewhere(SECRET).read(cookie) == begun, "another process of ours"
    assert begun.challenge not in cookie
    said = jwt.decode(cookie, options={"verify_signature": False})
    forged = [
        LoginsElsewhere("another secret of this test only").begin("own", "/docs")[1],
        jwt.encode(said, SECRET, "HS256"),
        jwt.encode(said, "", "none"),
        jwt.encode({"aud": AUDIENCE}, SECRET, "HS256"),
        "",
        None,
        "a.b.c",
    ]
    assert [ours.read(each) for each in forged] == [None] * len(forged)
    for provider, state, held in [("other", begun.state, cookie), ("own", "é", cookie), ("own", begun.state, None)]:
        with pytest.raises(LoginRefused):
            ours.ended(provider, state, held)
    assert ours.ended("own", begun.state, cookie) == begun
    with pytest.raises(LoginRefused):
        ours.ended("own", begun.state, cookie)


def test_a_very_long_way_on_is_left_out() -> None:
    begun, cookie = LoginsElsewhere(SECRET).begin("own", "/" + "x" * 5000)
    assert (begun.next, len(cookie) < 4096) == ("/status", True)
    assert begun.challenge != replace(begun, verifier="another").challenge


@pytest.mark.parametrize(
    ("claims", "more", "role"),
    [
        ({}, {}, "member"),
        ({"groups": ["a", "b"]}, {"groups": {"b": "operator", "a": "viewer"}}, "operator"),
        ({"groups": "b"}, {"groups": {"b": "operator"}}, "operator"),
        ({"groups": ["B", "/b", "x/b"]}, {"groups": {"b": "admin"}}, "member"),
        ({"realm_access": {"roles": ["boss"]}}, {"groups": {"boss": "admin"}}, "admin"),
        ({"roles": [{"name": "boss", "owner": "org"}]}, {"groups": {"boss": "admin"}}, "admin"),
        ({"https://us/groups": ["x"]}, {"groups": {"x": "admin"}, "groups_claims": ["https://us/groups"]}, "admin"),
        ({"groups": {"x": 1}, "roles": [None, 1, {"name": 2}]}, {"groups": {"x": "admin"}}, "member"),
    ],
)
def test_groups_decide_the_role(claims: dict[str, Any], more: dict[str, Any], role: str) -> None:
    assert person_of(settings(**more), {"sub": "ann"} | claims).role == role


@pytest.mark.parametrize(
    ("claims", "more", "may"),
    [
        ({"hd": "example.com"}, {"required_claims": {"hd": "example.com"}}, True),
        ({"hd": "evil.example"}, {"required_claims": {"hd": "example.com"}}, False),
        ({}, {"required_claims": {"hd": "example.com"}}, False),
        ({"ok": True, "of": {"it": ["a", "b"]}}, {"required_claims": {"ok": "true", "of.it": "b"}}, True),
        ({}, {"required_group": "us"}, False),
        ({"email": "ann@example.com"}, {"allowed": ["ANN@example.com"]}, True),
        ({"email": "ann@example.com"}, {"allowed": ["@ample.com"]}, False),
        ({"email": "a@evil.example\n@example.com"}, {"allowed": ["@example.com"]}, False),
        ({}, {"allowed": ["@example.com"]}, False),
        ({}, {"allowed": ["*"]}, True),
        ({"sub": None}, {}, False),
        ({"sub": ""}, {}, False),
        ({"sub": "a\0b"}, {}, False),
        ({}, {"issuer": "https://accounts.google.com"}, False),
        ({"email": "a@b.example"}, {"issuer": "https://accounts.google.com", "allowed": ["a@b.example"]}, True),
        ({}, {"kind": "github", "issuer": "https://github.com"}, False),
    ],
)
def test_who_may_come_in(claims: dict[str, Any], more: dict[str, Any], may: bool) -> None:
    said = {"sub": "ann"} | claims
    if may:
        assert person_of(settings(**more), said).subject == "ann"
    else:
        with pytest.raises(LoginRefused):
            person_of(settings(**more), said)


def test_subjects_that_differ_by_case_alone_are_two_people() -> None:
    subjects = ["ann", "Ann", "ANN", stored("Ann")]
    kept = [stored(subject) for subject in subjects]
    assert (len(set(kept)), [one.lower() for one in kept]) == (4, kept)


@pytest.mark.parametrize(
    ("claims", "email"),
    [
        ({"email": "Ann@example.com"}, "Ann@example.com"),
        ({"email": "ann@example.com", "email_verified": True}, "ann@example.com"),
        ({"email": "ann@example.com", "email_verified": False}, ""),
        ({"email": "ann@example.com", "email_verified": "false"}, ""),
        ({"email": "ann@example.com", "emailVerified": False}, ""),
        ({"email": ["ann@example.com"]}, ""),
        ({"email": "ann"}, ""),
    ],
)
def test_an_address_counts_where_nobody_doubts_it(claims: dict[str, Any], email: str) -> None:
    assert email_of(claims) == email


@pytest.mark.parametrize(
    "more",
    [
        {"issuer": ""},
        {"issuer": "https://login.microsoftonline.com/common/v2.0"},
        {"issuer": "https://user:password@login.example.com"},
        {"issuer": "login.example.com"},
        {"client_id": ""},
        {"scopes": ["profile"]},
        {"allowed": ["example.com"]},
    ],
)
def test_settings_that_cannot_work_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expected|at least 1"):
        settings(**more)


def test_addresses_from_where_we_reach_it() -> None:
    apart = settings(internal_url="http://casdoor:8000")
    assert apart.outward("https://login.example.com/api/token?a=b") == "http://casdoor:8000/api/token?a=b"
    assert apart.outward("https://login.example.com.evil.example/x") == "https://login.example.com.evil.example/x"
