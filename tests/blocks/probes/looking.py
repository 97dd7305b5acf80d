"""One look of a probe, configured as a service is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blocks.probes.choosing import probe_of
from core.settings import Settings
from core.settings_services import ServiceSettings, SweepSettings
from core.sweeps.observation import Observation


async def seen(check: str, url: str | None = None, sweeps: Mapping[str, Any] | None = None, **more: Any) -> Observation:
    """What the probe of ``[services.it]`` sees; ``sweeps`` is ``[sweeps]``."""
    service = ServiceSettings.model_validate({"check": check, "url": url, **more})
    settings = Settings(data_dir=Path("/nonexistent"), sweeps=SweepSettings.model_validate(sweeps or {}))
    return await probe_of("it", service, settings).look()
