"""Variables of other tools that mean one of our settings: ``DATABASE_URL``, ``OPENAI_BASE_URL``, ``OLLAMA_HOST`` and the like.

``PILOTHOUSE_…`` variables win over these, and these over the file. A model provider is taken from them only where someone
chose one: by ``LLM_PROVIDER``, or by a base URL. A lone ``OPENAI_API_KEY`` never sends a question to a paid service.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from core.addresses import ollama_url, redis_url_of
from core.errors import ConfigurationInvalid
from core.settings_oidc_aliases import OIDC, oidc_hints, oidc_settings
from core.settings_sources import Entries, Entry, KeyPath
from core.settings_storage_aliases import MINIO, minio_hints, minio_settings

PLAIN: Mapping[str, KeyPath] = {
    "DATABASE_URL": ("database", "url"),
    "PG_BIN": ("database", "programs"),
    "REDIS_URL": ("redis", "url"),
    "PREFECT_API_URL": ("prefect", "api_url"),
    "PREFECT_API_AUTH_STRING": ("prefect", "auth_string"),
    "PREFECT_API_DATABASE_CONNECTION_URL": ("prefect", "database_url"),
    "PREFECT_SERVER_DATABASE_CONNECTION_URL": ("prefect", "database_url"),
    "SITE_URL": ("public_url",),
    "API_PREFIX": ("api_prefix",),
    "PORT": ("port",),
    "LOG_LEVEL": ("log_level",),
    "AUTH_TOKEN": ("auth_token",),
    "DOCKER_HOST": ("sweeps", "docker"),
    "ADMIN_EMAIL": ("access", "admin_email"),
    "ADMIN_PASSWORD": ("access", "admin_password"),
    "JWT_SECRET": ("access", "jwt_secret"),
    "SESSION_SECRET": ("access", "session_secret"),
}
"""Variables that stand for one setting as they are."""
OTHERS = (
    "CORS_ORIGIN",
    "REDIS_HOST",
    "REDIS_PORT",
    "REDIS_PASSWORD",
    "LLM_PROVIDER",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "OLLAMA_HOST",
    *MINIO,
    *OIDC,
)
"""Variables that take more than that."""
OPENAI = "https://api.openai.com/v1"


@dataclass
class Aliases:
    entries: Entries = field(default_factory=dict)
    hints: list[str] = field(default_factory=list)

    def put(self, origin: str, path: KeyPath, value: object) -> None:
        self.entries[path] = Entry(value, origin, Path.cwd())


def from_aliases(environ: Mapping[str, str], known: Entries) -> Aliases:
    """The entries of other tools' variables; ``known`` is what the file and our own variables already say."""
    given = {name: environ[name].strip() for name in (*PLAIN, *OTHERS) if environ.get(name, "").strip()}
    found = Aliases()
    for name, path in PLAIN.items():
        if name in given:
            found.put(name, path, given[name])
    if "CORS_ORIGIN" in given:
        found.put("CORS_ORIGIN", ("cors_origins",), [item.strip() for item in given["CORS_ORIGIN"].split(",") if item.strip()])
    if "REDIS_URL" not in given and "REDIS_HOST" in given:
        _redis(given, found)
    for key, (name, value) in minio_settings(given).items():
        found.put(name, ("files", key), value)
    found.hints += minio_hints(given, in_bucket=any(path[0] == "files" for path in known))
    for origin, path, value in oidc_settings(given):
        found.put(origin, path, value)
    found.hints += oidc_hints(given, known)
    configured = {path[1] for path in known if path[0] == "providers" and len(path) > 1}
    _provider(given, configured, any(entry.value == "env:OPENAI_API_KEY" for entry in known.values()), found)
    return found


def _redis(given: Mapping[str, str], found: Aliases) -> None:
    port = given.get("REDIS_PORT")
    if port is not None and not port.isdecimal():
        raise ConfigurationInvalid("REDIS_PORT: expected a port number")
    found.put("REDIS_HOST", ("redis", "url"), redis_url_of(given["REDIS_HOST"], port, given.get("REDIS_PASSWORD")))


def _provider(given: Mapping[str, str], configured: set[str], key_used: bool, found: Aliases) -> None:
    choice = given.get("LLM_PROVIDER", "").lower()
    if choice:
        _chosen(choice, given, configured, found)
    elif configured:
        # Someone listed the providers and their order; a variable set for another program does not change that list.
        found.hints += [
            f"{name} is set but not used: the providers come from the configuration; LLM_PROVIDER would put it first"
            for name in ("OPENAI_BASE_URL", "OLLAMA_HOST")
            if name in given
        ]
    elif "OPENAI_BASE_URL" in given:
        _openai("openai", "OPENAI_BASE_URL", given, found)
        if "OLLAMA_HOST" in given:
            found.hints.append("OLLAMA_HOST is set but not used: OPENAI_BASE_URL was taken; LLM_PROVIDER=ollama would choose it")
    elif "OLLAMA_HOST" in given:
        found.put("OLLAMA_HOST", ("providers", "ollama", "base_url"), _ollama(given))
    if "OPENAI_API_KEY" in given and not choice and not key_used and ("providers", "openai", "base_url") not in found.entries:
        found.hints.append(
            "OPENAI_API_KEY is set but nothing is sent to OpenAI: set LLM_PROVIDER=openai (or OPENAI_BASE_URL) to choose it"
        )


def _chosen(choice: str, given: Mapping[str, str], configured: set[str], found: Aliases) -> None:
    named = next((name for name in configured if name.lower() == choice), None)
    if named is not None:
        found.put("LLM_PROVIDER", ("providers", named, "order"), 0)
        if named == "openai" and "OPENAI_BASE_URL" in given:
            # The key in the file belongs to the address in the file, so another address does not get it.
            found.put("OPENAI_BASE_URL", ("providers", named, "api_key"), None)
            _openai(named, "LLM_PROVIDER", given, found)
        elif named == "openai" and "OPENAI_API_KEY" in given:
            found.put("OPENAI_API_KEY", ("providers", named, "api_key"), given["OPENAI_API_KEY"])
        elif named == "ollama" and "OLLAMA_HOST" in given:
            found.put("OLLAMA_HOST", ("providers", named, "base_url"), _ollama(given))
    elif choice == "openai":
        _openai("openai", "LLM_PROVIDER", given, found)
        found.put("LLM_PROVIDER", ("providers", "openai", "order"), 0)
    elif choice == "ollama":
        origin = "OLLAMA_HOST" if "OLLAMA_HOST" in given else "LLM_PROVIDER"
        found.put(origin, ("providers", "ollama", "base_url"), _ollama(given))
        found.put("LLM_PROVIDER", ("providers", "ollama", "order"), 0)
    elif choice == "local":
        if "OPENAI_BASE_URL" in given:
            _openai("local", "OPENAI_BASE_URL", given, found)
            found.put("LLM_PROVIDER", ("providers", "local", "order"), 0)
    else:
        names = ", ".join(sorted({"openai", "ollama", "local", *configured}))
        raise ConfigurationInvalid(
            f"LLM_PROVIDER: unknown provider {choice!r}; expected one of {names}, or a name from [providers]"
        )


def _openai(name: str, origin: str, given: Mapping[str, str], found: Aliases) -> None:
    where = "OPENAI_BASE_URL" if "OPENAI_BASE_URL" in given else origin
    address = given.get("OPENAI_BASE_URL", OPENAI)
    if urlsplit(address).hostname == urlsplit(OPENAI).hostname and "OPENAI_API_KEY" not in given:
        raise ConfigurationInvalid(f"{where}: OpenAI needs a key; expected OPENAI_API_KEY to be set as well")
    found.put(where, ("providers", name, "base_url"), address)
    if "OPENAI_API_KEY" in given:
        found.put("OPENAI_API_KEY", ("providers", name, "api_key"), given["OPENAI_API_KEY"])


def _ollama(given: Mapping[str, str]) -> str:
    try:
        return ollama_url(given.get("OLLAMA_HOST", "127.0.0.1:11434"))
    except ValueError as error:
        raise ConfigurationInvalid(f"OLLAMA_HOST: {error}") from error
