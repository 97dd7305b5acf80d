"""Row-level security: what a request's database role sees, however it asks."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.rows import dict_row
from sqlalchemy import text
from sqlalchemy.engine import URL

from core.errors import ConfigurationInvalid
from core.settings import DatabaseSettings
from core.store.base import Roles, Store, driver_url
from core.store.roles import prepared_roles, role_names
from core.store.schema import migrate
from core.workspaces import EVERY, within

MINE, THEIRS = "research", "sales"
# One row of every table with row-level security, in the order in which they refer to each other; %(of)s is the workspace's name.
ROWS: dict[str, LiteralString] = {
    "sessions": "(id, expires_at) VALUES (%(of)s, now() + interval '1 day')",
    "turns": "(id, seq, session_id, status, options, owner) VALUES (%(of)s, length(%(of)s), %(of)s, 'done', '{}', 'me')",
    "messages": "(turn_seq, position, role, body) VALUES (length(%(of)s), 0, 'user', '{}')",
    "tool_runs": "(id, tool_id, tool_version, status, source, owner, digest, inputs)"
    " VALUES (%(of)s, 'draw', '1', 'done', 'api', 'me', 'x', '{}')",
    "files": "(key, name, media_type, size, expires_at) VALUES (%(of)s, 'a', 'text/plain', 1, now())",
    "alerts": "(id, fingerprint, status, title, severity, origin, grp) VALUES (%(of)s, %(of)s, 'open', 'a', 'info', 'api', 'g')",
    "alert_standings": "(fingerprint, grp, alert_id, open, severity) VALUES (%(of)s, 'g', %(of)s, true, 'info')",
    "silences": "(id, ends_at, made_by) VALUES (%(of)s, now(), 'me')",
    "backups": "(id, source, engine, status, started_at) VALUES (%(of)s, %(of)s, 'folder', 'good', now())",
    "drills": "(id, source, result) VALUES (%(of)s, %(of)s, 'good')",
    "usage": "(id, turns) VALUES (%(of)s, 1)",
}


def plain(roles: Roles, role: str) -> str:
    address: URL = getattr(roles, role)
    return address.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
async def roles(database_url: str) -> Roles:
    found = await prepared_roles(database_url)
    assert found is not None
    with psycopg.connect(database_url, autocommit=True) as owner:
        for workspace in (MINE, THEIRS):
            owner.execute("SELECT set_config('pilothouse.workspace', %s, false)", (workspace,))
            for table, values in ROWS.items():
                owner.execute(
                    sql.SQL("INSERT INTO pilothouse.{} ").format(sql.Identifier(table)) + sql.SQL(values), {"of": workspace}
                )
    return found


@pytest.fixture
def asking(roles: Roles) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """As a request would, of ``MINE``."""
    with psycopg.connect(plain(roles, "requests"), autocommit=True, row_factory=dict_row) as connection:
        connection.execute("SELECT set_config('pilothouse.workspace', %s, false)", (MINE,))
        yield connection


def tables(connection: psycopg.Connection[Any], where: LiteralString = "true") -> list[str]:
    asked = "SELECT relname FROM pg_class WHERE relnamespace = 'pilothouse'::regnamespace AND relkind IN ('r', 'p') AND "
    return sorted(row["relname"] for row in connection.execute(sql.SQL(asked) + sql.SQL(where)))


def test_every_table_is_apart_or_out_of_reach(asking: psycopg.Connection[dict[str, Any]]) -> None:
    assert tables(asking, "relrowsecurity AND relforcerowsecurity") == tables(asking, "relrowsecurity")
    for table in tables(asking):
        everything = sql.SQL("SELECT * FROM pilothouse.{}").format(sql.Identifier(table))
        try:
            found = asking.execute(everything).fetchall()
        except errors.InsufficientPrivilege:
            assert table not in ROWS
            continue
        assert [row["workspace"] for row in found] == [MINE], (
            f"{table}: one row of ours, and nothing of others, needs an entry in ROWS"
        )


@pytest.mark.parametrize("workspace", [EVERY, "", "default", "nowhere", "research' OR 'a' = 'a"])
def test_a_request_cannot_be_for_all(roles: Roles, workspace: str) -> None:
    with psycopg.connect(plain(roles, "requests"), autocommit=True, row_factory=dict_row) as connection:
        connection.execute("SELECT set_config('pilothouse.workspace', %s, false)", (workspace,))
        for table in ROWS:
            assert connection.execute(sql.SQL("SELECT * FROM pilothouse.{}").format(sql.Identifier(table))).fetchall() == []


def test_nothing_is_given_to_or_taken_from_others(asking: psycopg.Connection[dict[str, Any]]) -> None:
    for table in ROWS:
        name = sql.Identifier(table)
        with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
            asking.execute(sql.SQL("UPDATE pilothouse.{} SET workspace = 'sales'").format(name))
        theirs = sql.SQL("UPDATE pilothouse.{} SET workspace = 'research' WHERE workspace = 'sales'").format(name)
        assert asking.execute(theirs).rowcount == 0
        assert asking.execute(sql.SQL("DELETE FROM pilothouse.{} WHERE workspace = 'sales'").format(name)).rowcount == 0
    with pytest.raises(errors.InsufficientPrivilege):  # the log takes entries by its function alone
        asking.execute("INSERT INTO pilothouse.audit (action, outcome) VALUES ('login', 'success')")
    with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
        asking.execute("INSERT INTO pilothouse.silences (id, workspace, ends_at, made_by) VALUES ('x', 'sales', now(), 'me')")


def test_the_roles_own_nothing_and_pass_nothing_by(roles: Roles, database_url: str) -> None:
    with psycopg.connect(database_url, row_factory=dict_row) as owner:
        for role in role_names(owner.info.dbname):
            found = owner.execute(
                "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication,"
                " (SELECT count(*) FROM pg_class WHERE relowner = r.oid) AS owned,"
                " (SELECT count(*) FROM pg_auth_members WHERE member = r.oid) AS groups FROM pg_roles r WHERE rolname = %s",
                (role,),
            ).fetchone()
            assert found is not None
            assert not any(found.values())
    with psycopg.connect(plain(roles, "requests"), autocommit=True) as connection:
        for attempt in ("RESET ROLE", "SET SESSION AUTHORIZATION DEFAULT", "SET row_security = off"):
            connection.execute(attempt.encode())
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM pilothouse.sessions")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("ALTER TABLE pilothouse.sessions DISABLE ROW LEVEL SECURITY")


async def test_a_store_asks_in_the_workspace_whose_work_is_done(roles: Roles, database_url: str) -> None:
    store = Store.from_settings(DatabaseSettings(url=database_url, pool_size=1, pool_overflow=0), roles=roles)  # type: ignore[arg-type]

    async def seen(of: Store) -> list[str]:
        async with of.single() as connection:
            one = list((await connection.execute(text("SELECT id FROM pilothouse.sessions ORDER BY id"))).scalars())
        async with of.begin() as connection:
            assert one == list((await connection.execute(text("SELECT id FROM pilothouse.sessions ORDER BY id"))).scalars())
        return one

    try:
        assert await seen(store) == [MINE, THEIRS]
        for workspace in (MINE, THEIRS, MINE, "nowhere", THEIRS):
            with within(workspace):
                assert await seen(store) == ([workspace] if workspace != "nowhere" else [])
                assert await seen(store.system) == [MINE, THEIRS]
        with within(MINE):
            with suppress(RuntimeError):
                async with store.begin() as connection:
                    await connection.execute(text("DELETE FROM pilothouse.sessions"))
                    raise RuntimeError
            assert await seen(store) == [MINE]
        assert await seen(store) == [MINE, THEIRS]
    finally:
        await store.aclose()


async def test_the_owner_alone_keeps_them_apart_too(database_url: str) -> None:
    """A user who may make no role asks for everybody, and is held to the policies by FORCE."""
    with psycopg.connect(database_url, autocommit=True) as superuser:
        name = superuser.info.dbname
        superuser.execute("DROP SCHEMA pilothouse CASCADE")
        superuser.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'owner'").format(sql.Identifier(f"{name}_owner")))
        superuser.execute(
            sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(sql.Identifier(name), sql.Identifier(f"{name}_owner"))
        )
    url = driver_url(database_url).set(drivername="postgresql", username=f"{name}_owner", password="owner")
    address = url.render_as_string(hide_password=False)
    await migrate(address)
    assert await prepared_roles(address) is None
    store = Store.from_settings(DatabaseSettings(url=address))  # type: ignore[arg-type]
    make = text("INSERT INTO pilothouse.silences (id, ends_at, made_by) VALUES (:id, now(), 'me')")
    try:
        for workspace in (MINE, THEIRS):
            with within(workspace):
                async with store.single() as connection:
                    await connection.execute(make, {"id": workspace})
                    assert list((await connection.execute(text("SELECT id FROM pilothouse.silences"))).scalars()) == [workspace]
        async with store.single() as connection:
            assert len((await connection.execute(text("SELECT id FROM pilothouse.silences"))).all()) == 2
    finally:
        await store.aclose()


async def test_a_database_from_elsewhere_brings_its_own_secret(roles: Roles, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("UPDATE pilothouse.installation SET role_secret = 'from-elsewhere'")
    again = await prepared_roles(database_url)
    assert again is not None
    assert again.requests.password == "from-elsewhere"
    psycopg.connect(plain(again, "requests")).close()


async def test_a_superuser_whose_roles_cannot_be_used_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as owner:
        roles = await prepared_roles(database_url)
        assert roles is not None
        owner.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(role_names(owner.info.dbname)[0])))
    with pytest.raises(ConfigurationInvalid, match=r"pg_hba\.conf.*NOBYPASSRLS|pg_hba\.conf.*BYPASSRLS"):
        await prepared_roles(database_url)
