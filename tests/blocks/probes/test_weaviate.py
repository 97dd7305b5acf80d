"""Weaviate, on a stand-in that answers as its documentation of /v1/.well-known/ready and /v1/nodes has it."""

from aiohttp import web

from tests.blocks.probes.looking import seen
from tests.blocks.probes.serving import Handler, saying, serving

KEY = "a-key-of-weaviate"


def routes(*nodes: str, ready: int = 200, key: str | None = None, told: object = None) -> dict[str, Handler]:
    """``nodes``: a status each."""

    async def is_ready(_: web.Request) -> web.Response:
        return web.Response(status=ready)

    async def of_nodes(request: web.Request) -> web.Response:
        if key is not None and request.headers.get("Authorization") != f"Bearer {key}":
            return web.json_response({"error": "anonymous access not enabled"}, status=401)
        listed = [{"name": f"node{at}", "status": status, "version": "1.27.0"} for at, status in enumerate(nodes)]
        return web.json_response({"nodes": listed} if told is None else told)

    return {"/v1/.well-known/ready": is_ready, "/v1/nodes": of_nodes}


async def test_a_server_whose_nodes_are_well() -> None:
    async with serving(routes("HEALTHY", "HEALTHY", key=KEY)) as port:
        found = await seen("weaviate", f"http://127.0.0.1:{port}/", password=KEY)
    assert (found.state, found.code, found.message) == ("up", "ok", "")
    assert found.facts == {"nodes": 2, "nodes_healthy": 2, "version": "1.27.0"}
    assert found.seconds is not None


async def test_some_nodes_are_not_well_or_all() -> None:
    async with serving(routes("HEALTHY", "UNAVAILABLE", "INDEXING")) as port:
        some = await seen("weaviate", f"http://127.0.0.1:{port}")
    assert (some.state, some.code) == ("degraded", "nodes")
    assert "2 of 3 nodes are not healthy (1 UNAVAILABLE, 1 INDEXING)" in some.message
    async with serving(routes("UNHEALTHY")) as port:
        assert (await seen("weaviate", f"http://127.0.0.1:{port}")).state == "down"


async def test_keys() -> None:
    async with serving(routes("HEALTHY", key=KEY)) as port:
        none = await seen("weaviate", f"http://127.0.0.1:{port}")
        wrong = await seen("weaviate", f"http://127.0.0.1:{port}", password="another-key")
    assert (none.state, none.facts) == ("up", {"login": "not checked"})
    assert none.message == "Neither key nor nodes were checked: set password to an API key."
    assert (wrong.state, wrong.code) == ("down", "login")
    assert "another-key" not in wrong.message


async def test_a_server_that_is_not_ready_or_another_one() -> None:
    for status, code in ((503, "starting"), (404, "protocol"), (500, "status"), (401, "login")):
        async with serving(routes(ready=status)) as port:
            found = await seen("weaviate", f"http://127.0.0.1:{port}")
        assert (found.state, found.code) == ("down", code)


async def test_what_a_stranger_says_is_not_repeated() -> None:
    long = "x" * 100
    strange: list[object] = [[], {"nodes": "many"}, {"nodes": [1]}]
    for told in strange:
        async with serving(routes(told=told)) as port:
            found = await seen("weaviate", f"http://127.0.0.1:{port}")
        assert (found.state, found.message) == ("up", "It does not tell how its nodes are.")
    async with serving(routes(told={"nodes": [{"status": long, "version": long}]})) as port:
        found = await seen("weaviate", f"http://127.0.0.1:{port}")
    assert (found.state, found.code, found.facts["version"]) == ("down", "nodes", "unknown")
    assert long not in found.message
    async with saying(b"", hang=True) as port:
        assert (await seen("weaviate", f"http://127.0.0.1:{port}", timeout=0.3)).code == "timeout"
