"""What a model gains by what a device uploads: at random, or what a campaign asks for. scikit-learn's digits, in bytes.

A device answers with the live model and logs each answer; what is uploaded gets its right label, and whenever that has
grown by a quarter a new model is trained (`linear_vector.v1`) and goes to the device. Both start from the same labels
and see the same stream in the same order; at random, the first n of it are a random sample. What is uploaded is decided
and counted by the client's own campaign engine.

500 rows measure, and nothing else: they were set aside before anything was tried. The campaigns' thresholds were chosen
on the other rows alone.

An even stream is where a campaign finds least: while the model knows little, nearly everything is worth as much as a
random row. Where most of what a device sees is known and the new is rare, random upload pays for the known again.

Run: python benchmarks/campaigns.py --seeds 10
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from _results import machine, markdown_table, write_section
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from everloop.client.campaigns import Campaigns
from everloop.client.counts import Counts
from everloop.client.events import interaction_event
from everloop.client.ledger import Ledger
from everloop.client.transport import Reply
from everloop.train import trainer
from everloop.types import Campaign, Spec

TESTED, SPLIT = 500, 2026
GROWTH = 1.25
GOAL = 0.2
FRACTIONS = (0.5, 0.75, 0.9, 0.95)
RANDOM = "random upload"
ASKED: dict[str, dict[str, Any]] = {
    RANDOM: {},
    "confidence below 0.9": {"confidence": {"below": 0.9}},
    "margin below 0.8": {"margin": {"below": 0.8}},
    "second model disagrees, or confidence below 0.8": {
        "any": [{"disagrees": {"with": "logistic"}}, {"confidence": {"below": 0.8}}]
    },
}

DATA, DIGITS = load_digits(return_X_y=True)
DATA, LABELS = DATA / 16, DIGITS.astype(str)
TRAINER = trainer(Spec(name="linear_vector.v1"))
ORDER = np.random.default_rng(SPLIT).permutation(len(DATA))
TEST, REST = ORDER[:TESTED], ORDER[TESTED:]


class Stream(NamedTuple):
    """What the first model learned from, and what the device then sees."""

    known: list[int]
    seen: list[int]


def even(chance: np.random.Generator) -> Stream:
    """Every digit is as frequent as any other, and the first model has 30 labels."""
    rows = list(chance.permutation(REST))
    return Stream(rows[:30], rows[30:])


def rare(chance: np.random.Generator) -> Stream:
    """The first model knows the digits 0 to 7 by 20 labels each; one in twenty of what the device sees is an 8 or 9."""
    rows = [int(i) for i in chance.permutation(REST)]
    old, new = [i for i in rows if DIGITS[i] < 8], [i for i in rows if DIGITS[i] >= 8]
    known: list[int] = []
    for digit in range(8):
        known += [i for i in old if DIGITS[i] == digit][:20]
    old = [i for i in old if i not in set(known)]
    seen = [*old, *new[: len(old) // 19]]
    return Stream(known, [int(i) for i in chance.permutation(seen)])


STREAMS: dict[str, Callable[[np.random.Generator], Stream]] = {"even": even, "rare": rare}


class Asking:
    """A Transport over which one campaign is heard of."""

    def __init__(self, when: dict[str, Any]) -> None:
        self._body = msgspec.json.encode({"campaigns": [Campaign(id="bench", loop="digits", when=when)]})

    def get(self, path: str, etag: str | None, timeout: float) -> Reply:
        return Reply(200, self._body, None, '"1"', 1_800_000_000_000)


def learn(rows: Sequence[int]) -> Any:
    return TRAINER.load(TRAINER.fit(DATA[rows].tolist(), LABELS[rows].tolist(), [1.0] * len(rows)))


def right(model: Any) -> float:
    guessed = np.array(model.classes)[model.probabilities(DATA[TEST].tolist()).argmax(axis=1)]
    return float((guessed == LABELS[TEST]).mean())


def live(when: dict[str, Any], stream: Stream, folder: Path) -> list[tuple[int, float]]:
    """(bytes uploaded, accuracy) as the stream goes by."""
    clock = lambda: 1.0  # noqa: E731
    device = Campaigns(folder, Asking(when), Counts(), seconds=300, max_bytes=1 << 20, clock=clock,
                       ledger=Ledger(folder, clock=clock))  # fmt: skip
    device.ask_for("digits")
    device.look()
    known, last, sent = list(stream.known), len(stream.known), 0

    def models() -> tuple[Any, Any]:
        return learn(known), LogisticRegression(max_iter=300).fit(DATA[known], LABELS[known])

    model, second = models()
    curve = [(0, right(model))]
    answers: dict[str, Any] = {}
    for number, row in enumerate(stream.seen):
        if number % 50 == 0:
            answers = answer(model, second, stream.seen[number : number + 50])
        fields = {"id": f"i{number}", "at": 1, **answers[str(row)]}
        device.interaction(interaction_event("digits", fields, 1), "digits", fields, False)
        events = device.admit()
        if events:
            sent += sum(len(event.body) + 1 for event in events)
            known.append(row)
            if len(known) >= last * GROWTH:
                last = len(known)
                model, second = models()
                curve.append((sent, right(model)))
                answers = answer(model, second, stream.seen[number - number % 50 : number - number % 50 + 50])
    if len(known) > last:
        curve.append((sent, right(learn(known))))
    return curve


def answer(model: Any, second: Any, rows: Sequence[int]) -> dict[str, Any]:
    """What the device logs of each row."""
    found = {}
    if not rows:
        return found
    guessed = second.predict(DATA[rows])
    for row, shares, other in zip(rows, model.probabilities(DATA[rows].tolist()), guessed, strict=True):
        best, runner = np.argsort(shares)[::-1][:2]
        found[str(row)] = {
            "input": DATA[row].tolist(), "output": model.classes[best], "confidence": round(float(shares[best]), 4),
            "alternatives": [{"value": model.classes[runner], "confidence": round(float(shares[runner]), 4)}],
            "context": {"second": {"logistic": str(other)}},
        }  # fmt: skip
    return found


def reached(curves: Sequence[list[tuple[int, float]]], targets: Sequence[float]) -> list[float]:
    """Bytes at which the mean of some curves first is at each target; infinite where it never is."""
    end = max(curve[-1][0] for curve in curves)
    grid = np.linspace(0, end, 2000)
    mean = np.mean([np.interp(grid, *zip(*curve, strict=True)) for curve in curves], axis=0)
    mean = np.maximum.accumulate(mean)
    return [float(grid[np.argmax(mean >= t)]) if mean[-1] >= t else float("inf") for t in targets]


def ratios(
    random: Sequence[list[tuple[int, float]]], campaign: Sequence[list[tuple[int, float]]], chance: np.random.Generator
) -> list[tuple[float, float, float]]:
    """Bytes of the campaign for one of random upload, for each fraction of the gain: estimate, 95 % interval.

    The interval is the bootstrap's, over seeds, both curves of a seed together.
    """

    def once(picked: Sequence[int]) -> list[float]:
        ours, theirs = [campaign[i] for i in picked], [random[i] for i in picked]
        first, last = (float(np.mean([curve[at][1] for curve in theirs])) for at in (0, -1))
        targets = [first + share * (last - first) for share in FRACTIONS]
        pairs = zip(reached(ours, targets), reached(theirs, targets), strict=True)
        return [mine / its for mine, its in pairs]

    seeds = len(random)
    middle = once(range(seeds))
    drawn = np.array([once(chance.integers(0, seeds, seeds)) for _ in range(300)])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0, method="nearest")
    return list(zip(middle, low, high, strict=True))


def shown(ratio: tuple[float, float, float]) -> str:
    middle, low, high = (f"{value:.2f}" if np.isfinite(value) else "not reached" for value in ratio)
    return f"{middle} ({low} to {high})" if middle != "not reached" else middle


def at(curves: Sequence[list[tuple[int, float]]], size: int) -> str:
    """Mean accuracy after so many bytes, with the standard error over seeds."""
    if np.mean([curve[-1][0] for curve in curves]) < size:
        return ""
    found = [float(np.interp(size, *zip(*curve, strict=True))) for curve in curves]
    return f"{np.mean(found):.1%} ± {np.std(found, ddof=1) / len(found) ** 0.5:.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    parts = ["## Campaigns: gain against bytes", (__doc__ or "").split("\n\n", 1)[1].rpartition("\n\nRun:")[0],
             f"`python benchmarks/campaigns.py --seeds {args.seeds}`: {machine()}."]  # fmt: skip
    for name, stream in STREAMS.items():
        curves: dict[str, list[list[tuple[int, float]]]] = {asked: [] for asked in ASKED}
        for seed in range(args.seeds):
            drawn = stream(np.random.default_rng(seed))
            for asked, when in ASKED.items():
                with tempfile.TemporaryDirectory() as folder:
                    curves[asked].append(live(when, drawn, Path(folder)))
            print(name, seed, {asked: found[-1][-1] for asked, found in curves.items()}, file=sys.stderr, flush=True)
        parts += section(name, stream, curves)
    text = "\n\n".join(parts)
    write_section("campaigns", text)
    print(text)


def section(name: str, stream: Callable[..., Stream], curves: dict[str, list[list[tuple[int, float]]]]) -> list[str]:
    first = np.mean([curve[0][1] for curve in curves[RANDOM]])
    sizes = [10_000, 20_000, 40_000, 80_000, 160_000, 320_000]
    table = [
        [asked, *(at(found, size) for size in sizes),
         f"{np.mean([c[-1][1] for c in found]):.1%} after {np.mean([c[-1][0] for c in found]):,.0f}"]
        for asked, found in curves.items()
    ]  # fmt: skip
    chance = np.random.default_rng(0)
    found = {asked: ratios(curves[RANDOM], curves[asked], chance) for asked in ASKED if asked != RANDOM}
    best = min((several[-2][0], asked) for asked, several in found.items())
    met = sum(one[0] <= GOAL for several in found.values() for one in several)
    return [
        f"**{name.capitalize()}.** {stream.__doc__} Before: {first:.1%} right.",
        markdown_table(["uploaded", *(f"{size:,} bytes" for size in sizes), "at the end of the stream"], table),
        "Bytes for each byte of random upload, for the same gain; the whole gain is what uploading everything gives:",
        markdown_table(
            ["campaign", *(f"{share:.0%} of the gain" for share in FRACTIONS)],
            [[asked, *map(shown, several)] for asked, several in found.items()],
        ),
        f"The goal, a fifth of the bytes, is reached in {met} of {len(found) * len(FRACTIONS)} of these; "
        f"for {FRACTIONS[-2]:.0%} of the gain the best is {best[0]:.2f} ({best[1]}).",
    ]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
