"""Variables that other tools set: what each becomes, and that none of them chooses a paid or foreign service by accident."""

from pathlib import Path

import pytest

from core.addresses import masked, ollama_url, place, postgres_url
from core.config import Settings, load_settings
from core.errors import ConfigurationInvalid


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(toml: str = "", **environ: str) -> Settings:
    Path("pilothouse.toml").write_text(toml, encoding="utf-8")
    return load_settings(environ={"HOME": "/nowhere", **environ})


def database(url: str) -> str:
    secret = load(DATABASE_URL=url).database.url
    assert secret is not None
    return secret.get_secret_value()


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("postgresql://u:p@h:5432/db?schema=public", "postgresql://u:p@h:5432/db"),
        ("postgres://u:p%40x@h/db?schema=a&sslmode=require&connection_limit=5", "postgresql://u:p%40x@h/db?sslmode=require"),
        ("postgresql+asyncpg://u@/db?host=/run/pg&port=5433", "postgresql://u@/db?host=/run/pg&port=5433"),
    ],
)
def test_database_urls_of_other_tools_become_libpqs(given: str, taken: str) -> None:
    assert database(given) == taken


def test_our_own_variable_wins_over_another_tools() -> None:
    settings = load(DATABASE_URL="postgresql://a/one", PILOTHOUSE_DATABASE__URL="postgresql://b/two")
    assert settings.database.url is not None
    assert place(settings.database.url.get_secret_value()) == "b/two"
    assert settings.origins["database.url"] == "PILOTHOUSE_DATABASE__URL"


@pytest.mark.parametrize(
    ("environ", "url", "source"),
    [
        ({"REDIS_URL": "redis://h:1/2", "REDIS_HOST": "other"}, "redis://h:1/2", "REDIS_URL"),
        ({"REDIS_URL": "valkey://h"}, "redis://h", "REDIS_URL"),
        ({"REDIS_HOST": "h"}, "redis://h:6379/0", "REDIS_HOST"),
        ({"REDIS_HOST": "h", "REDIS_PORT": "6380", "REDIS_PASSWORD": "p@/w"}, "redis://:p%40%2Fw@h:6380/0", "REDIS_HOST"),
        ({"REDIS_HOST": "::1"}, "redis://[::1]:6379/0", "REDIS_HOST"),
    ],
)
def test_redis_by_address_or_by_parts(environ: dict[str, str], url: str, source: str) -> None:
    settings = load(**environ)
    assert settings.redis.url is not None
    assert (settings.redis.url.get_secret_value(), settings.origins["redis.url"]) == (url, source)


def test_parts_of_redis_without_a_host_choose_nothing() -> None:
    assert load(REDIS_PORT="tcp://10.0.0.1:6379", REDIS_PASSWORD="x").redis.url is None
    with pytest.raises(ConfigurationInvalid, match="REDIS_PORT: expected a port number"):
        load(REDIS_HOST="h", REDIS_PORT="tcp://10.0.0.1:6379")


def test_plain_ones() -> None:
    settings = load(
        CORS_ORIGIN="http://localhost:3000, https://your-domain.com",
        API_PREFIX="/api",
        PORT="3001",
        LOG_LEVEL="WARN",
        SITE_URL="https://ai.example/",
        AUTH_TOKEN="s3cret",
        PREFECT_API_URL="http://prefect:4200/api",
        PREFECT_API_AUTH_STRING="admin:pw",
        PREFECT_API_DATABASE_CONNECTION_URL="postgresql://u:p@h/prefect",
    )
    assert settings.cors_origins == ("http://localhost:3000", "https://your-domain.com")
    assert (settings.api_prefix, settings.port, settings.log_level) == ("/api", 3001, "warning")
    assert settings.public_url == "https://ai.example"
    assert settings.prefect.api_url == "http://prefect:4200/api"
    assert settings.prefect.database_url is not None
    assert settings.prefect.database_url.get_secret_value() == "postgresql+asyncpg://u:p@h/prefect"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("localhost", "http://localhost:11434/v1"),
        ("http://192.168.1.100:11434", "http://192.168.1.100:11434/v1"),
        ("http://localhost:11434/v1/", "http://localhost:11434/v1"),
        ("0.0.0.0:11435", "http://127.0.0.1:11435/v1"),
        (":11434", "http://127.0.0.1:11434/v1"),
        ("https://ollama.example", "https://ollama.example/v1"),
        ("https://u:p@ollama.example/ollama", "https://u:p@ollama.example/ollama/v1"),
        ("[::1]:11434", "http://[::1]:11434/v1"),
    ],
)
def test_ollama_host_in_all_its_forms(given: str, url: str) -> None:
    assert ollama_url(given) == url
    provider = load(OLLAMA_HOST=given)
    assert (list(provider.providers), provider.providers["ollama"].base_url) == (["ollama"], url)


def test_a_lone_key_chooses_nothing_and_is_named_in_a_hint() -> None:
    settings = load(OPENAI_API_KEY="sk-x")
    assert settings.providers == {}
    assert "OPENAI_API_KEY" in settings.hints[0]
    assert "LLM_PROVIDER" in settings.hints[0]
    assert "sk-x" not in settings.hints[0]


def test_a_lone_key_beside_another_provider_is_not_sent_there() -> None:
    settings = load(OPENAI_API_KEY="sk-x", OLLAMA_HOST="localhost")
    assert settings.providers["ollama"].api_key is None
    assert len(settings.hints) == 1


def test_openai_by_name_needs_its_key() -> None:
    settings = load(LLM_PROVIDER="OpenAI", OPENAI_API_KEY="sk-x")
    assert settings.providers["openai"].base_url == "https://api.openai.com/v1"
    assert settings.origins["providers.openai.api_key"] == "OPENAI_API_KEY"
    with pytest.raises(ConfigurationInvalid, match="OPENAI_API_KEY"):
        load(LLM_PROVIDER="openai")
    with pytest.raises(ConfigurationInvalid, match="OPENAI_API_KEY"):
        load(OPENAI_BASE_URL="https://api.openai.com/v1")


def test_a_base_url_chooses_a_provider_and_its_key_goes_there() -> None:
    settings = load(OPENAI_BASE_URL="http://gpu:8000/v1", OPENAI_API_KEY="k")
    key = settings.providers["openai"].api_key
    assert key is not None
    assert (settings.providers["openai"].base_url, key.get_secret_value()) == ("http://gpu:8000/v1", "k")
    assert load(OPENAI_BASE_URL="http://gpu:8000/v1").providers["openai"].api_key is None


def test_of_two_base_urls_one_is_taken_and_the_other_named() -> None:
    settings = load(OPENAI_BASE_URL="http://gpu:8000/v1", OLLAMA_HOST="localhost")
    assert list(settings.providers) == ["openai"]
    assert "OLLAMA_HOST" in settings.hints[0]
    assert list(load(LLM_PROVIDER="ollama", OPENAI_BASE_URL="http://gpu/v1", OLLAMA_HOST="localhost").providers) == ["ollama"]


def test_local_means_the_demo_model_unless_there_is_an_address() -> None:
    assert load(LLM_PROVIDER="local").providers == {}
    assert load(LLM_PROVIDER="local", OPENAI_BASE_URL="http://gpu/v1").providers["local"].base_url == "http://gpu/v1"
    assert load(LLM_PROVIDER="ollama").providers["ollama"].base_url == "http://127.0.0.1:11434/v1"


LISTED = """
[providers.gpu]
base_url = "http://gpu/v1"
[providers.openai]
base_url = "https://api.openai.com/v1"
api_key = "file-key"
"""


def test_other_tools_variables_do_not_change_a_list_of_providers() -> None:
    settings = load(LISTED, OLLAMA_HOST="localhost", OPENAI_BASE_URL="http://stray/v1", OPENAI_API_KEY="stray")
    assert {name: provider.base_url for name, provider in settings.providers.items()} == {
        "gpu": "http://gpu/v1",
        "openai": "https://api.openai.com/v1",
    }
    assert [hint.split()[0] for hint in settings.hints] == ["OPENAI_BASE_URL", "OLLAMA_HOST", "OPENAI_API_KEY"]


def test_llm_provider_puts_a_listed_provider_first() -> None:
    settings = load(LISTED, LLM_PROVIDER="GPU")
    assert (settings.providers["gpu"].order, settings.origins["providers.gpu.order"]) == (0, "LLM_PROVIDER")
    with pytest.raises(ConfigurationInvalid, match="gpu, local, ollama, openai"):
        load(LISTED, LLM_PROVIDER="claude")


def test_a_key_from_the_file_never_goes_to_an_address_from_the_environment() -> None:
    settings = load(LISTED, LLM_PROVIDER="openai", OPENAI_BASE_URL="http://elsewhere/v1")
    assert (settings.providers["openai"].base_url, settings.providers["openai"].api_key) == ("http://elsewhere/v1", None)


def test_a_key_that_the_file_refers_to_needs_no_hint() -> None:
    toml = '[providers.gpt]\nbase_url = "https://api.openai.com/v1"\napi_key = "env:OPENAI_API_KEY"'
    assert load(toml, OPENAI_API_KEY="k").hints == ()


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:pw@h/db", "postgresql://u:********@h/db"),
        ("redis://:pw@h:1/0", "redis://:********@h:1/0"),
        ("postgresql://u@/db?host=/run&password=pw", "postgresql://u@/db?host=/run&password=********"),
        ("https://h/v1", "https://h/v1"),
    ],
)
def test_addresses_are_shown_without_their_secrets(address: str, shown: str) -> None:
    assert masked(address) == shown


def test_a_malformed_address_is_refused_without_repeating_it() -> None:
    for address in ("postgresql://u:hunter2@h:port/db", "http://[::1/hunter2", "postgresql://hunter2@h"):
        with pytest.raises(ValueError, match="expected") as caught:
            postgres_url(address)
        assert "hunter2" not in str(caught.value)


CASDOOR = {
    "CONSOLE_CASDOOR_URL": "http://10.0.0.5:8000",
    "CONSOLE_CASDOOR_ID": "astron-agent-client",
    "CONSOLE_CASDOOR_APP": "astron-agent-app",
    "CONSOLE_CASDOOR_ORG": "company",
    "OAUTH2_ISSUER_URI": "http://10.0.0.5:8000",
    "OAUTH2_JWK_SET_URI": "http://casdoor:8000/.well-known/jwks",
    "OAUTH2_AUDIENCE": "astron-agent-client",
}


def test_casdoor_as_astron_agent_names_it() -> None:
    casdoor = load(**CASDOOR).oidc["casdoor"]
    assert (casdoor.issuer, casdoor.client_id) == ("http://10.0.0.5:8000", "astron-agent-client")
    assert (casdoor.internal_url, casdoor.jwks_url) == ("http://casdoor:8000", "http://casdoor:8000/.well-known/jwks")
    assert (casdoor.required_claims, casdoor.audience) == ({"owner": "company"}, ("astron-agent-client",))
    assert load(**CASDOOR | {"CONSOLE_CASDOOR_ORG": "built-in"}).oidc["casdoor"].required_claims == {}


def test_logins_by_google_and_github_are_of_nobody_until_somebody_says_whose() -> None:
    google = {"GOOGLE_CLIENT_ID": "id", "GOOGLE_CLIENT_SECRET": "secret"}
    settings = load(**google, GITHUB_CLIENT_ID="your-github-client-id", GITHUB_CLIENT_SECRET="your-github-client-secret")
    assert (list(settings.oidc), settings.oidc["google"].open_to_all) == (["google"], True)
    assert [hint for hint in settings.hints if "oidc.google.allowed" in hint]
    assert [hint for hint in settings.hints if "GITHUB_CLIENT_ID" in hint]
    named = load(**google, PILOTHOUSE_OIDC__GOOGLE__ALLOWED="@example.com")
    assert (named.oidc["google"].open_to_all, named.hints) == (False, ())
