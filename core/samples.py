"""Passwords and secrets that stand in the documents of the platforms that people copy from, and so protect nothing."""

from collections.abc import Iterator

from pydantic import SecretStr

from core.addresses import is_loopback
from core.errors import ConfigurationInvalid
from core.settings import Settings

WHOLE = frozenset(
    {"Admin@123456", "1234567", "12345678", "123456", "minioadmin", "password", "changeme", "difyai123456", "fastgpt", "postgres"}
)
PIECES = ("your-super-secret", "your_jwt_secret", "my-secret-key", "change-this", "sk-9f73s3ljTXVcMT3Blb3ljTqtsKiGHXVcMT3B")
"""What longer ones hold."""


def is_sample(secret: str) -> bool:
    """Whether everybody knows it."""
    return secret in WHOLE or any(piece in secret for piece in PIECES)


def samples_in(settings: Settings) -> list[str]:
    """Dotted keys of the settings that hold one."""
    return [key for key, value in _secrets(settings) if value is not None and is_sample(value.get_secret_value())]


def refuse_samples(settings: Settings) -> list[str]:
    """Hints about them where only this machine can reach us. Raises ``ConfigurationInvalid`` where others can."""
    found = samples_in(settings)
    if found and not is_loopback(settings.host):
        raise ConfigurationInvalid(
            f"{', '.join(found)}: a sample value that everybody knows protects nothing, and others can reach {settings.host}: "
            "set a secret of your own (`openssl rand -base64 32`)."
        )
    return [f"{key} is a sample value that everybody knows: change it before others can reach this machine" for key in found]


def _secrets(settings: Settings) -> Iterator[tuple[str, SecretStr | None]]:
    yield "access.admin_password", settings.access.admin_password
    yield "access.jwt_secret", settings.access.jwt_secret
    yield "access.session_secret", settings.access.session_secret
    yield "auth_token", settings.auth_token
    yield "files.secret_key", settings.files.secret_key
    yield "backups.store.secret_key", settings.backups.store.secret_key
