"""Where settings come from, which source wins, and what is said when one of them is wrong."""

from collections.abc import Callable, Mapping
from pathlib import Path
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import Settings, load_settings
from core.errors import ConfigurationInvalid

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Loads in an empty folder with an empty environment but for what the test gives."""
    monkeypatch.chdir(tmp_path)

    def loaded(environ: Mapping[str, str] | None = None, toml: str | None = None, **overrides: object) -> Settings:
        if toml is not None:
            (tmp_path / "pilothouse.toml").write_text(toml, encoding="utf-8")
        return load_settings(overrides=overrides, environ={"HOME": str(tmp_path / "home"), **(environ or {})})

    return loaded


def refusal(load: Load, environ: Mapping[str, str] | None = None, toml: str | None = None, **overrides: object) -> str:
    with pytest.raises(ConfigurationInvalid) as caught:
        load(environ, toml, **overrides)
    return caught.value.message


def test_nothing_given_means_the_defaults(load: Load, tmp_path: Path) -> None:
    settings = load()
    assert settings.data_dir == tmp_path / "home" / ".local" / "share" / "pilothouse"
    assert (settings.host, settings.port, settings.database.url, settings.providers) == ("127.0.0.1", 8700, None, {})
    assert (settings.origins, settings.hints) == ({}, ())


def test_the_data_directory_follows_xdg_but_not_a_relative_one(load: Load, tmp_path: Path) -> None:
    assert load({"XDG_DATA_HOME": "/srv/data"}).data_dir == Path("/srv/data/pilothouse")
    assert load({"XDG_DATA_HOME": "data"}).data_dir == tmp_path / "home/.local/share/pilothouse"


def test_a_user_without_a_home_has_to_name_a_directory(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert "PILOTHOUSE_DATA_DIR" in refusal(load, {"HOME": ""})
    assert load({"HOME": "", "PILOTHOUSE_DATA_DIR": "/srv/p"}).data_dir == Path("/srv/p")


def test_each_source_wins_over_the_one_before(load: Load) -> None:
    toml = "port = 1001"
    assert (load(toml=toml).port, load(toml=toml).origins["port"]) == (1001, "pilothouse.toml")
    assert (load({"PORT": "1002"}, toml).port, load({"PORT": "1002"}).origins["port"]) == (1002, "PORT")
    own = {"PORT": "1002", "PILOTHOUSE_PORT": "1003"}
    assert (load(own, toml).port, load(own, toml).origins["port"]) == (1003, "PILOTHOUSE_PORT")
    assert (load(own, toml, port=1004).port, load(own, toml, port=1004).origins["port"]) == (1004, "--port")


def test_an_option_that_was_not_given_and_an_empty_variable_change_nothing(load: Load) -> None:
    settings = load({"PORT": "", "PILOTHOUSE_CHAT__QUEUE": " ", "PILOTHOUSE_CONFIG": ""}, port=None)
    assert (settings.port, settings.chat.queue, settings.origins) == (8700, 4, {})


def test_no_model_is_named_as_it_is_typed(load: Load) -> None:
    assert load(model=False).origins == {"model": "--no-model"}


def test_nested_settings_have_variables_with_double_underscores(load: Load) -> None:
    settings = load(
        {
            "PILOTHOUSE_CHAT__QUEUE": "7",
            "PILOTHOUSE_CHAT__FIXED_EXPIRY": "yes",
            "PILOTHOUSE_PROVIDERS__VLLM__BASE_URL": "http://gpu:8000/v1/",
            "PILOTHOUSE_PROVIDERS__VLLM__MODELS": "qwen, glm",
            "PILOTHOUSE_CORS_ORIGINS": "https://a.example,https://b.example",
        }
    )
    assert (settings.chat.queue, settings.chat.fixed_expiry) == (7, True)
    assert settings.providers["vllm"].base_url == "http://gpu:8000/v1"
    assert [model.name for model in settings.providers["vllm"].models] == ["qwen", "glm"]
    assert settings.cors_origins == ("https://a.example", "https://b.example")


def test_a_variable_finds_the_name_as_the_file_spells_it(load: Load) -> None:
    toml = '[providers.vLLM]\nbase_url = "http://gpu:8000/v1"'
    assert load({"PILOTHOUSE_PROVIDERS__VLLM__ORDER": "3"}, toml).providers["vLLM"].order == 3


def test_models_come_as_tables_in_the_file_and_as_json_in_a_variable(load: Load) -> None:
    toml = '[providers.a]\nbase_url = "http://a/v1"\n[[providers.a.models]]\nname = "m"\nvision = true\n'
    assert load(toml=toml).providers["a"].models[0].vision
    variable = {"PILOTHOUSE_PROVIDERS__A__MODELS": '[{"name": "n", "context": 4096}]'}
    assert load(variable, toml).providers["a"].models[0].context == 4096


def test_the_file_is_looked_for_here_then_in_the_data_directory(load: Load, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "pilothouse.toml").write_text("port = 1005", encoding="utf-8")
    assert load(data_dir=data).port == 1005
    assert load({"PILOTHOUSE_DATA_DIR": "data"}).port == 1005
    both = load(toml="port = 1006", data_dir=data)
    assert both.port == 1006
    assert str(data / "pilothouse.toml") in both.hints[0]


def test_a_named_file_must_exist_and_is_the_only_one_read(load: Load, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("port = 1007", encoding="utf-8")
    assert load({"PILOTHOUSE_CONFIG": "other.toml"}, "port = 1008").origins["port"] == "other.toml"
    message = refusal(load, {"PILOTHOUSE_CONFIG": "missing.toml"})
    assert "missing.toml" in message
    assert "No such file" in message


def test_relative_paths_start_from_the_file_that_names_them(load: Load, tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "ca.pem").write_text("-", encoding="utf-8")
    (folder / "p.toml").write_text('ca_file = "ca.pem"\ndata_dir = "../var"', encoding="utf-8")
    settings = load({"PILOTHOUSE_CONFIG": "etc/p.toml"})
    assert settings.ca_file == folder / "ca.pem"
    assert settings.data_dir.resolve() == tmp_path / "var"


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("prot = 1", "pilothouse.toml: unknown key prot; did you mean port?"),
        ("[chat]\nqeue = 1", "pilothouse.toml: unknown key chat.qeue; did you mean chat.queue?"),
        ("[chat]\nqueue = 101", "pilothouse.toml: chat.queue: expected less than or equal to 100"),
        ("chat = 3", "pilothouse.toml: chat: expected a valid dictionary"),
        ("[nonsense]", "pilothouse.toml: unknown key nonsense"),
        ("[origins.main]\nurl = 'x'", "pilothouse.toml: unknown key origins"),
        ("[providers.a]\norder = 1", "pilothouse.toml: providers.a.base_url: expected a value, but it is missing"),
        (
            "[providers.a]\nbase_url = 'x'\nmodel = 1",
            "pilothouse.toml: unknown key providers.a.model; did you mean providers.a.models?",
        ),
        ("log_level = 'loud'", "pilothouse.toml: log_level: expected 'debug', 'info', 'warning' or 'error'"),
        ("timezone = 'Mars/Base'", "pilothouse.toml: timezone: expected an IANA time zone"),
        ("tls_cert = 'none.pem'", "pilothouse.toml: tls_cert: expected the path of a readable file"),
        ("port = true", "pilothouse.toml: port: expected a number"),
        ("workers = 2", "pilothouse.toml: workers above 1 share their streams"),
        ("port = ", "is not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_naming_file_key_and_expectation(load: Load, toml: str, expected: str) -> None:
    assert expected in refusal(load, toml=toml)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (
            {"PILOTHOUSE_DATABASE_URL": "x"},
            "PILOTHOUSE_DATABASE_URL: unknown key database_url; did you mean PILOTHOUSE_DATABASE__URL?",
        ),
        ({"PILOTHOUSE_CHAT__QEUE": "1"}, "did you mean PILOTHOUSE_CHAT__QUEUE?"),
        ({"PILOTHOUSE_ORIGINS": "x"}, "PILOTHOUSE_ORIGINS: unknown key origins"),
        ({"PORT": "http"}, "PORT: port: expected a valid integer"),
        (
            {"PILOTHOUSE_WORKERS": "2"},
            "PILOTHOUSE_WORKERS: workers above 1 share their streams over Redis or Valkey: expected redis.url",
        ),
        ({"DATABASE_URL": "mysql://root:hunter2@h/db"}, "DATABASE_URL: database.url: expected an address such as postgresql://"),
        ({"PILOTHOUSE_PUBLIC_URL": "example.com"}, "PILOTHOUSE_PUBLIC_URL: public_url: expected an address"),
    ],
)
def test_a_wrong_variable_is_refused_by_name_without_its_value(load: Load, environ: dict[str, str], expected: str) -> None:
    message = refusal(load, environ)
    assert expected in message
    assert "hunter2" not in message


def test_several_mistakes_are_told_at_once(load: Load) -> None:
    assert len(refusal(load, {"PORT": "x"}, "[chat]\nqueue = -1").splitlines()) == 2


def test_certificate_and_key_go_together(load: Load, tmp_path: Path) -> None:
    file = tmp_path / "cert.pem"
    file.write_text("-", encoding="utf-8")
    assert "expected both or neither" in refusal(load, tls_cert=file)
    assert load(tls_cert=file, tls_key=file).tls_key == file


def test_a_secret_may_lie_in_a_variable_or_a_file(load: Load, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n", encoding="utf-8")
    toml = 'auth_token = "file:key"\n[providers.a]\nbase_url = "http://a/v1"\napi_key = "env:MY_KEY"'
    settings = load({"MY_KEY": "from-env"}, toml)
    assert settings.auth_token is not None
    assert settings.auth_token.get_secret_value() == "from-file"
    key = settings.providers["a"].api_key
    assert key is not None
    assert key.get_secret_value() == "from-env"
    assert load({"AUTH_TOKEN": "file:key"}, "").auth_token == settings.auth_token


def test_a_secret_that_is_not_there_is_refused_naming_the_key(load: Load, tmp_path: Path) -> None:
    assert refusal(load, toml='auth_token = "env:GONE"').startswith(
        "pilothouse.toml: auth_token: the variable GONE is not set; set it"
    )
    assert "auth_token" in (message := refusal(load, toml='auth_token = "file:gone"'))
    assert str(tmp_path / "gone") in message
    (tmp_path / "empty").write_text(" \n", encoding="utf-8")
    assert "is empty" in refusal(load, toml='auth_token = "file:empty"')


def test_kubernetes_service_links_are_not_settings(load: Load) -> None:
    links = {
        "PILOTHOUSE_SERVICE_HOST": "10.0.0.1",
        "PILOTHOUSE_SERVICE_PORT_HTTP": "8700",
        "PILOTHOUSE_PORT": "tcp://10.0.0.1:8700",
        "PILOTHOUSE_PORT_8700_TCP_ADDR": "10.0.0.1",
        "PILOTHOUSE_API_SERVICE_HOST": "10.0.0.2",
    }
    assert load(links).port == 8700


@pytest.mark.parametrize(("given", "prefix"), [("/api", "/api"), ("api/", "/api"), ("/", ""), ("/a/b", "/a/b")])
def test_a_prefix_has_one_leading_slash(load: Load, given: str, prefix: str) -> None:
    assert load({"API_PREFIX": given}).api_prefix == prefix


def test_the_time_zone_is_the_machines_unless_given(load: Load) -> None:
    assert load({"TZ": "Asia/Shanghai"}).timezone == "Asia/Shanghai"
    assert load({"TZ": "Asia/Shanghai", "PILOTHOUSE_TIMEZONE": "Europe/Paris"}).timezone == "Europe/Paris"
    assert load({"TZ": "nonsense"}).timezone in available_timezones()


def test_fastgpts_generation_has_a_short_variable_too(load: Load) -> None:
    assert load({"PILOTHOUSE_FASTGPT_GENERATION": "c"}).fastgpt.generation == "c"
    assert load({"PILOTHOUSE_FASTGPT__GENERATION": "c"}).fastgpt.generation == "c"
    with pytest.raises(ConfigurationInvalid, match=r"PILOTHOUSE_FASTGPT_GENERATION: fastgpt\.generation: expected 'b' or 'c'"):
        load({"PILOTHOUSE_FASTGPT_GENERATION": "d"})


@given(st.dictionaries(st.from_regex(r"PILOTHOUSE_[A-Z_]{1,12}", fullmatch=True), st.text(max_size=12), max_size=3))
def test_any_variables_of_ours_load_or_are_refused_by_name(environ: dict[str, str]) -> None:
    message = next(iter(environ), "")
    try:
        load_settings(environ={"HOME": "/nowhere", **environ})
    except ConfigurationInvalid as error:
        message = error.message
    assert not environ or any(name in message for name in environ)
