"""Chat against the litellm proxy and the bare upstream, in one run: ``python -m tests.benchmarks.chat [--turns 300]``.

Every process is its own; the upstream answers at once in 20 chunks; Pilothouse has everything on (saved, tracked by Prefect).
"""

import argparse
import asyncio
import tempfile
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, quantiles
from time import perf_counter
from typing import Any
from uuid import uuid4

import uvloop

from tests.benchmarks.client import Line, Reply
from tests.benchmarks.processes import Pilothouse, Proxy, fake_upstream, litellm, pilothouse
from tests.upstream.behaviours import text_of
from tests.upstream.server import KEY

QUESTION = {"messages": [{"role": "user", "content": "Why is the sky blue?"}]}
COMPLETION = QUESTION | {"model": "plain", "stream": True}
IN_ONE_SESSION = 20
AT_ONCE = 16
STREAMS = 200


@dataclass
class Measured:
    """Seconds, of one way to ask."""

    name: str
    firsts: list[float]
    per_second: float = 0.0

    def row(self, direct: "Measured") -> str:
        added = [first - median(direct.firsts) for first in self.firsts]
        times = f"{ms(median(self.firsts))} {ms(p95(self.firsts))}  {ms(median(added))} {ms(p95(added))}"
        return f"{self.name:34} {times}  {f'{self.per_second:.0f}' if self.per_second else '-':>9}"


def ms(seconds: float) -> str:
    return f"{seconds * 1000:8.1f}"


def p95(values: list[float]) -> float:
    return quantiles(values, n=20)[-1]


def whole(reply: Reply) -> Reply:
    """The reply, if it is a complete answer in order."""
    if reply.status != 200 or not reply.ended or reply.text != text_of():
        raise SystemExit(f"not a whole answer: {reply.status} {reply.body[-500:]!r}")
    return reply


async def opened(line: Line, until_tracked: bool = True) -> str:
    """A new session whose conversation's run is open."""
    session = f"bench-{uuid4()}"
    made = await line.post("/chat/sessions", {"sessionId": session})
    assert made.status == 201, made.body
    for _ in range(50 if until_tracked else 0):
        if whole(await line.post(f"/chat/{session}", QUESTION)).header("x-flow-run-id"):
            break
    return session


class Bench:
    """One run against started servers; without ``proxy`` nothing is compared with litellm."""

    def __init__(self, upstream: int, house: Pilothouse, proxy: Proxy | None, turns: int) -> None:
        self.upstream, self.house, self.proxy, self.turns = upstream, house, proxy, turns

    def line(self, to: str) -> Line:
        if to == "house":
            return Line("127.0.0.1", self.house.port, self.house.token)
        if to == "litellm" and self.proxy:
            return Line("127.0.0.1", self.proxy.port, self.proxy.key)
        return Line("127.0.0.1", self.upstream, KEY)

    async def one_at_a_time(self) -> dict[str, Measured]:
        """Taking turns, so that a slow moment of the machine meets everyone."""
        ways = {"direct": Measured("direct", []), "house": Measured("Pilothouse, open conversation", [])}
        ways["v1"] = Measured("Pilothouse, /v1 without session", [])
        lines = {way: self.line(way) for way in ("direct", "house")}
        if self.proxy:
            ways["litellm"], lines["litellm"] = Measured("litellm proxy", []), self.line("litellm")
        session = ""
        for line in lines.values():  # warm
            for _ in range(20):
                await line.post("/v1/chat/completions", COMPLETION)
        for at in range(self.turns):
            if at % IN_ONE_SESSION == 0:
                session = await opened(lines["house"])
            for way, measured in ways.items():
                line = lines["house" if way == "v1" else way]
                path, body = (f"/chat/{session}", QUESTION) if way == "house" else ("/v1/chat/completions", COMPLETION)
                measured.firsts.append(whole(await line.post(path, body)).first)
        return ways

    async def many(self, to: str, count: int) -> float:
        """Answers a second at 16 at a time; each caller of Pilothouse in an open conversation of its own."""
        lines = [self.line(to) for _ in range(AT_ONCE)]
        paths = ["/v1/chat/completions"] * AT_ONCE
        if to == "house":
            paths = [f"/chat/{await opened(line)}" for line in lines]
        body: dict[str, Any] = QUESTION if to == "house" else COMPLETION

        async def caller(line: Line, path: str) -> None:
            for _ in range(count // AT_ONCE):
                whole(await line.post(path, body))

        began = perf_counter()
        await asyncio.gather(*map(caller, lines, paths))
        return count // AT_ONCE * AT_ONCE / (perf_counter() - began)

    async def first_turns(self, count: int) -> list[float]:
        async with self.line("house") as line:
            firsts = []
            for _ in range(count):
                session = await opened(line, until_tracked=False)
                firsts.append(whole(await line.post(f"/chat/{session}", QUESTION)).first)
            return firsts

    async def streams(self) -> tuple[int, float, float]:
        """200 at once, 20 ms a chunk: how many answers were whole, their mean first token, the API's peak memory in MB."""
        lines = [self.line("house") for _ in range(STREAMS)]
        sessions = [await opened(lines[0], until_tracked=False) for _ in range(STREAMS)]
        body = QUESTION | {"modelConfig": {"model": "slow-20"}}
        calls = asyncio.gather(*(line.post(f"/chat/{session}", body) for line, session in zip(lines, sessions, strict=True)))
        peak = 0.0
        while not calls.done():
            peak = max(peak, self.house.api_memory())
            await asyncio.wait({calls}, timeout=0.05)
        replies = await calls
        good = sum(reply.status == 200 and reply.ended and reply.text == text_of() for reply in replies)
        return good, mean(reply.first for reply in replies), peak


async def measure(bench: Bench) -> None:
    ways = await bench.one_at_a_time()
    direct, house, proxy = ways["direct"], ways["house"], ways.get("litellm")
    direct.per_second = await bench.many("direct", bench.turns * 4)
    if proxy:  # before Prefect has a burst to catch up with
        proxy.per_second = await bench.many("litellm", bench.turns)
    house.per_second = await bench.many("house", bench.turns * 2)
    firsts = await bench.first_turns(max(40, bench.turns // 3))
    good, first, peak = await bench.streams()

    print(f"\n{'':34} first token ms      added ms            answers/s")
    print(f"{'':34} {'median':>8} {'p95':>8}  {'median':>8} {'p95':>8}  at {AT_ONCE} at once")
    for measured in ways.values():
        print(measured.row(direct))
    start = median(direct.firsts)
    added = f"{ms(median(firsts) - start)} ms median, {ms(p95(firsts) - start)} ms p95"
    print(f"\nfirst turn of a conversation: added {added} (at most 150)")
    print(f"{STREAMS} streams at once: {good} whole and in order, first token {first * 1000:.0f} ms mean")
    print(f"API memory during them: at most {peak:.0f} MB (under 350)")
    print("memory, MB: " + ", ".join(f"{part} {used:.0f}" for part, used in bench.house.memory().items()))
    if proxy and bench.proxy:
        ratio = (median(house.firsts) - start) / (median(proxy.firsts) - start)
        print(f"litellm memory: {bench.proxy.process.memory_info().rss / 1e6:.0f} MB")
        print(f"added to first token against litellm: {ratio:.2f} (at most 0.60)")
        print(f"answers a second against litellm: {house.per_second / proxy.per_second:.1f} (at least 2.0)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=300, help="turns one at a time; the other parts follow from it")
    parser.add_argument("--without-litellm", action="store_true")
    parser.add_argument(
        "--litellm-venv", type=Path, help="keeps the proxy installed between runs; default: a temporary directory"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as temporary, ExitStack() as stack:
        folder = Path(temporary)
        upstream = stack.enter_context(fake_upstream(folder))
        venv = options.litellm_venv or folder / "litellm"
        wanted = nullcontext() if options.without_litellm else litellm(folder, upstream, venv)
        proxy = stack.enter_context(wanted)
        house = stack.enter_context(pilothouse(folder, upstream))
        uvloop.run(measure(Bench(upstream, house, proxy, options.turns)))


if __name__ == "__main__":
    main()
