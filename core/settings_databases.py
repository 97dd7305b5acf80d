"""``[databases.X]``: what the tool ``database/query`` may read."""

from typing import Annotated

from pydantic import Field, SecretStr

from core.addresses import database_url
from core.settings_types import Section, secret


class ReadableSettings(Section):
    """``[databases.X]``: a database that models and people may ask; the login should be of a role that can only read."""

    url: Annotated[SecretStr, secret(database_url)]
    """``postgresql://user:password@host:5432/name`` or ``mysql://…`` (MariaDB too)."""
    description: str = ""
    """What is in it, as a model is told."""
    rows: Annotated[int, Field(ge=1, le=10_000)] = 500
    """Rows of one answer."""
    seconds: Annotated[float, Field(gt=0, le=60)] = 15.0
    """Seconds that a query may take."""
