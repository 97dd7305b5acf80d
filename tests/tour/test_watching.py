"""It watches itself and tells: the first sweep, the status page after a login, an alert raised and resolved, who did what."""

import httpx
import orjson

from tests.tour.running import Running
from tests.waiting import eventually


async def test_it_sweeps_itself_without_being_told(up: Running, api: httpx.AsyncClient) -> None:
    up.said("all parts up")

    async def swept() -> bool:
        found = (await api.get("/status.json")).json()
        states = {each["name"]: each["state"] for each in found["services"]}
        return {states.get(name) for name in ("database", "prefect", "model-demo", "api", "disk")} == {"up"}

    await eventually(swept, 90, "a sweep has found the parts well")
    found = (await api.get("/status.json")).json()
    assert [each for each in found["alerts"] if each["origin"] == "sweep"] == [], "nothing alerts on the first day"
    assert "pilothouse_service_up" in (await api.get("/metrics")).text


async def test_a_person_logs_in_and_sees_the_page(up: Running) -> None:
    password = (up.data_dir / "admin-password").read_text(encoding="utf-8").strip()
    async with httpx.AsyncClient(base_url=up.url, trust_env=False, timeout=60) as browser:
        asked = await browser.get("/status", headers={"Accept": "text/html"})
        assert (asked.status_code, asked.headers["location"]) == (303, "login?next=%2Fstatus")
        form = {"username": "admin@localhost", "password": password, "next": "/status"}
        entered = await browser.post("/login", data=form, headers={"Sec-Fetch-Site": "same-origin"})
        assert (entered.status_code, entered.headers["location"]) == (303, "/status")
        page = await browser.get("/status", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "Database" in page.text


async def test_an_alert_is_told_and_over_again(up: Running, api: httpx.AsyncClient) -> None:
    raised = await api.post("/alerts", json={"title": "The printer is on fire", "severity": "info", "key": "printer"})
    assert raised.status_code in (200, 201, 202), raised.text
    listed = (await api.get("/alerts")).json()["alerts"]
    assert [each["status"] for each in listed if each["title"] == "The printer is on fire"] == ["open"]
    assert (await api.post("/alerts", json={"text": "out", "key": "printer", "status": "resolved"})).is_success
    listed = (await api.get("/alerts")).json()["alerts"]
    assert [each["status"] for each in listed if each["title"] == "The printer is on fire"] != ["open"]


async def test_who_did_what_is_known(up: Running, api: httpx.AsyncClient) -> None:
    async def noted() -> list[str]:
        return [each["outcome"] for each in (await api.get("/admin/audit", params={"action": "login"})).json()["entries"]]

    assert await eventually(noted, what="the login of a chapter above") == ["success"]
    entries = (await api.get("/admin/audit", params={"limit": 1000})).json()["entries"]
    told = {each["action"] for each in entries if "printer" in orjson.dumps(each).decode()}
    assert told == {"alert.raised", "alert.resolved"}, "the alert by its key"
    assert "on fire" not in orjson.dumps(entries).decode(), "and not by its words"
