"""``pilothouse serve``: one part alone against engines that run elsewhere, or as a child of ``up``."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from core.config import Settings, apply_environment, load_settings, prefect_environment
from core.samples import refuse_samples
from deployments.children import end_children
from deployments.engines import handed_on, with_engines
from deployments.loading import loading
from deployments.options import Config, DataDir

app = typer.Typer(no_args_is_help=True, help="One part alone against given engines. Example: pilothouse serve api --port 8700")


@app.callback()
def serve() -> None:
    """One part alone against given engines. Example: pilothouse serve api --port 8700"""


@app.command()
def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain (PEM); read again when it changes.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's private key (PEM).")] = None,
    config: Config = None,
    data_dir: DataDir = None,
    fd: Annotated[int | None, typer.Option(hidden=True)] = None,
    admin_token: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """The API alone. Example: DATABASE_URL=postgresql://user:pw@db/pilothouse pilothouse serve api --host 0.0.0.0"""
    given = {"host": host, "port": port, "tls_cert": tls_cert, "tls_key": tls_key, "data_dir": data_dir}
    settings = _ready_for_prefect("api", config, given)
    refuse_samples(settings)
    # Imported only now: Prefect reads the environment when it is imported.
    from deployments.api_process import run_api  # noqa: PLC0415

    run_api(settings, fd, admin_token)


@app.command()
def flows(
    config: Config = None,
    data_dir: DataDir = None,
    ready_file: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """The deployments with their schedules alone. Example: PREFECT_API_URL=http://prefect:4200/api pilothouse serve flows"""
    settings = _ready_for_prefect("flows", config, {"data_dir": data_dir})
    # A run is a process of its own that loads the settings again.
    apply_environment(handed_on(settings, config))
    with loading():
        from core import logs  # noqa: PLC0415
        from deployments.flows_server import serve as serve_flows  # noqa: PLC0415

    logs.configure(settings.log_level)
    try:
        asyncio.run(serve_flows(settings, ready_file.touch if ready_file else lambda: None))
    finally:
        end_children()


def _ready_for_prefect(role: Literal["api", "flows"], config: Path | None, given: Mapping[str, object]) -> Settings:
    settings = with_engines(load_settings(config=config, overrides=given))
    apply_environment(prefect_environment(settings, role))
    return settings
