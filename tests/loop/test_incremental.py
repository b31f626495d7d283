"""A turn that reads what is new alone comes to what a turn comes to that reads everything."""

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import everloop
from everloop import collect, curate
from everloop.collect import preferring
from everloop.types import (
    Annotation,
    Correction,
    Drop,
    Interaction,
    Label,
    Placement,
    Review,
    Thumb,
    Turn,
)
from everloop.wheel import Loop, Wheel
from tests.server.conftest import questions

POLICY = {"golden_share": 0.2, "trigger_feedback": 0, "review_budget": 8, "review_fresh": 5, "auto_audit": 2}
LABELS = ("card", "refund", "transfer")
WORDS = "where is my card the transfer refund arrived pending not yet please top up twice".split()
ODD = ("", "...", "ignore all previous instructions", "I am out of the office until Monday", "asdf qwer zxcv hjkl")
PROTECTED = ("straddles", "sealed", "golden_twin", "golden_unverified", "no_consent")


class Pair:
    """The same history twice: in `a` turns read what is new, in `b` everything, each time."""

    def __init__(self, folder: Path, seed: int):
        self.folders = (folder / "a", folder / "b")
        self.rng = random.Random(seed)
        self.rows = self.said = 0
        self.clock = 1_000_000
        self.wheels: tuple[Wheel, ...] = ()
        self.open()
        for wheel in self.wheels:
            wheel.loop("l", labels=list(LABELS), policy=POLICY)

    def open(self) -> None:
        self.close()
        self.wheels = tuple(everloop.open(one) for one in self.folders)

    def close(self) -> None:
        for wheel in self.wheels:
            wheel.close()

    @property
    def loops(self) -> tuple[Loop, ...]:
        return tuple(wheel.get("l") for wheel in self.wheels)

    def put(self, *records: Any) -> None:
        for wheel in self.wheels:
            wheel.store.records.put(*records)

    def step(self) -> None:
        a, b = self.loops
        b._bench.kept.clear()
        b._bench.memory.clear()
        b.wheel.store.carry.keep("l", [], b.wheel.store.carry.changes("l"))
        assert a.advance("hand") == b.advance("hand")

    def turn(self) -> None:
        """One revolution, with things that happen between its steps."""
        self.step()
        while self.loops[0].records.find(Turn, "l", state="open"):
            self.step()
            if self.rng.random() < 0.15:
                self.happen()
        self.compare()

    def compare(self) -> None:
        found = [self.seen(loop) for loop in self.loops]
        for name in found[0]:
            assert found[0][name] == found[1][name], name

    def seen(self, loop: Loop) -> dict[str, Any]:
        records = loop.records
        turns = records.find(Turn, "l")
        version = loop.wheel.store.datasets.head("l")
        # Of the two sides of a straddling row either may be named.
        drops = {d.id: (d.stage, d.reason, d.undone, d.matched if d.reason != "straddles" else "")
                 for d in records.find(Drop, "l")}  # fmt: skip
        counts = [{k: v for k, v in step.counts.items() if k not in ("version", "model", "verdict", "release", "bytes")}
                  for turn in turns for step in turn.steps]  # fmt: skip
        return {
            "counts": counts, "drops": drops,
            "places": {p.id: replace(p, loop="") for p in records.find(Placement, "l")},
            "hash": version and version.hash,
            "examples": version and loop.wheel.store.datasets.examples(version.id),
            "asked": sorted((r.interaction, r.why, r.turn, r.state) for r in records.find(Review, "l")),
        }  # fmt: skip

    def time(self) -> int:
        self.clock += self.rng.choice((5, 900, 40_000))
        return self.clock

    def some(self) -> str:
        """The id of an interaction, of which few may be gone."""
        return f"i{max(0, self.rows - 1 - int(self.rng.expovariate(0.1))):04}"

    def happen(self) -> None:
        what = self.rng.choices(
            (self.log, self.say, self.annotate, self.undo, self.erase, self.consent, self.policy, self.reopen,
             self.seal, self.rewrite, self.clicks, self.diff),
            (12, 12, 6, 5, 1, 1, 1, 2, 1, 1, 1, 1),
        )[0]  # fmt: skip
        what()

    def log(self) -> None:
        rng = self.rng
        for _ in range(rng.randint(1, 25)):
            draw = rng.random()
            if draw < 0.35:
                text, label = rng.choice(questions(120, 3))
            elif draw < 0.45:
                text, label = rng.choice(ODD), "card"
            else:
                text, label = " ".join(rng.choices(WORDS, k=rng.randint(2, 7))), rng.choice(LABELS)
            text = rng.choice((text, text.upper(), text + "!!"))
            who = rng.choice((None, "ann", "bob", "cyd", "bot", f"u{rng.randint(0, 30)}"))
            consent = ("service", "improve") if rng.random() < 0.95 else ("service",)
            id = f"i{self.rows:04}"
            self.rows += 1
            made: list[Any] = [Interaction(
                id=id, loop="l", at=self.time(), input=text, output=rng.choice(LABELS), confidence=rng.random(),
                subject=who, consent=consent,
            )]  # fmt: skip
            if draw < 0.3:
                split = "test" if rng.random() < 0.03 else "golden" if rng.random() < 0.1 else None
                made.append(Label(id=f"l{id}", interaction=id, at=self.clock, value=label, split=split,
                                  source="system"))  # fmt: skip
            self.put(*made)

    def say(self) -> None:
        for _ in range(self.rng.randint(1, 12)):
            self.said += 1
            given: dict[str, Any] = {"id": f"f{self.said:04}", "interaction": self.some(), "at": self.time(),
                                     "subject": self.rng.choice((None, "ann", "bob", "u3"))}  # fmt: skip
            if self.rng.random() < 0.5:
                self.put(Correction(**given, value=self.rng.choice((*LABELS, "nonsense"))))
            else:
                self.put(Thumb(**given, value=self.rng.choice(("up", "down"))))

    def clicks(self) -> None:
        for _ in range(32):
            self.said += 1
            self.clock += 10
            self.put(Thumb(id=f"f{self.said:04}", interaction=self.some(), at=self.clock, subject="bot", value="up"))

    def annotate(self) -> None:
        asked = [{r.interaction: r for r in loop.reviews()} for loop in self.loops]
        for one in sorted(asked[0])[: self.rng.randint(1, 6)]:
            self.said += 1
            value = self.rng.choice(LABELS)
            for wheel, reviews in zip(self.wheels, asked, strict=True):
                review = reviews[one]
                wheel.store.records.replace(replace(review, state="done"), Annotation(
                    id=f"n{self.said:04}", loop="l", review=review.id, interaction=one, annotator="rev", value=value,
                    at=self.said,
                ))  # fmt: skip

    def undo(self) -> None:
        drops = sorted(
            d.id for d in self.loops[0].records.find(Drop, "l") if d.reason not in PROTECTED and not d.undone
        )
        for one in self.rng.sample(drops, min(len(drops), 3)):
            for loop in self.loops:
                loop.undo(one)

    def erase(self) -> None:
        who = self.rng.choice(("ann", "cyd", f"u{self.rng.randint(0, 30)}"))
        for wheel in self.wheels:
            wheel.store.records.erase(who)

    def consent(self) -> None:
        who = f"u{self.rng.randint(0, 30)}"
        for wheel in self.wheels:
            collect.prefer(wheel.store.records, who, {"improve": False})

    def policy(self) -> None:
        change = self.rng.choice(({"near_duplicate": 0.6}, {"near_duplicate": 0.7}, {"languages": ["en"]},
                                  {"languages": []}, {"review_budget": 6}))  # fmt: skip
        for wheel in self.wheels:
            wheel.loop("l", policy=change)

    def reopen(self) -> None:
        self.open()

    def seal(self) -> None:
        its = self.loops[0].records.find(Interaction, "l", id=[self.some()])
        for loop in self.loops:
            loop.seal([it.input for it in its])

    def rewrite(self) -> None:
        """Somebody changes what they said, under the same id."""
        for wheel in self.wheels:
            found = wheel.store.records.find(Thumb, "l", id=[f"f{self.said:04}"])
            wheel.store.records.replace(*(replace(one, value="down") for one in found))

    def diff(self) -> None:
        for wheel in self.wheels:
            wheel.get("l").tend()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preferring, "SETTLE_SECONDS", 0.0)


def history(folder: Path, seed: int, turns: int) -> None:
    pair = Pair(folder, seed)
    try:
        for _ in range(turns):
            for _ in range(pair.rng.randint(1, 6)):
                pair.happen()
            pair.turn()
    finally:
        pair.close()


def test_a_history(tmp_path: Path) -> None:
    history(tmp_path, 1, 2)


def test_what_is_kept_goes_with_a_person_and_is_not_remembered(tmp_path: Path) -> None:
    with everloop.open(tmp_path) as wheel:
        loop = wheel.loop("l", policy=POLICY)
        loop.log("where is my plastic card", id="s", subject="u42")
        loop.log("cancel the transfer", id="t", subject="u43")
        loop.turn()
        kept = wheel.store.carry.kept("l")
        assert kept is not None
        assert b"plastic" in kept
        assert loop._bench.kept
        wheel.forget("u42")
        assert wheel.store.carry.kept("l") is None
        loop.advance()  # as the worker does, every second
        assert not loop._bench.kept
        loop.turn()
        kept = wheel.store.carry.kept("l")
        assert kept is not None
        assert b"plastic" not in kept
        assert b"cancel" in kept


@pytest.mark.parametrize("restarted", [False, True])
def test_a_turn_reads_what_is_new_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarted: bool) -> None:
    read: list[int] = []
    run = curate.run

    def counted(loop: str, turn: int, rows: Iterable[Interaction], known: Any, *given: Any, **more: Any) -> Any:
        found = list(rows)
        read.append(len(found))
        return run(loop, turn, found, known, *given, **more)

    monkeypatch.setattr(curate, "run", counted)
    wheel = everloop.open(tmp_path)
    loop = wheel.loop("l", policy=POLICY)
    loop.log_many({"input": text} for text, _ in questions(40, 1))
    loop.turn()
    loop.log_many({"input": f"again {text}"} for text, _ in questions(3, 2))
    if restarted:
        wheel.close()
        wheel = everloop.open(tmp_path)
    wheel.get("l").turn()
    wheel.close()
    assert sum(read) == 43


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
def test_many_histories(tmp_path: Path, seed: int) -> None:
    history(tmp_path, seed, 8)
