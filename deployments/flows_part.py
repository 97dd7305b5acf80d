"""``serve flows`` as a part of ``up``."""

import sys
from dataclasses import dataclass
from pathlib import Path

from core.config import Settings, child_environment
from deployments.engines import handed_on
from deployments.part import Program

_NICE = 5


@dataclass
class FlowsPart(Program):
    """Says in a file that it serves, since it listens on no port."""

    ready_file: Path = Path()

    def prepare(self) -> None:
        self.ready_file.unlink(missing_ok=True)
        super().prepare()


def flows_part(settings: Settings, config: Path | None) -> FlowsPart:
    """The deployments with their schedules; ready when they are published and served."""
    ready_file = settings.data_dir / "run" / "flows-ready"

    async def ready() -> bool:
        return ready_file.exists()

    command = [sys.executable, "-m", "deployments.cli", "serve", "flows", "--ready-file", str(ready_file)]
    environment = child_environment(handed_on(settings, config))
    return FlowsPart("flows", command, environment, ready, stage=2, grace=20, nice=_NICE, ready_file=ready_file)
