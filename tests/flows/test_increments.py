"""A bucket's increments through the flows, on a real S3 server: saved, destroyed, restored, drilled, and what they need kept."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyrage  # type: ignore[import-untyped]
import pytest

from blocks.backup_store import BackupStore, Rescanned, rescan
from core.config import child_environment
from core.errors import Conflict
from core.store.backup_scans import BackupScans
from core.store.backups import BackupRecord, Backups
from core.store.base import Store
from flows.backups import backup
from flows.drilling import drill
from flows.restoring import restore
from tests.flows.saved import Stage
from tests.prefect_server import RunningServer
from tests.s3 import S3Server
from tests.waiting import eventually

State = dict[str, tuple[bytes, str, str]]
BY_HAND = """
set -eu
open() { age -d -i "$KEY" "$1.age" | zstd -dc; }
open "$BASE/objects.tar.zst" | tar --warning=no-unknown-keyword -x
open "$SINCE/changed.tar.zst" | tar --warning=no-unknown-keyword -x
open "$SINCE/objects.keys.zst" | cut -z -d ' ' -f 4- | sort -z > "$LIST"
find . -type f -printf '%P\\0' | sort -z | comm -z -23 - "$LIST" | xargs -0 -r rm --
"""


class Bucket:
    """A bucket to be saved, as a client sees it."""

    def __init__(self, s3: S3Server) -> None:
        self.name, self.client, self._s3 = s3.bucket(), s3.client(), s3

    @property
    def toml(self) -> str:
        keys = f"endpoint = '{self._s3.url}'\naccess_key = '{self._s3.user}'\nsecret_key = '{self._s3.password}'\n"
        return f"[sources.objects]\nbucket = '{self.name}'\n{keys}"

    def put(self, key: str, body: bytes, kind: str = "text/x-test") -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=body, ContentType=kind, Metadata={"of": "test"})

    def fill(self) -> None:
        for number in range(60):
            self.put(f"files/{number:02}.bin", bytes([number]) * 5000)
        self.put("图/a b+c.txt", "茶".encode())
        self.put("large.bin", os.urandom(3_000_000))

    def change(self) -> None:
        """Another content of the same size, another media type of the same content, one less, two more."""
        self.put("files/07.bin", bytes([99]) * 5000)
        self.put("files/08.bin", bytes([8]) * 5000, kind="image/png")
        self.client.delete_object(Bucket=self.name, Key="files/09.bin")
        self.client.delete_object(Bucket=self.name, Key="图/a b+c.txt")
        self.put("later/new.bin", b"new" * 1000)
        self.put("later/empty", b"")

    def seen(self) -> State:
        found = {}
        for one in self.client.list_objects_v2(Bucket=self.name).get("Contents", []):
            if not one["Key"].endswith("/"):  # this server keeps folders that have become empty
                answer = self.client.get_object(Bucket=self.name, Key=one["Key"])
                found[one["Key"]] = (answer["Body"].read(), answer["ContentType"], answer["Metadata"].get("of", ""))
        return found


@pytest.fixture
def bucket(s3: S3Server) -> Bucket:
    made = Bucket(s3)
    made.fill()
    return made


async def saved(stage: Stage) -> BackupRecord:
    (made,) = (await backup("objects"))["backups"]
    assert made["good"], made
    return await record(stage, made["id"])


async def record(stage: Stage, backup_id: str) -> BackupRecord:
    store = Store.from_settings(stage.settings.database)
    try:
        return await Backups(store).get(backup_id)
    finally:
        await store.aclose()


async def rescanned(stage: Stage) -> Rescanned:
    store = Store.from_settings(stage.settings.database)
    try:
        return await rescan(BackupStore.from_settings(stage.settings), BackupScans(store))
    finally:
        await store.aclose()


def base_of(made: BackupRecord) -> str | None:
    assert made.manifest is not None
    return made.manifest.base.id if made.manifest.base is not None else None


def folder(stage: Stage, made: BackupRecord) -> Path:
    return stage.folder / "data" / "backups" / made.folder


def names(stage: Stage, made: BackupRecord) -> list[str]:
    return sorted(path.name for path in folder(stage, made).iterdir() if not path.name.startswith("."))


async def by_hand(stage: Stage, base: BackupRecord, since: BackupRecord, key: Path) -> dict[str, bytes]:
    """What the stock programs make of both."""
    target = stage.folder / "by-hand"
    target.mkdir()
    named = {"BASE": folder(stage, base), "SINCE": folder(stage, since), "KEY": key, "LIST": stage.folder / "list"}
    environment = {name: str(path) for name, path in named.items()} | {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    process = await asyncio.create_subprocess_exec("bash", "-c", BY_HAND, cwd=target, env=environment)
    assert await process.wait() == 0
    return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}


async def test_what_an_increment_saved_comes_back_encrypted_too(stage: Stage, bucket: Bucket) -> None:
    key = pyrage.x25519.Identity.generate()
    file = stage.folder / "age.key"
    file.write_text(str(key), encoding="ascii")
    to = f"[backups]\nrecipients = ['{key.to_public()}']\n"
    stage.configure(to + bucket.toml)  # saving needs no secret key
    first = bucket.seen()
    whole = await saved(stage)
    assert (base_of(whole), names(stage, whole)) == (
        None,
        ["manifest.json", "objects.index", "objects.tar.zst.age"],
    )
    index = (folder(stage, whole) / "objects.index").read_bytes()
    assert not any(key.encode() in index for key in first)
    bucket.change()
    then = bucket.seen()
    since = await saved(stage)
    assert base_of(since) == whole.id
    assert names(stage, since) == [
        "changed.tar.zst.age",
        "manifest.json",
        "objects.keys.zst.age",
    ]
    assert since.manifest is not None
    assert (since.manifest.counts, since.manifest.notes) == ({"objects": 62}, ())
    assert (since.size or 0) < (whole.size or 0) / 10
    again = await saved(stage)
    assert base_of(again) == whole.id, "never against another increment"

    stage.configure(f"{to}identity = 'file:{file}'\n{bucket.toml}")
    told = await drill("objects")
    assert (told["result"], told["rows"], told["backupId"]) == ("good", 62, again.id)  # type: ignore[index]
    for key_ in list(bucket.seen())[:30]:
        bucket.client.delete_object(Bucket=bucket.name, Key=key_)
    bucket.put("later still", b"x")
    for made, state in ((since, then), (whole, first), (again, then)):
        result = await restore(made.id, "objects", replace=True, confirm="objects")
        assert (result["result"], bucket.seen()) == ("good", state)
    assert await by_hand(stage, whole, since, file) == {name: body for name, (body, _, _) in then.items()}


async def test_it_is_put_into_another_bucket_or_one_object_of_it(stage: Stage, bucket: Bucket, s3: S3Server) -> None:
    other = Bucket(s3)
    target = other.toml.replace("[sources.objects]", "[targets.spare]")
    stage.configure(bucket.toml + target)
    await saved(stage)
    bucket.change()
    then = bucket.seen()
    since = await saved(stage)
    for key in ("files/10.bin", "files/07.bin", "later/new.bin"):
        await restore(since.id, "spare", only=key)
        assert other.seen()[key] == then[key]
    for gone in ("files/09.bin", "never"):
        with pytest.raises(Exception, match="no such object"):
            await restore(since.id, "spare", only=gone)
    with pytest.raises(Exception, match="holds this object already"):
        await restore(since.id, "spare", only="files/10.bin")
    assert len(other.seen()) == 3
    with pytest.raises(Exception, match="not empty"):
        await restore(since.id, "spare")
    result = await restore(since.id, "spare", replace=True)
    assert (result["result"], other.seen()) == ("good", then)


async def test_it_is_whole_again_when_much_is_new_or_asked_for(stage: Stage, bucket: Bucket) -> None:
    stage.configure(bucket.toml)
    whole = await saved(stage)
    bucket.put("more", os.urandom(4_000_000))
    larger = await saved(stage)
    assert (base_of(larger), larger.id != whole.id) == (None, True)
    assert base_of(await saved(stage)) == larger.id
    stage.configure(f"{bucket.toml}whole_every = 0\n")
    assert base_of(await saved(stage)) is None
    stage.configure(f"{bucket.toml}recipients = ['{pyrage.x25519.Identity.generate().to_public()}']\n")
    assert base_of(await saved(stage)) is None


async def test_without_its_base_it_is_not_good_and_the_next_one_is_whole(stage: Stage, bucket: Bucket) -> None:
    stage.configure(bucket.toml)
    whole = await saved(stage)
    bucket.change()
    then, since = bucket.seen(), await saved(stage)
    tar = folder(stage, whole) / "objects.tar.zst"
    content = tar.read_bytes()
    tar.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(Exception, match="cannot be decompressed"):
        await restore(since.id, "objects", replace=True, confirm="objects")
    assert bucket.seen() == then, "nothing is deleted before both are read"
    tar.unlink()
    scan = await rescanned(stage)
    assert scan.damaged.keys() == {whole.id, since.id}
    assert "its base" in scan.damaged[since.id]
    with pytest.raises(Conflict):
        await restore(since.id, "objects", replace=True, confirm="objects")
    tar.write_bytes(content)
    assert not (await rescanned(stage)).damaged
    assert (await record(stage, since.id)).status == "good"
    tar.unlink()
    assert base_of(await saved(stage)) is None
    tar.write_bytes(content)
    index = folder(stage, whole) / "objects.index"
    index.write_bytes(index.read_bytes()[:-16])
    await rescanned(stage)
    with pytest.raises(Conflict, match=f"only what is new since {whole.id}, which is bad") as raised:
        await restore_listed(stage, since)
    assert "Choose another" in raised.value.message


async def restore_listed(stage: Stage, made: BackupRecord) -> Any:
    """As if its row had not heard of its base."""
    store = Store.from_settings(stage.settings.database)
    try:
        assert made.manifest is not None
        await BackupScans(store).adopt(made.manifest)
    finally:
        await store.aclose()
    return await restore(made.id, "objects", replace=True, confirm="objects")


RUN = """
import asyncio
from flows.backups import backup
asyncio.run(backup("objects"))
"""


@contextmanager
def running(stage: Stage, server: RunningServer) -> Iterator[None]:
    """The flow in a process of its own, killed at the end of the block."""
    environment = child_environment(server.environment("flows") | stage.environ)
    with (stage.folder / "run.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", RUN], env=environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.kill()
            process.wait()


@pytest.mark.slow
async def test_killed_in_the_middle_nothing_of_it_is_listed(stage: Stage, bucket: Bucket, prefect_client: RunningServer) -> None:
    bucket.put("larger.bin", os.urandom(150_000_000))
    stage.configure(bucket.toml)
    whole = await saved(stage)
    bucket.put("new.bin", os.urandom(60_000_000))

    def begun() -> list[Path]:
        return [path for path in (stage.folder / "data" / "backups").rglob(".begun-*") if path.stat().st_size > 1_000_000]

    with running(stage, prefect_client):
        await eventually(begun, within=60, what="an increment that has begun")
    scan = await BackupStore.from_settings(stage.settings).scan()
    assert [one.manifest.id for one in scan.found] == [whole.id]
