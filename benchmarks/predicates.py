"""What campaigns cost the product: a predicate asked, and `Client.log` with and without campaigns.

Run: python benchmarks/predicates.py
"""

import gc
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from _results import machine, markdown_table, write_section

from everloop.client import Client, Spool
from everloop.client.predicates import parse
from everloop.client.transport import Reply
from everloop.types import Campaign

CALLS, REPEATS = 20_000, 7
MOMENT: dict[str, Any] = {
    "id": "01a1f909-f814-7006-bb93-d93d9cf5633f", "input": {"text": "my card has not arrived " * 10}, "output": "a",
    "confidence": 0.7, "alternatives": [{"value": "b", "confidence": 0.2}],
    "context": {"speed": 50.0, "second": {"shadow": {"output": "a", "confidence": 0.3}}},
}  # fmt: skip
PREDICATES: dict[str, Any] = {
    "confidence below 0.6": {"confidence": {"below": 0.6}},
    "margin below 0.1": {"margin": {"below": 0.1}},
    "a second model disagrees": {"disagrees": {"with": "shadow"}},
    "a text in the input": {"input.text": {"contains": "stolen"}},
    "a share of 0.01": {"share": 0.01},
    "ten of these, all asked": {"all": [
        {"not": {"confidence": {"below": 0.6}}}, {"margin": {"above": 0.1}}, {"disagrees": {"gap": 0.3}},
        {"not": {"input.text": {"contains": "stolen"}}}, {"context.speed": {"above": 30, "below": 200}},
        {"output": {"in": ["a", "b", "c"]}}, {"any": [{"model": {"missing": True}}, {"model": {"equals": "m"}}]},
        {"input.text": {"length": {"above": 10}}}, {"share": 1},
    ]},
}  # fmt: skip


class Quiet:
    """A server that asks for one thing and takes nothing."""

    def __init__(self, *campaigns: Campaign) -> None:
        self._body = msgspec.json.encode({"campaigns": campaigns})

    def get(self, path: str, etag: str | None, timeout: float) -> Reply:
        return Reply(200, self._body, None, '"1"', int(time.time() * 1000))

    def post(self, path: str, body: bytes, media: str, timeout: float) -> Reply:
        return Reply(503, b"", 3600.0)

    def forget(self) -> None: ...

    def close(self) -> None: ...


def each(call: Callable[[], Any], calls: int) -> float:
    """Microseconds a call takes of its thread's processor time, the mean of one run: others' load is not in it."""
    gc.collect()
    begun = time.thread_time()
    for _ in range(calls):
        call()
    return (time.thread_time() - begun) / calls * 1e6


def shown(runs: list[float]) -> str:
    return f"{statistics.median(runs):.2f} ({min(runs):.2f} to {max(runs):.2f})"


def logging() -> dict[str, list[float]]:
    """Microseconds of one `log`, by what the client takes part in; nothing gets through, all is spooled or kept."""
    ways = {
        "no campaigns: every interaction is spooled": None,
        "8 campaigns, none of which matches": Quiet(*(
            Campaign(id=f"c{n}", loop="bench", when={"confidence": {"below": 0.1 * n / 10}}) for n in range(1, 9)
        )),
        "one that takes 1 %": Quiet(Campaign(id="share", loop="bench", when={"share": 0.01})),
    }  # fmt: skip
    found: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(REPEATS):
        for way, server in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                client = Client("http://127.0.0.1:9", loop="bench", spool=Spool(Path(folder)), close_seconds=0,
                                transport=server or Quiet(), campaigns=server is not None)  # fmt: skip
                while server is not None and not client.stats().campaigns:
                    time.sleep(0.01)
                found[way].append(each(lambda c=client: c.log("a question", "yes", confidence=0.9), CALLS // 4))
                client.close(0)
    return found


def main() -> None:
    asked: dict[str, list[float]] = {name: [] for name in PREDICATES}
    tests = {name: parse(when, "bench/one").test for name, when in PREDICATES.items()}
    for _ in range(REPEATS):
        for name, test in tests.items():
            asked[name].append(each(lambda t=test: t(MOMENT), CALLS))
    logged = logging()
    text = "\n\n".join([
        "## What campaigns cost the product",
        f"`python benchmarks/predicates.py`: {machine()}, load {os.getloadavg()[0]:.1f} at the end. "
        f"Microseconds of the caller's thread, median of {REPEATS} runs in turn, and their range.",
        markdown_table(["one predicate asked", "µs"], [[name, shown(runs)] for name, runs in asked.items()]),
        markdown_table(["one `log` with a spool", "µs"], [[way, shown(runs)] for way, runs in logged.items()]),
    ])  # fmt: skip
    write_section("predicates", text)
    print(text)


if __name__ == "__main__":
    main()
