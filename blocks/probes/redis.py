"""Redis and Valkey: PING with the login, then what INFO tells of memory, saving and replication."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from blocks.probes.findings import Ended, Findings, down, limits_of, looked
from blocks.probes.names import connected, shown
from blocks.probes.observing import ca_file_of, failed, first_cause, late, limit_of
from core.addresses import redis_url
from core.errors import ConfigurationInvalid
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation, Probe

PORT = 6379
LISTENS = 0.5
"""Seconds in which a server that has hung up is listened to once more."""
_FULL = "{} has no connection left: raise maxclients, or see CLIENT LIST."
_REFUSALS = (
    (
        "without any password configured",
        "login",
        "{} has no password, but one is configured: take it out, or set requirepass.",
    ),
    ("Authentication required", "login", "{} wants a login: set username and password."),
    (
        "max number of clients",
        "connections",
        "{} has no connection left: raise maxclients, or see CLIENT LIST.",
    ),
    ("DENIED", "login", "{} is in protected mode and answers its own machine alone: set a password and protected-mode no."),
    ("DB index is out of range", "database", "{} has no database of that number: correct the end of the url."),
    ("MISCONF", "save", "{} could not save its data and takes no writes: look at its disk and log."),
)
"""What is said, and what it means; the first that fits counts."""
_KINDS = (
    (exceptions.NoPermissionError, "login", "{} lets this login not even PING: grant it +ping +info (ACL SETUSER)."),
    (exceptions.AuthenticationError, "login", "{} refused the login: correct username and password."),
    (exceptions.MasterDownError, "replication", "{} is a replica without its master, and answers nobody: look at the master."),
    (exceptions.BusyLoadingError, "starting", "{} is loading its data: wait, and look at its log if that does not end."),
    (exceptions.InvalidResponse, "protocol", "What answers at {} is no Redis: correct host and port."),
)
"""The client's errors, for what it does not repeat."""


class RedisProbe:
    """A connection of its own for each look."""

    def __init__(self, where: str, options: Mapping[str, Any], service: ServiceSettings, limit: float) -> None:
        self._where = where
        self._options = options
        self._service = service
        self._limit = limit

    async def look(self) -> Observation:
        """See ``Probe.look``."""
        return await looked(self._where, self._limit, self._service.slow, self._asked)

    async def _asked(self, found: Findings) -> None:
        client = Redis.from_url(**self._options)
        try:
            await client.ping()
            found.answered()
            told: dict[str, Any] = await client.info()
            await self._judge(told, client, found)
        except exceptions.RedisError as error:
            await self._not_told(error, found)
        finally:
            await client.aclose()

    async def _not_told(self, error: exceptions.RedisError, found: Findings) -> None:
        """PING or INFO came to nothing. Raises ``Ended`` for what is wrong with the service."""
        said = str(error)
        if found.seconds is not None and isinstance(error, exceptions.NoPermissionError):
            found.note("It does not tell how it is: grant +info to the login (ACL SETUSER).")
            return
        has_login = self._options.get("password") or "@" in self._options["url"].partition("://")[2].partition("/")[0]
        wants_login = "NOAUTH" in said or (
            isinstance(error, exceptions.AuthenticationError) and "Authentication required" in said
        )
        if wants_login and not has_login:
            found.unchecked()
            return
        for words, code, sentence in _REFUSALS:
            if words in said:
                raise down(code, sentence.format(self._where))
        for kind, code, sentence in _KINDS:
            if isinstance(error, kind):
                raise down(code, sentence.format(self._where))
        raise await self._broken(error)

    async def _broken(self, error: exceptions.RedisError) -> Ended:
        cause = first_cause(error)
        if isinstance(error, exceptions.ConnectionError) and await self._is_full():
            return down("connections", _FULL.format(self._where))
        if isinstance(error, exceptions.TimeoutError) or isinstance(cause, TimeoutError):
            return Ended(late(self._where, self._limit))
        if isinstance(cause, OSError):
            return Ended(failed(cause, self._where))
        if isinstance(error, exceptions.ConnectionError):
            return Ended(failed(ConnectionResetError(), self._where))
        return down("refused", f"{self._where} answers PING with an error: look at its log.")

    async def _is_full(self) -> bool:
        """Whether it hangs up since it has too many clients: it says so to who waits, and to who asks at once it often cannot."""
        parts = urlsplit(self._options["url"])
        if parts.scheme != "redis":
            return False
        try:
            reader, writer = await asyncio.open_connection(sock=await connected(parts.hostname or "", parts.port or PORT))
        except OSError:
            return False
        try:
            async with asyncio.timeout(LISTENS):
                return b"max number of clients" in await reader.read(200)
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()

    async def _judge(self, told: Mapping[str, Any], client: "Redis", found: Findings) -> None:
        name = "valkey" if "valkey_version" in told else "redis"
        found.facts |= {"version": f"{name} {told.get(f'{name}_version', '')}".strip(), "role": str(told.get("role", "unknown"))}
        self._judge_room(told, found)
        self._judge_saving(told, found)
        if told.get("role") == "slave" and told.get("master_link_status") != "up":
            seconds = int(told.get("master_link_down_since_seconds", -1))
            since = f" for {seconds} s" if seconds >= 0 else ""
            found.add("degraded", "replication", f"The replica has lost its master{since}: look at both logs.")
        if int(told.get("cluster_enabled", 0)):
            state = dict(await client.execute_command("CLUSTER INFO")).get("cluster_state", "unknown")  # type: ignore[no-untyped-call]
            found.facts["cluster"] = str(state)
            if state != "ok":
                found.add("down", "cluster", f"The cluster is not well (cluster_state {state}): look at CLUSTER NODES.")

    def _judge_room(self, told: Mapping[str, Any], found: Findings) -> None:
        used, most = int(told.get("used_memory", 0)), int(told.get("maxmemory", 0))
        found.facts |= {"memory_bytes": used, "connections": int(told.get("connected_clients", 0))}
        limits = limits_of(self._service)
        policy = str(told.get("maxmemory_policy", "noeviction"))
        if most:
            found.facts |= {"memory_limit_bytes": most, "policy": policy}
            # What evicts any key is full when it works as it should; only a limit that was set for it counts then.
            evicts = policy.startswith("allkeys") and self._service.warn is None and self._service.critical is None
            sentence = f"{used / most:.0%} of maxmemory is in use, and the policy is {policy}: raise it, or find what fills it."
            found.share("memory", used / most * 100, (float("inf"), float("inf")) if evicts else limits, sentence)
        if clients := int(told.get("maxclients", 0)):
            connected = int(told.get("connected_clients", 0))
            sentence = f"{connected} of {clients} connections are in use: raise maxclients, or find who holds them (CLIENT LIST)."
            found.share("connections", connected / clients * 100, limits, sentence)

    def _judge_saving(self, told: Mapping[str, Any], found: Findings) -> None:
        if last := int(told.get("rdb_last_save_time", 0)):
            found.facts["last_save"] = last
        if told.get("rdb_last_bgsave_status", "ok") != "ok":
            found.add("degraded", "save", "The last snapshot failed: look at its disk, memory and log.")
        if int(told.get("aof_enabled", 0)):
            for key in ("aof_last_write_status", "aof_last_bgrewrite_status"):
                if told.get(key, "ok") != "ok":
                    found.add("degraded", "save", "Writing the append-only file failed: look at its disk and log.")
                    break


def probe(name: str, service: ServiceSettings, settings: Settings) -> Probe:
    """See ``choosing.MODULES``."""
    try:
        url = redis_url("" if service.url is None else service.url.get_secret_value())
        parts = urlsplit(url)
        where = unquote(parts.path) if parts.scheme == "unix" else shown(parts.hostname or "", parts.port or PORT)
        limit = limit_of(service, settings)
        options: dict[str, Any] = {
            "url": url,
            "socket_timeout": limit,
            "socket_connect_timeout": limit,
            "retry": Retry(NoBackoff(), 0),
            "single_connection_client": True,
            "protocol": 2,  # replies differ in shape between protocols
            "decode_responses": True,
        }
        if service.password is not None:
            options |= {"username": service.username, "password": service.password.get_secret_value()}
        if parts.scheme == "rediss" and (ca_file := ca_file_of(service, settings)) is not None:
            options["ssl_ca_certs"] = str(ca_file)
        Redis.from_url(**options)
    except ValueError:
        expected = "an address such as redis://host:6379/0, rediss://… or unix://…"
        raise ConfigurationInvalid(f"services.{name}.url: expected {expected}.") from None
    return RedisProbe(where, options, service, limit)
