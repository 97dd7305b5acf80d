"""What the routes work with: made once per process at start, in order, and released in reverse."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from prefect.context import AsyncClientContext, SyncClientContext
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from blocks.identity_providers import identity_providers
from blocks.ldap_directory import ldap_directory
from blocks.models import Models
from core.config import Settings
from core.identity.access_tokens import AccessTokens
from core.identity.elsewhere import Elsewhere
from core.identity.signing_in import SigningIn
from core.ids import new_id
from core.quotas.gate import Gate
from core.store.access import Tokens
from core.store.base import Store
from core.store.processes import Processes
from core.store.prompts import Prompts
from core.store.roles import prepared_roles
from core.store.runs import Runs
from core.store.schema import migrate
from core.store.sessions import Sessions
from core.store.tool_runs import ToolRuns
from core.store.turns import Turns
from core.store.users import Users
from core.store.workspaces import Workspaces
from core.streams import Streams
from core.tools.toolbox import Toolbox
from flows.alerting import Alerting
from flows.answering import streams_for, turns_for
from flows.asking import Desk
from flows.auditing import AuditLog
from flows.catalogue import TAG
from flows.chat import Conversations
from flows.files import KeptFiles, files_for
from flows.holding import OpenRuns
from flows.ledger import TurnLedger
from flows.prefect_link import PrefectLink
from flows.quotas import gate_for
from flows.relay import EventRelay
from flows.runs import FlowRuns
from flows.standby import Standby
from flows.tool_requests import ToolRequests
from flows.tools import ToolCalls
from flows.tracking import HELD, RunKeeper, boot_tag, installation_tag
from flows.workbench import bench_for

GRACE = 8.0
"""Seconds that turns being answered get to end when the process is told to stop."""


@dataclass(frozen=True)
class Parts:
    """Everything that a route may ask for."""

    settings: Settings
    store: Store
    sessions: Sessions
    turns: Turns
    tokens: Tokens
    users: Users
    workspaces: Workspaces
    signing_in: SigningIn
    elsewhere: Elsewhere
    streams: Streams
    models: Models
    conversations: Conversations
    tool_calls: ToolCalls
    tool_requests: ToolRequests
    files: KeptFiles
    toolbox: Toolbox
    gate: Gate
    desk: Desk
    link: PrefectLink
    runs: FlowRuns
    relay: EventRelay
    alerting: Alerting
    audit: AuditLog


def the_parts(request: Request) -> Parts:
    """The process's parts, for a route."""
    parts: Parts = request.app.state.parts
    return parts


TheParts = Annotated[Parts, Depends(the_parts)]


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Parts]:
    """The parts, working, until the block ends. Raises ``ConfigurationInvalid``, ``DatabaseTooNew``, ``DatabaseUnavailable``."""
    boot_id = new_id()
    async with AsyncExitStack() as stack:
        store = await _store(stack, settings)
        audit = _audit(stack, settings, store)
        tokens = Tokens(store, settings.auth_token.get_secret_value() if settings.auth_token else None)
        streams = streams_for(settings)
        stack.push_async_callback(streams.aclose)
        models = Models.from_settings(settings)
        stack.push_async_callback(models.aclose)
        turns = turns_for(settings, store)
        link = await stack.enter_async_context(PrefectLink.opened())
        relay = EventRelay(settings.prefect.event_backlog)
        relay.install()
        installation = await Processes(store).installation()
        open_runs = await _open_runs(stack, settings, link, boot_id, installation)
        conversations = Conversations(open_runs)
        gate = _gate(stack, settings, store, boot_id)
        files = files_for(settings, store, gate)
        bench = await stack.enter_async_context(bench_for(settings))
        tool_calls = ToolCalls(boot_id, ToolRuns(store), bench, files.keeper, open_runs, told=audit.call, gate=gate)
        toolbox = Toolbox.from_settings(settings, tool_calls)
        stack.push_async_callback(_drain, relay, link)
        ledger = TurnLedger(boot_id, "api", store, conversations.turns)
        ledger.on_orphans.append(audit.interrupted)
        conversations.on_end.append(ledger.note)
        tool_calls.on_end.append(ledger.keep_later)
        await _keeping(stack, ledger, RunKeeper(boot_id, installation, store, open_runs, link, relay), gate)
        stack.push_async_callback(open_runs.aclose)
        stack.push_async_callback(tool_calls.aclose, GRACE)
        stack.push_async_callback(conversations.aclose, GRACE)
        alerting = await _watching(stack, settings, store, Alerting(boot_id, settings, store, open_runs), link)
        runs = FlowRuns(link, Runs(store))
        stack.push_async_callback(runs.aclose)
        yield Parts(
            settings=settings,
            store=store,
            sessions=Sessions(store, settings.chat.idle_days * 86400),
            turns=turns,
            tokens=tokens,
            users=Users(store),
            workspaces=Workspaces(store),
            signing_in=(signing_in := _signing_in(stack, settings, store, audit)),
            elsewhere=_elsewhere(settings, signing_in),
            streams=streams,
            models=models,
            conversations=conversations,
            tool_calls=tool_calls,
            tool_requests=ToolRequests(link, runs, ToolRuns(store), gate=gate),
            files=files,
            toolbox=toolbox,
            gate=gate,
            desk=Desk(boot_id, turns, Prompts(store), streams, models, toolbox, audit.turn, gate),
            link=link,
            runs=runs,
            relay=relay,
            alerting=alerting,
            audit=audit,
        )


async def _store(stack: AsyncExitStack, settings: Settings) -> Store:
    url = settings.database.url.get_secret_value() if settings.database.url else ""
    await migrate(url)
    store = Store.from_settings(settings.database, "pilothouse api", await prepared_roles(url))
    stack.push_async_callback(store.aclose)
    return store


def _audit(stack: AsyncExitStack, settings: Settings, store: Store) -> AuditLog:
    """Without a configured key, seals are signed with one that nobody knows any more once this process has ended."""
    key = settings.audit.key.get_secret_value() if settings.audit.key else secrets.token_urlsafe(32)
    audit = AuditLog(store, settings.audit, key, settings.data_dir)
    audit.start()
    audit.configured(settings)
    stack.push_async_callback(audit.stop)
    return audit


def _gate(stack: AsyncExitStack, settings: Settings, store: Store, boot_id: str) -> Gate:
    gate = gate_for(settings, store, boot_id)
    stack.push_async_callback(gate.aclose)
    return gate


async def _keeping(stack: AsyncExitStack, ledger: TurnLedger, keeper: RunKeeper, gate: Gate) -> None:
    """What is in flight, kept; what dead processes left, ended, and given back what was held for it."""
    ledger.on_orphans.append(keeper.crash)
    ledger.on_lease.append(gate.tend)
    await ledger.start()
    stack.push_async_callback(ledger.stop)
    keeper.start()
    stack.push_async_callback(keeper.stop)


async def _watching(stack: AsyncExitStack, settings: Settings, store: Store, alerting: Alerting, link: PrefectLink) -> Alerting:
    """What tells people of alerts, and sweeps where the flow does not."""
    await alerting.start()
    stack.push_async_callback(alerting.stop, GRACE)
    standby = Standby(settings, store, link)
    standby.start()
    stack.push_async_callback(standby.stop)
    return alerting


def _signing_in(stack: AsyncExitStack, settings: Settings, store: Store, audit: AuditLog) -> SigningIn:
    """Without a configured key, access tokens are signed with one that dies with this process."""
    access, directory = settings.access, ldap_directory(settings)
    key = access.jwt_secret.get_secret_value() if access.jwt_secret else secrets.token_urlsafe(32)
    signs = AccessTokens([key, *(before.get_secret_value() for before in access.jwt_secrets_before)], access.access_minutes)
    signing_in = SigningIn(
        store, access, signs, [directory] if directory is not None else [], audit.keep, settings.ldap.cache_seconds
    )
    stack.callback(signing_in.close)
    if directory is not None:
        stack.callback(directory.close)
    return signing_in


def _elsewhere(settings: Settings, signing_in: SigningIn) -> Elsewhere:
    secret = settings.access.session_secret or settings.access.jwt_secret
    key = secret.get_secret_value() if secret is not None else secrets.token_urlsafe(32)
    return Elsewhere(identity_providers(settings), signing_in, key)


async def _drain(relay: EventRelay, link: PrefectLink) -> None:
    if link.presence.up:
        await relay.drain(3.0)


async def _open_runs(stack: AsyncExitStack, settings: Settings, link: PrefectLink, boot_id: str, installation: str) -> OpenRuns:
    """What runs opened later shall find around them: one client, no thread for each run's heartbeat."""
    await stack.enter_async_context(AsyncClientContext.get_or_create())
    # Never used to call, but asked for twice by every flow run that opens, and each of its own holds 2 MB of certificates.
    stack.enter_context(SyncClientContext.get_or_create())
    stack.enter_context(temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}))
    tagged = (TAG, HELD, boot_tag(boot_id), installation_tag(installation))
    return OpenRuns(link.presence, idle=settings.chat.run_idle, items=settings.chat.run_items, tagged=tagged)
