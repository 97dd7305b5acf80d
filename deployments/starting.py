"""The order in which ``up`` starts its parts: what chat needs first and side by side, Prefect beside it, the flows last."""

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic

from core.addresses import place, reachable_host
from core.config import Settings
from core.errors import PartMissing, PilothouseError
from deployments.addresses import checked_port
from deployments.api_parts import FIRST_ADMIN, admin_password_file, api_parts
from deployments.curl import curl_line
from deployments.databases import our_database, prefect_database
from deployments.engines import DEMO_MODEL, Engines, with_engines
from deployments.flows_part import flows_part
from deployments.model_server import KEY, model_part
from deployments.part import Part
from deployments.postgres import EmbeddedPostgres
from deployments.postgres_part import PostgresPart
from deployments.prefect_server import HOST, prefect_login, prefect_part
from deployments.secret_files import kept_secret, secret_path
from deployments.supervisor import Supervisor


class Starting:
    """One start. ``bound`` is the API's listening socket; ``settings`` hold the ports in use."""

    def __init__(
        self,
        settings: Settings,
        config: Path | None,
        bound: socket.socket,
        supervisor: Supervisor,
        say: Callable[[str], None],
        began: float,
    ) -> None:
        self._settings, self._config, self._bound = settings, config, bound
        self._supervisor, self._say, self._began = supervisor, say, began
        self._embedded = EmbeddedPostgres(settings.data_dir, settings.database.programs)
        self._embedded_start: asyncio.Task[float] | None = None
        scheme = "https" if settings.tls_cert else "http"
        self.url = f"{scheme}://{reachable_host(settings.host)}:{settings.port}"

    async def run(self) -> None:
        """Returns when all parts are up. Raises ``PilothouseError`` when one cannot be started."""
        self._note_engines()
        prefect = asyncio.create_task(self._prefect(), name="prefect")
        try:
            await self._chat()
            self._say(f"ready: {self.url}")
            self._say(await curl_line(self._settings, self.url))
            if (password := admin_password_file(self._settings.data_dir)).is_file():
                self._say(f"login: {self.url}/login as {FIRST_ADMIN}, password in {password}")
            await prefect
            await self._flows()
        finally:
            prefect.cancel()
        self._say(f"all parts up in {monotonic() - self._began:.0f} s")

    async def _chat(self) -> None:
        """What chat needs, side by side; the first that fails ends the others."""
        try:
            async with asyncio.TaskGroup() as group:
                for step in (self._database, self._streams, self._files, self._model, self._api):
                    group.create_task(step(), name=step.__name__)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    def _note_engines(self) -> None:
        """Where everything will be, before the first part that asks for it starts; Prefect's database is added once chosen."""
        settings, engines = self._settings, Engines(self.url, os.getpid())
        if settings.database.url is None:
            self._embedded.arrange()
            engines = replace(engines, database_url=our_database(settings, self._embedded).url)
        if settings.prefect.api_url is None:
            address, login = f"http://{HOST}:{settings.prefect_port}/api", prefect_login(settings.data_dir)
            engines = replace(engines, prefect_url=address, prefect_auth=login)
        if self._wants_demo_model():
            self._model_port = checked_port("127.0.0.1", 0, "--no-model")
            address, key = f"http://127.0.0.1:{self._model_port}/v1", kept_secret(settings.data_dir, KEY)
            engines = replace(engines, demo_url=address, demo_key=key)
        engines.write(settings.data_dir)
        self._engines = engines

    def _wants_demo_model(self) -> bool:
        return self._settings.model and not self._settings.providers

    async def _started(self, part: Part) -> float:
        """Start a part and wait until it is ready; gives the seconds that took."""
        began = monotonic()
        await self._supervisor.start(part)
        await self._supervisor.ready(part)
        return monotonic() - began

    async def _embedded_started(self) -> float:
        """The embedded server, started once whoever asks."""
        if self._embedded_start is None:
            self._embedded_start = asyncio.create_task(self._started(PostgresPart(self._embedded)), name="postgres")
        return await self._embedded_start

    async def _database(self) -> None:
        ours = our_database(self._settings, self._embedded)
        if ours.embedded:
            took = await self._embedded_started()
        else:
            # Only with a server of one's own: the import costs more than the embedded server's whole start.
            from core.store.schema import migrate  # noqa: PLC0415

            began = monotonic()
            try:
                await migrate(ours.url)
            except PilothouseError as error:
                source = self._settings.origins.get("database.url", "the settings")
                raise PartMissing(f"{error.message} (database.url is from {source})") from error
            took = monotonic() - began
        self._say(f"database: {ours.told} ({took:.1f} s)")

    async def _streams(self) -> None:
        url = self._settings.redis.url
        if url is None:
            return
        from deployments.redis_check import check_redis  # noqa: PLC0415

        began, source = monotonic(), self._settings.origins.get("redis.url", "the settings")
        await check_redis(self._settings.redis, source)
        self._say(f"streams: {place(url.get_secret_value())} from {source} ({monotonic() - began:.1f} s)")

    async def _files(self) -> None:
        """Only where they go: a bucket that is away stops nothing."""
        files, origins = self._settings.files, self._settings.origins
        if files.in_bucket:
            source = origins.get("files.endpoint") or origins.get("files.bucket", "the settings")
            self._say(f"files: {place(files.endpoint) if files.endpoint else 'AWS'}/{files.bucket} from {source}")

    async def _model(self) -> None:
        settings = self._settings
        for name, provider in sorted(settings.providers.items(), key=lambda item: item[1].order):
            source = settings.origins.get(f"providers.{name}.base_url", "the settings")
            self._say(f"model: {name} at {place(provider.base_url)} from {source}")
        if self._wants_demo_model():
            took = await self._started(model_part(settings.data_dir, self._model_port))
            self._say(f"model: embedded, {DEMO_MODEL} ({took:.1f} s)")
        elif not settings.providers:
            self._say("model: none (--no-model); chat answers once a provider is configured")

    async def _api(self) -> None:
        parts = api_parts(self._settings, self._config, self._bound)
        took = max(await asyncio.gather(*(self._started(part) for part in parts)))
        workers = f", {len(parts)} processes" if len(parts) > 1 else ""
        self._say(f"api: {self.url}{workers} ({took:.1f} s)")

    async def _prefect(self) -> None:
        settings = self._settings
        if settings.prefect.api_url is not None:
            self._say(f"prefect: {settings.prefect.api_url.removesuffix('/api')}")
            return
        database = await asyncio.to_thread(prefect_database, settings, self._embedded)
        self._engines = replace(self._engines, prefect_database_url=database.url)
        self._engines.write(settings.data_dir)
        if database.embedded:
            await self._embedded_started()
        self._say(f"prefect database: {database.told}")
        took = await self._started(prefect_part(settings, settings.prefect_port, database))
        self._say(f"prefect: http://{HOST}:{settings.prefect_port}")
        login = secret_path(settings.data_dir, "prefect-login")
        self._say(f"prefect server: embedded ({took:.1f} s); user:password in {login}")

    async def _flows(self) -> None:
        # They back up both databases.
        took = await self._started(flows_part(with_engines(self._settings), self._config))
        self._say(f"flows: served ({took:.1f} s)")
