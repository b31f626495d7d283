"""A device that sends only what a campaign asks for: what it was unsure of, and the seconds around a takeover.

python examples/campaign.py
"""

import socket
import tempfile
import threading
import time
from pathlib import Path

import uvicorn

import everloop
from everloop.client import Client, Spool
from everloop.collect.campaigns import came_of, change
from everloop.server import create_app
from everloop.types import Interaction


def drive(client: Client) -> None:
    """Three hundred frames. The model is sure of nearly all; at one of them the driver brakes."""
    for frame in range(300):
        doubtful = frame % 50 == 7
        answer = client.log(
            {"speed": 30.0 + frame % 7, "gap": 2.0}, "straight", confidence=0.4 if doubtful else 0.98,
            second={"shadow": "left" if frame == 120 else "straight"},
        )  # fmt: skip
        if frame == 250:
            client.feedback(answer, intervention="brake", reason="critical", severity=0.8)
        time.sleep(0.002)


def main() -> None:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with tempfile.TemporaryDirectory() as folder, everloop.open(Path(folder) / "home") as wheel:
        wheel.loop("steering", signal="the driver takes over", outcome="takeovers", goal="down")
        records = wheel.store.records
        # As `everloop campaign steering unsure --when '…' --rate 100 --bytes 1MB` or PUT /v1/loops/…/campaigns/… would.
        when = {"any": [{"confidence": {"below": 0.6}}, {"disagrees": {"with": "shadow"}}]}
        change(records, "steering", "unsure", {"when": when, "rate": 100, "bytes": 1_000_000})
        takeover = {"when": {"feedback": "intervention"}, "before_s": 0.1, "after_s": 0.1, "bytes": 1_000_000}
        change(records, "steering", "takeover", takeover)

        server = uvicorn.Server(uvicorn.Config(create_app(wheel, worker=False), ws="none", log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)

        with Client(url, loop="steering", spool=Spool(f"{folder}/spool"), campaigns=True) as client:
            while len(client.stats().campaigns) < 2:  # they come within moments; a device would not wait for them
                time.sleep(0.01)
            drive(client)
            client.flush()
            stats = client.stats()
        came = came_of(records, "steering")
        print(f"the device saw 300 frames and sent {records.count(Interaction)}; {stats.unasked} stayed on it")
        print(f"unsure: {came['unsure'].moments} moments, {came['unsure'].bytes:,} bytes")
        window = came["takeover"].interactions > 10
        print(f"takeover: {'the window around it' if window else 'nothing'}, {came['takeover'].bytes:,} bytes")
        server.should_exit = True
        thread.join()


if __name__ == "__main__":
    main()
