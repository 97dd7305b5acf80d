"""A provider's last good list of models on disk, so that a restart while the provider is away does not empty FastGPT's lists."""

import secrets
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import orjson
import structlog
from pydantic import TypeAdapter, ValidationError

from core.model_catalogue import CatalogueModel

log = structlog.get_logger(__name__)
MODELS = TypeAdapter(tuple[CatalogueModel, ...])


class KeptList:
    """One file per provider and address in ``folder``; without a folder, or where its parent is not there, nothing is kept."""

    def __init__(self, folder: Path | None, provider: str, base_url: str) -> None:
        name = f"{sha256(f'{provider} {base_url}'.encode()).hexdigest()[:16]}.json"
        self._file = folder / name if folder is not None and folder.parent.is_dir() else None

    def read(self) -> tuple[CatalogueModel, ...] | None:
        """The list; None where there is none that can be read."""
        if self._file is None:
            return None
        try:
            return MODELS.validate_json(self._file.read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, models: Sequence[CatalogueModel]) -> None:
        """Keep the list, whole or not at all. A disk that refuses costs a line in the log and nothing else."""
        if self._file is None:
            return
        partial = self._file.with_name(f".{self._file.name}.{secrets.token_hex(4)}")
        try:
            self._file.parent.mkdir(exist_ok=True)
            partial.write_bytes(orjson.dumps([asdict(model) for model in models]))
            partial.replace(self._file)
        except OSError as error:
            log.warning("model list not kept", reason=error.strerror)
