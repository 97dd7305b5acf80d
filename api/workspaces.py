"""Workspaces over HTTP: made and deleted by the installation's administrators; who is in one, also by its own."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from api.audited import by
from api.auth import Require, require
from api.bodies import StrictBody
from api.parts import TheParts
from core.errors import Forbidden
from core.identity.signing_in import MANAGE
from core.settings_access import Role
from core.store.access import Principal
from core.store.members import Members
from core.store.workspaces import Workspace, no_such_workspace

router = APIRouter(prefix="/admin/workspaces", tags=["administration"])
Title = Annotated[str, Field(max_length=200)]


def within(caller: Principal, workspace: str) -> Principal:
    """The caller as they manage that workspace. Raises ``NotFound`` for one they are not in, ``Forbidden`` without that right."""
    there = caller.entering(workspace)
    if there is None:
        raise no_such_workspace()
    if not there.allows(MANAGE):
        raise Forbidden("Only an administrator of this workspace may do this.")
    return there


class Manages(Require):
    """As ``Require``, for administrators of the workspace in the path, and of the installation."""

    async def __call__(self, request: Request) -> Principal:
        caller = within(await super().__call__(request), request.path_params["workspace"])
        await request.app.state.parts.workspaces.known(caller.workspace)
        return caller


Admin = Annotated[Principal, Depends(require("admin"))]
Manager = Annotated[Principal, Depends(Manages())]


class NewWorkspace(StrictBody):
    """A workspace. Its name is for good."""

    name: Annotated[str, Field(min_length=1, max_length=39)]
    title: Title = ""


class ChangedWorkspace(StrictBody):
    """What shall change."""

    title: Title


class NewMember(StrictBody):
    """Who shall be in it: an id, or what they log in with."""

    user: Annotated[str, Field(min_length=1, max_length=254)]
    role: Role = "member"


class NewInvitation(StrictBody):
    """A group: a DN or common name of a directory, a claim's value of a provider; ``oidc:X:GROUP`` for that provider's alone."""

    group: Annotated[str, Field(min_length=1, max_length=500)]
    role: Role = "member"


@router.get("", summary="Workspaces, by name")
async def workspaces(parts: TheParts, _caller: Admin) -> dict[str, Any]:
    """All of them."""
    return {"workspaces": [shown(each) for each in await parts.workspaces.list()]}


@router.post("", status_code=201, summary="Make a workspace")
async def create(body: NewWorkspace, request: Request, parts: TheParts, _caller: Admin) -> dict[str, Any]:
    """409 where the name is taken."""
    return shown(await parts.workspaces.create(body.name, body.title, by(request)))


@router.patch("/{workspace}", summary="Give a workspace another title")
async def rename(workspace: str, body: ChangedWorkspace, request: Request, parts: TheParts, _caller: Admin) -> dict[str, Any]:
    """The name stays."""
    return shown(await parts.workspaces.rename(workspace, body.title, by(request)))


@router.delete("/{workspace}", status_code=204, summary="Delete an empty workspace")
async def remove(workspace: str, request: Request, parts: TheParts, _caller: Admin) -> Response:
    """409 says what is in it. Its invitations go with it."""
    await parts.workspaces.delete(workspace, by(request))
    return Response(status_code=204)


@router.get("/{workspace}/members", summary="Who is in a workspace")
async def members(parts: TheParts, caller: Manager) -> dict[str, Any]:
    """`byGroup`: for as long as a group of theirs is invited."""
    found = await Members(parts.store).list(caller.workspace)
    return {
        "members": [
            {
                "userId": each.user_id,
                "source": each.source,
                "login": each.login,
                "name": each.name,
                "role": each.role,
                "byGroup": each.by_group,
            }
            for each in found
        ]
    }


@router.put("/{workspace}/members", status_code=204, summary="Let somebody in, or give them another role there")
async def put_member(body: NewMember, request: Request, parts: TheParts, caller: Manager) -> Response:
    """Who was in no workspace by name was in the default one, and is in this one alone from then on."""
    user = await parts.users.found(body.user)
    await Members(parts.store).put(caller.workspace, user.id, body.role, by(request))
    parts.signing_in.forget()
    return Response(status_code=204)


@router.delete("/{workspace}/members/{user_id}", status_code=204, summary="Take somebody out of a workspace")
async def remove_member(user_id: str, request: Request, parts: TheParts, caller: Manager) -> Response:
    """Who came by a group has to log in again, and is back by that as long as it is invited."""
    await Members(parts.store).remove(caller.workspace, user_id, by(request))
    parts.signing_in.forget()
    return Response(status_code=204)


@router.get("/{workspace}/invitations", summary="Groups whose people are in a workspace")
async def invitations(parts: TheParts, caller: Manager) -> dict[str, Any]:
    """Groups as they are compared: in lower case."""
    found = await Members(parts.store).invitations(caller.workspace)
    return {"invitations": [{"group": group, "role": role} for group, role in found.items()]}


@router.put("/{workspace}/invitations", status_code=204, summary="Invite a group, or give it another role")
async def invite(body: NewInvitation, request: Request, parts: TheParts, caller: Manager) -> Response:
    """Its people are in the workspace from their next login on. Another role: all who came by a group log in again."""
    await Members(parts.store).invite(caller.workspace, body.group, body.role, by(request))
    parts.signing_in.forget()
    return Response(status_code=204)


@router.delete("/{workspace}/invitations/{group:path}", status_code=204, summary="Invite a group no more")
async def uninvite(group: str, request: Request, parts: TheParts, caller: Manager) -> Response:
    """All who came by a group log in again."""
    await Members(parts.store).uninvite(caller.workspace, group, by(request))
    parts.signing_in.forget()
    return Response(status_code=204)


def shown(workspace: Workspace) -> dict[str, Any]:
    """As JSON values."""
    return {"name": workspace.name, "title": workspace.title, "createdAt": workspace.created_at}
