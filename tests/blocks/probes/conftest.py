"""What tests of probes share."""

from pathlib import Path

import pytest

from tests.certificates import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA that is trusted only where its file is named."""
    return Authority(Path(tmp_path_factory.mktemp("authority")))
