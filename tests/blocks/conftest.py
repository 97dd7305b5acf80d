"""Providers that talk to the fake upstream, closed after the test."""

from collections.abc import AsyncGenerator
from typing import Any, Protocol

import pytest

from blocks.models import ModelProvider
from core.settings import ProviderSettings
from tests.upstream import KEY, FakeUpstream


class ProviderOf(Protocol):
    def __call__(self, upstream: FakeUpstream, **settings: Any) -> ModelProvider: ...


@pytest.fixture
async def provider_of() -> AsyncGenerator[ProviderOf, None]:
    """Builds ``[providers.fake]`` for an upstream, with these further settings."""
    made: list[ModelProvider] = []

    def build(upstream: FakeUpstream, **settings: Any) -> ModelProvider:
        values = {"base_url": upstream.base_url, "api_key": KEY, **settings}
        made.append(ModelProvider.from_settings("fake", ProviderSettings.model_validate(values)))
        return made[-1]

    yield build
    for provider in made:
        await provider.aclose()
