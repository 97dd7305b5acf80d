"""``[audit]``: what the audit log holds, who can check it, and for how long it is kept."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from core.settings_types import Section


class AuditSettings(Section):
    """``[audit]``: who did what."""

    key: SecretStr | None = None
    """Signs what is sealed; None: one made up and kept in ``DIR/secrets``. Several API machines need the same."""
    keys_before: tuple[SecretStr, ...] = ()
    """Earlier ones, with which older entries were signed."""
    content: Literal["hash", "full", "none"] = "hash"
    """What is kept of what people ask models and tools, and of the answers: its SHA-256, all of it, or nothing."""
    keep_months: Annotated[int, Field(ge=0, le=1200)] = 0
    """Whole months after which entries are deleted; 0: never."""
