"""What comes in: interactions, feedback of ten kinds, and what is derived from them."""

from typing import Any, Literal

from msgspec import Struct, field

from everloop.types.words import Input


class Alternative(Struct, frozen=True, gc=False):
    """Another answer the model considered."""

    value: str
    confidence: float  # calibrated probability, 0..1


class Attachment(Struct, frozen=True, gc=False, kw_only=True):
    """An image, a recording or a document that was part of an input or an output, kept in Blobs."""

    hash: str  # SHA-256 of its bytes
    media: str  # media type: "image/png"
    size: int  # bytes
    where: str  # where in the record it was: "input.messages.0.content.1"
    name: str | None = None  # file name, where there was one


class Interaction(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One answer of a model in production."""

    id: str
    loop: str
    at: int
    input: Input
    output: str | None = None  # None: the model abstained
    confidence: float | None = None  # calibrated probability of the output; None where there is none
    alternatives: tuple[Alternative, ...] = ()  # the next best answers, best first
    model: str | None = None  # id of the model version that answered; None: abstained or somebody else's model
    propensity: float = 1.0  # probability with which the route to this model or variant was taken
    variant: str | None = None  # the variant that answered
    status: Literal["complete", "partial", "failed"] = "complete"  # partial: it broke off; failed: there is none
    error: str | None = None  # why it is not complete, in one line
    message: dict[str, Any] | None = None  # the answer whole, where a text does not say it: tool calls, a refusal
    trace: str | None = None  # id of the trace it is part of; feedback may speak of that instead
    attachments: tuple[Attachment, ...] = ()  # what was taken out of input and output into Blobs
    context: dict[str, Any] = field(default_factory=dict)  # what else is known: slices are read from here
    subject: str | None = None  # keyed pseudonym of the person
    session: str | None = None
    consent: tuple[str, ...] = ("service", "improve")  # purposes the person agreed to
    redacted: dict[str, int] = field(default_factory=dict)  # how often each type of private data was taken out
    cost: float = 0.0  # in the loop's currency
    latency_ms: float = 0.0  # until the answer was complete
    first_token_ms: float | None = None  # until it began; None: not streamed, or not known
    tokens_in: int | None = None
    tokens_out: int | None = None


class FeedbackFields(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What every kind of feedback has."""

    id: str
    interaction: str  # id of the interaction it speaks of
    at: int
    loop: str | None = None  # filled in when it is joined to its interaction
    subject: str | None = None  # keyed pseudonym of who says it
    source: Literal["user", "reviewer", "import", "system"] = "user"
    context: dict[str, Any] = field(default_factory=dict)  # what else was said: the tool it came from, a name, tags
    redacted: dict[str, int] = field(default_factory=dict)  # how often each type of private data was taken out
    consent: tuple[str, ...] | None = None  # None: its interaction's; else it is used for no more than both allow


class Thumb(FeedbackFields, frozen=True, gc=False, kw_only=True, tag_field="kind", tag="thumb"):
    value: Literal["up", "down"]
    rationale: str | None = None


class Rating(FeedbackFields, frozen=True, gc=False, kw_only=True, tag_field="kind", tag="rating"):
    value: float  # between 0 and `scale`
    scale: float = 5.0


class Vote(FeedbackFields, frozen=True, gc=False, kw_only=True, tag_field="kind", tag="vote"):
    value: Literal["this", "other", "tie", "both_bad"] | int  # which answer is better: this one, the one called
    # `other`, neither, or none is good; a number is the place of this one among all of them, from 1, the best
    other: str = ""  # id of the other interaction; of several, the one that is better than this
    others: tuple[str, ...] = ()  # ids of all the others, where more than two answers were compared
    rationale: str | None = None


class Correction(FeedbackFields, frozen=True, gc=False, kw_only=True, tag_field="kind", tag="correction"):
    value: str  # what the answer should have been
    rationale: str | None = None
    seconds: float | None = None  # time the person took
    diff: tuple[tuple[str, str], ...] | None = None  # from the answer: ("=" | "-" | "+", text); None: no answer, or one
    # too long to be kept twice
    distance: float | None = None  # share of the characters that had to change, 0..1; None: no answer


class Intervention(FeedbackFields, frozen=True, gc=False, kw_only=True, tag_field="kind", tag="intervention"):
    value: str  # what the person did instead
    reason: Literal["critical", "comfort", "preference", "navigation", "no_fault"] = "critical"
    severity: float | None = None  # 0..1
    device: str | None = None
    before_s: float = 0.0  # window kept before the takeover
    after_s: float = 0.0  # and after it
    window: str | None = None  # blob hash or address of the recording
    trigger: str | None = None
    note: str | None = None
    hindsight_label: str | None = None  # what should have been done, judged later


class Implicit(FeedbackFields, frozen=True, gc=False, kw_only=True, tag_field="kind", tag="implicit"):
    value: str  # skip, dwell, copy, retry, abandon, …
    item: str | None = None
    position: int | None = None
    session_length: int | None = None
    reason_start: str | None = None  # from what
    reason_end: str | None = None  # to what
    dwell_ms: int | None = None
    skipped: Literal["none", "late", "briefly", "very_briefly"] | None = None
    pause_before: Literal["none", "short", "long"] | None = None
    seek_forward: int | None = None
    seek_back: int | None = None
    context_type: str | None = None
    hour: int | None = None
    fields: dict[str, Any] = field(default_factory=dict)  # columns the loop declares for this signal


class Outcome(FeedbackFields, frozen=True, gc=False, kw_only=True, tag_field="kind", tag="outcome"):
    value: float  # measured
    name: str = ""  # which outcome; empty means the one the loop declares
    window_s: float | None = None  # how long was waited before it counted
    silent: bool = False  # nobody said it: its window closed without a word
    fields: dict[str, Any] = field(default_factory=dict)  # columns the loop declares for this outcome


class Comment(FeedbackFields, frozen=True, gc=False, kw_only=True, tag_field="kind", tag="comment"):
    value: str


class Label(FeedbackFields, frozen=True, gc=False, kw_only=True, tag_field="kind", tag="label"):
    value: str  # the right answer, brought from elsewhere
    split: Literal["train", "golden", "test"] | None = None  # where it must go; None lets curation decide


class Demonstration(FeedbackFields, frozen=True, gc=False, kw_only=True, tag_field="kind", tag="demonstration"):
    value: str  # the answer the expert reached
    case: str = ""
    goal: str = ""
    steps: tuple[dict[str, Any], ...] = ()  # {at, state, candidates, action: {op, target, value_masked}}
    outcome: dict[str, Any] = field(default_factory=dict)  # {success, verifier, rework}


Feedback = Thumb | Rating | Vote | Correction | Intervention | Implicit | Outcome | Comment | Label | Demonstration


class Derived(Struct, frozen=True, gc=False, kw_only=True):
    """What a named rule concludes from the raw signals of one interaction; made again from them at any time."""

    id: str  # "rule:interaction"
    loop: str
    rule: str  # versioned: "retry.v1"
    interaction: str
    value: float  # strength, in the rule's unit
    evidence: tuple[str, ...] = ()  # ids of the interactions and feedback it was seen in
    at: int = 0


class Mark(Struct, frozen=True, gc=False, kw_only=True):
    """How far a pass over a log has come: what is kept up to date goes on from there, whoever does it."""

    id: str  # "loop:what"
    loop: str
    position: int = 0  # everything up to here is done
    ahead: tuple[tuple[int, int, int], ...] = ()  # what has been seen and must wait, stretch after stretch: (its last
    # position, when it was seen, when to look at it again), times in ms since 1970 by our own clock


class Campaign(Struct, frozen=True, gc=False, kw_only=True):
    """What the server asks devices to send: data, never code."""

    id: str  # its name; a change is a new version
    loop: str
    version: int = 1
    when: dict[str, Any] = field(default_factory=dict)  # predicate over input, output, confidence or disagreement
    rate: float | None = None  # uploads an hour and device, at most; None: no cap
    bytes: int | None = None  # and device, over its life; None: no budget
    until: int | None = None  # ms since 1970 from which no device sends any more
    before_s: float = 0.0  # how much before a takeover is sent with it
    after_s: float = 0.0  # and after it
    priority: Literal["critical", "normal", "bulk"] = "normal"
    state: Literal["active", "paused", "ended"] = "active"
    at: int = 0


class Preference(Struct, frozen=True, gc=False, kw_only=True):
    """What a person said once about the use of their data, past and to come."""

    id: str  # the person's keyed pseudonym
    loop: str = ""  # all loops
    allows: dict[str, bool] = field(default_factory=dict)  # by purpose; of a purpose that is not there nothing was said
    at: int = 0
