"""Containers, as Docker's Engine API tells of them: whether they run, what their own health check says, how often they died."""

import json
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from blocks.probes.observing import good, late, limit_of, within
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation, Probe

SOCKET = "/var/run/docker.sock"
LABEL = "com.docker.compose.service"
"""Where Compose writes a service's name; its containers have names such as ``dify-api-1``."""
HOW = "mount the socket, or name it in sweeps.docker (DOCKER_HOST)"


class DockerProbe:
    """Asks the engine about one container, by its name or else by its Compose service's."""

    def __init__(self, service: ServiceSettings, engine: str, limit: float) -> None:
        self._service, self._limit = service, limit
        parts = urlsplit(engine)
        self._socket = parts.path if parts.scheme in {"", "unix"} else None
        self._url = "http://docker" if self._socket else engine.replace("tcp://", "http://", 1).rstrip("/")

    async def look(self) -> Observation:
        """See ``Probe.look``."""
        began = perf_counter()
        try:
            async with within(self._limit):
                told = await self._container()
        except (TimeoutError, httpx.TimeoutException):
            return late("Docker", self._limit)
        except httpx.HTTPError as error:
            return self._away(error)
        if isinstance(told, Observation):
            return told
        return _judged(told, self._service, perf_counter() - began)

    async def _container(self) -> Mapping[str, Any] | Observation:
        name = self._service.container
        # Loopback or a socket, or a host that sweeps.docker names: never by a proxy.
        transport = httpx.AsyncHTTPTransport(uds=self._socket) if self._socket else httpx.AsyncHTTPTransport()
        async with httpx.AsyncClient(transport=transport, timeout=self._limit, trust_env=False, base_url=self._url) as engine:
            answer = await engine.get(f"/containers/{quote(name, safe='')}/json")
            if answer.status_code == 404:
                wanted = {"filters": json.dumps({"label": [f"{LABEL}={name}"]}), "all": "true"}
                listed = await engine.get("/containers/json", params=wanted)
                found = _json(listed) if listed.status_code == 200 else None
                if not isinstance(found, list) or len(found) != 1:
                    many = isinstance(found, list) and len(found) > 1
                    return _several(name) if many else _missing(name)
                answer = await engine.get(f"/containers/{quote(str(found[0].get('Id', '')), safe='')}/json")
        told = _json(answer) if answer.status_code == 200 else None
        if not isinstance(told, dict) or not isinstance(told.get("State"), dict):
            message = (
                f"Docker's Engine API answered {answer.status_code} in place of a container: check sweeps.docker, and its log."
            )
            return Observation("unreachable", "no_docker", message)
        return told

    def _away(self, error: httpx.HTTPError) -> Observation:
        if _denied(error):
            message = f"This process may not use {self._socket}: add its user to the group docker, or use a socket proxy."
            return Observation("unreachable", "not_allowed", message)
        if self._socket is not None and not Path(self._socket).exists():
            return Observation("unreachable", "no_docker", f"Docker's socket is not at {self._socket}: {HOW}.")
        where = self._socket or urlsplit(self._url).netloc.rpartition("@")[2]
        return Observation("unreachable", "no_docker", f"Docker does not answer at {where}: is it running? Else {HOW}.")


def _judged(told: Mapping[str, Any], service: ServiceSettings, seconds: float) -> Observation:
    """By the container's ``State``: https://docs.docker.com/reference/api/engine/, ContainerInspect."""
    state = told["State"]
    status, code = str(state.get("Status", "")), state.get("ExitCode", 0)
    health = str((state.get("Health") or {}).get("Status", "none"))
    restarts = told.get("RestartCount", 0)
    facts: dict[str, str | float | int] = {"container": status, "health": health, "restarts": restarts, "exit_code": code}

    def seen(of: Any, word: str, message: str) -> Observation:
        return Observation(of, word, message, seconds, facts)

    if status == "exited" and service.one_shot and code == 0:
        return good(seconds, None, facts)
    if status != "running" and not (status == "created" and service.one_shot):
        killed = " It was killed for its memory." if state.get("OOMKilled") else ""
        what = f"The container is {status or 'in no known state'} (exit code {code}).{killed} Look at its log."
        return seen("degraded" if status == "paused" else "down", "out_of_memory" if killed else status or "state", what)
    if health == "unhealthy":
        return seen("down", "unhealthy", "The container runs, but its own health check fails: look at its log.")
    if health == "starting":
        return seen("degraded", "starting", "The container runs, but its own health check has not passed yet.")
    return good(seconds, None, facts)


def _missing(name: str) -> Observation:
    return Observation("down", "missing", f'There is no container "{name}": was it removed, or is it called otherwise?')


def _several(name: str) -> Observation:
    return Observation("unreachable", "several", f'"{name}" is a Compose service of several containers: name one of them.')


def _json(answer: httpx.Response) -> object:
    try:
        return json.loads(answer.content)
    except ValueError:
        return None


def _denied(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, PermissionError):
            return True
        error = error.__cause__ or error.__context__
    return False


def probe(name: str, service: ServiceSettings, settings: Settings) -> Probe:
    """See ``choosing.MODULES``."""
    return DockerProbe(service, settings.sweeps.docker or SOCKET, limit_of(service, settings))
