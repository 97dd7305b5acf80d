"""``python -m tests.upstream --port N``: the fake upstream as its own process, for load tests and for trying by hand."""

import argparse
import asyncio
import signal

import uvloop

from tests.upstream.server import KEY, FakeUpstream


async def serve(host: str, port: int) -> None:
    upstream = FakeUpstream(keep=100)
    await upstream.listen(host, port)
    print(f"fake upstream: {upstream.base_url} (key {KEY})", flush=True)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8790)
    options = parser.parse_args()
    uvloop.run(serve(options.host, options.port))


if __name__ == "__main__":
    main()
