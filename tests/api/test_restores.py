"""POST /backups/{id}/restore: who may, and what is refused before a run exists."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from core.config import Settings
from deployments.postgres import EmbeddedPostgres
from tests.api.serving import Served, beside, launched
from tests.flows.saved import saved


@dataclass(frozen=True)
class Restoring:
    """A running API, the id of a good backup that it knows, and a token that may not restore."""

    api: Served
    backup_id: str
    lesser: str


@pytest.fixture(scope="module")
def restoring(
    postgres: EmbeddedPostgres, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Restoring]:
    """One for all: nothing that is refused changes anything."""
    folder = tmp_path_factory.mktemp("restores")
    source, spare = folder / "kept", folder / "spare"
    source.mkdir()
    (source / "a").write_text("x")
    places = {"sources.dir": source, "targets.spare": spare, "targets.twin": source}
    toml = "\n".join(f'[{section}]\npath = "{path}"' for section, path in places.items())
    with launched(postgres, template_database, folder, {}, settings=toml) as api:
        settings = Settings.model_validate(
            {
                "data_dir": api.folder / "data",
                "database": {"url": api.database_url},
                "sources": {"dir": {"path": source}},
            }
        )
        manifest = beside(saved(settings, "dir"))
        yield Restoring(api, manifest.id, beside(api.make_token("read", "flows:*")))


@pytest.fixture
async def client(restoring: Restoring) -> AsyncIterator[httpx.AsyncClient]:
    """With a token that may all."""
    async with restoring.api.client() as client:
        yield client


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"target": "spare"}, 422, "input_invalid", "confirm"),
        ({"target": "spare", "confirm": "spar"}, 422, "input_invalid", "confirm"),
        ({"target": "elsewhere", "confirm": "elsewhere"}, 404, "not_found", "target"),
        ({"target": "spare", "confirm": "spare", "force": True}, 422, "input_invalid", "force"),
        ({"target": "pilothouse", "confirm": "pilothouse", "replace": True}, 422, "input_invalid", "target"),
        ({"target": "dir", "confirm": "dir"}, 409, "target_not_empty", None),
        ({"target": "twin", "confirm": "twin", "replace": True}, 409, "target_not_empty", None),
        # Allowed, and no Prefect is there to run it.
        ({"target": "spare", "confirm": "spare"}, 503, "prefect_not_ready", None),
        ({"target": "twin", "confirm": "dir", "replace": True}, 503, "prefect_not_ready", None),
    ],
)
async def test_what_is_refused(
    client: httpx.AsyncClient, restoring: Restoring, body: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    answer = await client.post(f"/backups/{restoring.backup_id}/restore", json=body)
    assert (answer.status_code, answer.json()["code"], answer.json().get("field")) == (status, code, field)


async def test_only_admins_restore_and_only_what_there_is(client: httpx.AsyncClient, restoring: Restoring) -> None:
    body = {"target": "spare", "confirm": "spare"}
    answer = await client.post(
        f"/backups/{restoring.backup_id}/restore", json=body, headers={"Authorization": f"Bearer {restoring.lesser}"}
    )
    assert answer.status_code == 403
    answer = await client.post(f"/backups/{'0' * 36}/restore", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
