"""PostgreSQL: a login and a trivial query, then what the server tells of its connections, queries and replication."""

import asyncio
import re
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

from blocks.probes.findings import SHARE, Ended, Findings, down, limits_of, looked
from blocks.probes.names import shown
from blocks.probes.observing import CERTIFICATES, UNTRUSTED, ca_file_of, failed, limit_of
from blocks.probes.postgres_greeting import CONNECTIONS, STARTING, Greeting, NotPostgres, greeted
from core.errors import ConfigurationInvalid
from core.settings import Settings
from core.settings_places import place_url
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation, Probe

TELLING = "Grant pg_monitor to the login to have its statistics checked."
_BEGIN = "BEGIN READ ONLY; SET LOCAL statement_timeout = {milliseconds}; SELECT 1"
_STATE = """
SELECT pg_catalog.current_setting('server_version') AS version, pg_catalog.pg_is_in_recovery() AS standby,
    pg_catalog.current_setting('max_connections')::int - pg_catalog.current_setting('superuser_reserved_connections')::int
        - coalesce(pg_catalog.current_setting('reserved_connections', true)::int, 0) AS most,
    (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity
     WHERE backend_type = 'client backend' OR (backend_type IS NULL AND datid IS NOT NULL)) AS used,
    pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all,
    (SELECT pg_catalog.max(extract(epoch FROM pg_catalog.clock_timestamp() - query_start))::float8
     FROM pg_catalog.pg_stat_activity
     WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()) AS longest,
    (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_replication) AS standbys,
    (SELECT pg_catalog.max(extract(epoch FROM replay_lag))::float8 FROM pg_catalog.pg_stat_replication) AS behind,
    (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_wal_receiver) AS receivers,
    EXISTS (SELECT FROM pg_catalog.pg_settings WHERE name = 'primary_conninfo' AND setting <> '') AS follows,
    CASE WHEN pg_catalog.pg_is_in_recovery() THEN
        CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver)
            AND pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn() THEN 0
        ELSE extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())::float8 END
    END AS late
"""
_REFUSALS = (
    (r"too many (clients|connections)|remaining connection slots", CONNECTIONS),
    (r"database system is (starting|in recovery|not yet accepting|not accepting)|recovery state", STARTING),
    (r"database system is shutting down|terminating connection", "stopping"),
    (r'database "[^"]*" does not exist|no such database', "database"),
    (r"server certificate for .* does not match", "wrong_name"),
    (r"certificate verify failed|root certificate file", "untrusted"),
    (r"does not support SSL|SSL error|SSL SYSCALL", "tls"),
    (r"no pg_hba\.conf entry", "host"),
    (r"FATAL:", "login"),
)
"""What PostgreSQL and libpq say when there is no session. The first that fits counts; a server may say it in another language."""
_SENTENCES = {
    CONNECTIONS: "{where} has no connection left: raise max_connections, or find who holds them (pg_stat_activity).",
    STARTING: "{where} is starting up or recovering: wait, and look at its log if that does not end.",
    "stopping": "{where} is shutting down.",
    "database": "{where} has no such database: correct the end of the url, or create it.",
    "wrong_name": CERTIFICATES[62][1].replace("{}", "{where}"),
    "untrusted": UNTRUSTED[1].replace("{}", "{where}"),
    "tls": "{where} does not encrypt connections as sslmode in the url asks for.",
    "host": "{where} lets this machine or user not in: add a line for it to pg_hba.conf.",
    "login": "{where} refused the login: correct username and password.",
}


@dataclass(frozen=True, slots=True)
class _Limits:
    seconds: float
    percent: tuple[float, float]
    longest_query: float | None
    lag: float | None
    slow: float | None


class PostgresProbe:
    """Logs in, where there is a user to log in as; else only asks who is there."""

    def __init__(self, parameters: dict[str, Any], limits: _Limits) -> None:
        self._parameters = parameters
        self._limits = limits
        self._host = str(parameters.get("host") or parameters.get("hostaddr") or "localhost").partition(",")[0]
        self._port = int(str(parameters.get("port") or "5432").partition(",")[0])
        self._where = f"PostgreSQL at {self._host}" if self._host.startswith("/") else shown(self._host, self._port)

    async def look(self) -> Observation:
        """See ``Probe.look``."""
        return await looked(self._where, self._limits.seconds, self._limits.slow, self._asked)

    async def _asked(self, found: Findings) -> None:
        if not self._parameters.get("user"):
            greeting = await self._greeting()
            if greeting.code is not None:
                raise self._ended(greeting.code)
            found.unchecked()
            return
        try:
            connection = await psycopg.AsyncConnection.connect(
                make_conninfo(**self._parameters), autocommit=True, prepare_threshold=None, row_factory=dict_row
            )
        except psycopg.Error as error:
            if error.pgconn is not None and error.pgconn.needs_password:
                found.unchecked()
                return
            raise await self._why(str(error)) from None
        telling = asyncio.ensure_future(self._told(connection, found))
        try:
            await asyncio.shield(telling)
        finally:
            # In this order: cancelled on an open connection, psycopg waits for the server once more.
            await connection.close()
            telling.cancel()
            telling.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

    async def _told(self, connection: "psycopg.AsyncConnection[dict[str, Any]]", found: Findings) -> None:
        milliseconds = max(1, int(self._limits.seconds * SHARE * 900))
        try:
            await connection.execute(_BEGIN.format(milliseconds=milliseconds).encode())
        except psycopg.Error as error:
            raise down("query", f"{self._where} took the login, but not a query ({error.sqlstate or 'cut off'}).") from None
        found.answered()
        try:
            row = await (await connection.execute(_STATE)).fetchone()
        except psycopg.errors.QueryCanceled:
            found.add("degraded", "slow", f"{self._where} did not tell how it is in time: is it overloaded?")
            return
        except psycopg.Error:
            found.note(f"It does not tell how it is. {TELLING}")
            return
        assert row is not None
        self._judge(row, found)

    def _judge(self, row: dict[str, Any], found: Findings) -> None:
        used, most = int(row["used"]), max(1, int(row["most"]))
        found.facts |= {"version": str(row["version"]), "connections": used, "connections_limit": most}
        sentence = f"{used} of {most} connections are in use: raise max_connections, or find who holds them (pg_stat_activity)."
        found.share("connections", used / most * 100, self._limits.percent, sentence)
        self._judge_queries(row, found)
        self._judge_replication(row, found)

    def _judge_queries(self, row: dict[str, Any], found: Findings) -> None:
        most = self._limits.longest_query
        if not row["sees_all"]:
            if most is not None:
                found.note(f"Queries of others were not checked. {TELLING}")
            return
        longest = float(row["longest"] or 0)
        found.facts["longest_query_seconds"] = round(longest, 1)
        if most is not None and longest > most:
            found.add("degraded", "query", f"A query runs for {longest:.0f} s, more than {most:g} s (see pg_stat_activity).")

    def _judge_replication(self, row: dict[str, Any], found: Findings) -> None:
        found.facts["role"] = "standby" if row["standby"] else "primary"
        if row["standbys"]:
            found.facts["standbys"] = int(row["standbys"])
        if row["standby"] and row["follows"] and not row["receivers"]:
            found.add("degraded", "replication", "The standby gets nothing from its primary: look at both logs.")
        seconds = row["late"] if row["standby"] else row["behind"]
        if seconds is None:
            return
        found.facts["lag_seconds"] = round(float(seconds), 1)
        if self._limits.lag is not None and seconds > self._limits.lag:
            who = "The standby is" if row["standby"] else "A standby is"
            found.add("degraded", "lag", f"{who} {seconds:.0f} s behind, more than {self._limits.lag:g} s.")

    async def _why(self, said: str) -> Ended:
        """Why there is no session, without the host and user that a driver names."""
        code = next((code for words, code in _REFUSALS if re.search(words, said)), None)
        if code is None:
            code = (await self._greeting()).code or "login"
        return self._ended(code)

    async def _greeting(self) -> Greeting:
        try:
            return await greeted(self._host, self._port)
        except OSError as error:
            raise Ended(failed(error, self._where)) from None
        except NotPostgres:
            raise down("protocol", f"What answers at {self._where} is no PostgreSQL: correct host and port.") from None

    def _ended(self, code: str) -> Ended:
        sentence = _SENTENCES.get(code, f"{self._where} refused the session ({code}).")
        return down("login" if code == "host" else code, sentence.format(where=self._where))


def probe(name: str, service: ServiceSettings, settings: Settings) -> Probe:
    """See ``choosing.MODULES``."""
    try:
        url = place_url("" if service.url is None else service.url.get_secret_value())
        parameters: dict[str, Any] = dict(conninfo_to_dict(url))
    except (ValueError, psycopg.ProgrammingError):
        expected = "an address such as postgresql://host:5432/database, with parameters that libpq knows"
        raise ConfigurationInvalid(f"services.{name}.url: expected {expected}.") from None
    limit = limit_of(service, settings)
    parameters.setdefault("user", service.username)
    if "password" not in parameters and service.password is not None:
        parameters["password"] = service.password.get_secret_value()
    ca_file = ca_file_of(service, settings)
    # With a file of CAs libpq would take "require" for "verify-ca".
    if ca_file is not None and str(parameters.get("sslmode")).startswith("verify"):
        parameters.setdefault("sslrootcert", str(ca_file))
    parameters |= {"connect_timeout": max(2, int(limit)), "client_encoding": "UTF8", "application_name": "pilothouse probe"}
    given = {key: value for key, value in parameters.items() if value is not None}
    return PostgresProbe(given, _Limits(limit, limits_of(service), service.longest_query, service.lag, service.slow))
