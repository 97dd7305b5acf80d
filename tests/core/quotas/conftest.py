"""A store on a fresh database, and short ways to rows."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from core.config import DatabaseSettings
from core.store.base import Store


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    opened = Store.from_settings(DatabaseSettings(url=SecretStr(database_url)))
    yield opened
    await opened.aclose()
