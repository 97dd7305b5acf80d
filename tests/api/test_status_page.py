"""The status page and its JSON: who may see them, what they say, and that nothing of a service's texts is markup."""

import base64
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from core.config import DatabaseSettings
from core.identity.passwords import Passwords
from core.store.base import Store
from core.store.users import Users
from deployments.postgres import EmbeddedPostgres
from tests.api.serving import Served, beside, launched
from tests.core.status import filled

SECRET = "correct horse battery"
HTML = {"Accept": "text/html,application/xhtml+xml"}
SETTINGS = '[sources.orders]\nurl = "postgresql://u@127.0.0.1:9/orders"\n[sources.users]\nurl = "mysql://u@127.0.0.1:9/users"\n'
# Nobody listens there, so that what waits goes on waiting.
SETTINGS += '[channels.mail]\nkind = "webhook"\nurl = "http://127.0.0.1:9/"\nseverities = ["info"]\n'


@pytest.fixture(scope="module")
def watched(postgres: EmbeddedPostgres, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API whose database has been swept."""
    with launched(postgres, template_database, tmp_path_factory.mktemp("watched"), {}, settings=SETTINGS) as api:
        beside(fill(api.database_url))
        yield api


async def fill(url: str) -> None:
    store = Store.from_settings(DatabaseSettings(url=SecretStr(url)))
    try:
        await filled.fill(store)
    finally:
        await store.aclose()


@pytest.fixture
def client(watched: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=watched.url, headers=watched.headers, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def facts(client: httpx.Client) -> dict[str, Any]:
    response = client.get("/status.json")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def test_a_browser_is_asked_for_the_token_and_a_program_is_not(watched: Served) -> None:
    for path in ("/status", "/status.json"):
        asked = httpx.get(watched.url + path, headers=HTML, trust_env=False)
        assert (asked.status_code, asked.headers["www-authenticate"][:5]) == (401, "Basic")
        refused = httpx.get(watched.url + path, trust_env=False)
        assert (refused.status_code, refused.headers["www-authenticate"][:6]) == (401, "Bearer")


@pytest.fixture
async def ann(watched: Served) -> AsyncIterator[None]:
    """Somebody with an account, for as long as the test."""
    store, passwords = Store.from_settings(DatabaseSettings(url=SecretStr(watched.database_url))), Passwords()
    await Users(store).create("ann@example.com", "Ann", "viewer", await passwords.hash(SECRET))
    yield
    async with store.single() as connection:
        await connection.execute(text("DELETE FROM pilothouse.users"))
    passwords.close()
    await store.aclose()


@pytest.mark.usefixtures("ann")
async def test_where_people_have_accounts_a_browser_is_led_to_the_login(watched: Served) -> None:
    async with httpx.AsyncClient(base_url=watched.url, headers=HTML, timeout=30, trust_env=False) as browser:
        led = await browser.get("/status?lang=zh")
        assert (led.status_code, led.headers["location"]) == (303, "login?next=%2Fstatus%3Flang%3Dzh")
        form = {"username": "ann@example.com", "password": SECRET, "next": "/status?lang=zh"}
        entered = await browser.post("/login", data=form)
        assert (entered.status_code, entered.headers["location"]) == (303, "/status?lang=zh")
        shown = await browser.get("/status?lang=zh")
        assert (shown.status_code, "数据库 故障" in shown.text) == (200, True)
        assert (await browser.get("/status", headers={"Authorization": "Basic eDp5"})).status_code == 401


def test_the_token_is_taken_as_a_password(watched: Served) -> None:
    for secret, status in ((watched.token, 200), ("ph_0_wrong", 401), ("", 401)):
        given = base64.b64encode(f"anybody:{secret}".encode()).decode()
        answer = httpx.get(f"{watched.url}/status", headers={**HTML, "Authorization": f"Basic {given}"}, trust_env=False)
        assert answer.status_code == status
    broken = httpx.get(f"{watched.url}/status", headers={**HTML, "Authorization": "Basic %%%"}, trust_env=False)
    assert broken.status_code == 401


def test_the_scope_read_is_needed(watched: Served) -> None:
    for scope, status in (("read", 200), ("chat", 403)):
        token = beside(watched.make_token(scope))
        for path in ("/status", "/status.json", "/metrics"):
            answer = httpx.get(watched.url + path, headers={"Authorization": f"Bearer {token}"}, trust_env=False)
            assert answer.status_code == status, path


def test_it_says_what_is_down_and_what_hangs_under_it(facts: dict[str, Any]) -> None:
    assert facts["status"] == "critical"
    assert facts["counts"] == {"down": 3, "degraded": 1, "unreachable": 1, "unknown": 0, "up": 2}
    root, slow = facts["troubles"]
    assert (root["service"], root["explains"], root["explained"]) == ("shop/db", 2, ["shop/api", "shop/web"])
    assert (slow["service"], slow["state"]) == ("shop/search", "degraded")
    assert [each["service"] for each in facts["maintenance"]] == ["vllm"]
    assert facts["sweep"]["by"] == "flow"
    assert facts["sweep"]["overdue"] is False
    assert [platform["name"] for platform in facts["platforms"]] == ["models", "shop", ""]


def test_uptime_and_latency_are_those_of_the_hours(facts: dict[str, Any]) -> None:
    (web,) = [each for each in facts["services"] if each["id"] == "shop/web"]
    assert web["uptime"]["day"] == pytest.approx(283 / 288)
    assert web["uptime"]["week"] == web["uptime"]["quarter"] == pytest.approx(283 / 288)
    assert web["latency"] == [pytest.approx(0.03)] * 24
    assert (web["because"], web["dependsOn"]) == ("shop/db", ["shop/api"])


def test_alerts_are_shown_with_how_they_were_delivered(facts: dict[str, Any]) -> None:
    db, search, mail = facts["alerts"]
    assert {each["channel"]: each["status"] for each in db["deliveries"]} == {
        "teams": "given_up",
        "hook": "sent",
        "mail": "waiting",
    }
    assert next(each["words"] for each in db["deliveries"] if each["channel"] == "teams") == "HTTP 404: the workflow is gone."
    assert (search["silenced"], search["severity"]) == (True, "warning")
    assert mail["resolvedAt"] is not None
    assert {each["channel"]: (each["waiting"], each["givenUp"]) for each in facts["channels"]} == {
        "teams": (0, 1),
        "hook": (0, 0),
        "mail": (1, 0),
    }
    assert [(each["covers"], each["by"], each["reason"]) for each in facts["silences"]] == [("sear*", "li.wei", "new disks")]


def test_models_are_shown_with_how_they_did(facts: dict[str, Any]) -> None:
    good, bad = facts["models"]
    assert {name: value for name, value in good.items() if name != "changedAt"} == {
        "provider": "box",
        "model": "qwen3:8b",
        "state": "unknown",
        "message": "",
        "turns": 40,
        "errors": 0,
        "retries": 0,
        "fallbacks": 0,
        "firstToken": {"median": 0.3, "p95": 0.3},
        "tokensPerSecond": 60.0,
        "version": "8899aabbccdd",
        "listed": True,
    }
    assert good["changedAt"].endswith("Z")
    assert (bad["model"], bad["turns"], bad["errors"], bad["retries"], bad["fallbacks"]) == (filled.HOSTILE, 3, 2, 4, 2)


def test_backups_are_fresh_or_not(facts: dict[str, Any]) -> None:
    found = {each["source"]: each for each in facts["backups"]}
    assert (found["orders"]["status"], found["orders"]["size"], found["orders"]["drill"]) == ("fresh", 4200, "good")
    assert (found["users"]["status"], found["users"]["error"]) == ("failed", "The server went away.")
    assert found["pilothouse"]["status"] == "none"


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_text_is_escaped_and_nothing_is_loaded(client: httpx.Client, lang: str) -> None:
    response = client.get("/status", params={"lang": lang, "theme": "dark"})
    assert response.status_code == 200
    page = response.text
    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "49" not in page.replace("{{7*7}}", "")[: page.index("</title>")]
    assert "<script" not in page
    assert " style=" not in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "").replace("http%3A//www.w3.org/2000/svg", "")
    assert 'data-theme="dark"' in page
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert response.headers["cache-control"] == "no-store"


def test_the_language_is_the_browsers_unless_it_is_asked_for(client: httpx.Client) -> None:
    assert "数据库 故障" in client.get("/status", headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}).text
    assert "数据库 is down" in client.get("/status", headers={"Accept-Language": "de-DE,en;q=0.5,zh;q=0.1"}).text
    assert "数据库 故障" in client.get("/status?lang=zh", headers={"Accept-Language": "en"}).text


def test_links_keep_what_was_chosen_and_the_page_loads_itself_again_unless_paused(client: httpx.Client) -> None:
    page = client.get("/status", params={"lang": "zh", "theme": "light", "refresh": "0", "other": "x"}).text
    assert 'http-equiv="refresh"' not in page
    assert 'href="?lang=zh&amp;theme=dark&amp;refresh=0"' in page.replace(
        "?lang=zh&amp;refresh=0&amp;theme=dark", "?lang=zh&amp;theme=dark&amp;refresh=0"
    )
    assert "other" not in page
    assert '<meta http-equiv="refresh" content="30">' in client.get("/status").text


@pytest.mark.parametrize("query", ["theme=neon", "lang=de", "page=0", "refresh=-1", "limit=0"])
def test_options_that_are_none_are_refused(client: httpx.Client, query: str) -> None:
    path = "/status.json" if "limit" in query else "/status"
    answer = client.get(f"{path}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "input_invalid")


def test_head_is_answered_and_the_front_door_leads_here(client: httpx.Client) -> None:
    for path in ("/status", "/status.json", "/"):
        head = client.head(path)
        assert (head.status_code, head.content) == (200, b"")
    door = httpx.get(str(client.base_url), trust_env=False)
    assert (door.status_code, 'href="status"' in door.text, 'href="docs"' in door.text) == (200, True, True)


def test_one_platform_is_listed_where_it_is_asked_for(client: httpx.Client) -> None:
    found = client.get("/status.json", params={"platform": "shop", "limit": 3, "page": 2}).json()
    assert [each["name"] for each in found["services"]] == ["search"] or len(found["services"]) == 1
    assert (found["page"]["number"], found["page"]["pages"], found["page"]["complete"]) == (2, 2, False)
    for unknown in ("none of these", "a\x00b"):
        assert client.get("/status.json", params={"platform": unknown}).json()["services"] == []


def test_uptimes_may_be_left_out(client: httpx.Client) -> None:
    quick = client.get("/status.json", params={"history": "false"}).json()
    assert len(quick["services"]) == 7
    assert all(each["uptime"]["day"] is None and each["since"] for each in quick["services"])
