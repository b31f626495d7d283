"""What a person is told: a turn's report, a loop's status, whether its sentence holds. Structs and plain text only."""

from msgspec import Struct, field

from everloop.types import Outcome3, Release, Step, Verdict


class Audited(Struct, frozen=True, kw_only=True):
    """The share of the machine's labels that people found wrong, since the promise was last broken."""

    estimate: float | None
    low: float | None
    high: float | None
    n: int
    alarms: int  # times the promise has been broken

    def sentence(self) -> str:
        """In a few words.

        >>> Audited(estimate=0.02, low=0.0, high=0.07, n=100, alarms=0).sentence()
        '2.0 % wrong (0.0 to 7.0) of 100 audited'
        """
        broken = f"; the promise was broken {self.alarms} times" if self.alarms else ""
        if self.estimate is None or self.low is None or self.high is None:
            return f"none audited since{broken}"
        return (f"{self.estimate * 100:.1f} % wrong ({self.low * 100:.1f} to {self.high * 100:.1f}) "
                f"of {self.n} audited{broken}")  # fmt: skip


class TurnReport(Struct, frozen=True, kw_only=True):
    """One turn in numbers: what came in, what was kept, what was learned, what moved, what it cost."""

    loop: str
    task: str  # classify; chat, which no model of the loop's own answers
    turn: int
    state: str  # open, closed
    trigger: str
    started: int
    ended: int | None
    interactions: int  # new since the turn before
    seen: int  # all up to this turn
    feedback: int  # new since the turn before, every kind
    kept: int  # interactions that teach: in training, in the golden set, or labelled by the machine
    dropped: dict[str, int]  # by reason, over all interactions so far
    human_labels: int  # annotations that came in for this turn
    auto_labelled: int  # examples whose label is the machine's
    auto_error: float | None  # at most so large a share of them is wrong, as certified; None: nothing was certified
    auto_needed: int | None  # labels drawn at random that would probably certify something; None: it is, or none would
    audited: Audited | None  # what people found wrong of the machine's labels that they were shown; None: none yet
    examples: int  # in training
    golden: int  # in the golden set
    dataset: str | None  # id of the dataset version
    dataset_hash: str | None
    model: str | None  # the candidate's id
    candidates: int
    verdict: Verdict | None
    release: Release | None  # what it led to
    live: str | None  # model that is live after it
    seconds: float
    cost: float
    steps: tuple[Step, ...]

    def report(self) -> str:
        """The turn as plain text, one fact a line."""
        dropped = ", ".join(f"{n} {reason}" for reason, n in self.dropped.items() if n) or "nothing"
        new = " (new)" if self.release is not None and self.release.stage == "live" else ""
        lines = [
            f"turn {self.turn} of {self.loop} ({self.state}, started by {self.trigger})",
            f"  came in   {self.interactions} interactions, {self.feedback} feedback",
            f"  kept      {self.kept}; left out: {dropped}",
            f"  labels    {self.human_labels} by people, {self.auto_labelled} by the machine"
            + (f" ({self.promise()})" if self.promise() else ""),
            f"  data      {self.examples} to train on, {self.golden} golden"
            + (f" (version {self.dataset_hash[:12]})" if self.dataset_hash else ""),
            f"  verdict   {self.verdict_line()}",
            *([] if self.task == "chat" else [f"  live      {self.live or 'nothing: the loop abstains'}" + new]),
            f"  took      {self.seconds:.1f} s, cost {self.cost:.2f}"
            + "".join(f"; {step.name} {step.seconds:.1f}" for step in self.steps if step.seconds >= 0.05),
        ]
        return "\n".join(lines)

    def promise(self) -> str:
        """What is known of the machine's labels, in one line; empty where nothing is."""
        parts = [f"at most {self.auto_error * 100:g} % of them wrong"] if self.auto_labelled and self.auto_error else []
        if self.auto_needed is not None:
            parts.append(f"nothing could be certified: that takes about {self.auto_needed} labels drawn at random")
        if self.audited is not None:
            parts.append(self.audited.sentence())
        return "; ".join(parts)

    def verdict_line(self) -> str:
        """The verdict in one sentence, or why there is none."""
        if self.verdict is not None:
            return f"{self.verdict.outcome}: {self.verdict.reason}"
        skipped = next((s.counts["skipped"] for s in self.steps if "skipped" in s.counts), None)
        return f"none: {skipped}" if skipped else "none yet"


class VariantUse(Struct, frozen=True, kw_only=True):
    """How one variant did in the newest 500 interactions of its loop."""

    name: str
    model: str  # what its upstream calls it
    share: float  # of the traffic, by its weight
    answers: int  # that it gave
    failed: int  # requests it was assigned and another variant, or nobody, answered; and answers that broke off
    latency_ms: float | None  # until an answer was complete: the middle one
    first_token_ms: float | None  # until a streamed one began: the middle one
    cost: float  # of these answers, in the loop's currency
    thumbs: int  # on them
    up: float | None  # share of these that are up; None: there are none
    up_low: float | None
    up_high: float | None


class Status(Struct, frozen=True, kw_only=True):
    """Where a loop stands now."""

    loop: str
    task: str  # classify, chat
    sentence: str  # "Usage generates …, which improves …, which drives …."
    live: str | None  # model id; None: the loop abstains
    live_since: int | None
    accuracy: float | None  # of the live model on the golden set, when it was last measured
    accuracy_low: float | None
    accuracy_high: float | None
    accuracy_n: int
    interactions: int
    feedback: dict[str, int]  # by kind
    held: int  # feedback that waits for its interaction (all loops)
    reviews: int  # open
    turns: int  # closed
    step: str | None  # step the open turn is at, or None
    waiting_for: str  # one sentence: what the loop waits for
    variants: tuple[VariantUse, ...] = ()  # who answers, where it is not a model of the loop's own
    doubts: tuple[str, ...] = ()  # curation rules that an audit found wrong too often, each in a sentence

    def answered_by(self) -> str:
        """Who answers now, in a few words."""
        if self.live:
            return self.live
        if self.variants:
            return f"{', '.join(variant.name for variant in self.variants)} (variants)"
        return "nobody here: it has no variants" if self.task == "chat" else "nothing: the loop abstains"


class Arrow(Struct, frozen=True, kw_only=True):
    """One arrow of the loop's sentence, and what the evidence says of it."""

    claim: str
    verdict: Outcome3  # pass: supported; fail: the evidence is against it; inconclusive: not enough
    evidence: str  # one sentence with the numbers
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0


class Check(Struct, frozen=True, kw_only=True):
    """Is it a flywheel, or does it only accumulate data?"""

    loop: str
    sentence: str
    turning: bool  # every arrow that could be measured is supported, and at least signal and capability were
    summary: str  # one sentence
    arrows: tuple[Arrow, ...] = field(default_factory=tuple)


class Point(Struct, frozen=True, kw_only=True):
    """The capability after one turn."""

    turn: int
    estimate: float
    low: float
    high: float
    n: int
    live: bool  # whether this model went live


__all__ = ["Arrow", "Audited", "Check", "Point", "Status", "TurnReport", "VariantUse"]
