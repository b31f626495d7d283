"""What somebody declares: a loop, its policy, its variants, its signals."""

from typing import Any, Literal

from msgspec import Struct, field


class Spec(Struct, frozen=True, gc=False, kw_only=True):
    """A plug-in by its versioned name, and the arguments it ran with: enough to run it again."""

    name: str  # versioned: "linear_text.v1"
    args: dict[str, Any] = field(default_factory=dict)  # JSON values only


class Policy(Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """How one loop's turn behaves; every dial of a loop is here."""

    rules: tuple[str, ...] = ()  # curation rules in order; empty means the built-in order; no_consent.v1 always holds
    languages: tuple[str, ...] = ()  # "en", "de": rows clearly in another are left out; empty: of any language
    near_duplicate: float = 0.7  # similarity from which two inputs are twins (text: 4-gram Jaccard)
    golden_share: float = 0.05  # share of new near-duplicate groups set aside for evaluation, for ever
    golden_source: Literal["traffic", "feedback"] = "traffic"  # which set-aside rows people label; "feedback" is
    # cheaper, but only unbiased where people give feedback without regard to whether the answer was right
    review_budget: int = 100  # reviews asked of people per turn
    review_fresh: int = 40  # of these, at most so many on rows nobody has said anything about
    auto_error: float = 0.05  # largest share of wrong labels among the machine's own, held at `level`; 0 = it has none
    auto_confidence: float = 0.5  # below this its label is never used, whatever is certified; above 1 = never
    auto_by: str = ""  # of what auto_error holds: "" of all its labels together; "class": of each class by itself;
    # "slice:channel": of each value of a slice; groups too small for it hold it together
    auto_audit: int = 10  # of its labels, so many a turn are drawn for people, who keep the promise honest
    auto_notice: int = 0  # turns in which they should hear that its error has doubled: more are drawn for it, up to
    # half of review_budget; 0: auto_audit and no more
    sources: tuple[Spec, ...] = ()  # who proposes labels beside the loop's own model: "neighbours.v1", "rules.v1", …
    auto_weight: float = 0.5  # weight of such an example beside a person's
    margin: float = 0.02  # a candidate may be worse by at most this much, in the capability's unit
    level: float = 0.95  # confidence level of every interval and verdict
    watched_strict: bool = False  # a candidate passes only if a loss of `margin` is ruled out in watched slices, too
    trigger_feedback: int = 200  # usable feedback and annotations that start a turn; 0 = never by count
    trigger_seconds: int = 0  # start a turn this long after the last; 0 = never by the clock


class Price(Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """What an upstream charges, in the loop's currency for a million tokens."""

    input: float = 0.0
    output: float = 0.0
    cached: float | None = None  # input that the upstream had in its cache; None: as any other


class Variant(Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """One way to answer: an OpenAI-compatible upstream, and what is asked of it."""

    name: str  # what assignment and reports call it
    url: str  # up to and with "/v1"
    model: str  # what the upstream calls it
    prompt: str = ""  # system message put before the client's own; empty: the client's messages as they are
    params: dict[str, Any] = field(default_factory=dict)  # defaults the client's request may overrule: temperature, …
    price: Price = Price()
    weight: float = 1.0  # share of the traffic beside the other variants; 0: a fallback only
    key_env: str | None = None  # name of the environment variable that holds the upstream's key; never the key itself
    timeout_s: float = 60.0  # of silence until the upstream has failed
    retries: int = 1  # times the same upstream is asked again before the next variant is


class SignalSpec(Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """One implicit signal or outcome a loop declares: its columns, and when it must have come."""

    name: str  # what feedback calls it: an implicit's value, an outcome's name
    kind: Literal["implicit", "outcome"] = "implicit"
    fields: dict[str, Literal["int", "float", "str", "bool"]] = field(default_factory=dict)  # columns beside the value
    required: tuple[str, ...] = ()  # of these columns
    window_s: float | None = None  # an outcome counts until so long after its interaction; None: it may come any time
    silence: float | None = None  # what an outcome is once its window has closed without a word; None: unknown
    late_s: float = 3600.0  # a signal that arrives so long after it happened is late
    expected: float | None = None  # share of interactions that should bring it; fewer is counted as loss


class LoopSpec(Struct, frozen=True, gc=False, kw_only=True):
    """One declared flywheel: usage generates `signal`, which improves `capability`, which drives `outcome`."""

    name: str  # what it is addressed by: lower-case letters, digits, "-" and "_"
    task: Literal["classify", "chat"] = "classify"  # what kind of answer it gives
    signal: str = ""  # what people do that teaches: "agents correct the suggested intent"
    capability: str = "accuracy"  # the number that should improve
    outcome: str = ""  # the number the business wants moved: "handoff_rate"
    goal: Literal["up", "down"] = "up"  # the way the outcome should move
    labels: tuple[str, ...] = ()  # the closed set of labels; empty means any
    trainer: Spec = Spec(name="auto")  # which trainer; "auto" chooses by the kind of input
    policy: Policy = Policy()
    variants: tuple[Variant, ...] = ()  # who answers, where it is not a model of the loop's own
    sticky: Literal["subject", "session", "request"] = "subject"  # who keeps the variant they were given
    signals: tuple[SignalSpec, ...] = ()  # implicit signals and outcomes it declares
    derive: tuple[str, ...] = ()  # rules that derive signals from raw ones; empty means all built-in ones
    at: int = 0  # declared when
