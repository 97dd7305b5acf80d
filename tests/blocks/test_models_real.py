"""The real SmolLM2 on llama.cpp, through the same block."""

from collections.abc import AsyncGenerator
from pathlib import Path

import orjson
import pytest
from pydantic import SecretStr

from blocks.demo_weights import demo_weights
from blocks.model_versions import ModelShelf
from blocks.models import ModelProvider
from core.answers import Answer
from core.conversation import ModelRequest
from core.errors import ContextExceeded, ProviderFailed
from tests.smollm import KEY, smollm_server

pytest.importorskip("xllamacpp", reason="xllamacpp has no wheel for this platform")


@pytest.fixture
async def smollm(tmp_path: Path) -> AsyncGenerator[ModelProvider, None]:
    async with smollm_server(tmp_path) as base_url:
        provider = ModelProvider(name="demo", base_url=base_url, api_key=SecretStr(KEY))
        yield provider
        await provider.aclose()


async def answered(provider: ModelProvider, text: str, **options: object) -> Answer:
    (info,) = await provider.models()
    answer = Answer()
    async for chunk in provider.stream(ModelRequest(info.name, [{"role": "user", "content": text}], options)):
        answer.feed(chunk)
    return answer


async def test_a_real_model_answers(smollm: ModelProvider) -> None:
    (info,) = await smollm.models()
    assert 1024 <= info.context <= 8192
    answer = await answered(smollm, "Why is the sky blue?", max_tokens=25, temperature=0)
    assert "light" in answer.text
    assert answer.finish_reason in {"stop", "length"}
    assert answer.usage is not None
    assert answer.usage["completion_tokens"] > 0
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    answer = await answered(smollm, "Name a city as JSON.", response_format=wanted, max_tokens=60, temperature=0)
    assert set(orjson.loads(answer.text)) == {"city"}
    with pytest.raises(ContextExceeded):
        await answered(smollm, "word " * 20_000)
    with pytest.raises(ProviderFailed):
        await answered(smollm, "x", response_format={"type": "no_such_format"})

    (listed,) = await ModelShelf(smollm).versions({})
    assert (listed.kind, listed.details["meta.n_params"], "created" in listed.details) == ("listed", 134_515_008, False)
    (version,) = await ModelShelf(smollm, demo_weights()).versions({})
    assert (version.model, version.kind, version.digest[:7]) == (listed.model, "file", "sha256:")
