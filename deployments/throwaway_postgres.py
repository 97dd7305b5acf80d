"""A PostgreSQL for one drill: ``python -m deployments.throwaway_postgres FOLDER [PROGRAMS]``.

Says ``{"url": …}`` in one line once it takes connections, and ends with its input, so that none outlives whoever started it.
"""

import shutil
import sys
from json import dumps
from pathlib import Path

from core.errors import PilothouseError
from deployments.postgres import EmbeddedPostgres


def main(folder: Path, programs: Path | None) -> int:
    """Returns when the input has ended and the server with it; its folder is gone then."""
    server = EmbeddedPostgres(folder, programs)
    try:
        server.start()
        print(dumps({"url": server.url()}), flush=True)
        sys.stdin.read()
    except (PilothouseError, OSError) as error:
        print(dumps({"error": error.message if isinstance(error, PilothouseError) else error.strerror}), flush=True)
        return 1
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None))
