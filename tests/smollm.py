"""The real demo model, for tests that want to know what a small model does."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.ports import free_port
from tests.waiting import eventually

KEY = "sk-smollm"


@asynccontextmanager
async def smollm_server(folder: Path) -> AsyncGenerator[str, None]:
    """The base URL of its server, which asks for ``KEY``."""
    port = free_port()
    key, log = folder / "key", folder / "log"
    key.write_text(KEY)
    command = [sys.executable, "-m", "deployments.model_server", "--port", str(port), "--key-file", str(key)]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
    async with httpx.AsyncClient(trust_env=False) as client:

        async def up() -> bool:
            assert process.returncode is None, log.read_text()[-2000:]
            try:
                return (await client.get(f"http://127.0.0.1:{port}/health")).status_code == 200
            except httpx.TransportError:
                return False

        await eventually(up, within=60, what="the model server answers")
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        await process.wait()
