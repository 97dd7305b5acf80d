"""A Weaviate that is backed up or restored by its own backup API: the bytes stay in its backend, ours is the way there.

Spoken from its REST documentation (``/v1/backups``, Weaviate 1.20 and newer).
"""

import asyncio
import io
import json
import secrets
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, ClassVar
from urllib.parse import quote

import httpx
from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from blocks.tls import tls
from core.backups.errors import BackupDamaged, DumpFailed, PlaceRefused, PlaceUnavailable, RestoreFailed, TargetNotEmpty
from core.backups.place import Dump, Fingerprint, Inspection, Part, Stream

FORM, PART = "weaviate", "weaviate.json"
RUNNING = frozenset({"STARTED", "TRANSFERRING", "TRANSFERRED"})
BACKENDS = ("s3", "gcs", "azure", "filesystem")
TIMEOUT = 30.0
LONGEST = 6 * 3600.0
"""Seconds for a backup or a restore."""
EVERY = 1.0


class WeaviateServer(Block):
    """A Weaviate to be backed up, or restored into.

    Example:
        Load the saved block and see what there is:

        ```python
        from blocks.weaviate_backups import WeaviateServer

        server = await WeaviateServer.aload("dify-vectors")
        print(await server.inspect())
        ```
    """

    _block_type_name: ClassVar[str | None] = "Weaviate Server"
    _block_type_slug: ClassVar[str | None] = "weaviate-server"
    _description: ClassVar[str | None] = "A Weaviate that backs itself up into a backend of its own, when asked."

    name: str = Field(description="What messages call it, such as sources.dify-vectors.")
    url: SecretStr = Field(description="http://weaviate:8080")
    api_key: SecretStr | None = Field(default=None, description="Its key, where it wants one.")
    ca_file: Path | None = Field(default=None, description="A file of further CA certificates to trust.")
    every: float = Field(default=EVERY, gt=0, description="Seconds between two questions how far it is.")

    async def inspect(self) -> Inspection:
        """See ``Place.inspect``. Raises ``PlaceRefused`` where no backup module is enabled."""
        told = await self._ask("GET", "/v1/meta")
        self._backend(told)
        classes = await self._classes()
        return Inspection(f"Weaviate {told.get('version', '')}".strip(), None, tuple(classes), None, not classes)

    @asynccontextmanager
    async def dumping(self, inspection: Inspection) -> AsyncGenerator[Dump, None]:
        """See ``Place.dumping``. The backup is complete in Weaviate's backend before the part is read."""
        if not inspection.databases:
            raise DumpFailed(f"{self.name}: there is no collection to save.")
        counts = await self._counts(inspection.databases)
        backend = self._backend(await self._ask("GET", "/v1/meta"))
        backup_id = f"pilothouse-{secrets.token_hex(8)}"
        path = f"/v1/backups/{backend}"
        await self._ask("POST", path, {"id": backup_id, "include": list(inspection.databases)})
        told = await self._settled(f"{path}/{backup_id}")
        if told.get("status") != "SUCCESS":
            raise DumpFailed(f"{self.name}: Weaviate's backup ended as {told.get('status')}; its log says why.")
        way = {"backend": backend, "id": backup_id, "path": told.get("path"), "classes": list(inspection.databases)}
        yield Dump([Part(PART, FORM, partial(_opened, json.dumps(way).encode()))], Fingerprint(counts))

    async def restore(self, part: str, form: str, stream: IO[bytes], only: str | None = None) -> None:
        """See ``Place.restore``. ``only`` is a collection. The target must have the backend that the backup lies in."""
        if form != FORM:
            raise RestoreFailed(f"{self.name}: a Weaviate cannot take a part of the form {form}.")
        try:
            way = json.loads(await asyncio.to_thread(stream.read))
            backend, backup_id, classes = str(way["backend"]), str(way["id"]), [str(each) for each in way["classes"]]
        except (ValueError, KeyError, TypeError):
            raise BackupDamaged("The backup does not say where Weaviate has put it.") from None
        if only is not None and only not in classes:
            raise RestoreFailed("The backup has no such collection.")
        wanted = classes if only is None else [only]
        if there := sorted(set(wanted) & set(await self._classes())):
            raise TargetNotEmpty(f"{self.name}: there is a collection {there[0]} already; delete it first.")
        path = f"/v1/backups/{quote(backend, safe='')}/{quote(backup_id, safe='')}/restore"
        await self._ask("POST", path, {"include": wanted})
        told = await self._settled(path)
        if told.get("status") != "SUCCESS":
            raise RestoreFailed(f"{self.name}: Weaviate's restore ended as {told.get('status')}; its log says why.")

    async def fingerprint(self, like: Fingerprint) -> Fingerprint:
        """See ``Place.fingerprint``."""
        there = set(await self._classes())
        return Fingerprint(await self._counts([name for name in like.counts if name in there]))

    async def clear(self) -> None:
        """See ``Place.clear``."""
        for name in await self._classes():
            await self._ask("DELETE", f"/v1/schema/{quote(name, safe='')}")

    def _backend(self, meta: Mapping[str, Any]) -> str:
        modules = meta.get("modules") or {}
        for backend in BACKENDS:
            if f"backup-{backend}" in modules:
                return backend
        raise PlaceRefused(f"{self.name}: Weaviate has no backup module; enable backup-s3 or backup-filesystem (ENABLE_MODULES).")

    async def _classes(self) -> list[str]:
        told = await self._ask("GET", "/v1/schema")
        return sorted(str(each["class"]) for each in told.get("classes") or [])

    async def _counts(self, names: Sequence[str]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for name in names:
            told = await self._ask("POST", "/v1/graphql", {"query": f"{{ Aggregate {{ {name} {{ meta {{ count }} }} }} }}"})
            try:
                counts[name] = int(told["data"]["Aggregate"][name][0]["meta"]["count"])
            except (KeyError, IndexError, TypeError, ValueError):
                raise DumpFailed(f"{self.name}: Weaviate does not tell how many objects {name} has.") from None
        return counts

    async def _settled(self, path: str) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(LONGEST):
                while True:
                    told = await self._ask("GET", path)
                    if told.get("status") not in RUNNING:
                        return told
                    await asyncio.sleep(self.every)
        except TimeoutError:
            raise DumpFailed(f"{self.name}: Weaviate is at it for {LONGEST / 3600:g} hours; it is not waited for.") from None

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        headers = {"Authorization": f"Bearer {self.api_key.get_secret_value()}"} if self.api_key else {}
        url = f"{self.url.get_secret_value().rstrip('/')}{path}"
        try:
            async with httpx.AsyncClient(verify=tls(self.ca_file), timeout=TIMEOUT, headers=headers) as http:
                answer = await http.request(method, url, json=body)
                told = answer.json() if answer.content else {}
        except httpx.HTTPError:
            raise PlaceUnavailable(
                f"{self.name}: Weaviate does not answer; is it running and the address right?", retry_after=30
            ) from None
        except ValueError:
            raise PlaceRefused(f"{self.name}: what answers there is no Weaviate; correct the url.") from None
        if answer.status_code in {401, 403}:
            raise PlaceRefused(f"{self.name}: Weaviate refused the key; correct api_key.")
        if answer.status_code >= 500 or answer.status_code == 429:
            raise PlaceUnavailable(f"{self.name}: Weaviate failed ({answer.status_code}); try again in a moment.", retry_after=30)
        if answer.status_code >= 400:
            raise DumpFailed(f"{self.name}: Weaviate refused {method} {path} ({answer.status_code}).")
        return told if isinstance(told, dict) else {}


@contextmanager
def _opened(data: bytes) -> Iterator[Stream]:
    yield io.BytesIO(data)
