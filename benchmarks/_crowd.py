"""Runs crowd-kit's methods on one set of judgements: in the peers' environment, by aggregation.py.

Reads a JSON line {"rows": [[worker, item, label], ...], "methods": [...], "seconds": n} and answers with
{method: {"seconds": s, "labels": {item: label}} or {"failed": why}}.
"""

import json
import signal
import sys
import time
import warnings

warnings.filterwarnings("ignore")

import crowdkit.aggregation as peers  # noqa: E402
import pandas as pd  # noqa: E402


def too_long(*_: object) -> None:
    raise TimeoutError


def main() -> None:
    signal.signal(signal.SIGALRM, too_long)
    for line in sys.stdin:
        asked = json.loads(line)
        frame = pd.DataFrame(asked["rows"], columns=["worker", "task", "label"])
        answer = {}
        for name in asked["methods"]:
            signal.alarm(asked["seconds"])
            begun = time.perf_counter()
            try:
                found = getattr(peers, name)().fit_predict(frame)
                seconds = time.perf_counter() - begun
                labels = {int(item): int(label) for item, label in found.items()}
                answer[name] = {"seconds": seconds, "labels": labels}
            except TimeoutError:
                answer[name] = {"failed": f"more than {asked['seconds']} s"}
            except Exception as error:  # whatever a peer dies of is its line in the table
                answer[name] = {"failed": f"{type(error).__name__}: {str(error)[:60]}"}
            finally:
                signal.alarm(0)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
