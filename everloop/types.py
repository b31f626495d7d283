"""Every record that crosses a stage: the glossary, as frozen structs.

Times are integers: milliseconds since 1970 in UTC. Ids are UUIDv7 strings unless a client brought its own. Nothing
here does any I/O. A record is its own wire format: ``msgspec.json.encode(record)`` is what the store and the API hold.
Interactions and feedback, of which there are millions, leave out what is as it is by default. ``gc=False``: what comes
from JSON has no cycles, and looking for them would take longer than reading a million rows.
"""

from typing import Any, Literal

from msgspec import Struct, field

# What a model answers about: a text, a vector of numbers (a small image, flattened), or a chat request as an object.
Input = str | list[float] | dict[str, Any]

Split = Literal["train", "golden", "test"]
Origin = Literal["production", "human", "auto", "synthetic"]
Stage = Literal["shadow", "canary", "live", "rolled_back", "retired"]
Outcome3 = Literal["pass", "fail", "inconclusive"]
Role = Literal["admin", "developer", "reviewer", "client", "publishable"]


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
    auto_audit: int = 10  # of its labels, so many a turn are drawn for people, who keep the promise honest
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


class Statement(Struct, frozen=True, gc=False, kw_only=True):
    """One thing that was said of an input and bears on its label."""

    id: str  # id of the feedback or annotation
    kind: Literal["annotation", "label", "correction", "demonstration", "intervention", "confirmed", "refuted"]
    value: str  # the label it argues for; for "refuted", the one it argues against
    interaction: str
    subject: str | None = None
    by: str | None = None  # whose word it is: the annotator, else the subject; None: nobody knows


class Evidence(Struct, frozen=True, gc=False, kw_only=True):
    """One distinct input that passed curation, and everything said of it: what an example is made from."""

    id: str  # fingerprint of the normalised input
    loop: str
    input: Input
    interaction: str  # the first interaction that brought it
    group: str  # near-duplicate group
    split: Split
    output: str | None = None  # what the model answered to that one
    confidence: float | None = None
    alternatives: tuple[Alternative, ...] = ()
    slices: tuple[str, ...] = ()
    statements: tuple[Statement, ...] = ()
    interactions: tuple[str, ...] = ()  # ids of all that brought the same input
    subjects: tuple[str, ...] = ()


class Placement(Struct, frozen=True, gc=False, kw_only=True):
    """Where a distinct input stands for ever: its near-duplicate group, and that group's split."""

    id: str  # fingerprint of the normalised input
    loop: str
    interaction: str  # the first interaction that brought it
    group: str  # id of the group: the fingerprint of its first member
    split: Split
    turn: int  # the turn that placed it


class Drop(Struct, frozen=True, gc=False, kw_only=True):
    """A thing curation left out, and why; reversible, unless consent or an honest evaluation hangs on it."""

    id: str  # the interaction's id
    loop: str
    turn: int
    stage: str  # "curate", "label"
    reason: str  # name of the rule
    score: float | None = None  # how strongly the rule fired, where it has a strength
    matched: str | None = None  # what it matched: the id of its twin, the rival label
    undone: bool = False  # a person took it back: the rule no longer applies to this one


class DropAudit(Struct, frozen=True, gc=False, kw_only=True):
    """A drop that was drawn at random from those of its reason, and whether a person found it right."""

    id: str
    loop: str
    reason: str
    interaction: str  # the drop's id
    right: bool | None = None  # None: nobody has looked yet
    by: str = ""  # who looked
    drawn: int = 0
    at: int = 0  # answered when


class Review(Struct, frozen=True, gc=False, kw_only=True):
    """A piece of human work in the queue."""

    id: str
    loop: str
    turn: int
    interaction: str
    input: Input
    why: Literal["golden", "disputed", "uncertain", "random", "suspect", "audit"]  # why it was chosen
    proposal: str | None = None  # what the machine would say
    confidence: float | None = None  # calibrated probability of the proposal
    priority: float = 0.0  # higher comes first
    state: Literal["open", "done", "skipped"] = "open"
    at: int = 0


class Annotation(Struct, frozen=True, gc=False, kw_only=True):
    """One person's answer to a review."""

    id: str
    loop: str
    review: str
    interaction: str
    annotator: str
    value: str
    rationale: str | None = None
    seconds: float | None = None
    at: int = 0


class Example(Struct, frozen=True, gc=False, kw_only=True):
    """What a model trains or is tested on."""

    id: str  # fingerprint of the normalised input: one input is one example in a version
    loop: str
    input: Input
    target: str
    origin: Origin
    split: Split
    group: str  # near-duplicate group
    weight: float = 1.0
    depth: int = 0  # synthetic depth: 0 = real, 1 = made by a model from real, …
    slices: tuple[str, ...] = ()  # "channel=web"
    evidence: tuple[str, ...] = ()  # ids of the interactions, feedback and annotations it came from
    subjects: tuple[str, ...] = ()  # pseudonyms of everybody in the evidence


class DatasetVersion(Struct, frozen=True, gc=False, kw_only=True):
    """An immutable set of examples: a commit."""

    id: str
    loop: str
    parent: str | None
    recipe: Spec  # what made it: the turn, the policy, the counts
    hash: str  # of its content: order, ids and times do not matter
    added: int
    removed: int
    size: int
    at: int
    erased: int = 0  # examples a subject's erasure has since taken out; the hash is of what it was made with
    merged: str | None = None  # id of its second parent, where it is a merge


class Ref(Struct, frozen=True, gc=False, kw_only=True):
    """A name for a dataset version: a branch moves from version to version, a tag stays where it is."""

    id: str  # the name, once in a loop; "main" is the branch of the loop's turns
    loop: str
    kind: Literal["branch", "tag"]
    version: str  # id of the dataset version
    by: str = ""  # who put it there
    why: str = ""
    at: int = 0


class Diff(Struct, frozen=True, gc=False, kw_only=True):
    """What one dataset version has that another has not; a relabelled example is in both."""

    added: tuple[Example, ...]
    removed: tuple[Example, ...]


class Model(Struct, frozen=True, gc=False, kw_only=True):
    """A trained model version: a candidate until a release makes it more."""

    id: str
    loop: str
    turn: int
    spec: Spec  # trainer and arguments
    dataset: str  # id of the dataset version
    blob: str  # hash of its bytes
    size: int  # bytes
    classes: tuple[str, ...]
    seconds: float  # time it took to train
    at: int


class SliceVerdict(Struct, frozen=True, gc=False, kw_only=True):
    """The comparison within one slice, its interval corrected for the number of slices looked at."""

    slice: str
    estimate: float  # candidate minus champion
    low: float
    high: float
    n: int
    outcome: Outcome3


class Verdict(Struct, frozen=True, gc=False, kw_only=True):
    """Pass, fail or inconclusive, with what it rests on."""

    id: str
    loop: str
    turn: int
    candidate: str  # model id
    champion: str | None  # model id; None: nothing was live
    outcome: Outcome3
    reason: str  # one sentence
    metric: str
    estimate: float | None  # candidate minus champion; None where nothing could be measured
    low: float | None
    high: float | None
    n: int
    level: float
    margin: float
    method: str
    candidate_score: float | None = None
    candidate_low: float | None = None
    candidate_high: float | None = None
    champion_score: float | None = None
    slices: tuple[SliceVerdict, ...] = ()
    at: int = 0


class WatchedSlice(Struct, frozen=True, gc=False, kw_only=True):
    """A part of the traffic no candidate may get worse in: rows with all of some terms, or rows near a point."""

    id: str  # of what it is: the same slice watched twice is one
    loop: str
    name: str  # what verdicts call it
    terms: tuple[str, ...] = ()  # ("channel=web", "lang=de"): rows that have them all; empty: a cluster
    centroid: tuple[float, ...] = ()  # of a cluster: rows whose vector is at most `radius` away
    radius: float = 0.0
    space: str = ""  # in which vectors: "text.256"; another space's rows are not in it
    by: str = ""  # who watches it
    note: str = ""  # why
    at: int = 0


class Release(Struct, frozen=True, gc=False, kw_only=True):
    """A model version at a stage, and the verdict that put it there. Only ever added: the newest counts."""

    id: str
    loop: str
    model: str | None  # None: nothing is live, the loop abstains
    stage: Stage
    share: float = 1.0  # of the traffic
    verdict: str | None = None  # id of the verdict
    previous: str | None = None  # model that was live before
    reason: str = ""
    by: str = "turn"  # who did it
    at: int = 0


class Step(Struct, frozen=True, gc=False, kw_only=True):
    """One finished step of a turn."""

    name: str
    seconds: float
    cost: float = 0.0
    counts: dict[str, Any] = field(default_factory=dict)  # what it did, in numbers
    at: int = 0


class Turn(Struct, frozen=True, gc=False, kw_only=True):
    """One revolution of the wheel."""

    id: str
    loop: str
    number: int  # from 1; 0 is a start from labels that were brought along
    trigger: Literal["feedback", "schedule", "hand"]
    cut: dict[str, int]  # position in each log up to which this turn reads: its input is fixed when it opens
    state: Literal["open", "closed"] = "open"
    steps: tuple[Step, ...] = ()
    started: int = 0
    ended: int | None = None


class Key(Struct, frozen=True, gc=False, kw_only=True):
    """The right to call the server; the secret itself is shown once and kept nowhere."""

    id: str  # public part: in the secret, in lists, in the audit log
    name: str  # what it is for, in its owner's words
    role: Role
    hash: str  # SHA-256 of the secret
    loop: str = ""  # the only loop it is for; empty: all
    origins: tuple[str, ...] = ()  # pages a publishable key may be used from: "https://shop.example"
    rate: float | None = None  # requests a second; None: the installation's limit
    at: int = 0
    until: int | None = None  # it ends by itself then; rotation sets it
    revoked: int | None = None  # it was ended by hand
    replaces: str = ""  # id of the key it was rotated from


class Audit(Struct, frozen=True, gc=False, kw_only=True):
    """Somebody did something that changes what the installation does or knows."""

    id: str
    at: int
    by: str  # id of the key, "open" where there are none, "cli"
    action: str  # "PUT /v1/loops/{name}", "key.create"
    target: str = ""  # what it was done to
    detail: str = ""  # what changed, in one line
    loop: str = ""  # empty: no loop in particular


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


class Lease(Struct, frozen=True, gc=False, kw_only=True):
    """The right to do a piece of work until a time; `token` grows with each holder and fences late writers."""

    name: str
    owner: str
    token: int
    until: int
