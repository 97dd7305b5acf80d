"""``[model_watch]``: from when on a model that answers badly is told of."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from core.settings_types import Section

Percent = Annotated[float, Field(gt=0, le=100)]


class ModelWatchSettings(Section):
    """``[model_watch]``: the bounds by which sweeps judge models, from the turns that they answered."""

    window: Annotated[float, Field(ge=60, le=86_400)] = 900.0
    """Seconds of which the turns count."""
    fewest: Annotated[int, Field(ge=1, le=10_000)] = 5
    """Turns within the window below which a model is not judged."""
    errors: Percent = 20.0
    """Percent of its turns in which a model may fail before it counts as degraded."""
    errors_down: Percent = 80.0
    """The same before it counts as down."""
    first_token: Annotated[float, Field(gt=0, le=600)] = 20.0
    """Seconds within which 95 of 100 turns have their first token; a slower model counts as degraded."""

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.errors_down < self.errors:
            raise ValueError("errors_down is the worse of the two: expected no less than errors")
        return self
