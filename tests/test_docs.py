"""Documentation that stays true: every setting with its default, every variable, the commands of the README."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from api.app import create_app
from core.config import ModelSettings, Settings, load_settings
from core.settings_aliases import OTHERS, PLAIN
from core.settings_keep import KeepSettings
from core.settings_sources import NOT_SETTINGS, SHORT, annotation_at, dotted, keys_of
from deployments.cli import COMMANDS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "README.zh.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(?P<key>[\w.]+)` \| (?P<default>[^|]+?) \| [^|]+ \|$", re.MULTILINE)
WORDS = {"none": None, "empty": "", "required": PydanticUndefined, "the machine's": "UTC"}
START = "pip install uv && uv run pilothouse up"
TEST = "uv run pytest"


def documented() -> dict[str, str]:
    return {
        row["key"]: row["default"].strip("`")
        for row in ROW.finditer(CONFIGURATION)
        if not row["default"].startswith("`PILOTHOUSE_")
    }


def defaults() -> Iterator[tuple[str, object]]:
    """Every key with its default as the tree has it."""
    for path in keys_of(Settings):
        section: object = Settings if len(path) == 1 else annotation_at(Settings, path[:-1])
        assert isinstance(section, type)
        assert issubclass(section, BaseModel)
        yield dotted(path), section.model_fields[path[-1]].default
    for name, field in ModelSettings.model_fields.items():
        yield name, field.default


def test_every_setting_is_described_and_nothing_else() -> None:
    assert documented().keys() == dict(defaults()).keys()


@pytest.mark.parametrize(("key", "default"), [(key, default) for key, default in defaults() if key != "data_dir"])
def test_the_described_default_is_the_default(key: str, default: object) -> None:
    described = documented()[key]
    expected = WORDS.get(described, described)
    shown = (
        ",".join(default) if isinstance(default, tuple | dict) else str(default) if isinstance(default, KeepSettings) else default
    )
    if isinstance(shown, bool | int | float):
        expected, shown = str(expected).lower(), f"{shown:g}" if isinstance(shown, float) else str(shown).lower()
    assert expected == shown


def test_every_variable_is_described() -> None:
    for variable in (*PLAIN, *OTHERS, *NOT_SETTINGS, "TZ", "XDG_DATA_HOME", "HTTPS_PROXY", "NO_PROXY"):
        assert f"`{variable}`" in CONFIGURATION, variable


def test_the_example_file_is_a_valid_one(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", CONFIGURATION, re.DOTALL)
    (tmp_path / "secret").write_text("k", encoding="utf-8")
    file = tmp_path / "pilothouse.toml"
    file.write_text(example.replace("/run/secrets/vllm", "secret"), encoding="utf-8")
    settings = load_settings(config=file, environ={"HOME": "/nowhere", "MY_DATABASE_URL": "postgresql://h/db"})
    assert list(settings.providers) == ["ollama", "vllm"]
    assert settings.providers["vllm"].models[0].context == 32768


def test_the_readmes_name_the_two_commands_and_ci_runs_them() -> None:
    for page in ("README.md", "README.zh.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert START in text
        assert f"\n{TEST}\n" in text
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert TEST in lines


def test_commands_exist_and_are_described() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"(?:`|uv run )pilothouse ([a-z]+)", text))
    assert named == {command.name for command in COMMANDS}


def test_paths_exist_and_are_described(tmp_path: Path) -> None:
    described = set(
        re.findall(
            r"`(?:(?:GET|POST|PATCH|DELETE) )?(/[\w/{}.-]+)(?:\?[^`]*)?`", (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
        )
    )
    served = {re.sub(r"\{(\w+?)_id\}", r"{\1Id}", path) for path in create_app(Settings(data_dir=tmp_path)).openapi()["paths"]}
    shorthand = {"/chat", "/history", "/v1", "/openapi.json", "/docs"}
    assert described - shorthand == served - {"/v1/models/{model}"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}, target


def test_the_variables_of_the_documents_exist() -> None:
    known = set(NOT_SETTINGS) | set(SHORT)
    known |= {"PILOTHOUSE_" + dotted(path).replace(".", "__").upper() for path in keys_of(Settings)}
    known |= {"PILOTHOUSE_PROVIDERS__VLLM__BASE_URL", "PILOTHOUSE_SERVICE_HOST"}
    for page in PAGES:
        named = set(re.findall(r"PILOTHOUSE_[A-Z_]+[A-Z]", page.read_text(encoding="utf-8")))
        assert named <= known, page.name
