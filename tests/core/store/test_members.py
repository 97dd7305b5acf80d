"""Who is in which workspace: by hand, by groups that are invited, and by groups that the configuration names."""

import asyncio

import pytest
from sqlalchemy import text

from core.errors import InputInvalid, NotFound
from core.identity.directory import names_of, places_of
from core.settings_access import Role
from core.store.audit import Audit
from core.store.base import Store
from core.store.logins import Logins
from core.store.members import Members
from core.store.users import User, Users
from core.store.workspaces import Workspaces


@pytest.fixture
async def ann(store: Store) -> User:
    for name in ("research", "sales"):
        await Workspaces(store).create(name)
    return await Users(store).met("ldap", "ann", "", "Ann", "member")


async def test_groups_are_settled_anew_and_what_was_said_by_hand_stays(store: Store, ann: User) -> None:
    members = Members(store)
    await members.put("sales", ann.id, "viewer")
    await members.invite("research", " CN=Eng,DC=example ", "member")
    await members.invite("research", "leads", "admin")
    await members.invite("sales", "leads", "admin")
    first = await members.settle(ann.id, ["cn=eng,dc=example", "leads"], {"new-one": "operator", "research": "viewer"})
    assert (first.places, first.changed) == ({"research": "admin", "sales": "viewer", "new-one": "operator"}, True)
    assert (await members.of(ann.id))[ann.id] == first.places
    again = await members.settle(ann.id, ["cn=eng,dc=example", "leads"], {"new-one": "operator", "research": "viewer"})
    assert (again.places, again.changed) == (first.places, False)
    taken_out = await members.settle(ann.id, ["cn=eng,dc=example"], {})
    assert (taken_out.places, taken_out.changed) == ({"research": "member", "sales": "viewer"}, True)
    assert (await members.of(ann.id))[ann.id] == taken_out.places
    assert [(each.login, each.role, each.by_group) for each in await members.list("research")] == [("ann", "member", True)]
    assert "new-one" in [each.name for each in await Workspaces(store).list()]


async def test_many_logins_at_once_leave_one_membership(store: Store, ann: User) -> None:
    named: dict[str, Role] = {f"made-{number}": "member" for number in range(5)}
    settled = await asyncio.gather(*(Members(store).settle(ann.id, [], named) for _ in range(4)))
    assert [each.places for each in settled] == [named] * 4
    assert (await Members(store).of(ann.id))[ann.id] == named


async def test_a_group_that_is_invited_no_more_ends_the_logins_it_let_in(store: Store, ann: User) -> None:
    members, logins = Members(store), Logins(store, 14)
    carl = await Users(store).met("ldap", "carl", "", "Carl", "member")
    await members.put("research", carl.id, "member")
    await members.invite("research", "eng", "operator")
    await members.settle(ann.id, ["eng"], {})
    login, _ = await logins.start(ann.id, "api", "", "")
    kept, _ = await logins.start(carl.id, "api", "", "")
    standing = await logins.standing(login)
    assert standing is not None
    assert standing.places == {"research": "operator"}
    await members.uninvite("research", "ENG")
    assert await logins.standing(login) is None
    assert await logins.standing(kept) is not None
    assert (await members.of(ann.id, carl.id)) == {ann.id: {}, carl.id: {"research": "member"}}
    with pytest.raises(NotFound):
        await members.uninvite("research", "eng")


async def test_who_was_taken_out_by_hand_is_out_and_every_change_is_told(store: Store, ann: User) -> None:
    members = Members(store)
    await members.put("research", ann.id, "admin")
    await members.remove("research", ann.id)
    assert await members.list("research") == []
    with pytest.raises(NotFound):
        await members.remove("research", ann.id)
    for workspace, user in (("research", "nobody"), ("nowhere", ann.id)):
        with pytest.raises(NotFound):
            await members.put(workspace, user, "member")
    with pytest.raises(NotFound):
        await members.invite("nowhere", "eng", "member")
    with pytest.raises(InputInvalid):
        await members.invite("research", "eng", "root")
    async with store.system.single() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM pilothouse.invitations"))).scalar() == 0
    told = [each.action for each in await Audit(store).page(50) if each.action.startswith("workspace.member")]
    assert told == ["workspace.member.removed", "workspace.member.set"]


def test_a_group_may_be_invited_from_one_place_alone() -> None:
    assert names_of("oidc:keycloak", ["Eng", "ldap:admins"]) == ["eng", "oidc:keycloak:eng", "oidc:keycloak:ldap:admins"]
    assert places_of({"ENG": "research:admin", "all": "research:viewer", "no": "sales"}, ["eng", "All"]) == {"research": "admin"}
