"""POST /backups/{id}/restore: who may, and what is refused before a run exists."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.config import Settings
from tests.api.conftest import Serve
from tests.flows.saved import saved


@pytest.fixture
async def restoring(serve: Serve, database_url: str, tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, str, str]]:
    """A client with a token that may all, the id of a good backup, and another token."""
    source, spare = tmp_path / "kept", tmp_path / "spare"
    source.mkdir()
    (source / "a").write_text("x")
    places = {"sources.dir": source, "targets.spare": spare, "targets.twin": source}
    served = serve(providers={}, settings="\n".join(f'[{section}]\npath = "{path}"' for section, path in places.items()))
    settings = Settings.model_validate(
        {
            "data_dir": served.folder / "data",
            "database": {"url": database_url},
            "sources": {"dir": {"path": source}},
        }
    )
    manifest = await saved(settings, "dir")
    async with served.client() as client:
        yield client, manifest.id, await served.make_token("read", "flows:*")


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
    restoring: tuple[httpx.AsyncClient, str, str], body: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    client, backup_id, _ = restoring
    answer = await client.post(f"/backups/{backup_id}/restore", json=body)
    assert (answer.status_code, answer.json()["code"], answer.json().get("field")) == (status, code, field)


async def test_only_admins_restore_and_only_what_there_is(restoring: tuple[httpx.AsyncClient, str, str]) -> None:
    client, backup_id, lesser = restoring
    body = {"target": "spare", "confirm": "spare"}
    answer = await client.post(f"/backups/{backup_id}/restore", json=body, headers={"Authorization": f"Bearer {lesser}"})
    assert answer.status_code == 403
    answer = await client.post(f"/backups/{'0' * 36}/restore", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
