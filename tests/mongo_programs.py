"""Stand-ins for ``mongodump`` and ``mongorestore`` that are as strict as their documentation, for where the real ones are not.

They speak the real archive's form and talk to the server by the driver. What they were told lies in ``told.jsonl`` beside them,
how they are to misbehave in ``behaviour.json``. This file is the program too.
"""

import json
import os
import signal
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO, NoReturn
from urllib.parse import urlsplit

import bson
import bson.json_util
import pymongo
import yaml  # type: ignore[import-untyped]

MAGIC, END = struct.pack("<I", 0x8199E26D), b"\xff\xff\xff\xff"
PASSWORD = "p@ss/w:rd"
ALLOWED = {
    "mongodump": ("--config=", "--db=", "--oplog", "--archive", "--sslCAFile="),
    "mongorestore": (
        "--config=", "--archive", "--stopOnError", "--nsInclude=", "--nsFrom=", "--nsTo=", "--oplogReplay", "--sslCAFile=",
    ),
}  # fmt: skip


class MongoPrograms:
    """A folder of both, to be put on the ``PATH``."""

    def __init__(self, folder: Path, version: str = "100.9.4") -> None:
        folder.mkdir()
        self.folder = folder
        self.behave(version=version)
        for name in ALLOWED:
            program = folder / name
            program.write_text(f"#!{sys.executable}\n{Path(__file__).read_text()}")
            program.chmod(0o755)

    def behave(self, **how: Any) -> None:
        """``version``; ``fails_after`` or ``stops_after`` so many collections; ``hangs``; ``says``; ``loses``; ``oplog``."""
        known = self.folder / "behaviour.json"
        kept = json.loads(known.read_text())["version"] if known.exists() else None
        known.write_text(json.dumps({"version": kept} | how))

    def told(self) -> list[dict[str, Any]]:
        """How each was called, in order."""
        lines = (self.folder / "told.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


def main() -> None:
    program = Path(sys.argv[0])
    how = json.loads((program.parent / "behaviour.json").read_text())
    if sys.argv[1:] == ["--version"]:
        print(f"{program.name} version: {how['version']}\ngit version: 0\nGo version: go1.21")
        return
    options = _checked(program.name, sys.argv[1:])
    url = _configured(Path(options["--config="][0]))
    with (program.parent / "told.jsonl").open("a") as told:
        told.write(json.dumps({"program": program.name, "arguments": sys.argv[1:], "uri": url, "pid": os.getpid()}) + "\n")
    if "says" in how:
        print(f"2026-01-31T02:00:00.000+0000\t{how['says']}", file=sys.stderr)
    scheme, server, *_ = urlsplit(url)
    plain = f"{scheme}://{server.rpartition('@')[2]}/?directConnection=true"
    with pymongo.MongoClient[Any](plain, serverSelectionTimeoutMS=2000) as client:
        (_dump if program.name == "mongodump" else _restore)(client, options, how)


def _checked(name: str, arguments: list[str]) -> dict[str, list[str]]:
    options: dict[str, list[str]] = {}
    for argument in arguments:
        option = next(
            (each for each in ALLOWED[name] if argument == each or (each[-1] == "=" and argument.startswith(each))), None
        )
        if option is None:
            _fail(f"error parsing command line options: unknown option {argument!r}")
        options.setdefault(option, []).append(argument.removeprefix(option))
    exposed = json.dumps([sys.argv, dict(os.environ)])
    if any(word in exposed for word in ("mongodb://", "p@ss", "p%40ss")):
        _fail("a secret is where everyone sees it")
    if "--archive" not in options or "--config=" not in options:
        _fail("this stand-in knows archives and configuration files only")
    if "--oplog" in options and "--db=" in options:
        _fail("bad option: --oplog mode only supported on full dumps")
    if "--oplogReplay" in options and {"--nsInclude=", "--nsFrom="} & options.keys():
        _fail("cannot use --oplogReplay with includes specified")
    return options


def _configured(file: Path) -> str:
    if file.stat().st_mode & 0o777 != 0o600 or file.parent.stat().st_mode & 0o777 != 0o700:
        _fail("others can read the configuration file")
    read = yaml.safe_load(file.read_text())
    if not isinstance(read, dict) or read.keys() - {"uri", "password", "sslPEMKeyPassword"}:
        _fail("error parsing config file")
    if urlsplit(read["uri"]).path != "/":
        _fail("invalid options: cannot specify different database in connection URI and command-line option")
    return str(read["uri"])


def _dump(client: "pymongo.MongoClient[Any]", options: Mapping[str, list[str]], how: Mapping[str, Any]) -> None:
    names = options.get("--db=") or [name for name in client.list_database_names() if name != "local"]
    found = [(name, each) for name in names for each in sorted(client[name].list_collection_names())]
    out = sys.stdout.buffer
    out.write(MAGIC + bson.encode({"concurrent_collections": 4, "version": "0.1", "server_version": "7", "tool_version": "x"}))
    for name, each in found:
        indexes = bson.json_util.dumps({"indexes": list(client[name][each].list_indexes())})
        out.write(bson.encode({"db": name, "collection": each, "metadata": indexes, "size": 0, "type": "collection"}))
    out.write(END)
    oplog = [bson.encode(entry) for entry in how.get("oplog", ())]
    streams = [_blocks(name, each, client[name][each].find_raw_batches(batch_size=700)) for name, each in found]
    if "--oplog" in options:
        streams.append(_blocks("", "oplog", [b"".join(oplog)]))
    left = how.get("fails_after", how.get("stops_after", -1))
    for blocks in zip_longest(*streams):
        for block in filter(None, blocks):
            out.write(block)
            left -= 1
            if left == 0:
                out.write(block[:-9])
                out.flush()
                if how.get("hangs"):
                    signal.pause()
                if "fails_after" in how:
                    _fail(f"error writing data for collection `shop.people` to disk: error reading collection: {how['error']}")
                return
    print("2026-01-31T02:00:00.000+0000\tdone dumping `shop.people` (5000 documents)", file=sys.stderr)


def _blocks(database: str, collection: str, batches: Any) -> Iterator[bytes]:
    head = {"db": database, "collection": collection}
    for batch in batches:
        yield bson.encode(head | {"EOF": False, "CRC": bson.Int64(0)}) + batch + END
    yield bson.encode(head | {"EOF": True, "CRC": bson.Int64(1)}) + END


def _restore(client: "pymongo.MongoClient[Any]", options: Mapping[str, list[str]], how: Mapping[str, Any]) -> None:
    renames = dict(zip(options.get("--nsFrom=", []), options.get("--nsTo=", []), strict=True))
    included = options.get("--nsInclude=", ["*.*"])
    oplog: list[dict[str, Any]] = []
    open_ones: set[tuple[str, str]] = set()
    with open(0, "rb") as stream:
        if stream.read(4) != MAGIC:
            _fail("stream or file does not appear to be a mongodump archive")
        for entry in map(bson.decode, list(_documents(stream))[1:]):
            _make(_target(client, entry, included, renames), bson.json_util.loads(entry["metadata"])["indexes"])
        while stream.peek(1):
            first, *documents = _documents(stream)
            block = bson.decode(first)
            (open_ones.discard if block["EOF"] else open_ones.add)((block["db"], block["collection"]))
            if not block["db"]:
                oplog += map(bson.decode, documents)
            elif documents and (target := _target(client, block, included, renames)) is not None:
                target.insert_many(map(bson.raw_bson.RawBSONDocument, documents))
    if open_ones:
        _fail("archive is cut off")
    for entry in [each for each in oplog if each["op"] == "i"] if "--oplogReplay" in options else ():
        database, _, collection = entry["ns"].partition(".")
        client[database][collection].insert_one(entry["o"])
    lost = how.get("loses", 0)
    print(f"2026-01-31\t5030 document(s) restored successfully. {lost} document(s) failed to restore.", file=sys.stderr)


def _make(target: Any, indexes: Iterable[Mapping[str, Any]]) -> None:
    if target is not None:
        target.database.create_collection(target.name)
        for index in indexes:
            if index["name"] != "_id_":
                target.create_index(list(index["key"].items()), name=index["name"])


def _target(client: "pymongo.MongoClient[Any]", entry: Mapping[str, Any], included: list[str], renames: Mapping[str, str]) -> Any:
    database, collection = entry["db"], entry["collection"]
    if database in ("", "admin", "config") or not {"*.*", f"{database}.*", f"{database}.{collection}"} & set(included):
        return None
    return client[renames.get(f"{database}.*", f"{database}.*").removesuffix(".*")][collection]


def _documents(stream: BinaryIO) -> Iterator[bytes]:
    while (head := stream.read(4)) != END:
        rest = stream.read(struct.unpack("<i", head)[0] - 4) if len(head) == 4 else b""
        if not rest.endswith(b"\0"):
            _fail("archive is cut off")
        yield head + rest


def _fail(why: str) -> NoReturn:
    print(f"2026-01-31T02:00:00.000+0000\tFailed: {why}", file=sys.stderr, flush=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
