"""Rows of files: how long one may be read, and when it is time to delete it."""

import psycopg
import pytest

from core.errors import NotFound
from core.store.base import Store
from core.store.files import Files

SESSIONS = """
    INSERT INTO pilothouse.sessions (id, expires_at) VALUES
    ('live', now() + interval '1 day'), ('expired', now() - interval '1 minute')
"""


@pytest.fixture
async def files(store: Store, database_url: str) -> Files:
    with psycopg.connect(database_url) as connection:
        connection.execute(SESSIONS)
    found = Files(store)
    for key, session, days in (
        ("new", None, 1.0),
        ("old", None, -2.0),
        ("older", None, -3.0),
        ("of-live", "live", 1.0),
        ("old-of-live", "live", -9.0),
        ("of-expired", "expired", 1.0),
        ("of-none", "never-was", 1.0),
    ):
        await found.add(key, name=f"{key}.svg", media_type="image/svg+xml", size=7, days=days, session_id=session)
    return found


async def test_a_file_is_read_until_its_time_or_its_session_is_over(files: Files) -> None:
    for key in ("new", "of-live", "old-of-live"):
        found = await files.get(key)
        assert (found.key, found.name, found.media_type, found.size) == (key, f"{key}.svg", "image/svg+xml", 7)
    for key in ("old", "of-expired", "of-none", "never"):
        with pytest.raises(NotFound):
            await files.get(key)


async def test_what_is_over_comes_oldest_first_and_a_session_keeps_its_files_until_it_is_purged(files: Files) -> None:
    assert await files.over() == ["older", "old", "of-none"]
    assert await files.over(2) == ["older", "old"]
    assert await files.count_over() == 3


async def test_rows_are_known_until_they_are_forgotten(files: Files) -> None:
    assert await files.known(["new", "old", "never"]) == {"new", "old"}
    assert await files.of_session("live") == ["of-live", "old-of-live"]
    await files.forget(["old", "of-live", "never"])
    assert await files.known(["new", "old"]) == {"new"}
    assert await files.of_session("live") == ["old-of-live"]


async def test_a_file_added_again_stays_as_it_was(files: Files) -> None:
    await files.add("new", name="other", media_type="text/plain", size=1, days=-1)
    found = await files.get("new")
    assert (found.name, found.size) == ("new.svg", 7)
