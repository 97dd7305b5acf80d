"""Names of the databases that a drill makes beside those of the source: never longer than a server takes, and never two alike."""

import hashlib

DRILLS = "pilothouse_drill_"
"""What all that a drill makes for a while begins with."""
LONGEST = 63
"""Bytes of a name in PostgreSQL, which cuts longer ones off without a word; MySQL takes 64 characters."""
WORD = 8


def beside(prefix: str, name: str, longest: int = LONGEST) -> str:
    """``prefix`` and ``name``; of a name that is too long the beginning, and a word that stands for all of it."""
    whole = f"{prefix}{name}"
    if not prefix or len(whole.encode()) <= longest:
        return whole
    word = hashlib.sha256(name.encode()).hexdigest()[:WORD]
    kept = name.encode()[: longest - len(prefix.encode()) - WORD - 1].decode(errors="ignore")
    return f"{prefix}{kept}_{word}"
