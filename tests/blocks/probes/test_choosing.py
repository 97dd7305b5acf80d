"""Every kind of check has its probe, or is judged from our own database."""

from pathlib import Path
from typing import get_args

import pytest

from blocks.probes.choosing import MODULES, OURS, probe_of
from core.errors import ConfigurationInvalid
from core.settings import Settings
from core.settings_services import Check, ServiceSettings


def test_a_kind_that_our_database_knows_of_has_no_probe(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match=r'services\.nightly: no probe looks at a service with check = "backup"'):
        probe_of("nightly", ServiceSettings(check="backup"), Settings(data_dir=tmp_path))


def test_every_kind_is_either_looked_at_or_judged_from_our_database() -> None:
    assert not OURS & MODULES.keys()
    assert OURS | MODULES.keys() == set(get_args(Check))


async def test_what_is_only_drawn_is_unknown(tmp_path: Path) -> None:
    seen = await probe_of("worker", ServiceSettings(check="none"), Settings(data_dir=tmp_path)).look()
    assert (seen.state, seen.code) == ("unknown", "none")
