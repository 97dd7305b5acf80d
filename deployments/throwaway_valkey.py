"""A Redis or Valkey for one drill: ``python -m deployments.throwaway_valkey FOLDER PROGRAM``.

Says ``{"url": …}`` in one line once it takes connections, and ends with its input, so that none outlives whoever started it. It
keeps nothing on disk, and listens on loopback alone. Its password goes over its standard input.
"""

import secrets
import shutil
import socket
import subprocess
import sys
import threading
from json import dumps
from pathlib import Path
from time import monotonic

START = 20.0


def main(folder: Path, program: str) -> int:
    """Returns when the input has ended and the server with it; its folder is gone then."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    password = secrets.token_urlsafe(24)
    try:
        process = subprocess.Popen(  # noqa: S603 - the program that the drill has chosen
            [program, "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        print(dumps({"error": error.strerror}), flush=True)
        return 1
    try:
        assert process.stdin is not None
        process.stdin.write(
            f'port {port}\nbind 127.0.0.1\ndir "{folder}"\nsave ""\nappendonly no\nrequirepass {password}\n'.encode()
        )
        process.stdin.close()
        if not _answers(process, port):
            print(dumps({"error": "it does not answer"}), flush=True)
            return 1
        print(dumps({"url": f"redis://:{password}@127.0.0.1:{port}"}), flush=True)
        sys.stdin.read()
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _answers(process: "subprocess.Popen[bytes]", port: int) -> bool:
    """Once it takes connections; False when it ended or takes too long."""
    deadline, pause = monotonic() + START, threading.Event()
    while process.poll() is None and monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(16).startswith((b"+PONG", b"-NOAUTH")):
                    return True
        except OSError:
            pause.wait(0.05)
    return False


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
