"""Flow runs for whoever holds no Prefect client: trigger one, read it, follow it, cancel it."""

import hashlib
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from prefect.states import Cancelling

from core.errors import NotFound, PrefectNotReady
from core.runs import Cursor, RunEvent, RunView
from core.store.runs import Runs
from core.workspaces import current_workspace, inner
from flows.belonging import require_own_run, workspace_tag
from flows.catalogue import TAG, CatalogueEntry
from flows.following import RunFeeds
from flows.prefect_link import RETRY_AFTER, PrefectLink, asked, in_our_words
from flows.run_views import parsed_id, read_run, viewed


class FlowRuns:
    """What the API does with runs. ``kept`` is what our own database remembers of them."""

    def __init__(self, link: PrefectLink, kept: Runs) -> None:
        self._link = link
        self._kept = kept
        self._feeds = RunFeeds(link, kept)

    async def trigger(
        self, entry: CatalogueEntry, parameters: Mapping[str, Any], *, caller: str, key: str | None = None
    ) -> RunView:
        """Start a run of the entry's deployment. With ``key``, the same caller gets the same run again.

        Raises ``InputInvalid`` before anything exists, ``Conflict`` for a key used with other parameters, ``PrefectNotReady``
        while the server is away or has not got the deployment yet.
        """
        checked = entry.checked(parameters)
        self._link.require_up()
        scoped = None if key is None else _digest([inner(caller), entry.name, key]).hex()
        known = await self._kept.reserve(scoped, entry.name, _digest(checked)) if scoped is not None else None
        if known is not None:
            return await self.read(known)
        try:
            deployment = await asked(lambda: self._link.client.read_deployment_by_name(entry.deployment))
            with in_our_words():
                run = await self._link.client.create_flow_run_from_deployment(
                    deployment.id, parameters=checked, tags=[TAG, workspace_tag(current_workspace())], idempotency_key=scoped
                )
        except NotFound as error:
            raise PrefectNotReady(
                f"Prefect does not know the flow {entry.name} yet: `pilothouse serve flows` registers it when it starts.",
                retry_after=RETRY_AFTER,
            ) from error
        if scoped is not None:
            await self._kept.confirm(scoped, str(run.id))
        return await viewed(self._link, self._kept, run)

    async def read(self, run_id: str) -> RunView:
        """The run as it is now. Raises ``NotFound``, also for those of other workspaces or flows, and ``PrefectNotReady``."""
        run = await read_run(self._link, parsed_id(run_id))
        require_own_run(run.tags)
        return await viewed(self._link, self._kept, run)

    async def cancel(self, run_id: str) -> RunView:
        """Ask for the run's end: at once when it has not started, else once its process has stopped. An ended one stays so."""
        view = await self.read(run_id)
        if view.final:
            return view
        with in_our_words():
            await self._link.client.set_flow_run_state(parsed_id(run_id), Cancelling())
        return await self.read(run_id)

    def follow(self, run_id: str, after: Cursor, beat: float) -> AsyncGenerator[list[RunEvent], None]:
        """Batches of events past ``after``; an empty one after ``beat`` seconds of silence; ends by itself."""
        return self._feeds.follow(parsed_id(run_id), after, beat)

    async def aclose(self) -> None:
        """End what is being followed."""
        await self._feeds.aclose()


def _digest(value: object) -> bytes:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).digest()
