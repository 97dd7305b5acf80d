"""Limits that administrators set while all runs."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import TypeAdapter, ValidationError

from api.auth import require
from api.parts import TheParts
from core.errors import InputInvalid, NotFound
from core.quotas.limits import KINDS, Given
from core.settings_quotas import CallerQuotas
from core.store.access import Principal
from core.store.quotas import Quotas

router = APIRouter(prefix="/admin/quotas", tags=["administration"])
Admin = Annotated[Principal, Depends(require("admin"))]
Kind = Literal["workspace", "token"]


@router.get("", summary="Which limits hold, and who set them")
async def quotas(parts: TheParts, _caller: Admin) -> dict[str, Any]:
    """Of every workspace that has no other (`default`), and of each workspace and token that has limits of its own. `origin` is
    `admin` for what was set here, `file` for the configuration, `default` for what holds where nobody said anything."""
    limits = await parts.gate.limits()
    return {
        "quotas": [
            {"kind": kind, "name": name, "limits": _told(limits.of(kind, name))}  # type: ignore[arg-type]  # as they were set
            for kind, name in limits.known()
        ]
    }


@router.put("", summary="Set what every workspace may use that has no other limits")
async def set_default(body: dict[str, Any], parts: TheParts, caller: Admin) -> dict[str, Any]:
    """In place of what was set here before: what is left out is as the configuration has it."""
    return await _set(parts, "default", "", body, caller)


@router.delete("", status_code=204, summary="Go back to the configuration")
async def clear_default(parts: TheParts, _caller: Admin) -> Response:
    """404 where nothing was set."""
    return await _clear(parts, "default", "")


@router.put("/{kind}/{name:path}", summary="Set what a workspace or a token may use")
async def set_quota(kind: Kind, name: str, body: dict[str, Any], parts: TheParts, caller: Admin) -> dict[str, Any]:
    """`name` is a workspace's; a token's id or name; `user:ID` or a login. The limits are named as in the configuration, such as
    `{"turns_per_day": 500, "streams": "off"}`."""
    return await _set(parts, kind, name, body, caller)


@router.delete("/{kind}/{name:path}", status_code=204, summary="Go back to the configuration for a workspace or a token")
async def clear_quota(kind: Kind, name: str, parts: TheParts, _caller: Admin) -> Response:
    """404 where nothing was set."""
    return await _clear(parts, kind, name)


async def _set(parts: TheParts, kind: str, name: str, body: dict[str, Any], caller: Principal) -> dict[str, Any]:
    if kind == "workspace":
        await parts.workspaces.known(name)
    limits = _checked(KINDS[kind], body)
    await Quotas(parts.store).set(kind, name, limits, caller.token_id)
    parts.gate.forget()
    now = await parts.gate.limits()
    return {"kind": kind, "name": name, "limits": _told(now.of(kind, name))}  # type: ignore[arg-type]  # checked above


async def _clear(parts: TheParts, kind: str, name: str) -> Response:
    if not await Quotas(parts.store).clear(kind, name):
        raise NotFound("Nothing was set there.")
    parts.gate.forget()
    return Response(status_code=204)


def _checked(kind: type[CallerQuotas], body: dict[str, Any]) -> dict[str, Any]:
    try:
        return TypeAdapter(kind).validate_python(body).model_dump(exclude_none=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])[:100]
        said = "there is no such limit" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        raise InputInvalid(f"{field}: {said}", field=field) from error


def _told(limits: dict[str, Given]) -> dict[str, Any]:
    return {name: {"value": given.value, "origin": given.origin} for name, given in sorted(limits.items())}
