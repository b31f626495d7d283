"""What a person is told: a turn's report, a loop's status, whether its sentence holds. Structs and plain text only."""

from typing import Any

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


class Suspected(Struct, frozen=True, kw_only=True):
    """Labels people gave that are probably wrong, and what other people found in earlier ones."""

    flagged: int  # that nobody has looked at a second time
    asked: int  # of these, put into the queue by this turn
    waiting: int = 0  # in the queue since an earlier one
    right: float | None = None  # share of the earlier ones that were wrong, by all answers so far; None: there are none
    low: float | None = None  # its exact interval
    high: float | None = None
    n: int = 0

    def sentence(self) -> str:
        """In one line.

        >>> Suspected(flagged=12, asked=10, right=0.8, low=0.44, high=0.97, n=10).sentence()
        '12 labels doubted, 10 asked about; of 10 such labels people looked at 80.0 % were wrong (44.0 to 97.0)'
        """
        asked = f"{self.asked} asked about" + (f", {self.waiting} still waiting" if self.waiting else "")
        parts = [f"{self.flagged} {'label' if self.flagged == 1 else 'labels'} doubted, {asked}"]
        if self.right is not None and self.low is not None and self.high is not None:
            parts.append(
                f"of {self.n} such labels people looked at {self.right * 100:.1f} % were wrong "
                f"({self.low * 100:.1f} to {self.high * 100:.1f})"
            )
        return "; ".join(parts)


class Alike(Struct, frozen=True, kw_only=True):
    """From where on two rows say the same, as far as the loop's labelled rows can tell."""

    threshold: float | None  # the cosine; None: nothing can be promised, and nothing is left out for its meaning
    differ: float | None  # share of the labelled rows it would leave out whose label is not that of the row kept
    high: float | None  # it is at most this
    n: int  # such rows
    labelled: int  # rows it was looked for in
    needed: int | None  # labelled rows with which something could probably be promised; None: no number would help

    def sentence(self) -> str:
        """In one line.

        >>> Alike(threshold=0.94, differ=0.01, high=0.018, n=700, labelled=9000, needed=None).sentence()
        'rows alike from a cosine of 0.94 say the same: of 700 labelled ones at most 1.8 % differ'
        >>> Alike(threshold=None, differ=None, high=None, n=0, labelled=900, needed=5084).sentence()
        'nothing is left out for its meaning: to say what means the same takes about 5,100 labelled rows, not 900'
        """
        if self.threshold is not None and self.high is not None:
            said = f"rows alike from a cosine of {self.threshold:.2f} say the same"
            return f"{said}: of {self.n:,} labelled ones at most {self.high * 100:.1f} % differ"
        why = "nothing is left out for its meaning: "
        if self.needed is None:
            return f"{why}of {self.labelled:,} labelled rows too few are alike, or too many of these differ"
        about = round(self.needed, -2) if self.needed > 100 else self.needed
        return f"{why}to say what means the same takes about {about:,} labelled rows, not {self.labelled:,}"


class Agreement(Struct, frozen=True, kw_only=True):
    """How far annotators agree where several gave one row a label, beyond chance: Krippendorff's alpha."""

    people: int
    estimate: float
    low: float
    high: float
    n: int  # rows with two labels or more

    def sentence(self) -> str:
        """In a few words.

        >>> Agreement(people=3, estimate=0.812, low=0.74, high=0.87, n=60).sentence()
        '3 people, α = 0.81 [0.74, 0.87] on 60 rows'
        """
        return f"{self.people} people, α = {self.estimate:.2f} [{self.low:.2f}, {self.high:.2f}] on {self.n:,} rows"


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
    agreement: Agreement | None = None  # of annotators, over all their work so far; None: no row has words of two
    auto_labelled: int  # examples whose label is the machine's
    auto_error: float | None  # at most so large a share of them is wrong, as certified; None: nothing was certified
    auto_where: str = ""  # for which groups that holds each by itself, in words; empty: for all together
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
    spent: float = 0.0  # by all turns up to this one, it included
    notes: tuple[str, ...] = ()  # what came of asking other sources for labels
    suspects: Suspected | None = None  # None: no label was doubted, and none ever
    alike: Alike | None = None  # None: the loop leaves nothing out for its meaning
    remarks: tuple[str, ...] = ()  # on the promise, the audits, drift, and what choosing brought; a sentence each

    def report(self) -> str:
        """The turn as plain text, one fact a line."""
        dropped = ", ".join(f"{n} {reason}" for reason, n in self.dropped.items() if n) or "nothing"
        new = " (new)" if self.release is not None and self.release.stage == "live" else ""
        lines = [
            f"turn {self.turn} of {self.loop} ({self.state}, started by {self.trigger})",
            f"  came in   {self.interactions} interactions, {self.feedback} feedback",
            f"  kept      {self.kept}; left out: {dropped}",
            *([f"  alike     {self.alike.sentence()}"] if self.alike is not None else []),
            f"  labels    {self.human_labels} by people"
            + (f" ({self.agreement.sentence()})" if self.agreement else "")
            + f", {self.auto_labelled} by the machine"
            + (f" ({self.promise()})" if self.promise() else ""),
            *(f"  source    {note}" for note in self.notes),
            *([f"  doubts    {self.suspects.sentence()}"] if self.suspects is not None else []),
            f"  data      {self.examples} to train on, {self.golden} golden"
            + (f" (version {self.dataset_hash[:12]})" if self.dataset_hash else ""),
            *(f"  note      {remark}" for remark in self.remarks),
            f"  verdict   {self.verdict_line()}",
            *([] if self.task == "chat" else [f"  live      {self.live or 'nothing: the loop abstains'}" + new]),
            f"  took      {self.seconds:.1f} s, {self.spending()}"
            + "".join(f"; {step.name} {step.seconds:.1f}" for step in self.steps if step.seconds >= 0.05),
        ]
        return "\n".join(lines)

    def promise(self) -> str:
        """What is known of the machine's labels, in one line; empty where nothing is."""
        where = f" {self.auto_where}" if self.auto_where else ""
        parts = [f"at most {self.auto_error * 100:g} % of them wrong{where}"] \
            if self.auto_labelled and self.auto_error else []  # fmt: skip
        if self.auto_needed is not None:
            parts.append(f"nothing could be certified: that takes about {self.auto_needed} labels drawn at random")
        if self.audited is not None:
            parts.append(self.audited.sentence())
        return "; ".join(parts)

    def groups(self) -> list[dict[str, Any]]:
        """What is promised for each group that was tested by itself, and for the small ones together."""
        made = next((step.counts for step in self.steps if step.name == "dataset"), {})
        promise = made.get("promise") or {}
        together = [{"group": f"{promise['together']} small ones together", **promise["rest"]}] \
            if promise.get("rest") else []  # fmt: skip
        return [*promise.get("groups", []), *together]

    def spending(self) -> str:
        """What it cost, and so far: answers that were bought once serve many turns."""
        return f"cost {self.cost:.4g} ({self.so_far()})" if self.spent else f"cost {self.cost:.2f}"

    def so_far(self) -> str:
        """What all turns have cost, and what that is for each label the machine gives now; empty if nothing."""
        each = f", {self.spent / self.auto_labelled:.4g} for each of the machine's labels" if self.auto_labelled else ""
        return f"{self.spent:.4g} so far{each}" if self.spent else ""

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
    choosing: str = ""  # what choosing the rows people are asked about brings beside drawing them, in a sentence
    doubts: tuple[str, ...] = ()  # curation rules that an audit found wrong too often, each in a sentence
    proposed_classes: int = 0  # that wait for a person

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


__all__ = [
    "Agreement", "Alike", "Arrow", "Audited", "Check", "Point", "Status", "Suspected", "TurnReport", "VariantUse",
]  # fmt: skip
