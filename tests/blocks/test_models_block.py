"""The provider as a Prefect block: the form that the UI shows, and what a flow loads."""

import json
import subprocess
import sys

from pydantic import SecretStr

from blocks.models import ModelProvider
from core.config import child_environment
from core.settings import ModelSettings
from tests.prefect_server import RunningServer

ROUND_TRIP = """
import asyncio
from pydantic import SecretStr
from blocks.models import ModelProvider
from core.settings import ModelSettings

async def main():
    offers = (ModelSettings(name="m", context=4096, vision=True),)
    made = ModelProvider(name="kept", base_url="http://127.0.0.1:9/v1", api_key=SecretStr("sk-kept"), offers=offers)
    await made.asave("kept-provider", overwrite=True)
    loaded = await ModelProvider.aload("kept-provider")
    assert loaded.api_key.get_secret_value() == "sk-kept"
    assert await loaded.models() == await made.models()
    print("same", loaded.offers == made.offers)

asyncio.run(main())
"""


def test_a_block_is_made_without_any_server() -> None:
    program = "import socket; socket.socket.connect = None\nfrom blocks.models import ModelProvider\n"
    program += "print(ModelProvider(name='p', base_url='http://127.0.0.1:9/v1').provider)"
    made = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert made.stdout == "p\n", made.stderr


def test_every_field_of_the_form_explains_itself() -> None:
    schema = ModelProvider.model_json_schema()
    assert all(field.get("description") for field in schema["properties"].values())
    assert schema["secret_fields"] == ["api_key"]
    assert "aload" in (ModelProvider.get_code_example() or "")
    assert ModelProvider.get_description()


def test_the_key_is_not_shown() -> None:
    provider = ModelProvider(name="p", base_url="http://x", api_key=SecretStr("sk-hidden-1"), offers=(ModelSettings(name="m"),))
    assert "sk-hidden-1" not in repr(provider) + str(provider) + json.dumps(provider.model_dump(mode="json"))


def test_a_flow_loads_what_was_saved(prefect_server: RunningServer) -> None:
    environment = child_environment(prefect_server.environment("flows"))
    done = subprocess.run(
        [sys.executable, "-c", ROUND_TRIP], env=environment, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.stdout == "same True\n", done.stderr[-3000:]
