"""Keys of age, the file encryption, checked when they are configured and not when a backup needs them."""


def recipient(key: str) -> str:
    """A public key. Raises ``ValueError``, which repeats nothing of a secret one."""
    import pyrage  # type: ignore[import-untyped]  # noqa: PLC0415  (only who encrypts loads it)

    plain = key.strip()
    if "SECRET" in plain.upper():
        raise ValueError("holds a secret key; expected the public one (age1…), as age-keygen -y tells it")
    kind = pyrage.ssh.Recipient if plain.startswith("ssh-") else pyrage.x25519.Recipient
    try:
        kind.from_str(plain)
    except pyrage.RecipientError:
        raise ValueError(f"{plain[:12]}… is no public key of age; expected age1…, ssh-ed25519 … or ssh-rsa …") from None
    return plain


def identity_text(text: str) -> str:
    """The content of a key file: lines of ``AGE-SECRET-KEY-…``, remarks after #; or a private SSH key without a passphrase.

    Raises ``ValueError``, which says nothing of it.
    """
    import pyrage  # noqa: PLC0415

    keys = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    try:
        if "PRIVATE KEY-----" in text:
            pyrage.ssh.Identity.from_buffer(f"{text.strip()}\n".encode())
        else:
            for key in keys:
                pyrage.x25519.Identity.from_str(key)
    except pyrage.IdentityError:
        keys = []
    if not keys:
        raise ValueError("expected an age key file (AGE-SECRET-KEY-1…), or a private SSH key without a passphrase")
    return text
