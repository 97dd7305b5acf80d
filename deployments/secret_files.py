"""Random secrets made once and kept in files that only the owner can read, under ``DIR/secrets``."""

import os
import secrets
from pathlib import Path


def kept_secret(data_dir: Path, name: str) -> str:
    """The secret of that name, made at first use (43 URL-safe characters)."""
    path = secret_path(data_dir, name)
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_secret(path, secrets.token_urlsafe(32))
        return path.read_text().strip()


def secret_path(data_dir: Path, name: str) -> Path:
    """The file that holds it, whether or not it is made yet."""
    return data_dir / "secrets" / name


def write_secret(path: Path, value: str) -> None:
    """Write ``value`` so that no other user can read it at any moment, and no reader finds half of it."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123 - a mode from the first byte
        file.write(f"{value}\n")
    partial.replace(path)
