"""Commands that ask our database itself, so that they work before and without the API.

The database is the configured one, else that of the ``pilothouse up`` running on the data directory.
"""

import asyncio
import getpass
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from core.audit.entry import By
from core.config import load_settings
from core.errors import ConfigurationInvalid
from core.store.base import Store
from core.store.schema import migrate
from deployments.engines import with_engines

T = TypeVar("T")


def whoever() -> By:
    """Who types a command, for the audit log: the system's user and machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):
        user = str(os.getuid())
    return By(f"os:{user}", f"{user}@{socket.gethostname()}")


def asked(config: Path | None, data_dir: Path | None, what: str, question: Callable[[Store], Awaitable[T]]) -> T:
    """The answer of the database, brought up to date first. Raises ``ConfigurationInvalid`` where there is none for ``what``."""
    settings = with_engines(load_settings(config=config, overrides={"data_dir": data_dir}))
    if settings.database.url is None:
        raise ConfigurationInvalid(
            f"There is no database to keep {what} in: set DATABASE_URL, or run `pilothouse up` on {settings.data_dir} first."
        )
    url = settings.database.url.get_secret_value()

    async def answer() -> T:
        await migrate(url)
        store = Store.from_settings(settings.database, f"pilothouse {what}")
        try:
            return await question(store)
        finally:
            await store.aclose()

    return asyncio.run(answer())
