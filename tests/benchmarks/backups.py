"""Backups of one PostgreSQL beside the scripts that people have: seconds, MB/s, sizes, memory, and the way back.

``python -m tests.benchmarks.backups [--size-mb 1000]`` makes a database of chats on a server of its own, then takes turns on it.
Ours counts and sums the rows too, and reads back what it stored; the others do not.
"""

import argparse
import asyncio
import json
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import psutil
import psycopg
from pydantic import SecretStr

from blocks.pipe import Effort, store_part
from blocks.pipe_reading import reading_part
from blocks.postgres_backups import PostgresServer
from blocks.postgres_tools import dumping_programs
from blocks.storage_folder import ObjectFolder
from core.backups.manifest import PartRecord
from core.backups.place import Fingerprint
from deployments.postgres import EmbeddedPostgres

HERE = Path(__file__).parents[2]
SEED = 20_260_131
SESSIONS = """
CREATE TABLE sessions (id uuid PRIMARY KEY, title text NOT NULL, created_at timestamptz NOT NULL);
CREATE TABLE messages (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, session_id uuid NOT NULL, role text NOT NULL,
    content text NOT NULL, usage jsonb, created_at timestamptz NOT NULL);
"""
INDEXES = """
INSERT INTO sessions SELECT session_id, 'Conversation of ' || min(created_at), min(created_at) FROM messages GROUP BY session_id;
CREATE INDEX ON messages (session_id, created_at);
ALTER TABLE messages ADD FOREIGN KEY (session_id) REFERENCES sessions;
"""


def words() -> "np.ndarray[tuple[int], np.dtype[np.object_]]":
    """Those of the project's own documents, as often as they come there, and some Chinese."""
    documents = [*sorted((HERE / "docs").glob("*.md")), HERE / "README.md", *sorted((HERE / "core").rglob("*.py"))]
    text = " ".join(document.read_text(encoding="utf-8") for document in documents)
    chinese = ["订单", "发票", "上海", "模型的回答", "请问", "数据库", "备份", "图表"] * 60
    return np.array(re.findall(r"[A-Za-z][a-z']*[,.;:?]?", text) + chinese, dtype=object)


def fill(url: str, megabytes: int) -> None:
    """Conversations of eight messages: words drawn one by one, 120 a message on average."""
    known, draw, done, number = words(), np.random.default_rng(SEED), 0, 0
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SESSIONS)
        columns = "session_id, role, content, usage, created_at"
        with connection.cursor().copy(f"COPY messages ({columns}) FROM STDIN".encode()) as copy:
            while done < megabytes * 1_000_000:
                drawn, at = known[draw.integers(0, len(known), 240_000)].tolist(), 0
                for length in draw.geometric(1 / 120, 1500):
                    content = " ".join(drawn[at : at + length])
                    at, number = at + int(length), number + 1
                    session = f"00000000-0000-4000-8000-{number // 8 * 2_654_435_761 % 2**48:012x}"
                    when = f"2026-01-{number // 40_000 % 28 + 1:02} {number // 1700 % 24:02}:{number // 29 % 60:02}:00+08"
                    role, usage = (
                        ("user", "\\N") if number % 2 else ("assistant", f'{{"model": "qwen3-32b", "output": {length}}}')
                    )
                    line = f"{session}\t{role}\t{content}\t{usage}\t{when}\n".encode()
                    copy.write(line)
                    done += len(line)
        connection.execute(INDEXES)
        connection.execute("VACUUM (ANALYZE, FREEZE)")


@dataclass(frozen=True)
class Measured:
    """One run of a command: seconds, and megabytes of all its processes together (shared pages counted once)."""

    seconds: float
    peak: float
    early: float
    """Mean of the second quarter; the first one starts."""
    late: float
    """Mean of the last quarter."""


def measured(command: list[str]) -> tuple[Measured, str]:
    """The command's run, and what it printed."""
    began, samples = time.perf_counter(), [0.0]
    with subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, text=True) as process:
        root = psutil.Process(process.pid)
        while process.poll() is None:
            samples.append(megabytes(root))
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        seconds = time.perf_counter() - began
        printed = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"{command[:3]} ended with {process.returncode}")
    quarter = max(1, len(samples) // 4)
    return Measured(seconds, max(samples), mean(samples[quarter : 2 * quarter]), mean(samples[-quarter - 1 : -1])), printed


def megabytes(root: psutil.Process) -> float:
    used = 0.0
    with suppress(psutil.Error):
        for each in (root, *root.children(recursive=True)):
            with suppress(psutil.Error):
                used += each.memory_full_info().pss / 1e6
    return used


def place(url: str, fast: bool) -> PostgresServer:
    return PostgresServer(name="sources.bench", url=SecretStr(url), fast=fast)


async def save(url: str, folder: Path, fast: bool) -> None:
    """In a process of its own: one backup; prints what the way back needs, and the seconds of dumping alone."""
    source, store = place(url, fast), ObjectFolder(folder=folder)
    began = time.perf_counter()
    async with source.dumping(await source.inspect()) as dump:
        counted = time.perf_counter()
        records = [await store_part(part, store, "bench/", effort=Effort.of(fast)) for part in dump.parts]
    took = time.perf_counter() - began
    print(
        json.dumps(
            {
                "seconds": took,
                "counting": counted - began,
                "records": [record.model_dump() for record in records],
                "counts": dict(dump.fingerprint.counts),
                "checksums": dict(dump.fingerprint.checksums),
            }
        )
    )


async def restore(url: str, folder: Path, told: str, fast: bool) -> None:
    """In a process of its own: back into an empty database, compared afterwards; prints seconds without and with comparing."""
    target, store, saved = place(url, fast), ObjectFolder(folder=folder), json.loads(told)
    began = time.perf_counter()
    for values in saved["records"]:
        record = PartRecord.model_validate(values)
        async with reading_part(record, store) as stream:
            await target.restore(record.name, record.format, stream)
    restored = time.perf_counter() - began
    like = Fingerprint(saved["counts"], saved["checksums"])
    if await target.fingerprint(like) != like:
        raise SystemExit("what was restored differs")
    print(json.dumps({"seconds": restored, "compared": time.perf_counter() - began}))


class Bench:
    """One server, one database, one folder."""

    def __init__(self, folder: Path, server: EmbeddedPostgres) -> None:
        self.folder, self.server, self.url = folder, server, server.url("chats")
        self.programs = dumping_programs(180_000, None, False).folder
        self.plain = 0.0

    def script(self, text: str, url: str) -> tuple[Measured, str]:
        """A line of shell; ``{bin}``, ``{url}`` and ``{folder}`` in it."""
        filled = text.format(bin=self.programs, url=shlex.quote(url), folder=self.folder)
        return measured(["/bin/bash", "-eo", "pipefail", "-c", filled])

    def ours(self, verb: str, url: str, fast: bool, told: str = "") -> tuple[Measured, dict[str, float]]:
        speed = "fast" if fast else "default"
        command = [sys.executable, "-m", "tests.benchmarks.backups", "--verb", verb, "--url", url, "--speed", speed]
        found, printed = measured([*command, "--folder", str(self.folder / speed), "--told", told])
        return found, json.loads(printed)

    def fresh(self) -> str:
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS back")
            connection.execute("CREATE DATABASE back TEMPLATE template0")
            connection.execute("CHECKPOINT")
        return self.server.url("back")

    def size(self, name: str) -> float:
        return sum(file.stat().st_size for file in self.folder.glob(name) if file.is_file()) / 1e6

    def row(self, name: str, seconds: float, size: float, memory: Measured, back: float | None, note: str = "") -> None:
        rate, again = self.plain / seconds, "" if back is None else f"{back:9.1f}"
        flat = f"{memory.early:.0f} > {memory.late:.0f}"
        print(f"{name:30}{seconds:9.1f}{rate:9.1f}{size:9.1f}{memory.peak:9.0f}{flat:>13}{again:>9}  {note}", flush=True)


def compare(bench: Bench) -> None:
    plain, _ = bench.script("{bin}/pg_dump {url} > {folder}/plain.sql", bench.url)
    bench.plain = bench.size("plain.sql")
    print(f"{bench.plain:.0f} MB as SQL; pg_dump alone writes them in {plain.seconds:.1f} s\n")
    print(f"{'':30}{'seconds':>9}{'MB/s':>9}{'MB':>9}{'peak MB':>9}{'quarters MB':>13}{'back, s':>9}")
    (bench.folder / "plain.sql").unlink()

    classic, _ = bench.script("{bin}/pg_dump {url} | gzip > {folder}/classic.sql.gz", bench.url)
    back, _ = bench.script(
        "gunzip -c {folder}/classic.sql.gz | {bin}/psql -qX -v ON_ERROR_STOP=1 -d {url} -o /dev/null", bench.fresh()
    )
    bench.row("pg_dump | gzip", classic.seconds, bench.size("classic.sql.gz"), classic, back.seconds)
    custom, _ = bench.script("{bin}/pg_dump -Fc {url} > {folder}/custom.dump", bench.url)
    back, _ = bench.script("{bin}/pg_restore --exit-on-error -d {url} {folder}/custom.dump", bench.fresh())
    bench.row("pg_dump -Fc", custom.seconds, bench.size("custom.dump"), custom, back.seconds)
    for fast in (True, False):
        used, told = bench.ours("save", bench.url, fast)
        _, again = bench.ours("restore", bench.fresh(), fast, json.dumps(told))
        speed = "fast" if fast else "default"
        size = sum(bench.size(pattern) for pattern in (f"{speed}/bench/*.zst",))
        note = f"{classic.seconds / told['seconds']:.1f} x; counting {told['counting']:.1f} s; {again['compared']:.1f} s compared"
        bench.row(f"ours, {speed}", told["seconds"], size, used, again["seconds"], note)


@contextmanager
def running(folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server with an empty database."""
    server = EmbeddedPostgres(folder / "server").start()
    try:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE chats")
        yield server
    finally:
        server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mb", type=int, default=1000)
    for hidden in ("--verb", "--url", "--folder", "--speed", "--told"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    verbs: dict[str, Callable[[], None]] = {
        "save": lambda: asyncio.run(save(options.url, Path(options.folder), options.speed == "fast")),
        "restore": lambda: asyncio.run(restore(options.url, Path(options.folder), options.told, options.speed == "fast")),
    }
    if options.verb:
        verbs[options.verb]()
        return
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as folder, running(Path(folder)) as server:
        fill(server.url("chats"), options.size_mb)
        compare(Bench(Path(folder), server))


if __name__ == "__main__":
    main()
