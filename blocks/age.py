"""age, the file encryption: whom backups are encrypted to, what opens them again, and streams through it.

The library tells nothing of what went wrong in the streams it is given, so that is kept and raised in its place.
"""

from collections.abc import Callable, Sequence
from typing import NewType, Protocol, TypeVar

import pyrage  # type: ignore[import-untyped]

from core.backups.errors import BackupDamaged
from core.backups.place import Stream
from core.errors import ConfigurationInvalid

Recipient = NewType("Recipient", object)
Identity = NewType("Identity", object)
T = TypeVar("T")
CHUNK = 1 << 20


class Writes(Protocol):
    def write(self, data: bytes, /) -> int: ...


def recipients_of(keys: Sequence[str]) -> list[Recipient]:
    """The public keys ``age1…``, ``ssh-ed25519 …`` and ``ssh-rsa …``. Raises ``ConfigurationInvalid``."""
    return [_recipient(key.strip()) for key in keys]


def identities_of(text: str) -> list[Identity]:
    """What an age key file (lines of ``AGE-SECRET-KEY-…``, remarks after #) or a private SSH key without a passphrase holds.

    Raises ``ConfigurationInvalid``, which says nothing of the text.
    """
    try:
        if "PRIVATE KEY-----" in text:
            return [Identity(pyrage.ssh.Identity.from_buffer(f"{text.strip()}\n".encode()))]
        lines = [line.strip() for line in text.splitlines()]
        found = [Identity(pyrage.x25519.Identity.from_str(line)) for line in lines if line and not line.startswith("#")]
    except pyrage.IdentityError:
        found = []
    if not found:
        raise ConfigurationInvalid(
            "backups.identity holds no key that opens backups: expected an age key file (AGE-SECRET-KEY-1…), "
            "or a private SSH key without a passphrase."
        )
    return found


def encrypt(source: Stream, target: Writes, recipients: Sequence[Recipient]) -> None:
    """All of ``source``, blocking. Raises what its ends raise."""
    reader, writer = _Reader(source), _Writer(target)
    try:
        pyrage.encrypt_io(reader, writer, list(recipients))
    except pyrage.EncryptError:
        raise reader.error or writer.error or AssertionError("age does not encrypt") from None


def decrypt(source: Stream, target: Writes, identities: Sequence[Identity]) -> None:
    """All of ``source``, blocking. Raises ``BackupDamaged``, or what its ends raise."""
    reader, writer = _Reader(source), _Writer(target)
    try:
        pyrage.decrypt_io(reader, writer, list(identities))
    except pyrage.DecryptError as error:
        raise reader.error or writer.error or _not_opened(str(error)) from None


def _not_opened(said: str) -> BackupDamaged:
    if "matching" in said.lower():
        return BackupDamaged("The backup is encrypted to other keys: backups.identity must hold the secret key of one of them.")
    return BackupDamaged(f"The backup cannot be decrypted ({said}): its stored bytes are not those that were saved.")


def _recipient(key: str) -> Recipient:
    kind = pyrage.ssh.Recipient if key.startswith("ssh-") else pyrage.x25519.Recipient
    try:
        return Recipient(kind.from_str(key))
    except pyrage.RecipientError:
        if "SECRET" in key.upper():
            raise ConfigurationInvalid(
                "backups.recipients holds a secret key; put the public one there (age1…), as age-keygen -y tells it."
            ) from None
        raise ConfigurationInvalid(
            f"backups.recipients: {key[:12]}… is no public key of age; expected age1…, ssh-ed25519 … or ssh-rsa …"
        ) from None


class _Reader:
    """What is asked for 8 kB at a time, read a megabyte at a time."""

    def __init__(self, source: Stream) -> None:
        self.error: BaseException | None = None
        self._source = source
        self._held = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        if not self._held:
            self._held = memoryview(_kept(self, lambda: self._source.read(CHUNK)))
        given = bytes(self._held[: size if size >= 0 else None])
        self._held = self._held[len(given) :]
        return given


class _Writer:
    def __init__(self, target: Writes) -> None:
        self.error: BaseException | None = None
        self._target = target

    def write(self, data: bytes) -> int:
        return _kept(self, lambda: self._target.write(data))

    def flush(self) -> None:
        """Whoever owns the target flushes it."""


def _kept(side: "_Reader | _Writer", work: Callable[[], T]) -> T:
    try:
        return work()
    except BaseException as error:
        side.error = error
        raise
