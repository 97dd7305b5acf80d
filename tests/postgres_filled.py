"""A PostgreSQL database with one of everything that backups have lost before, what it says of itself, and how it is backed up."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from blocks.pipe import Effort, store_part
from blocks.pipe_reading import reading_part
from blocks.postgres_backups import PostgresServer
from blocks.storage_folder import ObjectFolder
from core.backups.manifest import PartRecord
from core.backups.place import Fingerprint
from deployments.postgres import EmbeddedPostgres

DEBIAN = Path("/usr/lib/postgresql/15/bin")
FOLDER = "pg/2026/01/31/020000Z-abc/"

FILL = r"""
CREATE EXTENSION pg_trgm;
CREATE SCHEMA "Büro 1";
CREATE TYPE mood AS ENUM ('glad', 'sad', '开心');
CREATE DOMAIN amount AS numeric(12, 2) CHECK (VALUE >= 0);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.changed := clock_timestamp(); RETURN NEW; END $$;
CREATE TABLE people (
    id bigint GENERATED ALWAYS AS IDENTITY (START 1000) PRIMARY KEY, name text NOT NULL, feels mood DEFAULT 'glad',
    owes amount, tags text[], about jsonb, photo bytea, born date, seen timestamptz, every interval, weight double precision,
    lower_name text GENERATED ALWAYS AS (lower(name)) STORED, changed timestamptz);
CREATE TRIGGER touched BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION touch();
CREATE INDEX people_name ON people USING gin (name public.gin_trgm_ops);
COMMENT ON TABLE people IS 'Leute, 人们';
INSERT INTO people (name, feels, owes, tags, about, photo, born, seen, every, weight)
    SELECT '客户 ' || i || E' O''Neil\t\\ \n"x"', (ARRAY['glad', 'sad', '开心']::mood[])[1 + i % 3], i * 1.01,
        ARRAY['a,b', NULL, '{}'],
        jsonb_build_object('n', i, 'text', '你好 🎉'), decode(md5(i::text) || '00ff5c0a0d', 'hex'), DATE '1970-01-01' + i,
        TIMESTAMPTZ '2026-01-01 00:00+08' + i * interval '1 minute',
        i * interval '1 hour', i / 3.0 FROM generate_series(1, 2000) i;
INSERT INTO people (name, owes, weight) VALUES ('nothing', NULL, 'NaN'), ('', 0, 'Infinity');
CREATE TABLE "Büro 1"."Rechnung/Nr" (id serial PRIMARY KEY, person bigint REFERENCES people, "select" text UNIQUE);
INSERT INTO "Büro 1"."Rechnung/Nr" (person, "select") SELECT id, id::text FROM people LIMIT 100;
CREATE TABLE events (id uuid DEFAULT gen_random_uuid(), day date NOT NULL, said text, PRIMARY KEY (id, day))
    PARTITION BY RANGE (day);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO events (day, said) SELECT DATE '2025-07-01' + i % 365, repeat('word ', i % 50) FROM generate_series(1, 3000) i;
CREATE TABLE large (id int PRIMARY KEY, body text);
INSERT INTO large SELECT i, string_agg(md5((i * j)::text), ' ') FROM generate_series(1, 7000) i, generate_series(1, 24) j
    GROUP BY i;
CREATE TABLE cache (id int PRIMARY KEY, body text);
INSERT INTO cache SELECT i, 'stale' FROM generate_series(1, 50) i;
CREATE TABLE scratch_pad (id int);
INSERT INTO scratch_pad VALUES (1);
CREATE VIEW glad AS SELECT id, name FROM people WHERE feels = 'glad';
CREATE MATERIALIZED VIEW moods AS SELECT feels, count(*) AS n FROM people GROUP BY feels;
CREATE SEQUENCE tickets START 77;
SELECT nextval('tickets'), nextval('tickets');
SELECT lo_from_bytea(0, decode('00ff00', 'hex')), lo_from_bytea(0, convert_to('大对象', 'UTF8'));
"""

SEEN = r"""
SELECT json_build_object(
    'people', (SELECT md5(string_agg(p::text, '|' ORDER BY id)) FROM people p),
    'bills', (SELECT md5(string_agg(r::text, '|' ORDER BY id)) FROM "Büro 1"."Rechnung/Nr" r),
    'events', (SELECT md5(string_agg(e::text, '|' ORDER BY id)) FROM events e),
    'parts', (SELECT count(*) FROM events_2025),
    'large', (SELECT md5(string_agg(l::text, '|' ORDER BY id)) FROM large l),
    'glad', (SELECT count(*) FROM glad), 'moods', (SELECT sum(n) FROM moods),
    'tickets', (SELECT last_value FROM tickets), 'next', (SELECT last_value FROM people_id_seq),
    'identity', (SELECT is_identity FROM information_schema.columns WHERE table_name = 'people' AND column_name = 'id'),
    'objects', (SELECT json_agg(encode(lo_get(oid), 'hex') ORDER BY oid) FROM pg_largeobject_metadata),
    'indexes', (SELECT json_agg(indexdef ORDER BY indexdef) FROM pg_indexes WHERE schemaname IN ('public', 'Büro 1')),
    'constraints', (SELECT json_agg(pg_get_constraintdef(c.oid) ORDER BY conname) FROM pg_constraint c
        WHERE connamespace IN ('public'::regnamespace, '"Büro 1"'::regnamespace) AND contype <> 'n'),
    'triggers', (SELECT json_agg(tgname ORDER BY tgname) FROM pg_trigger WHERE NOT tgisinternal),
    'comment', obj_description('people'::regclass), 'similar', (SELECT count(*) FROM people WHERE name % '客户 77'),
    'extensions', (SELECT json_agg(extname ORDER BY extname) FROM pg_extension)
)::text
"""


def fill(url: str) -> None:
    """Into an empty database."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FILL.encode())


def seen(url: str) -> str:
    """Everything in it, so that two databases that say the same are the same."""
    with psycopg.connect(url) as connection:
        row = connection.execute(SEEN.encode()).fetchone()
    assert row is not None
    return str(row[0])


def run_sql(url: str, text: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else None


@contextmanager
def database(server: EmbeddedPostgres, options: str = "") -> Iterator[str]:
    """The address of a new one."""
    name = f"test_{secrets.token_hex(6)}"
    run_sql(server.url(), f"CREATE DATABASE {name} {options}")
    yield server.url(name)
    run_sql(server.url(), f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def filled_template(postgres: EmbeddedPostgres) -> str:
    run_sql(postgres.url(), "CREATE DATABASE template_filled")
    fill(postgres.url("template_filled"))
    return "template_filled"


@pytest.fixture
def filled(postgres: EmbeddedPostgres, filled_template: str) -> Iterator[str]:
    """A database with one of everything."""
    with database(postgres, f"TEMPLATE {filled_template} STRATEGY file_copy") as url:
        yield url


@pytest.fixture
def second(postgres: EmbeddedPostgres) -> Iterator[str]:
    """An empty database on the same server."""
    with database(postgres) as url:
        yield url


@pytest.fixture
async def old_server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    if not (DEBIAN / "postgres").exists():
        pytest.skip(f"no PostgreSQL 15 in {DEBIAN}")
    server = await asyncio.to_thread(EmbeddedPostgres(tmp_path / "old", DEBIAN).start)
    yield server
    await asyncio.to_thread(server.stop)


def place(url: str, **more: Any) -> PostgresServer:
    return PostgresServer(name="sources.test", url=SecretStr(url), **more)


async def saved(source: PostgresServer, store: ObjectFolder, fast: bool = False) -> tuple[Sequence[PartRecord], Fingerprint]:
    async with source.dumping(await source.inspect()) as dump:
        return [await store_part(part, store, FOLDER, effort=Effort.of(fast)) for part in dump.parts], dump.fingerprint


async def put_back(target: PostgresServer, records: Sequence[PartRecord], store: ObjectFolder, only: str | None = None) -> None:
    for record in records:
        async with reading_part(record, store) as stream:
            await target.restore(record.name, record.format, stream, only)
