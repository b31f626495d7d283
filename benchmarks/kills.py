"""Events through random `kill -9` of server and clients: how many of those acknowledged are lost, how many doubled.

A real `everloop up`, clients that share a spool folder, and one that posts batches without a client library. All of
them are killed at random moments and started again, until so many events are acknowledged; then everything is counted.

Acknowledged is what a spool said is on its disk (a correction when `feedback` returns, the rest when `sync` does), and
what the server gave a receipt for. Run: python benchmarks/kills.py --events 1000000
"""

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx

import everloop
from everloop.client import Client, Spool
from everloop.settings import Settings
from everloop.types import FeedbackFields, Interaction

CLIENTS, BATCH, CORRECTED = 3, 100, 25
LOOP = "desk"


def spooled(url: str, folder: str, name: str) -> None:
    """A product: logs, says what it was worth, and tells the world what is safe."""
    spool = Spool(folder, max_bytes=1 << 30, metered=False)
    with Client(url, loop=LOOP, spool=spool, batch_lines=1000, batch_seconds=0.05) as client:
        for n in range(1 << 40):
            about = client.log(f"question {n}", "yes", id=f"{name}.{n}.i")
            client.feedback(about, implicit="dwell", dwell_ms=n, id=f"{name}.{n}.f")
            if n % CORRECTED == 0:
                client.feedback(about, correction="no", id=f"{name}.{n}.c")
                os.write(1, b"c %d\n" % n)
            if n % BATCH == BATCH - 1:
                spool.sync()
                os.write(1, b"s %d\n" % (n + 1))
                while client.stats().waiting > 20_000:
                    time.sleep(0.01)


def posting(url: str, name: str) -> None:
    """Somebody who sends by hand: the same batch until there is a receipt for it."""
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
        for n in range(0, 1 << 40, BATCH):
            rows = [json.dumps({"id": f"{name}.{m}.i", "at": 1, "input": f"q{m}"}) for m in range(n, n + BATCH)]
            while True:
                try:
                    answer = http.post(f"/v1/loops/{LOOP}/interactions", content="\n".join(rows),
                                       headers={"content-type": "application/x-ndjson"})  # fmt: skip
                    receipts = [json.loads(line) for line in answer.text.splitlines()]
                    if answer.status_code == 200 and all(one["state"] in ("new", "known") for one in receipts):
                        break
                except (httpx.HTTPError, ValueError, KeyError):
                    pass
                time.sleep(0.05)
            os.write(1, b"p %d\n" % (n + BATCH))


def drain(url: str, folder: str) -> None:
    """Send what is left."""
    with Client(url, loop=LOOP, spool=Spool(folder, max_bytes=1 << 30), batch_lines=1000, close_seconds=600) as client:
        while not client.flush(30):
            pass
        stats = client.stats()
        client._spool.adopt()  # type: ignore[union-attr]
        if not client.flush(600) or stats.refused:
            sys.exit(f"not all sent: {client.stats()}")


class Process:
    """Something that is killed and started again; `lives` counts."""

    def __init__(self, *words: str, name: str = "", acks: Path | None = None, env: dict[str, str] | None = None):
        self.words, self.name, self.acks, self.env = words, name, acks, env
        self.lives = self.kills = 0
        self.start()

    def start(self) -> None:
        self.lives += 1
        life = f"{self.name}-{self.lives}"
        words = [*self.words, *([life] if self.acks else [])]
        out = (self.acks / life).open("ab") if self.acks else subprocess.DEVNULL
        self.process = subprocess.Popen(words, stdout=out, stderr=subprocess.DEVNULL, env=self.env)
        if self.acks:
            out.close()  # type: ignore[union-attr]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.kills += 1


def acknowledged(file: Path) -> Iterator[str]:
    """The ids that one life of a process said are safe."""
    data = file.read_bytes()
    for line in data[: data.rfind(b"\n") + 1].decode().splitlines():  # a kill may have torn the last line
        what, number = line.split()
        n = int(number)
        if what == "c":
            yield f"{file.name}.{n}.c"
        else:
            for m in range(n - BATCH, n):
                yield f"{file.name}.{m}.i"
                if what == "s":
                    yield f"{file.name}.{m}.f"


def wait_for(url: str) -> None:
    for _ in range(1200):
        try:
            httpx.get(f"{url}/healthz", trust_env=False)
            return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise SystemExit("the server did not start")


def torment(folder: Path, events: int, seed: int) -> tuple[Counter[str], float]:
    """The run, until so many are acknowledged and everything is sent."""
    chance = random.Random(seed)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, home, spool, acks = f"http://127.0.0.1:{port}", folder / "home", folder / "spool", folder / "acks"
    acks.mkdir()
    with everloop.open(settings=Settings(home=str(home))) as wheel:
        wheel.loop(LOOP, policy={"trigger_feedback": 0})
    python, me, quiet = (
        sys.executable,
        str(Path(__file__).resolve()),
        {"OMP_NUM_THREADS": "1"},
    )
    server = Process(python, "-m", "everloop.cli", "up", "--home", str(home), "--port", str(port), env=quiet)
    wait_for(url)
    begun = time.monotonic()
    clients = [
        Process(python, me, "--role", "spooled", url, str(spool), name=f"c{n}", acks=acks, env=quiet)
        for n in range(CLIENTS)
    ]
    clients.append(Process(python, me, "--role", "posting", url, name="p", acks=acks, env=quiet))
    known: Counter[str] = Counter()
    sizes: dict[Path, int] = {}
    try:
        while sum(known.values()) < events:
            time.sleep(chance.uniform(0.1, 2.0))
            victim = server if chance.random() < 0.25 else chance.choice(clients)
            victim.kill()
            time.sleep(chance.choice([0.0, 0.0, chance.uniform(0, 1.0)]))
            victim.start()
            for file in acks.iterdir():
                if sizes.get(file) != (size := file.stat().st_size):
                    sizes[file] = size
                    known[file.name] = sum(1 for _ in acknowledged(file))
        for client in clients:
            client.kill()
        server.kill()
        server.start()
        wait_for(url)
        subprocess.run([python, me, "--role", "drain", url, str(spool)], check=True)
    finally:
        for process in (*clients, server):
            process.process.kill()
            process.process.wait()
    took = time.monotonic() - begun
    return Counter(server=server.kills, clients=sum(client.kills for client in clients)), took


def count(folder: Path) -> Counter[str]:
    """What is in the store against what was acknowledged."""
    found: Counter[str] = Counter()
    with everloop.open(settings=Settings(home=str(folder / "home"))) as wheel:
        records = wheel.store.records
        for kind in (Interaction, FeedbackFields):
            for batch in records.scan(kind, LOOP):  # type: ignore[type-abstract]
                found.update(record.id for _, record in batch)
        found.update(record.id for record in records.held())
    safe: Counter[str] = Counter()
    for file in (folder / "acks").iterdir():
        safe.update(acknowledged(file))
    names = {file.name for file in (folder / "acks").iterdir()}
    return Counter(
        acknowledged=len(safe),
        stored=sum(found.values()),
        lost=sum(id not in found for id in safe),
        doubled=sum(n - 1 for n in found.values()),
        strange=sum(id.partition(".")[0] not in names for id in found),
        left=sum(1 for path in (folder / "spool").rglob("*.*") if path.is_file() and path.parent.name.isdigit()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000, help="acknowledged events until it stops")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--folder", help="where it works (a temporary folder)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a section of RESULTS.md")
    parser.add_argument("--role", choices=["spooled", "posting", "drain"], help=argparse.SUPPRESS)
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.role:
        return {"spooled": spooled, "posting": posting, "drain": drain}[args.role](*args.words)
    with tempfile.TemporaryDirectory(dir=args.folder) as made:
        folder = Path(made)
        kills, took = torment(folder, args.events, args.seed)
        counted = count(folder)
    shown = {
        **counted,
        "lost": counted["lost"],
        "doubled": counted["doubled"],
        "kills": dict(kills),
        "seconds": round(took),
    }
    if args.json:
        print(json.dumps(shown))
    else:
        report(args, shown)
    sys.exit(bool(counted["lost"] or counted["doubled"] or counted["strange"] or counted["left"]))


def report(args: argparse.Namespace, shown: dict) -> None:
    from _results import machine, markdown_table, write_section

    text = "\n\n".join([
        "## Killed at random",
        f"`python benchmarks/kills.py --events {args.events} --seed {args.seed}`: {machine()}. `everloop up`, "
        f"{CLIENTS} clients in one spool folder and one that posts by hand; each `kill -9` hits a process chosen by "
        f"chance after 0.1 to 2 s.",
        markdown_table(["", "events"], [
            ["acknowledged: on a spool's disk, or with the server's receipt", f"{shown['acknowledged']:,}"],
            ["**acknowledged and lost**", f"**{shown['lost']:,}**"],
            ["**stored twice**", f"**{shown['doubled']:,}**"],
            ["stored in all (the rest was not acknowledged yet when its process died)", f"{shown['stored']:,}"],
        ]),
        f"{shown['kills']['server']} kills of the server and {shown['kills']['clients']} of clients in "
        f"{shown['seconds']:,} s.",
    ])  # fmt: skip
    write_section("kills", text)
    print(text)


if __name__ == "__main__":
    main()
