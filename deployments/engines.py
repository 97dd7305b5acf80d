"""Where the engines that ``up`` started are, noted for every other process of ours on this machine.

``up`` writes ``DIR/run/engines.json`` (0600: it holds passwords) before it starts a part, and removes it when it ends.
``with_engines(settings)`` fills what the configuration leaves open; what is configured always wins.
"""

from dataclasses import asdict, dataclass
from json import JSONDecodeError, dumps, loads
from pathlib import Path

import psutil
from pydantic import SecretStr

from core.config import ModelSettings, ProviderSettings, Settings, as_variables
from deployments.secret_files import write_secret

DEMO_MODEL = "smollm2-135m-instruct"
DEMO_CONTEXT = 2048


@dataclass(frozen=True, slots=True)
class Engines:
    """What is running for this data directory; None where the configuration names something else."""

    url: str
    """The API, as in the ``ready:`` line."""
    pid: int
    database_url: str | None = None
    prefect_url: str | None = None
    prefect_auth: str | None = None
    prefect_database_url: str | None = None
    """Of the server that ``up`` started, wherever it lies: it is backed up too."""
    demo_url: str | None = None
    demo_key: str | None = None

    def write(self, data_dir: Path) -> None:
        """Note them, and the API's address alone for clients in ``DIR/address.json``."""
        run = data_dir / "run"
        run.mkdir(mode=0o700, exist_ok=True)
        write_secret(run / "engines.json", dumps(asdict(self)))
        write_secret(data_dir / "address.json", dumps({"url": self.url, "pid": self.pid}))

    @staticmethod
    def forget(data_dir: Path) -> None:
        for path in (data_dir / "run" / "engines.json", data_dir / "address.json"):
            path.unlink(missing_ok=True)


def noted_engines(data_dir: Path) -> Engines | None:
    """What ``up`` noted in this data directory, None where it is not running."""
    try:
        noted = Engines(**loads((data_dir / "run" / "engines.json").read_text()))
    except (FileNotFoundError, PermissionError, JSONDecodeError, TypeError):
        return None
    return noted if psutil.pid_exists(noted.pid) else None  # a killed one leaves its note


def with_engines(settings: Settings) -> Settings:
    """The settings with the engines of a running ``up`` in the places that the configuration leaves open."""
    noted = noted_engines(settings.data_dir)
    if noted is None:
        return settings
    changed: dict[str, object] = {}
    if settings.database.url is None and noted.database_url:
        changed["database"] = settings.database.model_copy(update={"url": SecretStr(noted.database_url)})
    if settings.prefect.api_url is None and noted.prefect_url:
        auth = SecretStr(noted.prefect_auth) if noted.prefect_auth else None
        database = SecretStr(noted.prefect_database_url) if noted.prefect_database_url else settings.prefect.database_url
        known = {"api_url": noted.prefect_url, "auth_string": auth, "database_url": database}
        changed["prefect"] = settings.prefect.model_copy(update=known)
    if not settings.providers and noted.demo_url:
        demo = ProviderSettings(
            base_url=noted.demo_url,
            api_key=SecretStr(noted.demo_key or ""),
            models=(ModelSettings(name=DEMO_MODEL, context=DEMO_CONTEXT),),
            demo=True,
            tools="schema",
        )
        changed["providers"] = {"demo": demo}
    return settings.model_copy(update=changed)


def handed_on(settings: Settings, config: Path | None) -> dict[str, str]:
    """Variables from which a child process loads these settings, where the command line or an engine decided them."""
    values: dict[str, object] = {
        "data_dir": settings.data_dir,
        "host": settings.host,
        "port": settings.port,
        "prefect_port": settings.prefect_port,
        "model": settings.model,
        "workers": settings.workers,
        "tls_cert": settings.tls_cert,
        "tls_key": settings.tls_key,
        "database.url": settings.database.url,
        "prefect.database_url": settings.prefect.database_url,
    }
    for name, provider in settings.providers.items():
        if provider.demo and f"providers.{name}.demo" not in settings.origins:
            plain = {key: getattr(provider, key) for key in ("base_url", "api_key", "models", "demo", "tools")}
            values |= {f"providers.{name}.{key}": value for key, value in plain.items()}
    variables = as_variables({key: value for key, value in values.items() if value is not None})
    return variables | ({"PILOTHOUSE_CONFIG": str(config.absolute())} if config else {})
