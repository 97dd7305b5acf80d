"""Who may do what: every path of the application, as each role and token, in their own workspace and in another.

``RULES`` is the whole of it, in words of its own: a path without a rule fails, a rule without a path too.
"""

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from api.app import create_app
from core.config import Settings
from core.ids import new_id
from tests.api.peopled import MINE, THEIRS, Peopled
from tests.api.serving import Chat, beside
from tests.waiting import eventually

# open: without a token. own: looks for credentials itself, and nobody's are none. anyone: every login and token. Else the scopes
# of which one is needed; "@default": only in the default workspace. HEAD is as GET. The last column is a well-formed body.
RULES = """
open                   GET     /
open                   GET     /health
open                   GET     /ready
open                   GET     /docs
open                   GET     /api-docs
open                   GET     /docs/{name}
open                   GET     /openapi.json
open                   GET     /openapi
open                   GET     /files/{key}
open                   GET     /imgs/tools/{name}
open                   GET     /login
own                    POST    /login
open                   POST    /logout
open                   POST    /auth/login
open                   POST    /auth/refresh
open                   POST    /auth/logout
open                   GET     /auth/oidc/{name}/login
open                   GET     /auth/oidc/{name}/callback
own                    GET     /auth/verify
anyone                 GET     /auth/me
chat                   POST    /chat/sessions
chat                   GET     /chat/sessions
chat                   DELETE  /chat/sessions/{session_id}
chat                   POST    /chat/{session_id}                                {"messages": [{"role": "user", "content": "x"}]}
chat                   GET     /chat/{session_id}/turns/{turn_id}
chat                   GET     /chat/{session_id}/turns/{turn_id}/events
chat                   POST    /chat/{session_id}/turns/{turn_id}/cancel
chat                   GET     /history/{session_id}
chat                   GET     /v1/models
chat                   GET     /v1/models/{model}
chat                   POST    /v1/chat/completions
tools                  GET     /tools
tools                  POST    /tools/{tool_id}/runs
anyone                 GET     /flows
flows:backup|flows:*   POST    /flows/{name}/runs                                {"parameters": {"unknown": 1}}
anyone                 GET     /runs/{run_id}
anyone                 GET     /runs/{run_id}/events
anyone                 POST    /runs/{run_id}/cancel
read                   GET     /backups
admin                  POST    /backups/{backup_id}/restore                      {"target": "x", "confirm": "x"}
alerts                 POST    /alerts
alerts                 POST    /alerts/alertmanager
read                   GET     /alerts
read                   GET     /silences
admin                  POST    /silences
admin                  DELETE  /silences/{silence_id}
read                   GET     /channels
admin                  POST    /channels/{name}/test
heartbeat@default      POST    /heartbeats/{name}
read                   GET     /status
read                   GET     /status.json
read                   GET     /metrics
read                   GET     /usage
admin                  GET     /admin/audit
admin                  GET     /admin/users
admin                  POST    /admin/users
admin                  PATCH   /admin/users/{user_id}                            {"disabled": false}
admin                  GET     /admin/workspaces
admin                  POST    /admin/workspaces
admin                  PATCH   /admin/workspaces/{workspace}                     {"title": "x"}
admin                  DELETE  /admin/workspaces/{workspace}
manage                 GET     /admin/workspaces/{workspace}/members
manage                 PUT     /admin/workspaces/{workspace}/members             {"user": "nobody"}
manage                 DELETE  /admin/workspaces/{workspace}/members/{user_id}
manage                 GET     /admin/workspaces/{workspace}/invitations
manage                 PUT     /admin/workspaces/{workspace}/invitations         {"group": "x"}
manage                 DELETE  /admin/workspaces/{workspace}/invitations/{group}
admin                  GET     /admin/quotas
admin                  PUT     /admin/quotas
admin                  DELETE  /admin/quotas
admin                  PUT     /admin/quotas/{kind}/{name}
admin                  DELETE  /admin/quotas/{kind}/{name}
manage                 GET     /admin/tokens
manage                 POST    /admin/tokens                                     {"name": "x", "scopes": ["read"]}
manage                 DELETE  /admin/tokens/{token_id}
plugin|tools           GET     /tool/list
plugin|tools           GET     /tool/get
plugin|tools           GET     /tool/getType
plugin|tools           GET     /tool/getTags
plugin|tools           POST    /tool/run
plugin|tools           POST    /tool/runstream
plugin|tools           ANY     /tool/upload/{what}
plugin|tools           GET     /model/list
plugin|tools           GET     /model/getProviders
plugin|tools           GET     /workflow/list
plugin|tools           GET     /api/models
plugin|tools           GET     /api/models/get-providers
plugin|tools           GET     /api/list
plugin|tools           GET     /api/tools
plugin|tools           GET     /api/tools/tags
plugin|tools           GET     /api/tools/{tool_id}
plugin|tools           POST    /api/tools/run-stream
plugin|tools           ANY     /api/tools/upload/{what}
plugin|tools           GET     /api/tool
plugin|tools           POST    /api/tool/runStream
plugin|tools           GET     /api/plugins
plugin|tools           GET     /api/plugin/versions
plugin|tools           GET     /api/plugin/tags
plugin|tools           GET     /api/plugin/features
plugin|tools           ANY     /api/plugin/{what}
plugin|tools           ANY     /api/{path}
"""
READS = {"read"}
MEMBER = READS | {"chat", "tools"}
OPERATOR = MEMBER | {"plugin", "alerts", "heartbeat", "flows:*"}
MAY: Mapping[str, set[str]] = {
    "nobody": set(),
    f"{MINE} viewer": READS,
    f"{MINE} member": MEMBER,
    f"{MINE} operator": OPERATOR,
    f"{MINE} admin": OPERATOR | {"manage"},
    "default operator": OPERATOR,
    "root": {"admin"},
    **{
        f"{MINE} token {scope}": {scope}
        for scope in ("chat", "tools", "plugin", "alerts", "heartbeat", "read", "flows:backup", "flows:*")
    },
}
STRANGERS = [f"{MINE} operator", f"{MINE} admin", f"{MINE} token chat", f"{MINE} token read", "default operator", "root"]
OWNED = {"session_id", "turn_id", "run_id", "silence_id", "backup_id", "token_id", "workspace"}
"""Names of ids in paths of what belongs to a workspace."""
NOBODYS = {"name": "backup", "kind": "workspace"} | dict.fromkeys(
    ("model", "path", "what", "group", "key", "tool_id", "user_id"), "x1"
)
"""What stands in paths where nothing else is said."""


@dataclass(frozen=True)
class Rule:
    """Who may ask this."""

    who: str
    method: str
    path: str
    body: Any

    @property
    def names(self) -> set[str]:
        return set(re.findall(r"\{(\w+)\}", self.path))

    def allows(self, caller: str) -> bool:
        scopes, _, place = self.who.partition("@")
        if place and caller.startswith(MINE):
            return False
        return scopes == "anyone" or "admin" in MAY[caller] or bool(set(scopes.split("|")) & MAY[caller])

    def address(self, ids: Mapping[str, str]) -> str:
        return self.path.format_map(NOBODYS | dict(ids))


def rules() -> list[Rule]:
    found = []
    for line in RULES.strip().splitlines():
        who, method, path, *body = line.split(maxsplit=3)
        found.append(Rule(who, method, path, json.loads(body[0]) if body else {}))
    return found


ASKED = [rule for rule in rules() if rule.who not in ("open", "own")]


def routes(folder: Path) -> set[tuple[str, str]]:
    """Method and path of everything that the application answers; what answers all methods alike as ``ANY``."""
    app = create_app(Settings.model_validate({"data_dir": folder}))
    # Routers that are included show their routes through contexts, which no public name of the framework gives.
    contexts: Iterable[Any] = [
        context
        for route in app.routes
        for context in (route.effective_route_contexts() if hasattr(route, "effective_route_contexts") else [route])
    ]
    found = set()
    for context in contexts:
        path = re.sub(r":path\}", "}", context.path)
        methods = set(context.methods or ())
        for method in ["ANY"] if len(methods) > 2 else ["GET" if each == "HEAD" else each for each in methods]:
            found.add((method, path))
    return found


async def asked(client: httpx.AsyncClient, rule: Rule, ids: Mapping[str, str], **headers: str) -> httpx.Response:
    """The answer; of a stream, which may go on for long, its head."""
    method = "POST" if rule.method == "ANY" else rule.method
    body = None if method in ("GET", "DELETE") else rule.body
    answer = await client.send(client.build_request(method, rule.address(ids), json=body, headers=headers), stream=True)
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        await answer.aclose()
        return httpx.Response(answer.status_code)
    await answer.aread()
    return answer


def unknown() -> dict[str, str]:
    """Ids of nothing, as well-formed as real ones."""
    made = {name: new_id() for name in ("session_id", "turn_id", "silence_id", "backup_id")}
    return made | {"run_id": str(uuid4()), "token_id": uuid4().hex[:10], "workspace": "nowhere"}


@pytest.fixture(scope="module")
def theirs(people: Peopled) -> dict[str, str]:
    """One of everything in the other workspace."""
    return beside(filled(people))


async def filled(people: Peopled) -> dict[str, str]:
    async with people.client(f"{THEIRS} operator") as client, people.client("root") as root:
        chat = await Chat(client).open()
        turn = (await chat.ask("a question of theirs")).headers["x-turn-id"]
        alert = await client.post("/alerts", json={"title": "a title of theirs", "key": "disk"})
        there = {"X-Workspace": THEIRS}
        until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        silence = await root.post("/silences", json={"services": ["x"], "endsAt": until}, headers=there)
        token = await root.post("/admin/tokens", json={"name": "x", "scopes": ["chat"], "workspace": THEIRS})
        backup = f"theirs-{new_id()}"
        with psycopg.connect(people.api.database_url) as connection:
            connection.execute(
                "INSERT INTO pilothouse.backups (id, source, engine, status, started_at, workspace)"
                " VALUES (%s, 'their-files', 'folder', 'good', now(), %s)",
                (backup, THEIRS),
            )
            for name, needs in (("backup-their-files", []), ("flow-backup", ["backup-their-files"])):
                connection.execute(
                    "INSERT INTO pilothouse.service_states (topology, name, kind, state, since, checked_at, depends_on)"
                    " VALUES ('pilothouse', %s, 'backup', 'down', now(), now(), %s) ON CONFLICT DO NOTHING",
                    (name, needs),
                )

        async def tracked() -> str | None:
            said = await chat.turn(turn)
            return said["flowRunId"] if said["tracked"] else None

        run = await eventually(tracked, 60, "the turn is known to Prefect")
    ids = {"session_id": chat.id, "turn_id": turn, "run_id": str(run), "alert_id": alert.json()["id"], "workspace": THEIRS}
    return ids | {"silence_id": silence.json()["id"], "token_id": token.json()["id"], "backup_id": backup}


def test_every_path_has_a_rule_and_every_rule_a_path(tmp_path: Path) -> None:
    said = [(rule.method, rule.path) for rule in rules()]
    assert len(said) == len(set(said))
    assert set(said) == routes(tmp_path)


async def test_each_may_do_what_their_role_says_and_no_more(people: Peopled) -> None:
    wrong = []

    async def try_all(caller: str) -> None:
        async with people.client(caller) as client:
            for rule in rules() if caller == "nobody" else ASKED:
                status = (await asked(client, rule, unknown() | {"workspace": MINE})).status_code
                if rule.who == "open":
                    right = status not in (401, 403)
                elif caller == "nobody":
                    right = status == 401
                elif rule.allows(caller):
                    right = status not in (401, 403) and (status < 500 or status in (501, 503))
                else:  # who is not in a workspace does not learn whether it is there
                    stranger = rule.who == "manage" and "workspace" in rule.names and not caller.startswith(MINE)
                    right = status == (404 if stranger else 403)
                if not right:
                    wrong.append(f"{caller}: {rule.method} {rule.path} is {status}")

    await asyncio.gather(*(try_all(caller) for caller in MAY))
    assert wrong == []


async def test_nobody_chooses_a_workspace_that_they_are_not_in(people: Peopled) -> None:
    for caller, names in ((f"{MINE} admin", [THEIRS]), (f"{MINE} token read", ["nowhere", "default"])):
        async with people.client(caller) as client:
            answers = [
                await asked(client, rule, unknown() | {"workspace": MINE}, **{"X-Workspace": names[number % len(names)]})
                for number, rule in enumerate(ASKED)
            ]
        assert {answer.status_code for answer in answers} == {403}, caller


async def test_what_is_anothers_is_as_if_it_were_not_there(people: Peopled, theirs: dict[str, str]) -> None:
    wrong = []

    def told(answer: httpx.Response, ids: Mapping[str, str]) -> str:
        """What an answer says, but for the ids and when it was asked."""
        text = re.sub(r'"(requestId|request_id)":"[^"]*"', "", answer.text)
        for value in ids.values():
            text = text.replace(value, "ID")
        return f"{answer.status_code} {text}"

    async def try_all(caller: str) -> None:
        everywhere = {"workspace", "token_id"} if caller == "root" else set()
        async with people.client(caller) as client:
            for rule in ASKED:
                if not rule.names & OWNED - everywhere:
                    continue
                nothing = unknown()
                answers = [await asked(client, rule, ids) for ids in (theirs, nothing)]
                hidden = rule.allows(caller) or (rule.who == "manage" and "workspace" in rule.names)
                expected = 404 if hidden else 403
                if answers[0].status_code != expected or told(answers[0], theirs) != told(answers[1], nothing):
                    wrong.append(f"{caller}: {rule.method} {rule.path} is {told(answers[0], {})}, else {told(answers[1], {})}")

    await asyncio.gather(*(try_all(caller) for caller in STRANGERS))
    assert wrong == []
    async with people.client(f"{THEIRS} operator") as owner, people.client("root") as root:
        for path in ("/history/{session_id}", "/chat/{session_id}/turns/{turn_id}", "/runs/{run_id}"):
            assert (await owner.get(path.format_map(theirs))).status_code == 200, "it was there all the time"
        for client, path, name in ((owner, "/backups", "backup_id"), (owner, "/silences", "silence_id")):
            assert theirs[name] in (await client.get(path)).text
        tokens = (await root.get("/admin/tokens")).json()["tokens"]
        assert [each["status"] for each in tokens if each["id"] == theirs["token_id"]] == ["active"]


async def test_no_list_holds_anything_of_anothers(people: Peopled, theirs: dict[str, str]) -> None:
    ids = {name: value for name, value in theirs.items() if name != "workspace"}
    async with people.client(f"{THEIRS} admin") as owner:
        shown = "".join([(await asked(owner, rule, {})).text for rule in ASKED if rule.method == "GET" and not rule.names])
    assert {name for name, value in ids.items() if value not in shown} <= {"turn_id", "run_id"}, "their own do see them"
    assert all(name in shown for name in ("backup-their-files", "their-channel", "a title of theirs"))
    for caller in (f"{MINE} admin", "default operator"):
        async with people.client(caller) as client:
            for rule in ASKED:
                if rule.method == "GET" and not rule.names and rule.allows(caller):
                    text = (await asked(client, rule, {})).text
                    assert [name for name, value in ids.items() if value in text] == [], (caller, rule.path)
                    assert "of theirs" not in text, (caller, rule.path)
                    named = re.findall(".{80}their-(?:files|channel).{80}", text)
                    assert caller.startswith("default") or named == [], rule.path


async def test_nobody_begins_flows_for_what_is_anothers(people: Peopled, theirs: dict[str, str]) -> None:
    async with people.client(f"{THEIRS} operator") as owner:
        messages = (await owner.get(f"/history/{theirs['session_id']}")).json()["messages"]
    wanted = [
        ("chat_turn", {"turn_id": theirs["turn_id"]}),
        ("chat_turn", {"message_id": messages[0]["id"]}),
        ("tool_run", {"tool_id": "drawing/chart", "input_id": theirs["turn_id"]}),
        ("backup", {"name": "their-files"}),
        ("drill", {"name": "their-files"}),
    ]
    async with people.client(f"{MINE} operator") as client:
        for flow, parameters in wanted:
            answer = await client.post(f"/flows/{flow}/runs", json={"parameters": parameters})
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (flow, answer.text)
        for flow in ("backup", "drill"):
            answer = await client.post(f"/flows/{flow}/runs", json={"parameters": {}})
            assert answer.status_code == 404, "of everything there is"
        for flow in ("health_sweep", "prune", "purge_history", "send_alerts"):
            assert (await client.post(f"/flows/{flow}/runs", json={"parameters": {}})).status_code == 403
        own = await client.post("/flows/backup/runs", json={"parameters": {"name": "our-files"}})
        assert own.status_code in (202, 503), "their own may be begun once flows are served"
