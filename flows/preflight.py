"""Every day the checks before production, with what to do about each."""

from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import acreate_table_artifact

from core.config import load_settings
from core.store.base import Store
from core.store.runs import Runs
from flows.preflighting import compose_files, preflighted
from tasks.retrying import NOWHERE
from tasks.runs import keep_result


@flow(name="preflight", persist_result=False, result_storage=NOWHERE, timeout_seconds=900)
async def preflight() -> dict[str, Any]:
    """Looks at everything that a production installation needs: secrets, TLS, backups, alerts, containers, files.

    What is wrong does not fail the run: the result and the run's artifact say for each item what is and what to do. The compose
    files that are looked at are those of [preflight] and of the changes that are configured.
    """
    settings = load_settings()
    store = Store.from_settings(settings.database, application="pilothouse flows")
    try:
        items = await preflighted(settings, compose_files(settings))
        counts = {status: sum(each.status == status for each in items) for status in ("pass", "warn", "fail")}
        get_run_logger().info("%d items are well, %d doubtful, %d wrong", *counts.values())
        result = {**counts, "items": [each.shown() for each in items]}
        await keep_result(Runs(store), result)
        table = [{"status": each.status, "item": each.id, "what is": each.message, "what to do": each.todo} for each in items]
        await acreate_table_artifact(table, key="preflight", description=ABOUT)
    finally:
        await store.aclose()
    return result


ABOUT = "Whether this installation is fit for production."
