"""Secrets that stand in compose files."""

from pathlib import Path

import pytest

from core.preflight.composed import environment_files, services_of
from core.preflight.exposed import given_as, literal_secrets
from tests.core.preflight.composing import project_of


@pytest.mark.parametrize(
    ("service", "env", "said"),
    [
        ("{image: a, environment: {JWT_SECRET: abc-def-ghi}}", "", "all who read it: api.JWT_SECRET."),
        ("{image: a, environment: {JWT_SECRET: my-secret-key}}", "", "everybody knows: api.JWT_SECRET."),
        ("{image: a, environment: {DB: 'postgresql://u:hunter2@db/x'}}", "", "all who read it: api.DB."),
        ("{image: a, environment: {DB_PASSWORD: '${DB:-hunter2}'}}", "", "all who read it: api.DB_PASSWORD."),
        ("{image: a, environment: {MINIO_ROOT_USER: x, MINIO_ROOT_PASSWORD: '${M}'}}", "M=minioadmin", "api.MINIO_ROOT_PASSWORD"),
        ("{image: a}", "REDIS_PASSWORD=changeme", "everybody knows: .env: REDIS_PASSWORD."),
        ("{image: redis, command: redis-server --requirepass hunter2}", "", "api (its command)"),
    ],
)
def test_a_secret_in_the_file(service: str, env: str, said: str, tmp_path: Path) -> None:
    project = project_of(f"name: shop\nservices: {{api: {service}}}\n", tmp_path, env)
    item = literal_secrets(services_of(project), project.variables)
    assert item.status == "fail"
    assert said in item.message
    assert not any(secret in item.message + item.todo for secret in ("hunter2", "abc-def", "my-secret-key", "minioadmin"))


def test_references_and_words_about_secrets_are_none(tmp_path: Path) -> None:
    text = """
name: shop
services:
  api:
    image: a
    command: ["server", "--requirepass", "${P}"]
    environment:
      PASSWORD: ${P}
      DB: postgresql://u:${P}@db/x
      POSTGRES_PASSWORD_FILE: /run/secrets/db
      TOKEN_EXPIRE_MINUTES: "30"
      MAX_TOKENS: "4096"
      SECRET_KEY: ""
      CORS_ORIGIN: "*"
    env_file: [{path: other.env, required: false}]
"""
    (tmp_path / "other.env").write_text("A=1\n", encoding="utf-8")
    project = project_of(text, tmp_path, "P=0123456789abcdef0123\n")
    services = services_of(project)
    assert literal_secrets(services, project.variables).status == "pass"
    assert [(each.where, each.value) for each in given_as(services, "CORS_ORIGIN")] == [("api.CORS_ORIGIN", "*")]
    assert environment_files(project) == [tmp_path / ".env", tmp_path / "other.env"]
