"""guarded_change: a platform of files and a small program is changed, fails to come up, and is as it was again."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.objects import State
from prefect.client.schemas.sorting import ArtifactSort

from blocks.changed_files import SavedFiles
from core.changes import ChangeRunning, ChangeUnfinished
from core.config import child_environment
from core.errors import ConfigurationInvalid, NotFound
from flows.changes import guarded_change
from tasks import changes
from tests.audit_rows import audit_rows
from tests.flows.saved import Stage
from tests.ports import free_port
from tests.prefect_server import RunningServer
from tests.waiting import eventually

COMPOSE = "services:\n  web:\n    image: ${IMAGE:?say which}\n"
APPEND = "import os, sys; open(sys.argv[1], 'a').write(os.environ['CHANGE_STAGE'] + ' ')"
KILLED = """
import asyncio
from flows.changes import guarded_change
asyncio.run(guarded_change("slow", dry_run=False))
"""


@pytest.fixture
def stage(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(changes, "EVERY", 0.05)
    platform, new = tmp_path / "platform", tmp_path / "next"
    platform.mkdir()
    new.mkdir()
    (platform / "compose.yml").write_text(COMPOSE)
    (platform / ".env").write_text("IMAGE=web:1\nPASSWORD=hunter2\n")
    (platform / ".env").chmod(0o640)
    (new / ".env").write_text("IMAGE=web:2\nPASSWORD=hunter2\n")
    return stage


@pytest.fixture
def port() -> Iterator[int]:
    """Something listens there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def change(stage: Stage, more: str = "", checks: str = "true", **services: int) -> None:
    """A change of the platform: its ``.env`` is replaced, and one command notes that it ran."""
    run = json.dumps([sys.executable, "-c", APPEND, "told"])
    stage.configure(
        f"""
[sources.files]
path = "platform"
[changes.release]
compose = ["platform/compose.yml"]
files = ["platform/compose.yml", "platform/.env"]
new = "next"
backup = ["files"]
commands = [{run}]
undo = [{run}]
checks = [["{checks}"]]
healthy = {json.dumps(list(services))}
patience = 0.3
{more}
"""
        + "".join(f'[services.{name}]\ncheck = "tcp"\nurl = "tcp://127.0.0.1:{at}"\n' for name, at in services.items())
    )


async def failed(state: Any) -> dict[str, Any]:
    """What a run that ended FAILED has to say."""
    assert isinstance(state, State)
    assert state.is_failed()
    result = await state.aresult(raise_on_failure=False)
    assert isinstance(result, dict)
    assert str(state.message).startswith(result["result"])
    return result


@contextmanager
def running(environ: Mapping[str, str]) -> Iterator[None]:
    """A change in a process of its own, killed at the end of the block."""
    process = subprocess.Popen([sys.executable, "-c", KILLED], env=child_environment(environ))
    try:
        yield
    finally:
        process.kill()
        process.wait()


def env(stage: Stage) -> tuple[str, int]:
    path = stage.folder / "platform" / ".env"
    return path.read_text().splitlines()[0], path.stat().st_mode & 0o777


def steps(result: dict[str, Any]) -> dict[str, str]:
    return {each["step"]: each["result"] for each in result["steps"]}


async def artifact() -> str:
    async with get_client() as client:
        found = await client.read_artifacts(sort=ArtifactSort.CREATED_DESC, limit=20)
    return str(next(each.data for each in found if each.key == "guarded-change"))


async def test_a_dry_run_says_each_step_and_touches_nothing(stage: Stage, port: int) -> None:
    change(stage, web=port)
    result = await guarded_change("release")
    assert isinstance(result, dict)
    assert result["result"] == "dry_run"
    assert steps(result) == {
        "check compose files": "good",
        **dict.fromkeys(
            ("back up", "save files", "replace files", "command 1", "check health", "where it fails"),
            "would",
        ),
    }
    assert "web, true" in str(result["steps"])
    assert env(stage) == ("IMAGE=web:1", 0o640)
    assert not (stage.folder / "data" / "backups").exists()
    assert not (stage.folder / "platform" / "told").exists()
    assert "| command 1 | would |" in await artifact()


async def test_a_good_change_stays_and_can_be_undone(stage: Stage, port: int) -> None:
    change(stage, web=port)
    result = await guarded_change("release", dry_run=False)
    assert isinstance(result, dict)
    assert (result["result"], result["putBack"], len(result["backups"])) == ("good", None, 1)
    assert set(steps(result).values()) == {"good"}
    assert env(stage) == ("IMAGE=web:2", 0o640)
    assert (stage.folder / "platform" / "told").read_text() == "change "
    saved = Path(result["saved"])
    assert (saved / "files" / "2-.env").read_text().startswith("IMAGE=web:1")
    kept = (saved, saved / "files", saved / "note.json", saved / "files" / "1-compose.yml", saved / "files" / "2-.env")
    assert {path.stat().st_mode & 0o077 for path in kept} == {0}
    assert "hunter2" not in await artifact() + json.dumps(result) + (saved / "note.json").read_text()
    back = await guarded_change("release", dry_run=False, undo=result["id"])
    assert isinstance(back, dict)
    assert (back["result"], back["putBack"]) == ("put_back", "good")
    assert env(stage) == ("IMAGE=web:1", 0o640)
    assert (stage.folder / "platform" / "told").read_text() == "change undo "
    about = f"release/{result['id']}"
    told = [
        (each.action, each.outcome, each.about) for each in audit_rows(stage.database_url) if each.action.startswith("change")
    ]
    assert told == [
        ("change.begun", "unknown", about),
        ("change", "success", about),
        ("change.undone.begun", "unknown", about),
        ("change.undone", "success", about),
    ]


@pytest.mark.parametrize("way", ["command", "health", "service"])
async def test_what_fails_is_put_back_and_told(stage: Stage, way: str) -> None:
    told = stage.folder / "platform" / "told"
    # The check fails while the new file is there, as a platform that does not come up does.
    old = json.dumps(["grep", "-q", "web:1", ".env"])
    if way == "command":
        change(stage, "seconds = 5")
        text = stage.file.read_text().replace("commands = [", 'commands = [["sh", "-c", "echo no such image; exit 7"], ')
    else:
        change(stage)
        text = stage.file.read_text().replace('[["true"]]', f"[{old}]")
    if way == "service":
        text = text.replace("healthy = []", 'healthy = ["web"]')
        text += f'[services.web]\ncheck = "tcp"\nurl = "tcp://127.0.0.1:{free_port()}"\n'
    stage.configure(text)
    result = await failed(await guarded_change("release", dry_run=False, return_state=True))
    assert env(stage) == ("IMAGE=web:1", 0o640)
    assert steps(result)["put back files"] == steps(result)["undo 1"] == "good"
    if way == "command":
        assert (result["result"], result["putBack"]) == ("change_failed", "good")
        assert "Command 1 of changes.release.commands ended with 7: no such image" in result["message"]
        assert told.read_text() == "undo "
    elif way == "health":
        assert (result["result"], result["putBack"]) == ("not_healthy", "good")
        assert "Not well within 0.3 s: Command 1 of changes.release.checks ended with 1" in result["message"]
    else:  # it was never up, and is not now
        assert (result["result"], result["putBack"]) == ("put_back_failed", "not_healthy")
        assert "web (down, refused" in result["message"]
    assert "| put back files | good |" in await artifact()
    again = await guarded_change("release")  # it has ended: nothing stands in the way of another try
    assert isinstance(again, dict)
    assert "But first" not in again["message"]


async def test_services_of_a_topology_and_addresses_are_looked_at(stage: Stage, port: int) -> None:
    (stage.folder / "data" / "topologies").mkdir(parents=True)
    for name in ("dify", "fastgpt"):
        text = f'name = "{name}"\n[services.api]\ncheck = "tcp"\nurl = "tcp://127.0.0.1:{port}"\n'
        (stage.folder / "data" / "topologies" / f"{name}.toml").write_text(text)
    change(stage, f'urls = ["http://127.0.0.1:{free_port()}/health"]')
    text = stage.file.read_text()
    stage.configure(text.replace("healthy = []", 'healthy = ["api"]'))
    with pytest.raises(NotFound, match=r"Several topologies have a service api; there are: dify/api, fastgpt/api"):
        await guarded_change("release")
    stage.configure(text.replace("healthy = []", 'healthy = ["dify/api"]'))
    result = await failed(await guarded_change("release", dry_run=False, return_state=True))
    assert (result["result"], result["putBack"]) == ("put_back_failed", "not_healthy")
    assert "Not well within 0.3 s: http://127.0.0.1:" in result["message"]
    assert "dify/api" not in result["message"]


async def test_before_anything_is_touched_it_stops_where_it_should(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    change(stage)
    (stage.folder / "next" / ".env").write_text("OTHER=1\n")
    result = await failed(await guarded_change("release", return_state=True))
    assert (result["result"], steps(result)) == ("compose_invalid", {"check compose files": "failed"})
    assert "say which" in result["message"]
    (stage.folder / "next" / ".env").write_text("IMAGE=web:2\n")
    stage.configure(stage.file.read_text().replace('path = "platform"', 'path = "nowhere"'))
    result = await failed(await guarded_change("release", dry_run=False, return_state=True))
    assert (result["result"], result["saved"], result["putBack"]) == ("backup_failed", None, None)
    assert "files (place_refused)" in result["message"]
    change(stage)
    stage.configure(stage.file.read_text().replace('"platform/.env"]', '"platform/.env", "platform"]'))
    result = await failed(await guarded_change("release", dry_run=False, return_state=True))
    assert (result["result"], result["saved"]) == ("not_saved", None)
    assert "back up folders as a source" in result["message"]
    assert list((stage.folder / "data" / "changes").glob("*/*")) == []
    assert env(stage) == ("IMAGE=web:1", 0o640)


async def test_names_that_mean_nothing_are_refused(stage: Stage) -> None:
    change(stage)
    with pytest.raises(NotFound, match="there are: release"):
        await guarded_change("other")
    with pytest.raises(NotFound, match="No files of a change"):
        await guarded_change("release", dry_run=False, undo="../../etc")
    stage.configure(stage.file.read_text().replace("healthy = []", 'healthy = ["web"]'))
    with pytest.raises(NotFound, match="There is no service web"):
        await guarded_change("release")
    with pytest.raises(ConfigurationInvalid, match=r'changes\.release\.backup: unknown source or set "files"'):
        stage.configure(stage.file.read_text().replace("[sources.files]", "[sources.others]"))


async def test_killed_it_leaves_the_files_where_the_next_run_says(stage: Stage, prefect_client: RunningServer) -> None:
    change(stage)
    text = stage.file.read_text().replace("[changes.release]", "[changes.slow]")
    stage.configure(text.replace("commands = [", 'commands = [["sh", "-c", "touch begun; sleep 60"], '))
    with running(prefect_client.environment("flows") | stage.environ):
        await eventually((stage.folder / "platform" / "begun").exists, 60, "the first command")
        with pytest.raises(ChangeRunning):
            await guarded_change("slow", dry_run=False)
    assert env(stage)[0] == "IMAGE=web:2"
    (folder,) = [path for path in (stage.folder / "data" / "changes").iterdir() if path.is_dir()]
    note = json.loads((folder / "note.json").read_text())
    assert (note["step"], note["result"]) == ("command 1", "unfinished")
    assert f"-p undo={folder.name} -p dry_run=false" in note["how"]
    with pytest.raises(ChangeUnfinished, match=f"stopped at: command 1.*{folder}"):
        await guarded_change("slow", dry_run=False)
    told = await guarded_change("slow")
    assert isinstance(told, dict)
    assert f"undo={folder.name}" in told["message"]
    back = await guarded_change("slow", dry_run=False, undo=folder.name)
    assert isinstance(back, dict)
    assert (back["result"], env(stage)) == ("put_back", ("IMAGE=web:1", 0o640))
    assert not SavedFiles(stage.folder / "data" / "changes").note(folder.name).unfinished


async def test_cancelled_it_puts_back_what_it_changed(stage: Stage) -> None:
    change(stage)
    text = stage.file.read_text()
    stage.configure(text.replace("commands = [", 'commands = [["sh", "-c", "touch begun; exec sleep 60"], '))
    running = asyncio.create_task(guarded_change("release", dry_run=False))
    await eventually((stage.folder / "platform" / "begun").exists, 30, "the first command")
    running.cancel()
    with pytest.raises(BaseException):  # noqa: B017, PT011  (Prefect's own, or the cancellation)
        await running
    assert env(stage) == ("IMAGE=web:1", 0o640)
    (note,) = SavedFiles(stage.folder / "data" / "changes").notes("release")
    assert note.result == "change_failed"
