"""Logins over HTTP against the real API: what they give, how they are renewed and ended, and what attackers get."""

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from core.config import DatabaseSettings
from core.identity.access_tokens import AUDIENCE, ISSUER, key_id
from core.identity.passwords import Passwords
from core.ids import new_id
from core.store.base import Store
from core.store.users import Users
from deployments.postgres import EmbeddedPostgres
from tests.api.serving import ADMIN, PASSWORD, Served, beside, launched

SECRET = "a secret of this test and of nobody else"


@pytest.fixture(scope="module")
def served(postgres: EmbeddedPostgres, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API whose first administrator is configured, as the documents of other platforms have it."""
    environment = {"ADMIN_EMAIL": ADMIN, "ADMIN_PASSWORD": PASSWORD, "JWT_SECRET": SECRET}
    settings = '[access]\nattempts = 3\nlogin_hosts = ["dify.example.com"]'
    folder = tmp_path_factory.mktemp("api")
    with launched(postgres, template_database, folder, {}, environment=environment, settings=settings) as api:
        yield api


@pytest.fixture
async def client(served: Served) -> AsyncGenerator[httpx.AsyncClient, None]:
    """Somebody without a token."""
    async with httpx.AsyncClient(base_url=served.url, timeout=30, trust_env=False) as client:
        yield client


async def a_user(served: Served, role: str, password: str = PASSWORD) -> str:
    """A new local account; its address."""
    email = f"{new_id()}@example.com"
    store, passwords = Store.from_settings(DatabaseSettings.model_validate({"url": served.database_url})), Passwords()
    try:
        await Users(store).create(email, "A User", role, await passwords.hash(password))
    finally:
        passwords.close()
        await store.aclose()
    return email


async def logged_in(client: httpx.AsyncClient, email: str = ADMIN, password: str = PASSWORD) -> dict[str, Any]:
    answer = await client.post("/auth/login", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    given: dict[str, Any] = answer.json()
    return given


async def me(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.get("/auth/me", headers={"Authorization": f"Bearer {token}"})


async def test_the_first_administrator_logs_in_and_may_do_everything(client: httpx.AsyncClient) -> None:
    given = await logged_in(client)
    assert given["user"] | {"id": ""} == {"id": "", "email": ADMIN, "name": "Administrator", "role": "admin", "source": "local"}
    assert (given["tokenType"], 890 <= given["expiresIn"] <= 900) == ("Bearer", True)
    assert (await me(client, given["accessToken"])).json() == {
        "kind": "user",
        "id": given["user"]["id"],
        "name": "Administrator",
        "role": "admin",
        "scopes": ["admin"],
        "workspace": "default",
        "workspaces": [{"name": "default", "role": "admin"}],
    }
    listed = await client.get("/flows", headers={"Authorization": f"Bearer {given['accessToken']}"})
    assert listed.status_code == 200


@pytest.mark.parametrize(("role", "chat", "flows"), [("viewer", 403, 403), ("member", 201, 403), ("operator", 201, 503)])
async def test_a_role_decides(served: Served, client: httpx.AsyncClient, role: str, chat: int, flows: int) -> None:
    given = await logged_in(client, await a_user(served, role))
    headers = {"Authorization": f"Bearer {given['accessToken']}"}
    assert (await client.post("/chat/sessions", json={}, headers=headers)).status_code == chat
    assert (await client.post("/flows/backup/runs", json={}, headers=headers)).status_code == flows


async def test_a_refresh_token_counts_once_and_used_twice_it_ends_the_login(client: httpx.AsyncClient) -> None:
    first = await logged_in(client)
    second = (await client.post("/auth/refresh", json={"refreshToken": first["refreshToken"]})).json()
    assert (await me(client, second["accessToken"])).status_code == 200
    stolen = await client.post("/auth/refresh", json={"refreshToken": first["refreshToken"]})
    assert (stolen.status_code, "used before" in stolen.json()["detail"]) == (401, True)
    assert (await client.post("/auth/refresh", json={"refreshToken": second["refreshToken"]})).status_code == 401


async def test_logged_out_nothing_of_the_login_counts(client: httpx.AsyncClient) -> None:
    given = await logged_in(client)
    answer = await client.post("/auth/logout", headers={"Authorization": f"Bearer {given['accessToken']}"})
    assert answer.status_code == 204
    assert (await me(client, given["accessToken"])).status_code == 401
    assert (await client.post("/auth/refresh", json={"refreshToken": given["refreshToken"]})).status_code == 401


async def test_a_disabled_account_is_out_at_once(served: Served, client: httpx.AsyncClient) -> None:
    email = await a_user(served, "member")
    given = await logged_in(client, email)
    headers = {"Authorization": f"Bearer {(await logged_in(client))['accessToken']}"}
    changed = await client.patch(f"/admin/users/{given['user']['id']}", json={"disabled": True}, headers=headers)
    assert (changed.status_code, changed.json()["disabled"]) == (200, True)
    assert (await client.post("/auth/refresh", json={"refreshToken": given["refreshToken"]})).status_code == 401
    assert (await client.post("/auth/login", json={"email": email, "password": PASSWORD})).status_code == 401


def altered(token: str, **claims: Any) -> str:
    """The token with other claims and the old signature."""
    head, _, signature = token.split(".")
    said = jwt.decode(token, options={"verify_signature": False}) | claims
    forged = jwt.encode(said, "another secret of the same length....").split(".")[1]
    return f"{head}.{forged}.{signature}"


async def test_forged_tokens_are_refused(client: httpx.AsyncClient) -> None:
    given = await logged_in(client)
    token, said = given["accessToken"], jwt.decode(given["accessToken"], options={"verify_signature": False})
    head = {"kid": key_id(SECRET)}
    unsigned = jwt.encode(said, "", "none", head)
    forged = [
        altered(token, role="admin", sub=new_id()),
        unsigned,
        f"{unsigned}{token.split('.')[2]}",
        jwt.encode(said, "another secret of the same length....", "HS256", head),
        jwt.encode(said | {"aud": "someone else"}, SECRET, "HS256", head),
        jwt.encode(said | {"iss": "someone else"}, SECRET, "HS256", head),
        jwt.encode(said | {"exp": int(time.time()) - 60}, SECRET, "HS256", head),
        jwt.encode({key: value for key, value in said.items() if key != "exp"}, SECRET, "HS256", head),
        jwt.encode(said | {"sub": new_id()}, SECRET, "HS256", head),
        jwt.encode(said | {"sid": new_id()}, SECRET, "HS256", head),
        jwt.encode(said | {"role": "root"}, SECRET, "HS256", head),
        jwt.encode(said, SECRET, "HS256", {"kid": "unknown"}),
        jwt.encode(said, SECRET, "HS256"),
        "a.b.c",
        "..",
    ]
    assert [(await me(client, each)).status_code for each in forged] == [401] * len(forged)
    fair = jwt.encode({"iss": ISSUER, "aud": AUDIENCE} | said, SECRET, "HS256", head)
    assert (await me(client, fair)).status_code == 200, "what was refused above was refused for what was wrong with it"


async def test_guessing_has_to_wait_and_does_not_shut_out_others(served: Served, client: httpx.AsyncClient) -> None:
    email = await a_user(served, "member")
    wrong = {"email": email, "password": "wrong password"}
    assert [(await client.post("/auth/login", json=wrong)).status_code for _ in range(3)] == [401] * 3
    blocked = await client.post("/auth/login", json={"email": email, "password": PASSWORD})
    assert (blocked.status_code, blocked.json()["code"]) == (429, "too_many_attempts")
    assert 50 <= int(blocked.headers["retry-after"]) <= 61
    assert (await logged_in(client))["user"]["email"] == ADMIN


async def test_an_unknown_name_takes_as_long_as_a_wrong_password(served: Served, client: httpx.AsyncClient) -> None:
    async def seconds(name: str) -> float:
        began = time.perf_counter()
        assert (await client.post("/auth/login", json={"email": name, "password": "wrong password"})).status_code == 401
        return time.perf_counter() - began

    known, unknown = [], []
    for _ in range(10):  # by turns, since a machine has its moments, and the fastest of each, which had none
        known.append(await seconds(await a_user(served, "member")))
        unknown.append(await seconds(f"{new_id()}@example.com"))
    assert 0.6 < min(unknown) / min(known) < 1.7


@pytest.mark.parametrize(
    "body",
    [
        {"email": ADMIN, "password": ""},
        {"email": f"{ADMIN}' OR 1=1 --", "password": PASSWORD},
        {"email": "\u0000", "password": PASSWORD},
        {"password": PASSWORD},
    ],
)
async def test_what_is_no_login_is_401(client: httpx.AsyncClient, body: dict[str, str]) -> None:
    answer = await client.post("/auth/login", json=body)
    assert (answer.status_code, PASSWORD in answer.text) == (401, False)


async def test_the_page_sets_a_cookie_and_leads_on(client: httpx.AsyncClient) -> None:
    page = await client.get("/login", params={"next": "/docs"}, headers={"Accept-Language": "zh-CN"})
    assert (page.status_code, 'value="/docs"' in page.text, "登录" in page.text) == (200, True, True)
    assert "script" not in page.headers["content-security-policy"]
    form = {"username": ADMIN, "password": PASSWORD, "next": "/docs"}
    answer = await client.post("/login", data=form, headers={"Sec-Fetch-Site": "same-origin"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/docs")
    cookie = answer.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=lax", "path=/"))
    assert (await client.get("/auth/me")).json()["scopes"] == ["admin"], "the client sends the cookie now"
    changing = await client.post("/chat/sessions", json={}, headers={"Sec-Fetch-Site": "cross-site"})
    assert changing.status_code == 403, "another site's page cannot act for somebody who is logged in"
    assert (await client.post("/chat/sessions", json={}, headers={"Sec-Fetch-Site": "same-origin"})).status_code == 201
    assert (await client.post("/chat/sessions", json={}, headers={"Origin": "http://evil.example"})).status_code == 403
    assert (await client.post("/auth/logout", headers={"Sec-Fetch-Site": "same-origin"})).status_code == 204
    assert (await client.get("/auth/me")).status_code == 401


async def test_a_wrong_password_shows_the_form_again(client: httpx.AsyncClient) -> None:
    name = '"><script>alert(1)</script>'
    answer = await client.post("/login", data={"username": name, "password": "wrong password", "next": "/docs"})
    assert answer.status_code == 401
    assert "<script>" not in answer.text
    assert "not right" in answer.text
    assert "wrong password" not in answer.text


@pytest.mark.parametrize(
    ("wanted", "leads"),
    [
        ("/docs?a=b", "/docs?a=b"),
        ("https://dify.example.com/apps", "https://dify.example.com/apps"),
        ("https://evil.example/", "/status"),
        ("//evil.example/", "/status"),
        ("/\\evil.example", "/status"),
        ("https://dify.example.com@evil.example/", "/status"),
        ("https://evil.example\\@dify.example.com/", "/status"),
        ("javascript:alert(1)", "/status"),
        ("docs", "/status"),
        ("https://[", "/status"),
        ("https://dify.example.com:1;script-src/", "/status"),
        ("/docs\r\nSet-Cookie: a=b", "/status"),
    ],
)
async def test_the_page_leads_on_to_known_hosts_alone(client: httpx.AsyncClient, wanted: str, leads: str) -> None:
    answer = await client.post("/login", data={"username": ADMIN, "password": PASSWORD, "next": wanted})
    assert (answer.status_code, answer.headers["location"]) == (303, leads)


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


async def test_verify_tells_nginx_who_it_is(served: Served, client: httpx.AsyncClient) -> None:
    assert (await client.get("/auth/verify")).status_code == 401
    assert (await client.get("/auth/verify", headers={"Authorization": "Bearer app-of-dify"})).status_code == 401
    email = await a_user(served, "member")
    answer = await client.get("/auth/verify", headers=basic(email, PASSWORD))
    assert (answer.status_code, answer.headers["x-auth-user"], answer.headers["x-auth-role"]) == (200, email, "member")
    assert answer.headers["x-auth-name"] == "A%20User"
    assert (await client.get("/auth/verify?role=admin", headers=basic(email, PASSWORD))).status_code == 403
    assert (await client.get("/auth/verify?role=admin", headers=basic(ADMIN, PASSWORD))).status_code == 200
    assert (await client.get("/auth/verify", headers=basic(email, "wrong password"))).status_code == 401
    await client.post("/login", data={"username": email, "password": PASSWORD})
    with_both = await client.get("/auth/verify", headers={"Authorization": "Bearer app-of-dify"})
    assert (with_both.status_code, with_both.headers["x-auth-user"]) == (200, email), "the cookie comes first"


async def test_many_logins_at_once_do_not_stop_the_rest(served: Served, client: httpx.AsyncClient) -> None:
    logins = [asyncio.create_task(logged_in(client)) for _ in range(20)]
    slowest = 0.0
    while not all(login.done() for login in logins):
        began = time.perf_counter()
        assert (await client.get("/health")).status_code == 200
        slowest = max(slowest, time.perf_counter() - began)
    assert len({(await login)["refreshToken"] for login in logins}) == 20
    assert slowest < 5.0


def test_no_password_or_token_is_in_the_log(served: Served) -> None:
    async def given() -> str:
        async with httpx.AsyncClient(base_url=served.url, timeout=30, trust_env=False) as client:
            return str((await logged_in(client))["refreshToken"])

    token = beside(given())
    said = served.log.read_text(encoding="utf-8")
    assert "logged_in" in said
    assert [secret for secret in (PASSWORD, token, SECRET) if secret in said] == []
    assert Path(served.folder / "data" / "admin-password").exists() is False


async def test_only_a_trusted_proxy_tells_the_callers_address(served: Served, client: httpx.AsyncClient) -> None:
    email = await a_user(served, "member")
    wrong = {"email": email, "password": "wrong password"}

    async def guess(forwarded: str) -> int:
        return (await client.post("/auth/login", json=wrong, headers={"X-Forwarded-For": forwarded})).status_code

    assert [await guess("203.0.113.1") for _ in range(4)] == [401, 401, 401, 429]
    assert await guess("203.0.113.2") == 401, "another address may still guess"
    assert await guess("198.51.100.9, 203.0.113.1") == 429, "what a client says of itself in front counts for nothing"


async def test_every_answer_has_its_security_headers(client: httpx.AsyncClient) -> None:
    for path, more in (("/health", {}), ("/nowhere", {}), ("/login", {"X-Forwarded-Proto": "https"})):
        answer = await client.get(path, headers=more)
        assert (answer.headers["x-content-type-options"], answer.headers["x-frame-options"]) == ("nosniff", "DENY")
        assert ("strict-transport-security" in answer.headers) == bool(more)
