"""Our own database, whose owner is held to the policies of its tables: saved whole all the same."""

from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from blocks.storage_folder import ObjectFolder
from core.backups.errors import PlaceRefused
from core.store.base import driver_url
from core.store.roles import prepared_roles
from core.store.schema import migrate
from tests.postgres_filled import place, put_back, run_sql, saved


@pytest.fixture
async def owned(empty_database_url: str) -> str:
    """The address, as a user who owns it and is no more than that, of a database with a silence in each of two workspaces."""
    with psycopg.connect(empty_database_url, autocommit=True) as superuser:
        name = superuser.info.dbname
        superuser.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE PASSWORD 'owner'").format(sql.Identifier(f"{name}_owner")))
        superuser.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(name), sql.Identifier(f"{name}_owner")))
    address = driver_url(empty_database_url).set(drivername="postgresql", username=f"{name}_owner", password="owner")
    url = address.render_as_string(hide_password=False)
    await migrate(url)
    await prepared_roles(url)
    for workspace in ("research", "sales"):
        run_sql(
            url,
            f"SELECT set_config('pilothouse.workspace', '{workspace}', false);"
            f"INSERT INTO pilothouse.silences (id, ends_at, made_by) VALUES ('{workspace}', now(), 'me')",
        )
    return url


@pytest.mark.parametrize("form", ["custom", "directory"])
async def test_every_workspace_is_saved_and_comes_back_elsewhere(owned: str, second: str, tmp_path: Path, form: str) -> None:
    store = ObjectFolder(folder=tmp_path / "store")
    records, fingerprint = await saved(place(owned, form=form), store)
    assert fingerprint.counts["pilothouse.silences"] == 2
    target = place(second)
    await put_back(target, records, store)
    assert await target.fingerprint(fingerprint) == fingerprint
    assert await prepared_roles(second) is not None


async def test_policies_of_others_stop_a_backup_rather_than_thin_it(owned: str, tmp_path: Path) -> None:
    run_sql(
        owned,
        "CREATE TABLE public.payroll (id int); INSERT INTO payroll VALUES (1);"
        "ALTER TABLE payroll ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    )
    with pytest.raises(PlaceRefused, match="row-level security"):
        await saved(place(owned), ObjectFolder(folder=tmp_path / "store"))
