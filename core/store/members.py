"""Who is in which workspace: put there by hand, or because a group of a directory or provider is invited.

Membership by group is settled anew whenever the directory or provider vouches for somebody; what was said by hand stays.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from core.audit.entry import OURSELVES, By
from core.errors import InputInvalid, NotFound
from core.settings_access import ROLES, Role
from core.store.audit import noted
from core.store.base import Store
from core.store.users import UserRow, checked_role
from core.store.workspaces import Invitation, Member, no_such_workspace

# All CTEs see the table as it was before, hence the last part: by hand as it is, by group as it will be. That a workspace made
# here is there is checked at the statement's end.
_SETTLE = text("""
    WITH wanted AS (
        SELECT workspace, role FROM pilothouse.invitations WHERE group_name = ANY(CAST(:groups AS text[]))
        UNION ALL SELECT * FROM unnest(CAST(:named AS text[]), CAST(:roles AS text[]))
    ), best AS (
        SELECT DISTINCT ON (workspace) workspace, role FROM wanted
        ORDER BY workspace, array_position(CAST(:order AS text[]), role) DESC NULLS LAST
    ), made AS (
        INSERT INTO pilothouse.workspaces (name, title) SELECT name, name FROM unnest(CAST(:named AS text[])) AS name
        ON CONFLICT DO NOTHING RETURNING name
    ), gone AS (
        DELETE FROM pilothouse.members m WHERE user_id = :user AND by_group
            AND NOT EXISTS (SELECT FROM best WHERE best.workspace = m.workspace) RETURNING workspace
    ), put AS (
        INSERT INTO pilothouse.members AS m (workspace, user_id, role, by_group) SELECT workspace, :user, role, true FROM best
        ON CONFLICT (workspace, user_id) DO UPDATE SET role = EXCLUDED.role WHERE m.by_group AND m.role <> EXCLUDED.role
        RETURNING workspace
    ), by_hand AS (SELECT workspace, role FROM pilothouse.members WHERE user_id = :user AND NOT by_group)
    SELECT ARRAY(SELECT name FROM made) AS made, (SELECT count(*) FROM gone) + (SELECT count(*) FROM put) AS changed,
        (SELECT jsonb_object_agg(workspace, role) FROM (
            SELECT workspace, role FROM by_hand
            UNION ALL SELECT workspace, role FROM best WHERE workspace NOT IN (SELECT workspace FROM by_hand)) AS now) AS places
""")
_PUT = text("""
    INSERT INTO pilothouse.members (workspace, user_id, role, by_group) VALUES (:workspace, :user, :role, false)
    ON CONFLICT (workspace, user_id) DO UPDATE SET role = EXCLUDED.role, by_group = false
""")
_REMOVE = text("DELETE FROM pilothouse.members WHERE workspace = :workspace AND user_id = :user RETURNING by_group")
_INVITE = text("""
    INSERT INTO pilothouse.invitations (workspace, group_name, role) VALUES (:workspace, :group, :role)
    ON CONFLICT (workspace, group_name) DO UPDATE SET role = EXCLUDED.role RETURNING xmax::text <> '0' AS before
""")
_UNINVITE = text("DELETE FROM pilothouse.invitations WHERE workspace = :workspace AND group_name = :group RETURNING role")
# Nobody knows which group somebody came by: all who came by one log in again, and those who still may are in it then.
_AGAIN = text("""
    WITH gone AS (DELETE FROM pilothouse.members WHERE workspace = :workspace AND by_group RETURNING user_id)
    UPDATE pilothouse.logins SET ended_at = now() WHERE ended_at IS NULL AND user_id IN (SELECT user_id FROM gone)
""")
_END_LOGINS = text("UPDATE pilothouse.logins SET ended_at = now() WHERE ended_at IS NULL AND user_id = :user")
LONGEST = 500


@dataclass(frozen=True, slots=True)
class Membership:
    """Somebody in a workspace, as it may be shown."""

    user_id: str
    source: str
    login: str
    name: str
    role: str
    by_group: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """Where somebody is, by hand and by group, with which role. ``changed``: it was otherwise before."""

    places: Mapping[str, str] = field(default_factory=dict)
    changed: bool = False


class Members:
    """Questions about who is in which workspace."""

    def __init__(self, store: Store) -> None:
        self._store = store.system

    async def settle(self, user_id: str, groups: Collection[str], named: Mapping[str, Role]) -> Settled:
        """Somebody is in these groups now (lower case), and for the configuration in the workspaces ``named``, which are made."""
        values = {
            "user": user_id,
            "groups": list(groups),
            "named": list(named),
            "roles": list(named.values()),
            "order": list(ROLES),
        }
        async with self._store.begin() as connection:
            row = (await connection.execute(_SETTLE, values)).one()
            places: dict[str, str] = row.places or {}
            entries = [OURSELVES.entry("workspace.created", "success", name, title=name) for name in row.made]
            if row.changed:
                entries.append(OURSELVES.entry("workspace.members.settled", "success", f"user:{user_id}", workspaces=places))
            await noted(connection, *entries)
        return Settled(places, bool(row.changed))

    async def of(self, *user_ids: str) -> dict[str, dict[str, str]]:
        """By user: the workspaces that they are in, and as what."""
        wanted = select(Member.user_id, Member.workspace, Member.role).where(Member.user_id.in_(user_ids))
        found: dict[str, dict[str, str]] = {user_id: {} for user_id in user_ids}
        async with self._store.single() as connection:
            for row in await connection.execute(wanted.order_by(Member.workspace)):
                found[row.user_id][row.workspace] = row.role
        return found

    async def list(self, workspace: str) -> list[Membership]:
        """Who is in it, by what they log in with."""
        columns = (UserRow.id, UserRow.source, UserRow.login, UserRow.name, Member.role, Member.by_group)
        wanted = select(*columns).join(Member, Member.user_id == UserRow.id).where(Member.workspace == workspace)
        async with self._store.single() as connection:
            rows = await connection.execute(wanted.order_by(UserRow.login, UserRow.id))
            return [Membership(*row) for row in rows]

    async def put(self, workspace: str, user_id: str, role: str, by: By = OURSELVES) -> None:
        """Let somebody in, or give them another role there. Raises ``NotFound`` for a user or a workspace that there is not."""
        values = {"workspace": workspace, "user": user_id, "role": checked_role(role)}
        try:
            async with self._store.begin() as connection:
                await connection.execute(_PUT, values)
                said = {"workspace": workspace, "role": role}
                await noted(connection, by.entry("workspace.member.set", "success", f"user:{user_id}", **said))
        except IntegrityError as error:
            raise NotFound("No such user, or no such workspace.") from error

    async def remove(self, workspace: str, user_id: str, by: By = OURSELVES) -> None:
        """Raises ``NotFound`` for somebody who is not in it. Who came by a group has to log in again, and comes back by it."""
        async with self._store.begin() as connection:
            by_group = (await connection.execute(_REMOVE, {"workspace": workspace, "user": user_id})).scalar_one_or_none()
            if by_group is None:
                raise NotFound("Nobody of that id is in this workspace.")
            if by_group:
                await connection.execute(_END_LOGINS, {"user": user_id})
            await noted(connection, by.entry("workspace.member.removed", "success", f"user:{user_id}", workspace=workspace))

    async def invitations(self, workspace: str) -> dict[str, str]:
        """By group, in lower case: the role that its people have there."""
        wanted = select(Invitation.group_name, Invitation.role).where(Invitation.workspace == workspace)
        async with self._store.single() as connection:
            return {row.group_name: row.role for row in await connection.execute(wanted.order_by(Invitation.group_name))}

    async def invite(self, workspace: str, group: str, role: str, by: By = OURSELVES) -> None:
        """Whoever is in the group is in the workspace from their next login on. Raises ``NotFound`` and ``InputInvalid``."""
        name = _checked_group(group)
        values = {"workspace": workspace, "group": name, "role": checked_role(role)}
        try:
            async with self._store.begin() as connection:
                if (await connection.execute(_INVITE, values)).scalar_one():
                    await connection.execute(_AGAIN, {"workspace": workspace})
                await noted(connection, by.entry("workspace.invited", "success", workspace, group=name, role=role))
        except IntegrityError as error:
            raise no_such_workspace() from error

    async def uninvite(self, workspace: str, group: str, by: By = OURSELVES) -> None:
        """Raises ``NotFound``. All who are in the workspace by a group have to log in again."""
        name = _checked_group(group)
        async with self._store.begin() as connection:
            if (await connection.execute(_UNINVITE, {"workspace": workspace, "group": name})).first() is None:
                raise NotFound("This group is not invited.")
            await connection.execute(_AGAIN, {"workspace": workspace})
            await noted(connection, by.entry("workspace.uninvited", "success", workspace, group=name))


def _checked_group(group: str) -> str:
    name = group.strip().lower()
    if not 1 <= len(name) <= LONGEST or not name.isprintable():
        raise InputInvalid(f"A group's name has 1 to {LONGEST} printable characters.", field="group")
    return name
