"""Backups in the configuration: what is taken and in which form, what is refused, and what is shown of it."""

from pathlib import Path

import pyrage  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from core.config import Settings, describe, load_settings
from core.errors import ConfigurationInvalid
from core.settings_keep import RULES, Keep, KeepSettings

KEY = pyrage.x25519.Identity.generate()


def load(tmp_path: Path, toml: str, **environ: str) -> Settings:
    file = tmp_path / "pilothouse.toml"
    file.write_text(toml, encoding="utf-8")
    return load_settings(config=file, environ={"HOME": "/nowhere", **environ})


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"7 days"', KeepSettings(days=7)),
        ('"1 day"', KeepSettings(days=1)),
        ('"7 daily, 4 weekly, 6 monthly"', KeepSettings(daily=7, weekly=4, monthly=6)),
        ('"24 hours, 2 years, last 3"', KeepSettings(hourly=24, yearly=2, last=3)),
        ("{ days = 0.5, last = 1 }", KeepSettings(days=0.5, last=1)),
    ],
)
def test_what_stays_is_one_line_or_a_table(tmp_path: Path, written: str, meant: KeepSettings) -> None:
    settings = load(tmp_path, f'[backups]\nkeep = {written}\n[sources.dify]\npath = "x"\nkeep = {written}')
    assert settings.backups.keep == settings.sources["dify"].keep == meant
    shown = {item.key: (item.value, item.source) for item in describe(settings)}
    assert shown["backups.keep"] == shown["sources.dify.keep"] == (str(meant), "pilothouse.toml")


@given(st.dictionaries(st.sampled_from(RULES), st.integers(1, 9999), min_size=1))
def test_what_is_shown_of_it_can_be_configured_again(table: dict[str, int]) -> None:
    rules = TypeAdapter(KeepSettings).validate_python(table)
    assert TypeAdapter(Keep).validate_python(str(rules)) == rules


def test_it_may_come_from_a_variable(tmp_path: Path) -> None:
    assert load(tmp_path, "", PILOTHOUSE_BACKUPS__KEEP="3 daily").backups.keep == KeepSettings(daily=3)


@pytest.mark.parametrize(
    ("given", "engine", "taken"),
    [
        ("postgresql://u:p@h/db", "postgres", "postgresql://u:p@h/db"),
        ("postgresql+asyncpg://u:p@h:5433?sslmode=require", "postgres", "postgresql://u:p@h:5433/postgres?sslmode=require"),
        ("mysql://u:p@h:3306/?ssl-mode=required", "mysql", "mysql://u:p@h:3306/?ssl-mode=REQUIRED"),
        ("mariadb://u:p@h", "mysql", "mysql://u:p@h/"),
        ("mongodb://u:p@a:1,b:2/x?authSource=admin&replicaSet=rs0", "mongo", None),
        ("mongodb+srv://u:p@cluster.example/x", "mongo", None),
    ],
)
def test_addresses_of_servers(tmp_path: Path, given: str, engine: str, taken: str | None) -> None:
    source = load(tmp_path, f'[sources.a]\nurl = "{given}"\nall_databases = true').sources["a"]
    assert (source.kind, source.url and source.url.get_secret_value()) == (engine, taken or given)


def test_other_places(tmp_path: Path) -> None:
    toml = """
    sources.cache.url = "valkey://:p@h:6379"
    sources.vectors.url = "http://weaviate:8080/"
    sources.files.url = "s3://fastgpt-private/deep/down"
    sources.uploads.path = "volumes/app/storage"
    targets.files = { bucket = "drills", endpoint = "http://minio:9000", access_key = "a", secret_key = "b" }
    """
    settings = load(tmp_path, toml)
    sources = settings.sources
    kinds = {name: source.kind for name, source in sources.items()}
    assert kinds == {"cache": "redis", "vectors": "weaviate", "files": "bucket", "uploads": "folder"}
    assert (sources["files"].bucket, sources["files"].prefix) == ("fastgpt-private", "deep/down/")
    assert sources["uploads"].path == tmp_path / "volumes" / "app" / "storage"
    assert settings.targets["files"].kind == "bucket"


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("[sources.a]", "sources.a: expected one of url, path and bucket"),
        ('[sources.a]\npath = "x"\nbucket = "abc"', "sources.a: expected one of url, path and bucket"),
        ('[sources.a]\nurl = "ftp://u:hidden@h"', "sources.a.url: expected an address that begins with postgresql://"),
        ('[sources.a]\nurl = "postgresql://u:hidden@h:x/db"', "sources.a.url: expected an address such as postgresql://"),
        ('[sources.a]\nurl = "mysql://u:hidden@h/db?charset=utf8"', "expected no parameter but ssl-mode"),
        ('[sources.a]\nurl = "mongodb://u:hidden@/db"', "sources.a.url: expected an address such as mongodb://"),
        ('[sources.a]\nurl = "postgresql://u:hidden@h"', "sources.a: expected databases or all_databases"),
        ('[sources.a]\nurl = "redis://h"\nengine = "mysql"', 'engine "mysql" does not go with where it lies'),
        ('[sources.a]\nurl = "redis://h"\nall_databases = true', 'mean nothing to engine "redis"'),
        ('[sources.a]\nurl = "mysql://h"\nall_databases = true\ndatabases = ["b"]', "either databases or all_databases"),
        ('[sources.a]\npath = "x"\nprefix = "y/"', "belong to a bucket"),
        ('[sources.a]\nbucket = "abc"\naccess_key = "hidden"', "access_key and secret_key are only of use together"),
        ('[sources.a]\npath = "x"\nschedule = "@daily"', "sources.a.schedule: expected a cron line of five fields"),
        ('[sources.a]\npath = "x"\nschedule = "0 0 30 2 *"', "sources.a.schedule: expected a cron line"),
        ('[sources.a]\npath = "x"\nbefor = ["y"]', "unknown key sources.a.befor; did you mean sources.a.before?"),
        ('[sources."a b"]\npath = "x"', "sources.a b: expected a name"),
        ('[sources.a]\npath = "x"\nbefore = ["y"]', 'sources.a.before: unknown hook "y"; expected one of [hooks.X]'),
        ('[sources.a]\npath = "x"\nfailed = ["y"]\n[hooks.x]\ncommand = ["true"]', 'unknown hook "y"; expected one of x'),
        ('[sources.a]\npath = "x"\ndrill_target = "t"', 'sources.a.drill_target: unknown target "t"'),
        ('[sources.a]\npath = "x"\ndrill_target = "t"\n[targets.t]\nurl = "redis://h"', 'expected a target of engine "folder"'),
        ('[sets.s]\nsources = ["a"]', 'sets.s.sources: unknown source "a"; expected one of configuration, pilothouse, prefect'),
        ("[sets.s]\nsources = []", "sets.s.sources: "),
        ('[sets.prefect]\nsources = ["prefect"]', "sets.prefect: a source has this name"),
        ('[sets.s]\nsources = ["prefect", "prefect"]', "sets.s.sources: a source is named twice"),
        ("[hooks.x]\ncommand = []", "hooks.x.command: "),
        ('[hooks.x]\ncommand = "rm -rf /"', "hooks.x.command: "),
        ('[backups]\nkeep = "seven"', "backups.keep: expected rules such as"),
        ('[backups]\nkeep = "7 fortnights"', "backups.keep: unknown rule fortnights"),
        ('[backups]\nkeep = "7 days, 8 days"', "backups.keep: days is said twice"),
        ("[backups]\nkeep = { dayly = 7 }", "backups.keep: unknown rule dayly; expected some of days, last"),
        ("[backups]\nkeep = { daily = 0 }", "backups.keep: keeps nothing"),
        ("[backups]\nkeep = { daily = -1 }", "backups.keep.daily: expected greater than or equal to 0"),
        ('[backups]\nrecipients = ["age1hello"]', "backups.recipients.0: age1hello… is no public key"),
        (f'[backups]\nrecipients = ["{KEY}"]', "backups.recipients.0: holds a secret key; expected the public one"),
        ('[backups]\nidentity = "hidden"', "backups.identity: expected an age key file"),
        ('[backups]\nschedule = "at two"', "backups.schedule: expected a cron line"),
        ('[backups.store]\nendpoint = "http://minio:9000"', "backups.store: an S3 store needs a bucket"),
        ('[backups.store]\nfolder = "x"\nbucket = "abc"', "backups.store: expected a folder or a bucket, not both"),
        ('[backups.store]\nbucket = "abc"\nendpoint = "http://minio:9000"', "backups.store: an S3 store needs both keys"),
    ],
)
def test_what_is_wrong_is_refused_by_key_and_without_its_secret(tmp_path: Path, toml: str, expected: str) -> None:
    with pytest.raises(ConfigurationInvalid) as refused:
        load(tmp_path, toml)
    assert expected in refused.value.message
    assert refused.value.message.startswith("pilothouse.toml: ")
    assert "hidden" not in refused.value.message
    assert str(KEY)[:30] not in refused.value.message


def test_names_lead_to_their_sections(tmp_path: Path) -> None:
    toml = """
    [sources.dify]
    url = "postgresql://h/dify"
    before = ["quiet"]
    after = ["loud"]
    failed = ["loud"]
    drill_target = "scratch"
    [targets.scratch]
    url = "postgresql://h/scratch"
    [hooks.quiet]
    command = ["docker", "compose", "stop", "worker"]
    [hooks.loud]
    command = ["docker", "compose", "start", "worker"]
    [sets.all]
    sources = ["dify", "pilothouse"]
    """
    settings = load(tmp_path, toml)
    assert settings.sets["all"].sources == ("dify", "pilothouse")
    assert settings.hooks["quiet"].command[-1] == "worker"


def test_keys_are_taken_and_the_secret_one_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text(f"# made by age-keygen\n{KEY}\n", encoding="utf-8")
    settings = load(tmp_path, f'[backups]\nrecipients = ["{KEY.to_public()}"]\nidentity = "file:key.txt"')
    assert settings.backups.recipients == (str(KEY.to_public()),)
    shown = {item.key: item.value for item in describe(settings)}
    assert shown["backups.identity"] == "********"
