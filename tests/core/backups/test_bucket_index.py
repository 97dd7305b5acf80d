"""What is known again of a bucket's objects, without their names; and the list of those in force."""

import io
import tracemalloc
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.backups.bucket_index import LIST_HEAD, MAGIC, SALT, Digests, Index, Listed, digest_of, line_of, unchanged_in
from core.backups.errors import BackupDamaged

keys = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=60)
objects = st.builds(Listed, keys, st.integers(0, 1 << 50), st.text("0123456789abcdef-", max_size=35), st.integers(0, 1 << 40))


class Trickle(io.BytesIO):
    """Gives few bytes at a time, as a stream may."""

    def read(self, _: int | None = -1, /) -> bytes:
        return super().read(7)


def digests(count: int) -> list[bytes]:
    return [sha256(number.to_bytes(8)).digest()[:16] for number in range(count)]


@given(st.lists(objects, max_size=30, unique_by=lambda one: one.key), st.lists(objects, max_size=30))
def test_an_index_knows_what_it_was_told_and_nothing_else(there: list[Listed], others: list[Listed]) -> None:
    made = Index()
    for one in there:
        made.add(one)
    read = Index.read(Trickle(b"".join(made.chunks())))
    assert all((one in read) == bool(one.etag) for one in there)
    assert all((one in read) == (one in there and bool(one.etag)) for one in others)
    assert list(read.chunks()) == list(made.chunks())


def test_any_change_is_seen_and_no_name_is_told() -> None:
    one = Listed("private/name", 5, "abc", 100)
    index = Index()
    index.add(one)
    changed = [Listed("private/name2", 5, "abc", 100), Listed("private/name", 6, "abc", 100)]
    changed += [Listed("private/name", 5, "abd", 100), Listed("private/name", 5, "abc", 101)]
    assert one in index
    assert not any(each in index for each in changed)
    other = Index()
    other.add(one)
    kept, another = b"".join(index.chunks()), b"".join(other.chunks())
    assert b"private" not in kept
    assert len(kept) == len(another) == len(MAGIC) + SALT + 16
    assert kept[-16:] != another[-16:], "the salt is each backup's own"


@pytest.mark.parametrize("content", [b"", MAGIC, b"x" * 100, MAGIC + bytes(SALT) + bytes(17)])
def test_what_is_no_index_is_refused(content: bytes) -> None:
    with pytest.raises(BackupDamaged):
        Index.read(io.BytesIO(content))


@given(st.lists(st.tuples(objects, st.booleans()), max_size=30, unique_by=lambda one: one[0].key))
def test_the_list_tells_what_is_as_it_was(listed: list[tuple[Listed, bool]]) -> None:
    lines = b"".join(line_of(one, unchanged=unchanged) for one, unchanged in listed)
    found = unchanged_in(Trickle(LIST_HEAD + lines))
    assert all((digest_of(one.key) in found) == unchanged for one, unchanged in listed)
    assert len(found) == sum(unchanged for _, unchanged in listed)


@pytest.mark.parametrize(
    "content", [b"", b"= e 1 key\0", LIST_HEAD[:-1], LIST_HEAD + b"= e 1 key", LIST_HEAD + b"? e 1 key\0", LIST_HEAD + b"= key\0"]
)
def test_what_is_no_list_is_refused(content: bytes) -> None:
    with pytest.raises(BackupDamaged):
        unchanged_in(io.BytesIO(content))


def test_memory_is_little_more_than_the_digests_take() -> None:
    known = digests(50_000)
    tracemalloc.start()
    try:
        held = Digests()
        for each in known:
            held.add(each)
        length = sum(len(chunk) for chunk in held.chunks())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(held), length) == (50_000, 50_000 * 16)
    assert peak < length * 2
    assert all(each in held for each in known[:1000])
    assert digests(50_001)[-1] not in held
    assert b"".join(held.chunks()) == b"".join(sorted(known))
