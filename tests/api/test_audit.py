"""What the API writes into the audit log: logins, changes, questions to models and calls of tools, and nothing secret."""

import asyncio
import subprocess
import sys
from typing import Any

import httpx
import psycopg
import pytest

from tests.api.serving import ADMIN, PASSWORD, Chat, Served
from tests.waiting import eventually


@pytest.fixture(scope="module")
def served(administered: Served) -> Served:
    return administered


async def entries(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get("/admin/audit", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["entries"]
    return found


async def found(client: httpx.AsyncClient, action: str, count: int = 1) -> list[dict[str, Any]]:
    async def there() -> list[dict[str, Any]]:
        seen = await entries(client, action=action)
        return seen if len(seen) >= count else []

    seen: list[dict[str, Any]] = await eventually(there, what=f"{action} is in the log")
    return seen


def verified(served: Served) -> subprocess.CompletedProcess[str]:
    """What `pilothouse audit verify` says."""
    command = [sys.executable, "-m", "deployments.cli", "audit", "verify", "--data-dir", str(served.folder / "data")]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(served.folder), "DATABASE_URL": served.database_url}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


async def test_logins_and_wrong_passwords(served: Served) -> None:
    async with served.client() as client:
        agent = {"X-Forwarded-For": "203.0.113.7"}
        wrong = {"email": ADMIN, "password": "wrong password"}
        await client.post("/auth/login", json=wrong, headers=agent)
        given = await client.post("/auth/login", json=wrong | {"password": PASSWORD}, headers=agent)
        right, refused = await found(client, "login", 2)
    assert (right["outcome"], right["actor"], right["actorName"]) == ("success", f"user:{given.json()['user']['id']}", ADMIN)
    assert (refused["outcome"], refused["actor"], refused["address"]) == ("failure", "", "203.0.113.7")


async def test_a_change_a_question_and_a_call_of_a_tool(served: Served) -> None:
    async with served.client() as client:
        chat = await Chat(client).open()
        answer = await chat.ask("my secret plan", "echo")
        (asked,) = await found(client, "POST /chat/{session_id}")
        (told,) = await found(client, "model.request")
        assert (asked["outcome"], asked["object"], asked["details"]["x-turn-id"]) == (
            "success",
            f"/chat/{chat.id}",
            answer.json()["turnId"],
        )
        assert told["details"]["turnId"] == answer.json()["turnId"]
        assert (told["details"]["model"], told["details"]["provider"]) == ("echo", "fake")
        assert len(told["details"]["questionSha256"]) == 64
        ran = await client.post("/tools/drawing/chart/runs", json={"inputs": {"nonsense": 1}, "wait": True})
        (tool,) = await found(client, "POST /tools/{tool_id:path}/runs")
        assert (tool["outcome"], tool["details"]["status"]) == ("failure", ran.status_code)
        assert len(await entries(client, action="POST /chat/sessions")) == 1
        assert await entries(client, action="GET /admin/audit") == []
        whole = str(await entries(client, limit=1000))
    assert [secret for secret in ("secret plan", PASSWORD, served.token.split("_")[2]) if secret in whole] == []


async def test_it_is_sealed_within_seconds_and_verified_by_a_command(served: Served) -> None:
    async with served.client() as client:

        async def sealed() -> bool:
            seen = await entries(client, limit=1000)
            return bool(seen) and all(each["batch"] is not None for each in seen)

        await eventually(sealed, 10, "everything is sealed")
    good = await asyncio.to_thread(verified, served)
    assert (good.returncode, good.stdout.startswith("as it was sealed: ")) == (0, True), good.stderr
    with psycopg.connect(served.database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE pilothouse.audit DISABLE TRIGGER audit_is_append_only")
        connection.execute("UPDATE pilothouse.audit SET outcome = 'success' WHERE action = 'login' AND outcome = 'failure'")
    bad = await asyncio.to_thread(verified, served)
    assert (bad.returncode, "is not as it was sealed" in bad.stderr) == (1, True), bad.stderr


async def test_only_administrators_read_it(served: Served) -> None:
    token = await served.make_token("read", "chat")
    async with httpx.AsyncClient(base_url=served.url, trust_env=False, headers={"Authorization": f"Bearer {token}"}) as client:
        assert (await client.get("/admin/audit")).status_code == 403
