"""Who may call: tokens in headers only, by scope, with the right refusals."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI, Request

from api.auth import require
from api.problems import install
from core.store.access import Principal
from tests.api.boundless import Boundless


class KnownTokens:
    """Stands in for the table: a token's text is its scopes."""

    async def verify(self, plaintext: str) -> Principal | None:
        return Principal("id", "name", frozenset(plaintext.split(","))) if plaintext != "wrong" else None


def an_app() -> FastAPI:
    app = FastAPI()
    app.state.parts = SimpleNamespace(tokens=KnownTokens(), gate=Boundless())
    install(app)

    @app.get("/chat")
    async def chat(request: Request, principal: Annotated[Principal, Depends(require("chat"))]) -> dict[str, bool]:
        return {"same": request.state.principal is principal}

    @app.get("/flows/{name}", dependencies=[Depends(require("flows:{name}"))])
    async def flows(name: str) -> str:
        return name

    @app.get("/plugin", dependencies=[Depends(require("plugin", authtoken=True))])
    async def plugin() -> None: ...

    @app.get("/any", dependencies=[Depends(require())])
    async def anyone() -> None: ...

    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(an_app()), base_url="http://pilothouse") as client:
        yield client


async def status(client: httpx.AsyncClient, path: str, **headers: str) -> int:
    return (await client.get(path, headers=headers)).status_code


async def test_the_scope_decides(client: httpx.AsyncClient) -> None:
    answer = await client.get("/chat", headers={"Authorization": "Bearer chat"})
    assert answer.json() == {"same": True}
    assert await status(client, "/chat", Authorization="bearer read,chat") == 200
    assert await status(client, "/chat", Authorization="Bearer admin") == 200
    assert await status(client, "/chat", Authorization="Bearer read") == 403
    assert await status(client, "/any", Authorization="Bearer read") == 200


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "chat", "Basic chat", "Bearer wrong"])
async def test_without_a_valid_token_it_is_401(client: httpx.AsyncClient, value: str) -> None:
    answer = await client.get("/chat", headers={"Authorization": value})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["code"] == "unauthorized"


async def test_a_token_in_the_query_or_a_cookie_is_none(client: httpx.AsyncClient) -> None:
    assert await status(client, "/chat?token=chat&access_token=chat&authtoken=chat") == 401
    assert await status(client, "/chat", Cookie="token=chat") == 401


async def test_a_flow_scope_fits_its_flow_alone(client: httpx.AsyncClient) -> None:
    assert await status(client, "/flows/backup", Authorization="Bearer flows:backup") == 200
    assert await status(client, "/flows/backup", Authorization="Bearer flows:*") == 200
    assert await status(client, "/flows/restore", Authorization="Bearer flows:backup") == 403
    assert await status(client, "/flows/%7Bname%7D", Authorization="Bearer flows:backup") == 403


async def test_authtoken_counts_only_where_it_is_asked_for(client: httpx.AsyncClient) -> None:
    assert await status(client, "/plugin", authtoken="plugin") == 200
    assert await status(client, "/plugin", authtoken="wrong") == 401
    assert await status(client, "/chat", authtoken="chat") == 401


async def test_openapi_declares_the_scheme(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert document["paths"]["/chat"]["get"]["security"] == [{"token": []}]
