"""What every JSON body of a request has in common."""

from pydantic import BaseModel, ConfigDict


class StrictBody(BaseModel):
    """A body whose unknown fields are refused: a typing error in a name must not pass for an option that was left out."""

    model_config = ConfigDict(extra="forbid")
