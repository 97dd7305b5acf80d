"""``pilothouse preflight`` as people and programs call it: with nothing running, good and bad, and what it never shows."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from pyrage import x25519  # type: ignore[import-untyped]
from typer.testing import CliRunner

from deployments.preflight import preflight

ROOT = Path(__file__).parent.parent.parent
KEY = "wN3vO0m6kT9sQ2yX5bZ8cL1dF4gH7jK0"
BAD = """
name: shop
services:
  web: {image: nginx, environment: {CORS_ORIGIN: "*", JWT_SECRET: my-secret-key}, privileged: true}
  db: {image: "postgres:16.1", ports: ["5432:5432"], environment: {POSTGRES_PASSWORD: hunter2}}
"""
GOOD = """
name: shop
x-all: &all
  restart: unless-stopped
  logging: {driver: json-file, options: {max-size: 10m}}
  deploy: {resources: {limits: {memory: 512m, cpus: "1"}}}
  cap_drop: [ALL]
  security_opt: ["no-new-privileges:true"]
  healthcheck: {test: ["CMD", "true"]}
services:
  web: {<<: *all, image: "nginx:1.29.3", read_only: true, ports: ["443:443"]}
  db: {<<: *all, image: "postgres:18.1", volumes: ["db:/var/lib/postgresql"], environment: {POSTGRES_PASSWORD: "${DB_PASSWORD}"}}
volumes: {db: {}}
"""
BACKUP = """
    INSERT INTO pilothouse.backups (id, source, engine, status, started_at, finished_at, size)
    VALUES (%(source)s, %(source)s, 'postgres', 'good', now(), now(), 9)
"""
DRILL = "INSERT INTO pilothouse.drills (id, source, result) VALUES (%(source)s, %(source)s, 'good')"
NOTICE = """
    INSERT INTO pilothouse.notices (id, channel, key, kind, body, alert_ids, status, done_at)
    VALUES ('n', 'ops', 'k', 'test', '{}', '{}', 'sent', now())
"""
one = typer.Typer()
one.command()(preflight)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "compose.yaml").write_text(GOOD, encoding="utf-8")
    (tmp_path / ".env").write_text(f"DB_PASSWORD={KEY}\n", encoding="utf-8")
    (tmp_path / ".env").chmod(0o600)
    return tmp_path


def items(*arguments: str, **environ: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and the items by their ids."""
    done = CliRunner().invoke(one, [*arguments, "--json"], env={"PILOTHOUSE_DATA_DIR": "data", **environ}, catch_exceptions=False)
    listed = json.loads(done.stdout)["items"]
    assert all(set(each) == {"id", "status", "message", "todo"} for each in listed)
    found = {each["id"]: each for each in listed}
    assert len(found) == len(listed)
    return done.exit_code, found


def statuses(found: dict[str, Any], status: str) -> set[str]:
    return {name for name, each in found.items() if each["status"] == status}


def test_a_bad_configuration_in_a_process_of_its_own(folder: Path) -> None:
    (folder / "bad.yaml").write_text(BAD, encoding="utf-8")
    (folder / "data" / "admin-password").write_text("x", encoding="utf-8")
    secret = "your-super-secret-jwt-key-change-this-in-production"
    environ = {"JWT_SECRET": secret, "CORS_ORIGIN": "*", "ADMIN_PASSWORD": "Admin@123456", "PILOTHOUSE_HOST": "0.0.0.0"}
    done = subprocess.run(
        [sys.executable, "-m", "deployments.cli", "preflight", "bad.yaml", "--json", "--data-dir", "data"],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), **environ},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (1, "")
    found = {each["id"]: each for each in json.loads(done.stdout)["items"]}
    wrong = {"jwt_secret", "cors", "tls", "admin_password", "alert_channel", "literal_secrets", "exposed_ports", "privileged"}
    assert wrong <= statuses(found, "fail")
    assert {"backups", "drills", "clock", "database_users"} <= statuses(found, "warn")
    assert "Not looked at" in found["backups"]["message"]
    assert not any(word in done.stdout for word in (secret, "Admin@123456", "hunter2", "my-secret-key"))


def test_a_good_one_with_its_database(folder: Path, database_url: str) -> None:
    recipient = x25519.Identity.generate().to_public()
    (folder / "pilothouse.toml").write_text(
        f'[channels.ops]\nkind = "webhook"\nurl = "http://127.0.0.1:9/x"\n'
        f'[backups]\nrecipients = ["{recipient}"]\n[backups.store]\nfolder = "elsewhere"\n',
        encoding="utf-8",
    )
    (folder / "pilothouse.toml").chmod(0o600)
    environ = {"DATABASE_URL": database_url, "JWT_SECRET": KEY, "CORS_ORIGIN": "https://ai.example.com"}
    code, found = items("compose.yaml", **environ)
    assert (code, statuses(found, "fail")) == (1, {"backups"})
    assert found["backups"]["message"] == "pilothouse has never been backed up. configuration has never been backed up."
    assert statuses(found, "warn") == {"drills", "alert_channel", "database_users"}
    with psycopg.connect(database_url) as connection:
        for source in ("pilothouse", "configuration"):
            connection.execute(BACKUP, {"source": source})
            connection.execute(DRILL, {"source": source})
        connection.execute(NOTICE)
    code, found = items("compose.yaml", **environ)
    assert (code, statuses(found, "fail"), statuses(found, "warn")) == (0, set(), {"database_users"})
    assert "only this machine reaches" in found["database_users"]["message"]


def test_without_anything_running_what_is_not_known_is_no_failure(folder: Path) -> None:
    (folder / "pilothouse.toml").write_text('[channels.ops]\nkind = "webhook"\nurl = "http://127.0.0.1:9/x"\n', encoding="utf-8")
    (folder / "pilothouse.toml").chmod(0o600)
    code, found = items("compose.yaml", JWT_SECRET=KEY)
    assert (code, statuses(found, "fail")) == (0, set())
    assert statuses(found, "warn") == {"backups", "drills", "alert_channel", "clock", "database_users", "workspaces"}


def test_tables_that_are_not_made_yet_are_not_made_here(folder: Path, empty_database_url: str) -> None:
    _, found = items(DATABASE_URL=empty_database_url)
    assert "Not looked at" in found["backups"]["message"]
    assert found["clock"]["status"] == "pass"
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT to_regnamespace('pilothouse')").fetchone() == (None,)


def test_a_variable_that_is_refused_is_an_item_and_the_rest_is_looked_at(folder: Path) -> None:
    code, found = items("compose.yaml", JWT_SECRET="my-secret-key", PILOTHOUSE_PROT="1", CORS_ORIGIN="*")
    assert code == 1
    assert {"jwt_secret", "configuration", "cors"} <= statuses(found, "fail")
    assert "unknown key" in found["configuration"]["message"]
    assert found["healthchecks"]["status"] == "pass"
    assert "my-secret-key" not in str(found)


def test_a_file_that_is_refused_leaves_nothing_else_to_say(folder: Path) -> None:
    (folder / "pilothouse.toml").write_text("colour = 1\n", encoding="utf-8")
    code, found = items()
    assert (code, set(found)) == (1, {"configuration"})


def test_people_get_lines_and_what_to_do(folder: Path) -> None:
    (folder / "compose.yaml").write_text("services:\n  a: {imgae: b}\n", encoding="utf-8")
    done = CliRunner().invoke(one, ["compose.yaml"], env={"PILOTHOUSE_DATA_DIR": "data"})
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("FAIL  compose "))
    assert "compose.yaml, line 2" in lines[at]
    assert lines[at + 1].strip() == "-> Correct the file and look again."
    assert lines[-1].endswith(" fail")


def test_what_compose_does_not_find_is_told(folder: Path) -> None:
    (folder / "compose.yaml").write_text(
        'services: {a: {image: "b:1", env_file: [missing.env], environment: ["A=${NEVER}"]}}\n', encoding="utf-8"
    )
    _, found = items("compose.yaml", PILOTHOUSE_PUBLIC_URL="https://127.0.0.1:9")
    assert found["compose"]["status"] == "warn"
    assert "Not set, and so empty: NEVER." in found["compose"]["message"]
    assert "missing.env: not found" in found["compose"]["message"]
    assert (found["tls"]["status"], "refused the connection" in found["tls"]["message"]) == ("warn", True)
