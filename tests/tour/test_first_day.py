"""The first day: start, ask, read on, come back, use an OpenAI client, trigger a flow, look into Prefect, stop, start again."""

import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import openai
import orjson
import pytest

from tests.tour.running import Running
from tests.waiting import eventually

QUESTION = {"messages": [{"role": "user", "content": "Name three colours of the rainbow."}]}


async def events_of(response: httpx.Response) -> AsyncIterator[dict[str, str]]:
    """The server-sent events of a response, each as its fields."""
    event: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = value
        elif event:
            yield event
            event = {}


def text_of(events: list[dict[str, str]]) -> str:
    """The answer that the chunks of a stream hold together."""
    chunks = [orjson.loads(event["data"]) for event in events if "id" in event]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


async def asked(api: httpx.AsyncClient, session: str, body: dict[str, Any] | None = None) -> tuple[str, list[dict[str, str]]]:
    """The turn's id and all events of its stream."""
    async with api.stream("POST", f"/chat/{session}", json=body or QUESTION) as response:
        assert response.status_code == 200, await response.aread()
        return response.headers["X-Turn-Id"], [event async for event in events_of(response)]


async def new_session(api: httpx.AsyncClient, **fields: str) -> str:
    made = await api.post("/chat/sessions", json=fields)
    assert made.status_code == 201, made.text
    return str(made.json()["sessionId"])


@contextmanager
def client_of(up: Running) -> Iterator[openai.OpenAI]:
    with (
        httpx.Client(trust_env=False, timeout=60) as http,
        openai.OpenAI(base_url=f"{up.url}/v1", api_key=up.token, http_client=http, max_retries=0) as client,
    ):
        yield client


def test_up_says_what_it_started_and_a_line_to_try(up: Running) -> None:
    assert any(line.startswith("database: embedded") for line in up.lines)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", up.url)
    curl = up.said("curl ", within=5)
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    done = subprocess.run(["/bin/sh", "-c", curl], capture_output=True, text=True, timeout=60, check=True)
    assert "data: [DONE]" in done.stdout or '"message"' in done.stdout


async def test_an_answer_comes_as_a_stream_and_stays_in_the_history(up: Running, api: httpx.AsyncClient) -> None:
    session = await new_session(api, system="Answer briefly.", title="Colours")
    turn, events = await asked(api, session)
    assert [event["id"] for event in events[:-1]] == [str(number) for number in range(1, len(events))]
    assert events[-1] == {"data": "[DONE]"}
    answer = text_of(events)
    assert answer.strip()
    history = (await api.get(f"/history/{session}")).json()["messages"]
    assert [(message["role"], message["turnId"]) for message in history] == [("user", turn), ("assistant", turn)]
    assert (history[1]["content"], history[1]["status"]) == (answer, "done")


async def test_the_first_answer_says_that_a_small_model_gives_it(up: Running, api: httpx.AsyncClient) -> None:
    session = await new_session(api)
    _, events = await asked(api, session)
    assert "demo" in text_of(events)
    _, events = await asked(api, session)
    assert "demo model" not in text_of(events)


async def test_a_reader_who_comes_back_gets_the_rest(up: Running, api: httpx.AsyncClient) -> None:
    session = await new_session(api)
    turn, events = await asked(api, session)
    async with api.stream("GET", f"/chat/{session}/turns/{turn}/events", headers={"Last-Event-ID": "2"}) as response:
        assert [event async for event in events_of(response)] == events[2:]


async def test_a_cancelled_answer_keeps_what_had_come(up: Running, api: httpx.AsyncClient) -> None:
    session = await new_session(api)
    story = {"messages": [{"role": "user", "content": "Tell a very long story."}], "modelConfig": {"max_tokens": 900}}
    events: list[dict[str, str]] = []
    async with api.stream("POST", f"/chat/{session}", json=story) as response:
        path = f"/chat/{session}/turns/{response.headers['X-Turn-Id']}"
        async for event in events_of(response):
            events.append(event)
            if len(events) == 3:
                assert (await api.post(f"{path}/cancel")).status_code == 202
    assert events[-1] == {"data": "[DONE]"}
    turn = (await api.get(path)).json()
    assert turn["status"] == "cancelled"
    assert turn["message"]["content"] == text_of(events)


def test_an_openai_client_works_as_it_is(up: Running) -> None:
    with client_of(up) as client:
        (model,) = client.models.list().data
        whole = client.chat.completions.create(
            model=model.id, messages=[{"role": "user", "content": "Say hello."}], max_tokens=20
        )
        assert whole.choices[0].message.content
        assert whole.usage is not None
        stream = client.chat.completions.create(
            model=model.id,
            messages=[{"role": "user", "content": "Say hello."}],
            max_tokens=20,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
        assert chunks[-1].usage is not None
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="no-such-model", messages=[{"role": "user", "content": "Hello"}])


def test_the_command_line_asks_too(up: Running) -> None:
    done = subprocess.run(
        up.command("chat", "Say hello."), env=up.environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_the_command_line_runs_a_flow_to_its_end(up: Running) -> None:
    command = up.command("run", "purge_history", "-p", "dry_run=true")
    done = subprocess.run(command, env=up.environment(), capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert isinstance(orjson.loads(done.stdout), dict)


async def test_a_flow_is_triggered_and_followed_to_its_result(up: Running, api: httpx.AsyncClient) -> None:
    up.said("all parts up")
    wrong = await api.post("/flows/purge_history/runs", json={"parameters": {"dry": True}})
    assert wrong.status_code == 422
    assert "parameters.dry" in wrong.text
    triggered = await api.post("/flows/purge_history/runs", json={"parameters": {"dry_run": True}})
    assert triggered.status_code == 202, triggered.text
    async with api.stream("GET", triggered.json()["events"]) as response:
        events = [event async for event in events_of(response)]
    kinds = [event["event"] for event in events]
    assert "state" in kinds
    assert "result" in kinds
    run = (await api.get(f"/runs/{triggered.json()['runId']}")).json()
    assert (run["state"]["type"], run["flow"]) == ("COMPLETED", "purge_history")


async def test_a_turn_is_seen_in_prefect(up: Running, api: httpx.AsyncClient) -> None:
    up.said("all parts up")
    session = await new_session(api)
    turn, _ = await asked(api, session)

    async def tracked() -> dict[str, Any]:
        seen: dict[str, Any] = (await api.get(f"/chat/{session}/turns/{turn}")).json()
        return seen if seen["tracked"] else {}

    seen = await eventually(tracked, within=60, what="the turn's run is recorded")
    assert seen["flowRunId"]
    assert (await api.get(up.prefect)).status_code == 200


async def test_health_readiness_and_the_page_for_people(up: Running) -> None:
    async with httpx.AsyncClient(base_url=up.url, trust_env=False) as anyone:
        assert (await anyone.get("/health")).json()["status"] == "ok"
        assert (await anyone.get("/ready")).status_code == 200
        page = await anyone.get("/docs")
        assert page.status_code == 200
        for asset in re.findall(r'(?:src|href)="([^"]+)"', page.text):
            assert (await anyone.get(f"/{asset}")).status_code == 200
        assert (await anyone.get("/flows")).status_code == 401


async def test_stopping_leaves_nothing_running_and_starting_again_finds_everything(up: Running, api: httpx.AsyncClient) -> None:
    session = await new_session(api)
    _, events = await asked(api, session)
    token = up.token
    assert up.stop() == 0
    up.start()
    assert up.token == token
    async with httpx.AsyncClient(base_url=up.url, headers=up.headers, timeout=60, trust_env=False) as again:
        messages = (await again.get(f"/history/{session}")).json()["messages"]
    assert messages[-1]["content"] == text_of(events)
