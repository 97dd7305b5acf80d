"""Stand-ins for servers that tell more of their models than OpenAI's list does; each refuses what it would not be sent."""

from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web


class OllamaServer:
    """Ollama's list in OpenAI's shape and its own ``/api/tags`` and ``/api/show``; ``asked`` counts by path and model."""

    def __init__(self, models: Mapping[str, Mapping[str, Any]]) -> None:
        self.models = dict(models)
        self.digests = {name: f"sha-{name}" for name in models}
        self.asked: Counter[str] = Counter()
        self.silent: set[str] = set()
        """Models that it never describes."""
        self.broken = False
        """Whether it fails to list its models in its own way."""
        self.url = ""

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/models", self.openai_list)
        app.router.add_get("/api/tags", self.tags)
        app.router.add_post("/api/show", self.show)
        return app

    async def openai_list(self, request: web.Request) -> web.Response:
        self.asked["models"] += 1
        data = [{"id": name, "object": "model", "created": 1, "owned_by": "library"} for name in self.models]
        return web.json_response({"object": "list", "data": data})

    async def tags(self, request: web.Request) -> web.Response:
        self.asked["tags"] += 1
        if self.broken:
            raise web.HTTPInternalServerError
        details = {"family": "qwen3", "parameter_size": "8.2B", "quantization_level": "Q4_K_M"}
        return web.json_response(
            {"models": [{"name": n, "model": n, "digest": self.digests[n], "size": 5, "details": details} for n in self.models]}
        )

    async def show(self, request: web.Request) -> web.Response:
        name = (await request.json())["model"]
        self.asked[name] += 1
        if name in self.silent:
            raise web.HTTPInternalServerError
        return web.json_response(self.models[name])


@asynccontextmanager
async def serving(app: web.Application) -> AsyncGenerator[str, None]:
    """The address of an application on a free port of loopback."""
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
