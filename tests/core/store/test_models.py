"""Models as they were last seen, and what changed: kept for the whole installation, each change to be told once."""

import asyncio

from core.model_versions import Version, listed_version
from core.store.base import Store
from core.store.models import Models


def version(model: str, digest: str) -> Version:
    return Version(model, "ollama", digest, {"size": 5, "family": "qwen3"})


async def test_what_a_provider_lists_is_kept(store: Store) -> None:
    models = Models(store)
    assert await models.note("box", [version("a", "1"), version("b", "1")], {"a"}) == []
    assert await models.note("other", [listed_version("a", {"root": "/a"})], set()) == []
    assert [(each.provider, each.model) for each in await models.all()] == [("box", "a"), ("box", "b"), ("other", "a")]
    (record, _) = await models.all("box")
    assert record.version == version("a", "1")
    assert (record.changed_at, record.gone_at) == (None, None)
    assert await models.changes() == []


async def test_a_change_is_kept_and_told_of_a_wanted_model_alone(store: Store) -> None:
    models = Models(store)
    await models.note("box", [version("a", "1"), version("b", "1"), version("c", "1")], set())
    found = await models.note("box", [version("a", "2"), version("b", "2")], {"a"})
    assert [(each.model, each.change) for each in found] == [("a", "changed"), ("b", "changed"), ("c", "gone")]
    assert [each.changed for each in reversed(await models.changes())] == found
    (untold,) = await models.changes(untold=True)
    assert (untold.model, untold.before, untold.after) == ("a", "1", "2")
    await models.told(untold.id)
    assert await models.changes(untold=True) == []
    a, _, c = await models.all("box")
    assert a.changed_at is not None
    assert c.gone_at is not None
    assert await models.note("box", [version("a", "2"), version("b", "2")], {"a"}) == [], "gone once"
    (back,) = await models.note("box", [version("a", "2"), version("b", "2"), version("c", "1")], {"a"})
    assert back.change == "back"
    assert [each.gone_at for each in await models.all("box")] == [None, None, None]


async def test_two_that_look_at_once_note_a_change_once(store: Store) -> None:
    models = Models(store)
    await models.note("box", [version("a", "1")], set())
    found = await asyncio.gather(*(models.note("box", [version("a", "2")], {"a"}) for _ in range(4)))
    assert sum(map(len, found)) == 1
    assert len(await models.changes(untold=True)) == 1


async def test_old_changes_are_forgotten_once_they_are_told(store: Store) -> None:
    models = Models(store)
    await models.note("box", [version("a", "1"), version("b", "1")], set())
    await models.note("box", [version("a", "2"), version("b", "2")], {"a"})
    assert await models.forget(1) == 0
    assert await models.forget(-1) == 1
    assert [each.model for each in await models.changes()] == ["a"]
    assert (await models.retire(["box"]), await models.retire(["other"])) == (0, 2)
    assert [each.gone_at is None for each in await models.all()] == [False, False]
    assert await models.forget(-1) == 2
    assert await models.all() == []
