"""Docker Compose as the reader of compose files: what it is given, what it refuses, and what it may cost."""

import importlib.util
from pathlib import Path
from textwrap import dedent

import pytest

from blocks.compose_files import LARGEST_FILE
from blocks.compose_reader import Asked, read_project
from core.errors import ConfigurationInvalid, PartMissing

BOMB = "x-a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"x-a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)


def write(folder: Path, name: str, text: str) -> str:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(text), encoding="utf-8")
    return str(file)


def test_variables_come_from_the_env_beside_the_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FROM_SHELL", "PILOTHOUSE_TOKEN"):
        monkeypatch.setenv(name, "leaked")
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "p/.env", "TAG=7\nNAME=${TAG}-b\n")
    file = write(
        tmp_path,
        "p/compose.yaml",
        """
        services:
          a: {image: "a:${TAG}", environment: {X: "${FROM_SHELL}", Y: "${PILOTHOUSE_TOKEN:-unset}", Z: "${N:-${NAME}}", W: "$$x"}}
        """,
    )
    project = read_project(Asked((file,)))
    service = project.resolved["services"]["a"]
    assert service["image"] == "a:7"
    assert service["environment"] == {"X": "", "Y": "unset", "Z": "7-b", "W": "$$x"}
    assert project.unset == ("FROM_SHELL",)
    assert project.env_files == (tmp_path / "p" / ".env",)
    other = Path(write(tmp_path, "other.env", "TAG=8\n"))
    assert read_project(Asked((file,), env_files=(other,))).resolved["services"]["a"]["image"] == "a:8"


def test_several_files_includes_and_a_folder(tmp_path: Path) -> None:
    base = write(tmp_path, "compose.yaml", "include: [parts/db.yaml]\nservices: {api: {image: a, depends_on: [db]}}\n")
    write(tmp_path, "parts/db.yaml", "services: {db: {image: d, env_file: gone.env}}\n")
    more = write(tmp_path, "more.yaml", "services: {api: {image: b}, web: {image: w, env_file: [gone.env]}}\n")
    write(tmp_path, "compose.override.yaml", "services: {api: {image: c}}\n")
    project = read_project(Asked((base, more)))
    assert {key: service["image"] for key, service in project.resolved["services"].items()} == {"api": "b", "db": "d", "web": "w"}
    assert any("gone.env: not found" in warning for warning in project.warnings)
    assert any("compose.override.yaml lies beside" in warning for warning in project.warnings)
    assert read_project(Asked((str(tmp_path),))).resolved["services"]["api"]["image"] == "c"
    write(tmp_path, ".env", "COMPOSE_FILE=compose.yaml:more.yaml\n")
    assert read_project(Asked((str(tmp_path),))).resolved["services"]["api"]["image"] == "b"
    elsewhere = write(tmp_path, "elsewhere/other.yaml", "services: {other: {image: o}}\n")
    assert any("read as one project" in warning for warning in read_project(Asked((base, elsewhere))).warnings)


def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "db.yaml", "services: {db: {image: d}}\n")
    project = read_project(Asked(("-",), stdin=b"include: [db.yaml]\nservices: {api: {image: a}}\n"))
    assert set(project.resolved["services"]) == {"api", "db"}
    with pytest.raises(ConfigurationInvalid, match="standard input"):
        read_project(Asked(("-",), stdin=b""))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty compose file"),
        ("hello hunter2", "cannot unmarshal"),
        ("[1, 2]", "cannot unmarshal"),
        ("volumes: {}", "expected `services:`"),
        ("services: {a: {image: a, profiles: [p]}}", "--profile"),
        ("services:\n  a:\n    image: a\n    imgae: b\n", "line 4: services.a additional properties 'imgae'"),
        ("services:\n  a:\n    image: a\n   b: c\n", "yaml: line"),
        ("services:\n\ta: {image: a}\n", "line 2"),
        ("services:\n  a:\n    image: a\n  a:\n    image: b\n", "line 4: mapping key"),
        ("services:\n  a:\n    image: a\n    depends_on: [gone]\n", 'undefined service "gone".*--profile'),
        ("services:\n  a: {image: a, depends_on: [b]}\n  b: {image: b, depends_on: [a]}\n", "dependency cycle"),
        ("services:\n  a:\n    image: ${TAG:?say which}\n", "line 3: .*TAG is missing a value: say which.* Set it in the .env"),
        ("services:\n  a:\n    image: a\n    environment: {PW: 'hunter2${'}\n", r"line 4: .*environment\.PW; a dollar sign"),
        ("services: {a: {image: a, extends: {file: gone.yaml, service: b}}}", "gone.yaml"),
        ("include: [gone.yaml]\nservices: {a: {image: a}}", "gone.yaml"),
        ("include: ['https://example.com/x.yaml']\nservices: {a: {image: a}}", "Nothing is fetched"),
        ("include: ['https://example.com/x.git']\nservices: {a: {image: a}}", "Nothing is fetched"),
        ("include: ['oci://registry.example.com/x:1']\nservices: {a: {image: a}}", "Nothing is fetched"),
        ("include: [compose.yaml]\nservices: {a: {image: a}}", "include cycle"),
        ("services:\n  a: &a {image: a, environment: *a}\n", "cycle"),
        ("services: " + "{a: " * 20_000 + "1" + "}" * 20_000, "max depth"),
        ("include: [secrets.txt]\n", "compose.yaml"),
    ],
)
def test_what_is_refused_is_told_with_its_file_and_no_content(tmp_path: Path, text: str, expected: str) -> None:
    write(tmp_path, "secrets.txt", "root:hunter2:1\nuser$hunter2: x\n")
    file = tmp_path / "compose.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationInvalid, match=expected) as refused:
        read_project(Asked((str(file),)))
    assert refused.value.message.startswith(str(file))
    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize("env", ["A='hunter2", "hunter2 is mine!\n"])
def test_a_broken_env_file_is_told_without_its_content(tmp_path: Path, env: str) -> None:
    write(tmp_path, ".env", env)
    file = write(tmp_path, "compose.yaml", "services: {a: {image: a}}\n")
    with pytest.raises(ConfigurationInvalid, match=r"\.env") as refused:
        read_project(Asked((file,)))
    assert "hunter2" not in refused.value.message


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    for name, expected in (
        (str(tmp_path), "a folder without compose.yaml"),
        (str(tmp_path / "gone.yaml"), "no such file"),
        ("https://example.com/compose.yaml", "nothing is fetched"),
        ("/dev/zero", "no such file"),
    ):
        with pytest.raises(ConfigurationInvalid, match=expected):
            read_project(Asked((name,)))
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (LARGEST_FILE + 1))
    with pytest.raises(ConfigurationInvalid, match="more than the 4 MB"):
        read_project(Asked((str(large),)))
    file = write(tmp_path, "compose.yaml", "services: {a: {image: a}}\n")
    with pytest.raises(ConfigurationInvalid, match="--env-file"):
        read_project(Asked((file,), env_files=(tmp_path / "gone.env",)))


def test_what_unfolds_without_end_is_ended(tmp_path: Path) -> None:
    file = write(tmp_path, "compose.yaml", f"{BOMB}services: {{a: {{image: a}}}}\n")
    with pytest.raises(ConfigurationInvalid, match="was ended"):
        read_project(Asked((file,), seconds=1))


def test_inactive_services_need_not_fit_each_other(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "compose.yaml",
        """
        services:
          cpu: {image: m, container_name: model, profiles: [cpu], environment: {K: "${KEY}"}}
          gpu: {image: m, container_name: model, profiles: [gpu]}
        """,
    )
    project = read_project(Asked((file,), profiles=("cpu",)))
    assert list(project.resolved["services"]) == ["cpu"]
    assert project.written["services"]["cpu"]["environment"] == {"K": "${KEY}"}


def test_the_machine_s_own_compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, "compose.yaml", "services: {a: {image: a}}\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PartMissing, match="--reader"):
        read_project(Asked((file,), reader="host"))
    spec = importlib.util.find_spec("compose")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).with_name("docker-compose")
    docker = Path(write(tmp_path, "docker", f'#!/bin/sh\nshift\nexec "{program}" "$@"\n'))
    docker.chmod(0o755)
    assert list(read_project(Asked((file,), reader="host")).resolved["services"]) == ["a"]
