"""A device that logs until it is killed: a critical correction and some bulk, again and again; an id is said once safe.

python tests/client/device_until_killed.py URL FOLDER [COUNT]
"""

import os
import sys
import time

from everloop.client import Client, Spool


def main(url: str, folder: str, count: int = 1 << 30) -> None:
    with Client(url, loop="desk", spool=Spool(folder), batch_seconds=0.02, close_seconds=60) as client:
        for n in range(count):
            answer = client.log(f"question {n}", "yes")
            said = client.feedback(answer, correction="no")
            os.write(1, f"{said}\n".encode())
            for position in range(n % 5):
                client.feedback(answer, implicit="skip", position=position)
            time.sleep(0.0005)
        if not client.flush(60):
            sys.exit(f"not all sent: {client.stats()}")


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))
