"""``pilothouse workspace`` on a real database, and what ``token`` and ``user`` say of workspaces."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from core.errors import Conflict, NotFound
from deployments import tokens, users, workspaces
from deployments.client import connect
from tests.audit_rows import audit_rows


@pytest.fixture(autouse=True)
def own_database(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # away from a pilothouse.toml
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("PILOTHOUSE_DATA_DIR", str(tmp_path))


def said(app: typer.Typer, *arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), input="a long password\n")


def test_a_workspace_is_made_filled_and_deleted(database_url: str) -> None:
    assert said(workspaces.app, "create", "research", "--title", "Research 研究").output == "research: Research 研究\n"
    assert isinstance(said(workspaces.app, "create", "research").exception, Conflict)
    assert said(users.app, "create", "ann@example.com").exit_code == 0
    assert said(workspaces.app, "add", "research", "ann@example.com", "--role", "admin").exit_code == 0
    assert "next login" in said(workspaces.app, "invite", "research", "AI-Users").output
    shown = said(workspaces.app, "members", "research").output.splitlines()
    assert [line.split()[:2] for line in shown[1:]] == [["group", "ai-users"], ["ann@example.com", "ann@example.com"]]
    listed = json.loads(said(workspaces.app, "list", "--json").output)["workspaces"]
    assert [(each["name"], each["title"], each["members"]) for each in listed] == [
        ("default", "Default", 0),
        ("research", "Research 研究", 1),
    ]
    (ann,) = json.loads(said(users.app, "list", "--json").output)["users"]
    assert ann["workspaces"] == {"research": "admin"}
    assert said(users.app, "list").output.splitlines()[1].endswith("research (admin)")
    made = json.loads(said(tokens.app, "create", "--name", "a", "--scope", "chat", "--workspace", "research", "--json").output)
    assert made["workspace"] == "research"
    refused = said(workspaces.app, "delete", "research").exception
    assert isinstance(refused, Conflict)
    assert "1 member, 1 token" in refused.message
    assert said(tokens.app, "revoke", made["id"]).exit_code == 0
    assert said(workspaces.app, "remove", "research", "ann@example.com").exit_code == 0
    assert said(workspaces.app, "uninvite", "research", "AI-users").exit_code == 0
    assert said(workspaces.app, "rename", "research", "R&D").output == "research: R&D\n"
    assert said(workspaces.app, "delete", "research").exit_code == 0
    assert isinstance(said(workspaces.app, "members", "research").exception, NotFound)
    actions = [row[0] for row in audit_rows(database_url) if str(row[0]).startswith("workspace.")]
    assert actions == [
        "workspace.created",
        "workspace.member.set",
        "workspace.invited",
        "workspace.member.removed",
        "workspace.uninvited",
        "workspace.changed",
        "workspace.deleted",
    ]


def test_commands_say_in_which_workspace_they_ask() -> None:
    with connect("http://127.0.0.1:9", "a-token", None, "research") as client:
        assert client.headers["x-workspace"] == "research"
    with connect("http://127.0.0.1:9", "a-token", None) as client:
        assert "x-workspace" not in client.headers
