"""A MongoDB that is backed up or restored into: one database, several, or all of a server."""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import IO, TYPE_CHECKING, Any, ClassVar, TypeVar

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from blocks.dump_process import feed
from blocks.handover import CHUNK
from blocks.mongo_archive import Archive, Tally, batches_of, key_of
from blocks.mongo_dumping import ARCHIVE, OPLOG, Dumping, opened_dump
from blocks.mongo_restoring import WHOLE, apart, arguments, collection_of, database_of, part_of
from blocks.mongo_tools import Login, installed, restoring_program, wrong_with_restore
from blocks.own_thread import in_own_thread, put_back
from core.backups.errors import DumpFailed, NoTarget, PlaceRefused, PlaceUnavailable, RestoreFailed, TargetNotEmpty
from core.backups.naming import DRILLS, beside
from core.backups.place import Dump, Fingerprint, Inspection, Part, Stream

if TYPE_CHECKING:
    from pymongo import MongoClient

T = TypeVar("T")
OWN = ("admin", "config", "local")
CONNECT = 10_000
SILENCE = 600_000
"""Milliseconds without an answer."""
BSON = "dump.bson"


class MongoServer(Block):
    """A MongoDB to be backed up, or restored into.

    Example:
        Load the saved block and see what there is:

        ```python
        from blocks.mongo_backups import MongoServer

        server = await MongoServer.aload("fastgpt-mongo")
        print(await server.inspect())
        ```
    """

    _block_type_name: ClassVar[str | None] = "MongoDB Server"
    _block_type_slug: ClassVar[str | None] = "mongodb-server"
    _description: ClassVar[str | None] = "A MongoDB whose databases are backed up, or restored into."

    name: str = Field(description="What messages call it, such as sources.fastgpt-mongo.")
    url: SecretStr = Field(
        description="mongodb://user:password@host:27017/name?authSource=admin, with any of the driver's options."
    )
    databases: tuple[str, ...] = Field(default=(), description="Those to save; empty: the one that the url names, or all.")
    all_databases: bool = Field(default=False, description="Every database of the server, new ones too.")
    prefix: str = Field(default="", description="What the databases' names on the server begin with, beyond their own.")
    ca_file: Path | None = Field(default=None, description="CA certificates, for an address with tls=true.")
    fast: bool = Field(default=False, description="Run at normal priority.")

    async def inspect(self) -> Inspection:
        """See ``Place.inspect``."""

        def asked(archive: Archive) -> Inspection:
            version = archive.client.server_info().get("version", "of an unknown version")
            sizes = [archive.client[name].command("dbStats").get("dataSize", 0) for name in archive.databases]
            empty = not any(archive.collections(name) for name in archive.databases)
            tool = program.shown if (program := installed("mongodump")) is not None else None
            return Inspection(f"MongoDB {version}", tool, tuple(archive.databases), int(sum(sizes)), empty)

        return await self._asked(asked)

    @asynccontextmanager
    async def dumping(self, inspection: Inspection) -> AsyncGenerator[Dump, None]:
        """See ``Place.dumping``. Each collection is of the time in which it is read, but where a whole member of a replica set is
        saved by ``mongodump``. The fingerprint is of what was read: it is complete when the parts have been.
        """
        tally = Tally()
        parts: Sequence[Part] = [Part(BSON, "bson", partial(self._opened, tally))]
        if inspection.tool is not None:
            parts = await self._asked(partial(self._archives, tally))
        yield Dump(parts, Fingerprint(tally.counts, tally.checksums))

    async def restore(self, part: str, form: str, stream: IO[bytes], only: str | None = None) -> None:
        """See ``Place.restore``. ``only`` is a collection. Raises ``TargetNotEmpty`` before anything is touched, ``ToolTooOld``
        for an archive of ``mongodump`` where there is nothing to open it.
        """
        if form in (ARCHIVE, OPLOG):
            work = partial(self._unpacked, part, form, stream, only)
            await put_back(self.name, work, fast=self.fast)
            return
        if form != "bson":
            raise RestoreFailed(f"{self.name}: a MongoDB cannot take a part of the form {form}.")

        def filled(stopped: Event, archive: Archive) -> None:
            for name in archive.databases:
                self._require_empty(archive, name, only)
            if not archive.fill(stream, only, stopped.is_set) and only is not None:
                raise RestoreFailed("The backup has no such collection.")

        await put_back(self.name, lambda stopped: self._with_archive(partial(filled, stopped)), fast=self.fast)

    async def fingerprint(self, like: Fingerprint) -> Fingerprint:
        """See ``Place.fingerprint``."""

        def counted(archive: Archive) -> Fingerprint:
            tally = Tally()
            for name, shown in archive.databases.items():
                for each in archive.collections(name):
                    if (key := key_of(shown, each["name"])) in like.counts:
                        for _ in tally.collect(key, batches_of(archive.client[name][each["name"]])):
                            pass
            return Fingerprint(tally.counts, {key: word for key, word in tally.checksums.items() if key in like.checksums})

        return await self._asked(counted)

    async def clear(self) -> None:
        """See ``Place.clear``. The databases are dropped; users and roles stay."""

        def cleared(archive: Archive) -> None:
            for name in archive.databases:
                archive.client.drop_database(name)

        await self._asked(cleared)

    @asynccontextmanager
    async def beside(self, prefix: str) -> AsyncGenerator["MongoServer", None]:
        """A place of new databases on the same server, whose names begin with ``prefix``; all of them are dropped at the end.

        Raises ``NoTarget`` where the login may not make any.
        """
        if len(prefix) < 6:
            raise ValueError("a prefix of at least six characters")

        def tried(archive: Archive) -> None:
            archive.client[f"{prefix}probe"].command("create", "probe")

        def dropped(archive: Archive) -> None:
            for name in archive.client.list_database_names():
                if name.startswith(prefix):
                    archive.client.drop_database(name)

        try:
            await self._asked(tried)
        except PlaceRefused as error:
            raise NoTarget(f"{error.message} To drill, name a target as the source's drill_target.") from None
        try:
            yield self.model_copy(update={"name": f"{self.name} (scratch)", "prefix": prefix})
        finally:
            await self._asked(dropped)

    @property
    def _login(self) -> Login:
        return Login(self.url.get_secret_value(), self.ca_file)

    def _archives(self, tally: Tally, archive: Archive) -> Sequence[Part]:
        """A part for each database, or one of all where they can be of one moment."""
        program = installed("mongodump")
        if program is None or not archive.databases:
            raise DumpFailed(f"{self.name}: {'mongodump is gone' if program is None else 'the server has no database to save'}.")
        shown = dict(archive.databases)
        members = archive.client.topology_description.server_descriptions().values()
        if self._is_whole(archive) and any(member.replica_set_name for member in members):
            whole = Dumping(self.name, self._login, program, shown)
            return [Part(WHOLE, OPLOG, partial(opened_dump, whole, tally))]
        each = {name: Dumping(self.name, self._login, program, shown, name) for name in shown}
        return [Part(part_of(name), ARCHIVE, partial(opened_dump, dumping, tally)) for name, dumping in each.items()]

    def _unpacked(self, part: str, form: str, stream: IO[bytes], only: str | None, stopped: Event) -> None:
        program = restoring_program()
        with self._connected() as archive:
            told, into, collection = self._destined(archive, part, form, only)
            for name in into:
                self._require_empty(archive, name, collection)
        with self._login.tool(program, "--archive", "--stopOnError", *told) as tool:
            done = feed(tool, stream, stopped)
        if (wrong := wrong_with_restore(self.name, done)) is not None:
            raise wrong
        with self._connected() as archive:
            if collection is not None and all(collection != each["name"] for name in into for each in archive.collections(name)):
                raise RestoreFailed("The backup has no such collection.")

    def _destined(
        self, archive: Archive, part: str, form: str, only: str | None
    ) -> tuple[Sequence[str], Sequence[str], str | None]:
        """What ``mongorestore`` is told, the databases that it fills, and which collection alone."""
        named = next((name for name, shown in archive.databases.items() if not shown), None)
        if form == ARCHIVE:
            saved = database_of(part)
            into = {saved: named if named is not None else beside(self.prefix, saved)}
            collection = collection_of(only, saved) if only is not None else None
        elif only is not None:
            saved, collection = apart(only)
            into = {saved: beside(self.prefix, saved)}
        elif self._is_whole(archive):
            return ["--oplogReplay"], list(archive.databases), None
        elif not self.databases:
            raise RestoreFailed(f"{self.name}: the backup is of a whole server, and the url names one database: take that out.")
        else:
            into, collection = {name: beside(self.prefix, name) for name in self.databases}, None
        return arguments(into, collection), list(into.values()), collection

    def _is_whole(self, archive: Archive) -> bool:
        """Whether all that the server holds is this place's."""
        return not (self.prefix or self.databases or "" in archive.databases.values())

    def _require_empty(self, archive: Archive, name: str, only: str | None) -> None:
        there = [each["name"] for each in archive.collections(name) if only in (None, each["name"], f"{name}.{each['name']}")]
        if there:
            raise TargetNotEmpty(f"{self.name}: {name} has the collection {there[0]} already; drop it first.")

    @contextmanager
    def _opened(self, tally: Tally) -> Iterator[Stream]:
        with self._connected() as archive:
            if not archive.databases:
                raise DumpFailed(f"{self.name}: the server has no database to save.")
            yield _Chunks(archive.chunks(tally))

    async def _asked(self, work: Callable[[Archive], T]) -> T:
        return await in_own_thread(partial(self._with_archive, work), "mongo", quiet=not self.fast)

    def _with_archive(self, work: Callable[[Archive], T]) -> T:
        with self._connected() as archive:
            return work(archive)

    @contextmanager
    def _connected(self) -> Iterator[Archive]:
        from pymongo import MongoClient  # noqa: PLC0415  (a tenth of a second, and only where there is one)
        from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError  # noqa: PLC0415

        url = self.url.get_secret_value()
        encrypted = self.ca_file is not None and ("tls=true" in url or "ssl=true" in url or url.startswith("mongodb+srv"))
        tls: dict[str, Any] = {"tlsCAFile": str(self.ca_file)} if encrypted and "tlsCAFile" not in url else {}
        try:
            limits: dict[str, Any] = {
                "serverSelectionTimeoutMS": CONNECT,
                "connectTimeoutMS": CONNECT,
                "socketTimeoutMS": SILENCE,
            }
            with MongoClient[dict[str, Any]](url, appname="pilothouse backup", **limits, **tls) as client:
                yield Archive(client, self._names(client), self.prefix)
        except AutoReconnect:
            raise PlaceUnavailable(
                f"{self.name}: the server does not answer, or broke off; is the address right?", retry_after=30
            ) from None
        except OperationFailure as error:
            if error.code in {13, 18, 8000}:
                raise PlaceRefused(f"{self.name}: the server refused the login, or it lacks rights ({error.code}).") from None
            raise DumpFailed(f"{self.name}: the server says {type(error).__name__} ({error.code}).") from None
        except PyMongoError as error:
            raise PlaceRefused(f"{self.name}: the url cannot be used ({type(error).__name__}); correct it.") from None

    def _names(self, client: "MongoClient[dict[str, Any]]") -> dict[str, str]:
        """What each database is called in backups; nothing where the place is the one that its url names."""
        named = client.get_default_database(default="-").name
        if self.databases:
            return {beside(self.prefix, name): name for name in self.databases}
        if named != "-" and not self.all_databases:
            return {beside(self.prefix, named): ""}
        there = [name for name in client.list_database_names() if name not in OWN and not name.startswith(DRILLS)]
        return {name: name for name in there if not self.prefix}


class _Chunks:
    """As a stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, _: int = CHUNK, /) -> bytes:
        return next(self._chunks, b"")
