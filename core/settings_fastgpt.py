"""Settings of the plugin service that FastGPT talks to."""

from typing import Annotated, Literal

from pydantic import Field

from core.settings_types import Section

Generation = Literal["b", "c"]
"""Which of FastGPT's newer plugin protocols: ``b`` for plugin releases 0.5 and 0.6, ``c`` for 1.x."""


class FastGptSettings(Section):
    """``[fastgpt]``: Pilothouse in the place of FastGPT's plugin service."""

    generation: Generation = "b"
    """How ``/api/*`` answers where the two newer protocols differ; FastGPT up to 4.14 speaks ``b``, later ones ``c``."""
    run_timeout: Annotated[float, Field(gt=0, le=3600)] = 300.0
    """Seconds after which the stream of a tool run ends with an error, whatever the run does."""
