"""The bytes that a workspace may keep: exact, however many files come at once."""

import asyncio

import pytest

from core.errors import StorageSpent
from core.store.base import Store
from core.store.files import Files
from core.store.usage import Usage
from core.workspaces import within


async def test_files_are_kept_until_the_workspace_has_as_many_bytes_as_it_may(store: Store) -> None:
    async def most(workspace: str) -> int | None:
        return 1000 if workspace == "default" else None

    files = Files(store, most)

    async def keep(key: str, size: int) -> bool:
        try:
            await files.add(key, name="a", media_type="text/plain", size=size, days=1)
        except StorageSpent:
            return False
        else:
            return True

    with within("default"):
        assert sum(await asyncio.gather(*(keep(f"k{number}", 300) for number in range(8)))) == 3
        assert await keep("small", 100), "what fits is kept to the last byte"
        assert not await keep("one", 1)
        kept = [f"k{number}" for number in range(8)]
        assert await keep((await files.over() or sorted(await files.known(kept)))[0], 300), "kept again it is the same file"
        assert await Usage(store).stored("default") == 1000
    with within("research"):
        assert await keep("much", 10_000)


@pytest.mark.parametrize("size", [0, 1000])
async def test_a_limit_of_nothing_keeps_nothing_but_what_is_empty(store: Store, size: int) -> None:
    async def nothing(_: str) -> int:
        return 0

    files = Files(store, nothing)
    if size:
        with pytest.raises(StorageSpent):
            await files.add("k", name="a", media_type="text/plain", size=size, days=1)
    else:
        await files.add("k", name="a", media_type="text/plain", size=size, days=1)
