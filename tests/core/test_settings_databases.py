"""``[databases.X]`` in the configuration: which addresses are taken, what is refused, and what is shown of them."""

from pathlib import Path

import pytest

from core.config import Settings, describe, load_settings
from core.errors import ConfigurationInvalid


def load(tmp_path: Path, toml: str, **environ: str) -> Settings:
    file = tmp_path / "pilothouse.toml"
    file.write_text(toml, encoding="utf-8")
    return load_settings(config=file, environ={"HOME": "/nowhere", **environ})


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("postgres://u:p@h/db", "postgresql://u:p@h/db"),
        ("postgresql+asyncpg://u:p@h:5433/db?sslmode=require", "postgresql://u:p@h:5433/db?sslmode=require"),
        ("postgresql://u@/db?host=/run/postgresql", "postgresql://u@/db?host=/run/postgresql"),
        ("mysql://u:p@h/db", "mysql://u:p@h/db"),
        ("mariadb://u:p@h:3307/db", "mysql://u:p@h:3307/db"),
        ("mysql+pymysql://u:p@h/db?ssl-mode=verify_ca", "mysql://u:p@h/db?ssl-mode=VERIFY_CA"),
    ],
)
def test_addresses_of_both_engines_are_taken(tmp_path: Path, given: str, taken: str) -> None:
    section = load(tmp_path, f'[databases.sales]\nurl = "{given}"').databases["sales"]
    assert section.url.get_secret_value() == taken
    assert (section.description, section.rows, section.seconds) == ("", 500, 15.0)


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("[databases.sales]", "databases.sales.url: expected a value"),
        ("[databases.sales]\nurl = 'sqlite:///x.db'", "databases.sales.url: expected an address such as postgresql://"),
        ("[databases.sales]\nurl = 'mongodb://u:hidden@h/db'", "databases.sales.url: expected an address"),
        ("[databases.sales]\nurl = 'postgresql://u:hidden@h'", "databases.sales.url: expected a database name"),
        ("[databases.sales]\nurl = 'mysql://u:hidden@h'", "databases.sales.url: expected an address such as mysql://"),
        ("[databases.sales]\nurl = 'mysql://u:hidden@h:x/db'", "databases.sales.url: expected an address such as mysql://"),
        ("[databases.sales]\nurl = 'mysql://u:hidden@h/db?local_infile=1'", "expected no parameter but ssl-mode"),
        ("[databases.sales]\nurl = 'mysql://u:hidden@h/db?ssl-mode=maybe'", "expected no parameter but ssl-mode"),
        ("[databases.sales]\nurl = 'mysql://h/db'\nrows = 0", "databases.sales.rows: expected greater than or equal to 1"),
        ("[databases.sales]\nurl = 'mysql://h/db'\nseconds = 61", "databases.sales.seconds: expected less than or equal to 60"),
        (
            "[databases.sales]\nurl = 'mysql://h/db'\nrow = 5",
            "unknown key databases.sales.row; did you mean databases.sales.rows?",
        ),
        ("databases = 3", "databases: expected a valid dictionary"),
    ],
)
def test_a_wrong_section_is_refused_without_its_secret(tmp_path: Path, toml: str, expected: str) -> None:
    with pytest.raises(ConfigurationInvalid) as refused:
        load(tmp_path, toml)
    assert expected in refused.value.message
    assert "hidden" not in refused.value.message


def test_the_address_may_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("mysql://u:p@h/one\n", encoding="utf-8")
    toml = '[databases.one]\nurl = "file:url"\n[databases.two]\nurl = "env:TWO"'
    settings = load(tmp_path, toml, TWO="postgresql://u:p@h/two")
    urls = [section.url.get_secret_value() for section in settings.databases.values()]
    assert urls == ["mysql://u:p@h/one", "postgresql://u:p@h/two"]


def test_what_is_shown_of_a_database_holds_no_password(tmp_path: Path) -> None:
    settings = load(tmp_path, '[databases.sales]\nurl = "mysql://u:hidden@h/db"\ndescription = "Orders"')
    shown = {item.key: item.value for item in describe(settings) if item.key.startswith("databases.")}
    assert shown["databases.sales.url"] == "mysql://u:********@h/db"
    assert (shown["databases.sales.description"], shown["databases.sales.rows"]) == ("Orders", 500)
