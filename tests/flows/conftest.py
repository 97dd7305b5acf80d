"""What several files about backups share."""

from pathlib import Path

import pytest

from tests.flows.saved import Stage
from tests.prefect_server import RunningServer


@pytest.fixture
def stage(prefect_client: RunningServer, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Flows of this process see its configuration."""
    made = Stage(tmp_path, database_url)
    for name, value in made.environ.items():
        monkeypatch.setenv(name, value)
    return made
