"""Errors on the wire: status and shape for every kind, on native paths and on OpenAI's."""

from collections.abc import AsyncIterator
from typing import Literal

import httpx
import openai
import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from structlog.testing import capture_logs

from api.problems import STATUSES, install
from core import changes, errors
from core.backups import errors as backup_errors
from core.errors import InputInvalid, PilothouseError, SessionBusy

KINDS = [*vars(errors).values(), *vars(backup_errors).values(), *vars(changes).values()]
ERRORS = {each.code: each for each in KINDS if isinstance(each, type) and issubclass(each, PilothouseError)}


class Line(BaseModel):
    role: Literal["user", "system"]
    content: str


class Question(BaseModel):
    messages: list[Line]


def an_app() -> FastAPI:
    app = FastAPI()
    install(app, prefix="/api")

    async def ask(question: Question) -> dict[str, int]:
        return {"messages": len(question.messages)}

    async def fail(kind: str) -> None:
        if kind == "unexpected":
            raise RuntimeError("secret detail")
        if kind == "busy":
            raise SessionBusy("Four turns wait.", retry_after=1.2)
        if kind == "field":
            raise InputInvalid("Too warm.", field="temperature")
        raise ERRORS[kind]("What to do next.")

    for root in ("", "/v1", "/api/v1"):
        app.post(f"{root}/ask")(ask)
        app.get(f"{root}/fail")(fail)
        app.post(f"{root}/chat/completions")(fail)
    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(an_app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://pilothouse") as client:
        yield client


def test_every_error_has_a_status_of_its_own_or_is_a_fault_of_ours() -> None:
    assert set(STATUSES) <= set(ERRORS)
    assert set(ERRORS) - set(STATUSES) == {"internal", "configuration_invalid", "part_missing"}


async def test_a_problem_says_what_is_wrong_and_when_to_come_back(client: httpx.AsyncClient) -> None:
    answer = await client.get("/fail?kind=busy")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "2"
    assert answer.json() == {
        "type": "urn:pilothouse:problem:session_busy",
        "title": "Conflict",
        "status": 409,
        "detail": "Four turns wait.",
        "code": "session_busy",
    }


@pytest.mark.parametrize(("code", "status"), [("unauthorized", 401), ("forbidden", 403)])
async def test_a_refusal_carries_a_challenge(client: httpx.AsyncClient, code: str, status: int) -> None:
    answer = await client.get(f"/fail?kind={code}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_a_broken_schema_names_the_field_and_never_echoes_the_input(client: httpx.AsyncClient) -> None:
    answer = await client.post("/ask", json={"messages": [{"role": "pirate", "content": {"say": "hush-hush"}}]})
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["field"]) == (422, "input_invalid", "messages.0.role")
    assert [error["field"] for error in problem["errors"]] == ["messages.0.role", "messages.0.content"]
    assert "pirate" not in answer.text
    assert "hush" not in answer.text


@pytest.mark.parametrize("body", [b"{", b'{"messages": \xff}', b"[]", b""])
async def test_a_body_that_is_no_json_object_is_the_callers_fault(client: httpx.AsyncClient, body: bytes) -> None:
    for path in ("/ask", "/v1/ask"):
        answer = await client.post(path, content=body, headers={"content-type": "application/json"})
        assert 400 <= answer.status_code < 500


async def test_unknown_paths_and_methods_are_problems_too(client: httpx.AsyncClient) -> None:
    missing, wrong = await client.get("/nowhere"), await client.get("/ask")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"], wrong.headers["allow"]) == (405, "method_not_allowed", "POST")


async def test_an_unexpected_exception_tells_the_log_and_not_the_caller(client: httpx.AsyncClient) -> None:
    with capture_logs() as lines:
        answer = await client.get("/fail?kind=unexpected")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret detail" not in answer.text
    assert [str(line["exc_info"]) for line in lines] == ["secret detail"]


@pytest.mark.parametrize("root", ["/v1", "/api/v1"])
async def test_openai_paths_answer_in_openais_shape(client: httpx.AsyncClient, root: str) -> None:
    answer = await client.get(f"{root}/fail?kind=field")
    assert answer.status_code == 400
    assert answer.json() == {
        "error": {"message": "Too warm.", "type": "invalid_request_error", "param": "temperature", "code": "input_invalid"}
    }


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("field", openai.BadRequestError),
        ("context_exceeded", openai.BadRequestError),
        ("unauthorized", openai.AuthenticationError),
        ("forbidden", openai.PermissionDeniedError),
        ("not_found", openai.NotFoundError),
        ("conflict", openai.ConflictError),
        ("provider_unavailable", openai.InternalServerError),
        ("unexpected", openai.InternalServerError),
    ],
)
async def test_the_official_client_raises_its_own_exceptions(
    client: httpx.AsyncClient, kind: str, expected: type[openai.APIStatusError]
) -> None:
    official = openai.AsyncOpenAI(api_key="x", base_url="http://pilothouse/v1", http_client=client, max_retries=0)
    with pytest.raises(expected) as caught:
        await official.chat.completions.create(model="m", messages=[], extra_query={"kind": kind})
    assert caught.value.code
