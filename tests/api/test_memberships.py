"""Workspaces over HTTP: made, filled and deleted; who lets whom in; tokens that a workspace's administrator makes."""

from api.auth import COOKIE
from tests.api.peopled import MINE, THEIRS, Peopled


async def test_a_workspace_from_its_making_to_its_end(people: Peopled) -> None:
    async with people.client("root") as root:
        made = await root.post("/admin/workspaces", json={"name": "physics", "title": "Physics 物理"})
        assert (made.status_code, made.json()["title"]) == (201, "Physics 物理")
        assert (await root.post("/admin/workspaces", json={"name": "physics"})).status_code == 409
        assert (await root.post("/admin/workspaces", json={"name": "Physics!"})).status_code == 422
        renamed = await root.patch("/admin/workspaces/physics", json={"title": "Optics"})
        assert renamed.json()["title"] == "Optics"
        assert "physics" in [each["name"] for each in (await root.get("/admin/workspaces")).json()["workspaces"]]
        chosen = {"X-Workspace": "physics"}
        session = (await root.post("/chat/sessions", json={}, headers=chosen)).json()["sessionId"]
        asked = {"messages": [{"role": "user", "content": "x"}], "modelConfig": {"model": "plain"}, "stream": False}
        assert (await root.post(f"/chat/{session}", json=asked, headers=chosen)).status_code == 200
        token = (await root.post("/admin/tokens", json={"name": "a", "scopes": ["chat"], "workspace": "physics"})).json()
        await root.put("/admin/workspaces/physics/members", json={"user": "default-viewer@example.com"})
        refused = await root.delete("/admin/workspaces/physics")
        assert refused.status_code == 409
        assert all(each in refused.json()["detail"] for each in ("1 member", "1 session", "1 token", "1 turn", "2 messages"))
        assert (await root.delete(f"/chat/sessions/{session}", headers=chosen)).status_code == 204
        assert (await root.delete(f"/admin/tokens/{token['id']}")).status_code == 204
        user = (await root.get("/admin/workspaces/physics/members")).json()["members"][0]["userId"]
        assert (await root.delete(f"/admin/workspaces/physics/members/{user}")).status_code == 204
        assert (await root.delete("/admin/workspaces/physics")).status_code == 204
        assert (await root.delete("/admin/workspaces/physics")).status_code == 404
        assert (await root.get("/chat/sessions", headers=chosen)).status_code == 404, "and nobody works in it any more"
        assert (await root.delete("/admin/workspaces/default")).status_code == 409
        told = (await root.get("/admin/audit", params={"action": "workspace.deleted"})).json()["entries"]
        assert [(each["object"], each["actor"]) for each in told] == [("physics", f"user:{people.users['root']}")]


async def test_its_administrator_lets_people_in_and_nobody_else_elsewhere(people: Peopled) -> None:
    members, invitations = f"/admin/workspaces/{MINE}/members", f"/admin/workspaces/{MINE}/invitations"
    async with people.client(f"{MINE} admin") as admin, people.client("default member") as newcomer:
        assert (await newcomer.get("/auth/me")).json()["workspaces"] == [{"name": "default", "role": "member"}]
        user = people.users["default member"]
        assert (await admin.put(members, json={"user": user, "role": "operator"})).status_code == 204
        said = (await newcomer.get("/auth/me")).json()
        assert (said["workspace"], said["workspaces"]) == (MINE, [{"name": MINE, "role": "operator"}])
        assert (await newcomer.get("/chat/sessions", headers={"X-Workspace": "default"})).status_code == 403
        assert (await newcomer.put(members, json={"user": user, "role": "admin"})).status_code == 403
        assert (await admin.delete(f"{members}/{user}")).status_code == 204
        assert (await newcomer.get("/auth/me")).json()["workspace"] == "default"
        group = "CN=Eng/Ops,OU=Groups,DC=example"
        assert (await admin.put(invitations, json={"group": group, "role": "viewer"})).status_code == 204
        assert {"group": group.lower(), "role": "viewer"} in (await admin.get(invitations)).json()["invitations"]
        assert (await admin.delete(f"{invitations}/{group}")).status_code == 204
        assert (await admin.delete(f"{invitations}/{group}")).status_code == 404
        for path in (f"/admin/workspaces/{THEIRS}/members", "/admin/workspaces/nowhere/members"):
            assert (await admin.get(path)).status_code == 404, "nobody learns of workspaces that they are not in"
            assert (await admin.put(path, json={"user": user})).status_code == 404
        assert (await admin.get("/admin/workspaces")).status_code == 403


async def test_a_workspaces_administrator_gives_what_they_have_and_no_more(people: Peopled) -> None:
    async def status(**body: object) -> int:
        return (await admin.post("/admin/tokens", json={"name": "a", "scopes": ["chat"]} | body)).status_code

    async with people.client(f"{MINE} admin") as admin, people.client("root") as root:
        assert await status(scopes=["admin"]) == 403
        assert await status(scopes=["chat", "flows:restore"]) == 403
        assert await status(scopes=["manage"]) == 422
        assert await status(workspace=THEIRS) == 404
        assert await status(workspace="default") == 404
        made = (await admin.post("/admin/tokens", json={"name": "dify", "scopes": ["chat", "flows:backup"]})).json()
        assert (made["workspace"], made["status"]) == (MINE, "active")
        own = (await admin.get("/admin/tokens")).json()["tokens"]
        assert {each["workspace"] for each in own} == {MINE}
        assert made["id"] in [each["id"] for each in own]
        assert "admin" not in {scope for each in own for scope in each["scopes"]}
        everywhere = (await root.get("/admin/tokens")).json()["tokens"]
        theirs = [each["id"] for each in everywhere if each["workspace"] == THEIRS]
        above = [each["id"] for each in everywhere if each["workspace"] == MINE and each["scopes"] == ["admin"]]
        assert {(await admin.delete(f"/admin/tokens/{each}")).status_code for each in (*theirs, *above)} == {404}
        bearer = {"Authorization": f"Bearer {made['token']}"}
        assert (await root.post("/chat/sessions", json={}, headers=bearer)).status_code == 201
        assert (await admin.delete(f"/admin/tokens/{made['id']}")).status_code == 204
        assert (await root.post("/chat/sessions", json={}, headers=bearer)).status_code == 401
        assert "token" not in (await admin.get("/admin/tokens")).json()["tokens"][0]


async def test_an_administrator_of_a_workspace_is_none_for_programs_behind(people: Peopled) -> None:
    async def verified(who: str, workspace: str = "", role: str = "viewer") -> tuple[int, str | None, str | None]:
        headers = {"Cookie": f"{COOKIE}={people.cookies[who]}"} | ({"X-Workspace": workspace} if workspace else {})
        answer = await client.get("/auth/verify", params={"role": role}, headers=headers)
        return answer.status_code, answer.headers.get("x-auth-workspace"), answer.headers.get("x-auth-role")

    async with people.client() as client:
        assert await verified(f"{MINE} admin") == (200, MINE, "operator")
        assert await verified(f"{MINE} admin", role="admin") == (403, None, None)
        assert await verified(f"{MINE} viewer", role="member") == (403, None, None), "the account's own role counts elsewhere"
        assert await verified(f"{MINE} viewer", THEIRS) == (403, None, None)
        assert await verified("default operator") == (200, "default", "operator")
        assert await verified("root", THEIRS, "admin") == (200, THEIRS, "admin")
