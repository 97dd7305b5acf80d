"""Channels over HTTP: how it stands with each, and a message to try one."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from api.auth import require
from api.parts import TheParts
from core.alerts.routing import hidden_channels
from core.settings_alerts import ChannelSettings
from core.store.access import Principal
from core.store.notices import Notices, Outbox

router = APIRouter(prefix="/channels", tags=["alerts"])
Reader = Annotated[Principal, Depends(require("read"))]
Admin = Annotated[Principal, Depends(require("admin"))]


@router.get("", summary="Where alerts go")
async def list_channels(caller: Reader, parts: TheParts) -> dict[str, Any]:
    """Each configured channel with what waits for it, what was given up in the last day, and the last trouble. Never its URL.
    Workspaces but the default one see those that take alerts of theirs."""
    found = {outbox.channel: outbox for outbox in await Notices(parts.store).outboxes()}
    hidden = hidden_channels(caller.workspace, parts.settings.channels)
    seen = {name: each for name, each in parts.settings.channels.items() if name not in hidden}
    return {"channels": [_shown(name, each, found.get(name)) for name, each in seen.items()]}


@router.post("/{name}/test", summary="Send a test message")
async def try_channel(name: str, caller: Admin, parts: TheParts) -> dict[str, Any]:
    """Sends one message to a configured channel now; `{channel, status, words}` is what came back. A channel that refuses is 502,
    one that is away 503."""
    answer = await parts.alerting.trial(name)
    return {"channel": name, "status": answer.status, "words": answer.words}


def _shown(name: str, channel: ChannelSettings, outbox: Outbox | None) -> dict[str, Any]:
    return {
        "name": name,
        "kind": channel.kind,
        "severities": list(channel.severities),
        "services": list(channel.services),
        "platforms": list(channel.platforms),
        "fallback": channel.fallback,
        "waiting": outbox.waiting if outbox else 0,
        "oldestAt": outbox.oldest_at if outbox else None,
        "nextTryAt": outbox.due_at if outbox else None,
        "givenUp": outbox.given_up if outbox else 0,
        "sentAt": outbox.sent_at if outbox else None,
        "error": outbox.error if outbox else None,
    }
