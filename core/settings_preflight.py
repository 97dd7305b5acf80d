"""``[preflight]``: what is looked at besides this installation itself."""

from pathlib import Path

from core.settings_types import Section


class PreflightSettings(Section):
    """``[preflight]``: the checks before production."""

    compose: tuple[Path, ...] = ()
    """Compose files of the platform, as one project, that the daily run looks at besides those of ``[changes.X]``."""
