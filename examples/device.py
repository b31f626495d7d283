"""A device that goes dark: it logs while there is no network, loses power, and everything arrives once it is back.

python examples/device.py
"""

import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import uvicorn

import everloop
from everloop.client import Client, Spool
from everloop.server import create_app
from everloop.types import Correction, Interaction

# What runs on the device. It ends as a power cut would end it: no close, no flush, no goodbye.
DEVICE = """
import os, sys
from everloop.client import Client, Spool

url, folder = sys.argv[1:]
client = Client(url, loop="steering", spool=Spool(folder, max_bytes=1 << 20))
for metre in range(40):
    answer = client.log([0.1 * metre, 1.0], "straight", confidence=0.6, priority="critical")
    if metre % 10 == 0:
        client.feedback(answer, correction="left", rationale="the kerb")  # critical: on disk when this returns
    client.feedback(answer, implicit="dwell", dwell_ms=250)  # bulk: written with the next group
os.kill(os.getpid(), 9)
"""


def main() -> None:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with tempfile.TemporaryDirectory() as folder, everloop.open(Path(folder) / "home") as wheel:
        wheel.loop("steering", signal="the driver takes over", outcome="takeovers", goal="down")
        subprocess.run([sys.executable, "-c", DEVICE, url, f"{folder}/spool"], check=False)  # noqa: S603

        server = uvicorn.Server(uvicorn.Config(create_app(wheel, worker=False), ws="none", log_level="warning"))
        listening.listen()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)

        with Client(url, loop="steering", spool=Spool(f"{folder}/spool")) as client:
            print(f"after the power cut {client.stats().recovered} events are still on the device")
            client.flush()
            stats = client.stats()
            print(f"sent {stats.sent}, refused {stats.refused}, still waiting {stats.waiting}")
        records = wheel.store.records
        print(f"arrived: {records.count(Interaction)} interactions, {records.count(Correction)} corrections")
        server.should_exit = True
        thread.join()


if __name__ == "__main__":
    main()
