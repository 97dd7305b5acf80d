"""What an attacker tries on the real API from a browser's side, and what a ``kill -9`` leaves of the audit log."""

import asyncio
import re
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.auth import COOKIE, SAFE
from core.config import Settings
from tests.api.serving import ADMIN, PASSWORD, Chat, Served
from tests.audit_rows import Row, audit_rows

OURS, OTHERS = {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "cross-site"}
OWN_WORD = {"/auth/login", "/auth/refresh"}
"""Paths that take no cookie: what they believe is in their body."""


@pytest.fixture(scope="module")
def served(administered: Served) -> Served:
    return administered


@pytest.fixture
async def browser(served: Served) -> AsyncGenerator[httpx.AsyncClient, None]:
    """Somebody's, without a token."""
    async with httpx.AsyncClient(base_url=served.url, timeout=30, trust_env=False) as client:
        yield client


async def enter(browser: httpx.AsyncClient, **more: str) -> httpx.Response:
    form = {"username": ADMIN, "password": PASSWORD, "next": "/status"} | more
    answer = await browser.post("/login", data=form, headers=OURS)
    assert answer.status_code == 303, answer.text
    return answer


def changing_routes(folder: Path) -> list[tuple[str, str]]:
    """Method and path of everything that is not only a question, from the application's own table."""
    app = create_app(Settings.model_validate({"data_dir": folder}))
    # Routers that are included show their routes through contexts, which no public name of the framework gives.
    contexts: list[Any] = [
        context
        for route in app.routes
        for context in (route.effective_route_contexts() if hasattr(route, "effective_route_contexts") else [route])
    ]
    return [
        (method, re.sub(r"\{[^}]*\}", "x1", context.path))
        for context in contexts
        for method in sorted(set(context.methods or ()) - set(SAFE))
    ]


async def test_no_page_of_another_site_changes_anything_for_who_is_logged_in(browser: httpx.AsyncClient, tmp_path: Path) -> None:
    await enter(browser)
    routes = changing_routes(tmp_path)
    assert len(routes) > 20
    for header in (OTHERS, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        taken = {}
        for method, path in routes:
            status = (
                await browser.request(method, path, json=None if path == "/auth/logout" else {}, headers=header)
            ).status_code
            if status not in (401, 403) and path not in OWN_WORD:
                taken[method, path] = status
        assert taken == {("POST", "/auth/logout"): 204}, header
    assert (await browser.get("/auth/me")).status_code == 200, "logging out from elsewhere has ended nothing"


@pytest.mark.parametrize(
    ("configured", "origin", "allowed", "credentials"),
    [
        ("https://ours.example", "https://ours.example", "https://ours.example", "true"),
        ("https://ours.example", "https://evil.example", None, "true"),
        ("*", "https://evil.example", "*", None),
    ],
)
async def test_other_sites_read_nothing_with_somebodys_login(
    tmp_path: Path, configured: str, origin: str, allowed: str | None, credentials: str | None
) -> None:
    app = create_app(Settings.model_validate({"data_dir": tmp_path, "cors_origins": [configured]}))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ours") as client:
        answer = await client.get("/openapi.json", headers={"Origin": origin, "Cookie": f"{COOKIE}=x"})
    assert answer.headers.get("access-control-allow-origin") == allowed
    assert answer.headers.get("access-control-allow-credentials") == credentials


async def test_a_cookie_that_was_there_before_the_login_is_worth_nothing_after_it(browser: httpx.AsyncClient) -> None:
    given = "phs_0199f8a0-0000-7000-8000-000000000000_" + "A" * 43
    browser.cookies.set(COOKIE, given, domain="127.0.0.1")
    assert (await browser.get("/auth/me")).status_code == 401
    made = (await enter(browser)).headers["set-cookie"].partition(";")[0].partition("=")[2]
    assert made != given
    browser.cookies.clear()
    for cookie, status in ((given, 401), (made, 200)):
        assert (await browser.get("/auth/me", headers={"Cookie": f"{COOKIE}={cookie}"})).status_code == status
    again = (await enter(browser)).headers["set-cookie"]
    assert made not in again, "each login has its own"


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "Forwarded"])
async def test_links_do_not_name_what_a_request_calls_us(browser: httpx.AsyncClient, header: str) -> None:
    evil = {header: "host=evil.example" if header == "Forwarded" else "evil.example"}
    entered = await browser.post(
        "/login", data={"username": ADMIN, "password": PASSWORD, "next": "http://evil.example/x"}, headers=OURS | evil
    )
    assert (entered.status_code, entered.headers["location"]) == (303, "/status")
    asked = await browser.get("/auth/verify", headers=evil | {"X-Original-URL": "http://127.0.0.1/a"})
    refused = await browser.get("/status", headers=evil | {"Accept": "text/html", "Cookie": ""})
    for answer in (entered, asked, refused, await browser.get("/login", headers=evil)):
        assert "evil.example" not in f"{answer.headers} {answer.text}"


async def test_no_header_of_an_answer_is_written_by_a_request(browser: httpx.AsyncClient) -> None:
    broken = "/x%0d%0aSet-Cookie:%20a=b"
    answers = [
        await browser.post("/login", data={"username": ADMIN, "password": PASSWORD, "next": f"/x\r\nSet-Cookie: a=b{broken}"}),
        await browser.get("/status", params={"lang": "en\r\nSet-Cookie: a=b"}, headers={"Accept": "text/html", "Cookie": ""}),
        await browser.get("/auth/verify", headers={"X-Original-URL": broken, "Cookie": ""}),
        await browser.get("/health", headers={"X-Request-Id": "a%0d%0aSet-Cookie: a=b"}),
        await browser.get(f"/files{broken}"),
        await browser.get(f"/login?next={broken}"),
    ]
    for answer in answers:
        assert "a=b" not in answer.headers.get("set-cookie", ""), answer.request.url
        assert not any("\r" in value or "\n" in value for value in answer.headers.values())


@pytest.mark.parametrize(
    "markup", ['/"><script>alert(1)</script>', "/'onfocus='alert(1)", "/</form><img/src=x/onerror=alert(1)>"]
)
async def test_nothing_in_the_login_pages_address_becomes_markup(browser: httpx.AsyncClient, markup: str) -> None:
    page = await browser.get("/login", params={"next": markup, "error": markup, "username": markup})
    assert (page.status_code, markup in page.text) == (200, False)
    assert "<script" not in page.text
    assert "<img" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none';")
    assert "alert" not in page.headers["content-security-policy"]


async def test_the_button_logs_out_and_tells_whom(served: Served, browser: httpx.AsyncClient) -> None:
    await enter(browser)
    page = (await browser.get("/status", headers={"Accept": "text/html"})).text
    assert '<form class="switch leave" method="post" action="logout">' in page
    assert "Administrator" in page
    with_token = await browser.get("/status", headers=served.headers | {"Accept": "text/html"})
    assert 'action="logout"' not in with_token.text, "a token has nothing to log out of"
    cookie = browser.cookies[COOKIE]
    left = await browser.post("/logout", headers=OURS)
    assert (left.status_code, left.headers["location"], COOKIE in browser.cookies) == (303, "login", False)
    assert (await browser.get("/auth/me", headers={"Cookie": f"{COOKIE}={cookie}"})).status_code == 401
    (entry,) = audit_rows(served.database_url, "logout")
    assert entry.actor.startswith("user:")


async def test_verify_believes_for_seconds_and_not_after_a_logout(served: Served, browser: httpx.AsyncClient) -> None:
    await enter(browser)
    asked = (await browser.get("/auth/verify")).headers
    assert (asked["x-auth-user"], asked["x-auth-email"], asked["x-auth-role"]) == (ADMIN, ADMIN, "admin")
    cookie = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
    await browser.post("/logout", headers=OURS)
    assert (await browser.get("/auth/verify", headers=cookie)).status_code == 401
    before = len(audit_rows(served.database_url, "login"))
    for _ in range(5):
        answer = await browser.get("/auth/verify", auth=(ADMIN, PASSWORD))
        assert (answer.status_code, answer.headers["x-auth-user"]) == (200, ADMIN)
    assert (await browser.get("/auth/verify", auth=(ADMIN, f"{PASSWORD}x"))).status_code == 401
    logins = audit_rows(served.database_url, "login")[before:]
    assert [(each.outcome, each.details.get("kind")) for each in logins] == [("success", "basic"), ("failure", None)]


async def test_no_entry_of_what_was_answered_is_lost_by_a_kill(served: Served) -> None:
    """Read by a connection of its own as soon as each answer is there, and once more after the kill."""
    url, seen = served.database_url, set[str]()

    def news(*actions: str) -> list[str]:
        rows: list[Row] = audit_rows(url, *actions)
        found = [row.action for row in rows if f"{row}" not in seen]
        seen.update(f"{row}" for row in rows)
        return found

    async with served.client() as client:
        await asyncio.to_thread(news)
        await client.post("/auth/login", json={"email": ADMIN, "password": PASSWORD})
        assert news("login") == ["login"]
        await client.post("/auth/login", json={"email": ADMIN, "password": "wrong password"})
        assert news("login") == ["login"]
        await client.post("/admin/users", json={"email": "bob@example.com", "password": PASSWORD})
        assert news("user.created", "POST /admin/users") == ["user.created", "POST /admin/users"]
        await client.post("/alerts", json={"text": "disk is full", "key": "disk"})
        assert news("alert.raised", "POST /alerts") == ["alert.raised", "POST /alerts"]
        await client.post("/backups/none/restore", json={"target": "a", "confirm": "a"})
        assert news("POST /backups/{backup_id}/restore") == ["POST /backups/{backup_id}/restore"]
        chat = await Chat(client).open()
        news()
        await chat.ask()
        assert news("model.request", "POST /chat/{session_id}") == ["model.request", "POST /chat/{session_id}"]
        await chat.ask("draw", "chart", tools=["drawing/chart"])
        assert news("tool.run", "model.request") == ["tool.run", "model.request"]
        await chat.stream()
        await asyncio.to_thread(served.stop, signal.SIGKILL)
    assert sorted(news("model.request", "POST /chat/{session_id}")) == ["POST /chat/{session_id}"] * 2 + ["model.request"]
    asked = audit_rows(url, "model.request")
    assert {each.actor for each in asked} == {served.token.split("_")[1]}, "who asked is in the entry itself"
