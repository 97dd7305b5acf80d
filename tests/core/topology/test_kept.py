"""Kept topology files: what they may say, and how they are refused."""

from pathlib import Path
from textwrap import dedent

import pytest

from core.config import Settings, load_settings
from core.errors import ConfigurationInvalid
from core.topology.kept import load_topology, load_with_findings, readable_topologies, topologies_of
from core.topology.writing import as_toml, differences
from tests.core.topology.projects import imported_from

STORE = """
services:
  api: {image: a, ports: ["80:80"], depends_on: [db], environment: {CACHE_URL: "redis://cache"}}
  cache: {image: redis}
  db:
    image: postgres
    ports: ["5432:5432"]
    environment: {POSTGRES_USER: "${PG_USER}", POSTGRES_PASSWORD: "${PG_SECRET}"}
"""
ENV = "PG_USER=user-of-env\nPG_SECRET=secret-of-env\n"


def kept(folder: Path, text: str) -> Path:
    file = folder / "kept.toml"
    file.write_text(dedent(text), encoding="utf-8")
    return file


def test_an_import_is_kept_and_read_back(tmp_path: Path) -> None:
    found = imported_from(tmp_path, f"name: shop\n{STORE}", ENV)
    file = kept(tmp_path, as_toml(found, ["compose.yaml"], [tmp_path / ".env"]))
    topology = load_topology(file, {"PG_SECRET": "of another platform"})
    assert topology.name == "shop"
    assert {key: service.check for key, service in topology.services.items()} == {
        "api": "http",
        "cache": "none",
        "db": "postgres",
    }
    assert (topology.services["api"].depends_on, topology.services["api"].hints) == (("db",), ("cache",))
    assert {service.platform for service in topology.services.values()} == {"shop"}
    db = topology.services["db"]
    assert db.username == "user-of-env"
    assert db.password is not None
    assert db.password.get_secret_value() == "secret-of-env"


def test_a_login_that_cannot_be_found_leaves_the_check_without_it(tmp_path: Path) -> None:
    found = imported_from(tmp_path, STORE, ENV)
    file = kept(tmp_path, as_toml(found, ["compose.yaml"], [tmp_path / ".env"]))
    (tmp_path / ".env").unlink()
    topology, findings = load_with_findings(file, {"PG_USER": "known"})
    db = topology.services["db"]
    assert (db.check, db.username, db.password) == ("postgres", None, None)
    assert [(finding.service, finding.level) for finding in findings] == [("db", "warning")]
    assert "PG_SECRET" in findings[0].message
    both = load_topology(file, {"PG_USER": "known", "PG_SECRET": "as well"}).services["db"]
    assert both.password is not None
    assert both.password.get_secret_value() == "as well"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name =", "not valid TOML"),
        ('name = "x"', "has no service"),
        ("nmae = 1\n[services.a]\ncheck = 'none'", "unknown key nmae"),
        ("name = 'a/b'\n[services.a]\ncheck = 'none'", "name: expected a short name"),
        ("name = 'pilothouse'\n[services.a]\ncheck = 'none'", "Pilothouse's own"),
        ("[services]\na = 1", "services.a: expected a table"),
        ("[services.a]\nurl = 'http://h'", r"kept.toml: services.a.check"),
        ("[services.a]\ncheck = 'httpp'\nurl = 'http://h'", "services.a.check: expected 'http'"),
        ("[services.a]\ncheck = 'none'\ntimeot = 3", "unknown key services.a.timeot; did you mean services.a.timeout"),
        ("[services.a]\ncheck = 'http'", "url"),
        ("[services.a]\ncheck = 'http'\nurl = 'env:NOWHERE'", "services.a.url: the variable NOWHERE is not set"),
        ("[services.a]\ncheck = 'none'\ndepends_on = ['b']", "services.a.depends_on: there is no service b; expected one of a"),
        ("[services.a]\ncheck = 'none'\nhints = ['b']", "services.a.hints: there is no service b"),
        ("[services.a]\ncheck = 'none'\ndepends_on = ['a']", "does not depend on itself"),
        (
            "[services.a]\ncheck = 'none'\ndepends_on = ['b']\n[services.b]\ncheck = 'none'\ndepends_on = ['a']",
            "a, b depend on each other",
        ),
        ("env_files = 'x'\n[services.a]\ncheck = 'none'", "env_files: expected a list"),
    ],
)
def test_a_wrong_file_is_refused_by_file_and_key(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=expected) as refused:
        load_topology(kept(tmp_path, text), {})
    assert "kept.toml" in refused.value.message


def test_hints_may_form_a_circle(tmp_path: Path) -> None:
    file = kept(tmp_path, "[services.a]\ncheck = 'none'\nhints = ['b']\n[services.b]\ncheck = 'none'\nhints = ['a']\n")
    assert load_topology(file).name == "kept"


def test_all_topologies_of_the_settings(tmp_path: Path) -> None:
    folder = tmp_path / "topologies"
    folder.mkdir()
    (folder / "one.toml").write_text("[services.a]\ncheck = 'none'\n", encoding="utf-8")
    (tmp_path / "two.toml").write_text("name = 'second'\n[services.a]\ncheck = 'none'\n", encoding="utf-8")
    config = tmp_path / "pilothouse.toml"
    config.write_text(
        "[sweeps]\ntopologies = ['two.toml']\n[services.mail]\ncheck = 'tcp'\nurl = 'tcp://mail:25'\n", encoding="utf-8"
    )
    settings = load_settings(config=config, overrides={"data_dir": str(tmp_path)}, environ={})
    assert [topology.name for topology in topologies_of(settings, {})] == ["one", "second", "services"]
    (folder / "again.toml").write_text("name = 'second'\n[services.a]\ncheck = 'none'\n", encoding="utf-8")
    with pytest.raises(ConfigurationInvalid, match="another topology is called second"):
        topologies_of(settings, {})


def test_edges_of_the_configuration_are_checked_too(tmp_path: Path) -> None:
    config = tmp_path / "pilothouse.toml"
    config.write_text("[services.mail]\ncheck = 'none'\ndepends_on = ['gone']\n", encoding="utf-8")
    settings = load_settings(config=config, overrides={"data_dir": str(tmp_path)}, environ={})
    with pytest.raises(ConfigurationInvalid, match=r"services\.mail\.depends_on: there is no service gone"):
        topologies_of(settings, {})


def test_differences_name_what_differs_and_no_secret() -> None:
    mine = dedent("""
        name = "x"
        [services.a]
        check = "http"
        url = "http://u:hunter2@h"
        password = "hunter2"
        [services.b]
        check = "none"
    """)
    theirs = dedent("""
        name = "x"
        [services.a]
        check = "http"
        url = "http://h"
        password = "env:PW"
        timeout = 3
        [services.c]
        check = "none"
    """)
    assert differences(mine, mine + "# a remark\n") == []
    lines = differences(mine, theirs)
    assert [line.partition(":")[0] for line in lines] == [
        "services.a.url",
        "services.a.password",
        "services.a.timeout",
        "services.b",
        "services.c",
    ]
    assert "hunter2" not in "\n".join(lines)


def test_a_secret_s_file_that_is_gone_leaves_the_check_without_a_login(tmp_path: Path) -> None:
    file = kept(
        tmp_path, '[services.db]\ncheck = "postgres"\nurl = "postgresql://h/x"\nusername = "u"\npassword = "file:pg.txt"\n'
    )
    topology, findings = load_with_findings(file, {})
    assert topology.services["db"].password is None
    assert "file:pg.txt" in findings[0].message
    (tmp_path / "pg.txt").write_text("word\n", encoding="utf-8")
    assert load_with_findings(file, {})[0].services["db"].password is not None


def test_one_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "topologies"
    folder.mkdir()
    (folder / "broken.toml").write_text('name = "broken"\n[services.a]\ncheck = "nonsense"\n', encoding="utf-8")
    (folder / "whole.toml").write_text('name = "whole"\n[services.a]\ncheck = "none"\n', encoding="utf-8")
    found, wrong = readable_topologies(Settings(data_dir=tmp_path), {})
    assert [topology.name for topology in found] == ["whole"]
    assert ["broken.toml" in error.message for error in wrong] == [True]
