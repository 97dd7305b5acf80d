"""Two workspaces beside each other: the same names in both, and nothing of one seen in the other."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from core.ids import new_id
from core.settings import DatabaseSettings
from core.store.access import Tokens
from core.store.base import Store
from core.store.workspaces import Workspaces
from tests.api.serving import Chat, Served, text_of
from tests.waiting import eventually


@dataclass
class Place:
    """A workspace, and a client with a token of it."""

    name: str
    client: httpx.AsyncClient


@pytest.fixture
async def places(served: Served) -> AsyncIterator[tuple[Place, Place]]:
    """Two new workspaces."""
    store = Store.from_settings(DatabaseSettings(url=SecretStr(served.database_url)))
    names = [f"w{new_id()[-6:]}" for _ in range(2)]
    for name in names:
        await Workspaces(store).create(name)
    scopes = ["chat", "tools", "read", "alerts", "flows:*", "plugin"]
    tokens = [(await Tokens(store).create("test", scopes, workspace=name))[1] for name in names]
    await store.aclose()
    async with served.client() as one, served.client() as other:
        for client, token in ((one, tokens[0]), (other, tokens[1])):
            client.headers["Authorization"] = f"Bearer {token}"
        yield Place(names[0], one), Place(names[1], other)


async def test_a_session_of_the_same_name_is_another_one(places: tuple[Place, Place], served: Served) -> None:
    here, there = places
    chats = [await Chat(place.client, "notes").open(title=place.name) for place in places]
    for chat, word in zip(chats, ("apples", "pears"), strict=True):
        headers, stream = await chat.stream(word, "echo", detail=True)
        assert word in text_of(stream)
        assert {event.data["sessionId"] for event in stream if event.name == "turn"} == {"notes"}
        turn = await chat.turn(headers["x-turn-id"])
        assert (turn["sessionId"], turn["status"]) == ("notes", "done")
        assert next(message["content"] for message in await chat.history()) == word
    other = (await chats[1].stream("pears", "echo"))[0]["x-turn-id"]
    for path in (f"/chat/notes/turns/{other}", f"/chat/notes/turns/{other}/events"):
        assert (await here.client.get(path)).status_code == 404
    assert (await here.client.post(f"/chat/notes/turns/{other}/cancel")).status_code == 404
    for place in places:
        listed = (await place.client.get("/chat/sessions")).json()["sessions"]
        assert [(one["sessionId"], one["title"]) for one in listed] == [("notes", place.name)]
    assert (await here.client.delete("/chat/notes")).status_code in {404, 405}
    assert (await here.client.delete("/chat/sessions/notes")).status_code == 204
    assert (await here.client.get("/history/notes")).status_code == 404
    assert len((await there.client.get("/history/notes")).json()["messages"]) == 4
    async with served.client() as everywhere:  # of the default workspace, and an administrator
        assert (await everywhere.get("/history/notes")).status_code == 404
        assert (await everywhere.get("/history/notes", headers={"X-Workspace": there.name})).status_code == 200
        assert (await everywhere.get("/history/notes", headers={"X-Workspace": "nowhere"})).status_code == 404


async def test_what_a_turn_makes_is_its_workspaces(places: tuple[Place, Place], served: Served) -> None:
    here, there = places
    chat = await Chat(here.client).open()
    headers, _ = await chat.stream("Draw a bar chart", "chart")
    await here.client.post("/v1/chat/completions", json={"model": "plain", "messages": [{"role": "user", "content": "hello"}]})

    def belongings(table: str) -> set[str]:
        with psycopg.connect(served.database_url) as connection:
            return {row[0] for row in connection.execute(f"SELECT DISTINCT workspace FROM pilothouse.{table}".encode())}

    for table in ("sessions", "turns", "messages", "tool_runs", "files"):
        assert here.name in belongings(table), table
        assert there.name not in belongings(table), table

    async def run() -> str | None:
        turn = await chat.turn(headers["x-turn-id"])
        return turn["flowRunId"] if turn["tracked"] else None

    run_id = await eventually(run, 30, "the turn is known to Prefect")
    assert run_id is not None
    async with served.client() as administrator:
        in_its_workspace = {"X-Workspace": here.name}
        assert (await administrator.get(f"/runs/{run_id}", headers=in_its_workspace)).status_code == 200
        assert (await administrator.get(f"/runs/{run_id}")).status_code == 404
    assert (await there.client.get(f"/runs/{run_id}")).status_code == 404
    assert (await there.client.get(f"/runs/{run_id}/events")).status_code == 404


async def test_an_alert_of_the_same_key_is_another_one(places: tuple[Place, Place], served: Served) -> None:
    here, there = places
    alert = {"title": "The disk is full", "key": "disk", "service": "disk"}
    ids = [(await place.client.post("/alerts", json=alert)).json()["id"] for place in places]
    assert ids[0] != ids[1]
    again = (await here.client.post("/alerts", json=alert)).json()
    assert again["id"] == ids[0]
    for place, of in zip(places, ids, strict=True):
        assert [one["id"] for one in (await place.client.get("/alerts")).json()["alerts"]] == [of]
        shown = (await place.client.get("/status.json")).json()
        assert [one["id"] for one in shown["alerts"]] == [of]
    async with served.client() as administrator:
        until = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
        wanted = {"services": ["disk"], "endsAt": until}
        silence = await administrator.post("/silences", json=wanted, headers={"X-Workspace": here.name})
        gone = await administrator.delete(f"/silences/{silence.json()['id']}")
        assert gone.status_code == 404  # it is in the default workspace here
    assert silence.status_code == 201, silence.text
    assert (await here.client.get("/status.json")).json()["alerts"][0]["silenced"]
    assert not (await there.client.get("/status.json")).json()["alerts"][0]["silenced"]
    assert (await there.client.get("/silences")).json()["silences"] == []


async def test_flows_of_the_installation_are_not_a_workspaces_to_begin(places: tuple[Place, Place]) -> None:
    here, there = places
    refused = await here.client.post("/flows/purge_history/runs", json={"parameters": {}})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    unknown = await here.client.post("/flows/backup/runs", json={"parameters": {"name": "pilothouse"}})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert (await here.client.get("/backups")).json()["backups"] == []
    chat = await Chat(there.client).open()
    turn_id = (await chat.stream("hello"))[0]["x-turn-id"]
    again = await here.client.post("/flows/chat_turn/runs", json={"parameters": {"turn_id": turn_id}})
    assert again.status_code == 404


async def test_a_token_is_of_its_workspace_alone(places: tuple[Place, Place]) -> None:
    here, there = places
    for name in (there.name, "default", "nowhere"):
        refused = await here.client.get("/chat/sessions", headers={"X-Workspace": name})
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (await here.client.get("/chat/sessions", headers={"X-Workspace": here.name})).status_code == 200
