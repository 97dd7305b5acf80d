"""``guarded_change``: a platform changed by commands of the configuration, with a way back."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.states import Failed
from pydantic import SecretStr

from blocks.changed_files import SavedFiles
from blocks.hooks import Command
from blocks.probes.choosing import probe_of
from core.backups.errors import BackupsFailed
from core.backups.sources import unit_named
from core.changes import (
    ChangeUnfinished,
    Course,
    Note,
    Result,
    Stopped,
    change_named,
    commands_of,
    planned,
    report,
    undo_of,
)
from core.config import Settings, load_settings
from core.errors import InputInvalid, NotFound
from core.ids import new_id
from core.settings_changes import ChangeSettings
from core.settings_services import ServiceSettings
from core.sweeps.observation import Probe
from core.topology.kept import topologies_of
from flows.backing_up import Parts, back_up_unit
from flows.backups import LONGEST, opened
from flows.run_audit import audited
from tasks.changes import await_health, check_compose, put_back_files, replace_file, run_change, save_files
from tasks.retrying import NOWHERE
from tasks.runs import keep_result, report_progress

FINE: tuple[Result, ...] = ("good", "dry_run", "put_back")


@dataclass
class Change:
    """One change being made or undone."""

    name: str
    settings: ChangeSettings
    parts: Parts
    saved: SavedFiles
    course: Course
    probes: Mapping[str, tuple[Probe, float]] = field(default_factory=dict)
    note: Note | None = None

    def facts(self, stage: str) -> dict[str, str]:
        """What its commands are told in variables."""
        folder = str(self.saved.folder(self.course.id))
        return {"CHANGE_NAME": self.name, "CHANGE_ID": self.course.id, "CHANGE_STAGE": stage, "CHANGE_FOLDER": folder}

    def command(self, key: str, number: int, arguments: Sequence[str], seconds: float | None = None) -> Command:
        """One of its commands, as the error names it."""
        name = f"Command {number} of changes.{self.name}.{key}"
        longest = self.settings.seconds if seconds is None else seconds
        return Command(name, f"changes.{self.name}.{key}", arguments, longest, self.settings.where)

    def begun(self, step: str) -> None:
        """Note which step comes, so that whoever finds the folder of a killed run knows how far it came."""
        if self.note is not None:
            self.note = self.note.model_copy(update={"step": step})
            self.saved.write(self.note)


@flow(name="guarded_change", persist_result=False, result_storage=NOWHERE, timeout_seconds=LONGEST)
async def guarded_change(name: str, dry_run: bool = True, undo: str | None = None) -> dict[str, Any] | State[dict[str, Any]]:
    """Changes a platform by commands of the configuration, and puts its files back where all is not well after it.

    The compose files are checked, what belongs to the platform is backed up, its files are saved, the commands run, and its
    services are looked at until they are well or the time is up. Every step is in the result and in the run's artifact.

    Args:
        name: Name of a section [changes.NAME].
        dry_run: Check the compose files, and only say what would be done.
        undo: Id of an earlier change of this name: put back the files that it saved, and run the commands of undo.
    """
    settings = load_settings()
    change = change_named(name, settings)
    saved = SavedFiles(settings.data_dir / "changes")
    async with opened(settings) as parts:
        made = Change(name, change, parts, saved, Course(name, undo or new_id()), _probes(change, settings))
        if dry_run:
            result = await _said(made, undo)
        else:
            result = await _audited(made, undo)
        shown = made.course.shown(result)
        await keep_result(parts.runs, shown)
        await acreate_markdown_artifact(report(shown), key="guarded-change", description="How the last change went.")
    return shown if result in FINE else Failed(message=f"{result}: {made.course.message}", data=shown)


async def _audited(change: Change, undo: str | None) -> Result:
    what, about = "change.undone" if undo is not None else "change", f"{change.name}/{change.course.id}"
    with change.saved.locked():
        async with audited(change.parts.audit, what, about) as ended:
            result = await (_undone(change) if undo is not None else _made(change))
            ended |= {"outcome": "success" if result in FINE else "failure", "result": result}
    return result


async def _said(change: Change, undo: str | None) -> Result:
    """What would be done; nothing is touched."""
    if undo is not None:
        note = change.saved.note(undo)
        change.course.message = f"Would put back {', '.join(str(file.path) for file in note.files) or 'no file'}."
        return "dry_run"
    try:
        await _check(change)
    except Stopped as stopped:
        change.course.message = stopped.message
        return stopped.result
    change.course.steps += planned(change.settings)
    change.course.message = "Nothing was changed: run it with dry_run=false to do what these steps say."
    try:
        _require_finished(change)
    except ChangeUnfinished as error:
        change.course.message += f" But first: {error.message}"
    return "dry_run"


async def _made(change: Change) -> Result:
    """The change itself."""
    _require_finished(change)
    course = change.course
    try:
        await _check(change)
        with course.step("back up", "backup_failed"):
            await _back_up(change)
        with course.step("save files", "not_saved"):
            run = FlowRunContext.get()
            run_id = str(run.flow_run.id) if run is not None and run.flow_run is not None else None
            note = Note(change=change.name, id=course.id, started_at=datetime.now(UTC), flow_run_id=run_id)
            change.note = await save_files(change.saved, note, change.settings.files)
            course.saved = change.saved.folder(course.id)
        await _change(change)
        await _await_health(change, "check health", "not_healthy")
    except Stopped as stopped:
        course.message = stopped.message
        return await _ended(change, stopped.result) if change.note is None else await _taken_back(change, stopped.result)
    except BaseException:  # cancelled
        if change.note is not None:
            course.message = "The run was stopped."
            await asyncio.shield(_taken_back(change, "change_failed"))
        raise
    course.message = "All is well after it."
    return await _ended(change, "good")


async def _undone(change: Change) -> Result:
    """What an earlier change did, taken back."""
    change.note = change.saved.note(change.course.id)
    if change.note.change != change.name:
        raise InputInvalid(f"This is the id of a change {change.note.change}, not {change.name}.", field="parameters.undo")
    change.course.saved = change.saved.folder(change.course.id)
    return await _taken_back(change, "put_back")


async def _change(change: Change) -> None:
    for path in change.settings.files:
        if (new := change.settings.newest(path)) != path:
            change.begun(f"replace {path.name}")
            with change.course.step(f"replace {path.name}", "change_failed"):
                await replace_file(change.saved, path, new)
    commands = commands_of(change.settings)
    for number, (step, arguments) in enumerate(commands, 1):
        change.begun(step)
        get_run_logger().info("Running %s of %d", step, len(commands))
        with change.course.step(step, "change_failed"):
            await run_change(change.command("commands", number, arguments), change.facts("change"))
        report_progress(number, len(commands), "commands")


async def _check(change: Change) -> None:
    settings = change.settings
    if not settings.compose:
        return
    files = [settings.newest(path) for path in settings.compose]
    with change.course.step("check compose files", "compose_invalid"):
        await check_compose(files, settings.env, settings.compose[0].parent)


async def _back_up(change: Change) -> None:
    for name in change.settings.backup:
        outcomes = await back_up_unit(change.parts, unit_named(name, change.parts.settings))
        change.course.backups += [each.id for each in outcomes if each.good]
        bad = [f"{each.source} ({each.error['code']}): {each.error['message']}" for each in outcomes if each.error is not None]
        if bad:
            raise BackupsFailed(f"Not backed up: {'; '.join(bad)}")


async def _await_health(change: Change, step: str, otherwise: Result) -> None:
    change.begun(step)
    settings = change.settings
    checks = [
        change.command("checks", number, arguments, min(settings.seconds, settings.patience))
        for number, arguments in enumerate(settings.checks, 1)
    ]
    with change.course.step(step, otherwise):
        await await_health(change.probes, checks, change.facts("check"), settings.patience)


async def _taken_back(change: Change, result: Result) -> Result:
    """The files as they were, the commands of ``undo``, and a look whether all is well then."""
    course, note = change.course, change.note
    assert note is not None
    if result != "put_back":
        get_run_logger().error("%s What it changed is put back.", course.message)
    wrong = []
    if note.files:
        change.begun("put back files")
        try:
            with course.step("put back files", "put_back_failed"):
                await put_back_files(change.saved, note)
        except Stopped as stopped:
            wrong.append(stopped.message)
    for number, (step, arguments) in enumerate(undo_of(change.settings), 1):
        change.begun(step)
        try:
            with course.step(step, "put_back_failed"):
                await run_change(change.command("undo", number, arguments), change.facts("undo"))
        except Stopped as stopped:
            wrong.append(stopped.message)
    course.back = "failed" if wrong else "good"
    try:
        await _await_health(change, "check health again", "put_back_failed")
    except Stopped as stopped:
        course.back = course.back if wrong else "not_healthy"
        wrong.append(stopped.message)
    course.message = " ".join([course.message, *(f"Not all is as it was: {each}" for each in wrong)]).strip()
    course.message = course.message or "The files are back, and all is well."
    return await _ended(change, "put_back_failed" if wrong else result)


async def _ended(change: Change, result: Result) -> Result:
    """The note says how it went; where something is not as it was, its files are kept as long as nobody deletes them."""
    if change.note is not None:
        unfinished = result == "put_back_failed" and change.course.back == "failed"
        done = change.note.model_copy(update={"step": "ended", "result": "unfinished" if unfinished else result})
        await asyncio.to_thread(change.saved.write, done)
        await asyncio.to_thread(change.saved.tidy, change.name)
    say = get_run_logger().info if result in FINE else get_run_logger().error
    say("The change %s: %s. %s", change.name, result, change.course.message)
    return result


def _require_finished(change: Change) -> None:
    """Raises ``ChangeUnfinished`` where an earlier one of this name was stopped: its saved files are the last good ones."""
    for note in change.saved.notes(change.name):
        if note.unfinished:
            folder = change.saved.folder(note.id)
            raise ChangeUnfinished(
                f"The change {note.id} of {note.change} was stopped at: {note.step or 'its beginning'}. What it saved lies in "
                f"{folder}: put it back with undo={note.id}, or delete that folder if all is well."
            )


def _services(names: Sequence[str], settings: Settings) -> dict[str, ServiceSettings]:
    """Those of ``[services.X]`` and of all topologies, by ``name`` or by ``topology/name``. Raises ``NotFound``."""
    known: dict[str, list[ServiceSettings]] = {}
    for topology in topologies_of(settings) if names else []:
        for name, service in topology.services.items():
            known.setdefault(name, []).append(service)
            known[f"{topology.name}/{name}"] = [service]
    wanted = {}
    for name in names:
        if len(found := known.get(name, [])) != 1:
            there = ", ".join(sorted(each for each in known if found == [] or each.endswith(f"/{name}"))) or "none"
            many = f"Several topologies have a service {name}" if found else f"There is no service {name} to be looked at"
            raise NotFound(f"{many}; there are: {there}.")
        wanted[name] = found[0]
    return wanted


def _probes(change: ChangeSettings, settings: Settings) -> dict[str, tuple[Probe, float]]:
    """How each service and address is looked at. Raises ``ConfigurationInvalid`` and ``NotFound``."""
    wanted = _services(change.healthy, settings)
    for url in change.urls:
        wanted[url] = ServiceSettings(check="http", url=SecretStr(url))
    seconds = settings.sweeps.timeout
    return {
        name: (probe_of(name, service, settings), seconds if service.timeout is None else service.timeout)
        for name, service in wanted.items()
    }
