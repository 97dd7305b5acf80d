"""The processes below this one, by what they were started with."""

from contextlib import suppress

import psutil


def children(word: str) -> list[psutil.Process]:
    """Those that live and have ``word`` in their command line; one that ends while it is looked at is gone."""
    found = []
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # a zombie is such a one too
            if any(word in argument for argument in each.cmdline()):
                found.append(each)
    return found
