"""Certificates and proxies between us and a provider."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from blocks.models import ModelProvider
from core.conversation import ModelRequest
from core.errors import ProviderFailed, ProviderUnavailable
from tests.certificates import Authority
from tests.upstream import KEY, FakeUpstream

REQUEST = ModelRequest("plain", [{"role": "user", "content": "x"}])


async def answers(provider: ModelProvider) -> bool:
    try:
        return bool([chunk async for chunk in provider.stream(REQUEST)])
    finally:
        await provider.aclose()


async def test_a_certificate_is_checked_against_our_ca_file(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with FakeUpstream(tls=authority.serving("127.0.0.1")) as upstream:
        trusting = ModelProvider(name="fake", base_url=upstream.base_url, api_key=SecretStr(KEY), ca_file=authority.file)
        assert await answers(trusting)
        with pytest.raises(ProviderFailed, match="ca_file"):
            await answers(ModelProvider(name="fake", base_url=upstream.base_url, api_key=SecretStr(KEY)))
        assert len(upstream.chats) == 1


async def test_a_proxy_is_used_for_other_machines_only(upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake upstream takes the whole address in the request line, as a proxy does."""
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{upstream.port}")
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert await answers(ModelProvider(name="fake", base_url="http://models.invalid/v1", api_key=SecretStr(KEY)))
    assert await answers(ModelProvider(name="fake", base_url=upstream.base_url, api_key=SecretStr(KEY)))
    assert [chat.path for chat in upstream.chats] == ["http://models.invalid/v1/chat/completions", "/v1/chat/completions"]
    monkeypatch.setenv("NO_PROXY", "models.invalid")
    with pytest.raises(ProviderUnavailable, match=r"models\.invalid"):
        await answers(ModelProvider(name="fake", base_url="http://models.invalid/v1", api_key=SecretStr(KEY)))
