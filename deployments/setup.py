"""``pilothouse setup``: what Prefect has to know of us (blocks, deployments, schedules, limits). Run twice is run once."""

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import typer

from core.config import Settings, apply_environment, load_settings, prefect_environment
from core.errors import PrefectNotReady
from deployments.engines import with_engines
from deployments.options import Config, DataDir
from flows.catalogue import TAG, CatalogueEntry, deployable

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

WAIT = 60.0


@dataclass
class Published:
    """What was published, by name."""

    blocks: list[str] = field(default_factory=list)
    deployments: list[str] = field(default_factory=list)


def setup(
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Publish blocks, deployments, schedules and limits to Prefect. Example: pilothouse setup"""
    settings = with_engines(load_settings(config=config, overrides={"data_dir": data_dir}))
    apply_environment(prefect_environment(settings, "flows"))
    published = asyncio.run(publish(settings))
    for kind, names in (("block", published.blocks), ("deployment", published.deployments)):
        for name in names:
            typer.echo(f"{kind}: {name}")


async def publish(settings: Settings) -> Published:
    """Publish everything to the server that this process's environment names. Raises ``PrefectNotReady``."""
    await server_up()
    published = Published(blocks=await publish_blocks(settings))
    for entry in deployable():
        deployment = await deployment_of(entry, settings)
        await deployment.aapply()
        published.deployments.append(entry.deployment)
    return published


async def server_up(within: float = WAIT) -> None:
    """Wait for the server. Raises ``PrefectNotReady``."""
    from prefect.settings import PREFECT_API_URL  # noqa: PLC0415  (read when it is imported)

    from flows.presence import Presence  # noqa: PLC0415

    presence = Presence(str(PREFECT_API_URL.value()), interval=0.5)
    await presence.start()
    try:
        if not await presence.wait_up(within):
            raise PrefectNotReady(f"Prefect's server at {PREFECT_API_URL.value()} did not answer within {within:.0f} s.")
    finally:
        await presence.stop()


async def publish_blocks(settings: Settings) -> list[str]:
    """Register our block types with their descriptions, and save the configured ones under their names."""
    from blocks.channels import channel_of  # noqa: PLC0415
    from blocks.models import ModelProvider  # noqa: PLC0415
    from blocks.storage import file_storage  # noqa: PLC0415
    from blocks.storage_bucket import ObjectBucket  # noqa: PLC0415
    from blocks.storage_folder import ObjectFolder  # noqa: PLC0415
    from blocks.teams import TeamsChannel  # noqa: PLC0415
    from blocks.webhook_channel import WebhookChannel  # noqa: PLC0415

    for kind in (ModelProvider, ObjectFolder, ObjectBucket, TeamsChannel, WebhookChannel):
        await kind.aregister_type_and_schema()
    files = file_storage(settings)
    await files.asave("files", overwrite=True)
    names = [f"{files.get_block_type_slug()}/files"]
    for name, provider in settings.providers.items():
        block = ModelProvider.from_settings(name, provider, settings.ca_file)
        await block.asave(block_name(name), overwrite=True)
        names.append(f"{ModelProvider.get_block_type_slug()}/{block_name(name)}")
    for name, settings_of in settings.channels.items():
        channel = channel_of(name, settings_of, settings)
        await channel.asave(block_name(name), overwrite=True)
        names.append(f"{channel.get_block_type_slug()}/{block_name(name)}")
    return names


def block_name(provider: str) -> str:
    """Prefect allows lowercase letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", provider.lower()).strip("-") or "provider"


async def deployment_of(entry: CatalogueEntry, settings: Settings) -> "RunnerDeployment":
    """The entry's deployment as it is served: without a work pool, its schedule in the configured timezone."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy  # noqa: PLC0415
    from prefect.schedules import Cron  # noqa: PLC0415
    from prefect.types.entrypoint import EntrypointType  # noqa: PLC0415

    limit = entry.concurrency
    deployment = await entry.flow.ato_deployment(
        name=entry.name,
        tags=[TAG],
        schedules=[
            Cron(each.cron, timezone=settings.timezone, parameters=dict(each.parameters)) for each in entry.schedules(settings)
        ],
        concurrency_limit=ConcurrencyLimitConfig(limit=limit, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)
        if limit
        else None,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    # Said explicitly, so that a work pool given by an earlier `prefect deploy` is taken off again.
    deployment.work_pool_name = None
    deployment.work_queue_name = None
    return deployment
