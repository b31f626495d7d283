"""What the API takes and gives, where it is not a record already. Their schemas are the documentation."""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from everloop.collect.campaigns import Came
from everloop.report import Status, TurnReport
from everloop.turn.doubting import Queued
from everloop.types import (
    Alternative,
    Audit,
    Campaign,
    DatasetVersion,
    Feedback,
    Input,
    LoopSpec,
    Model,
    Release,
    Role,
    SignalSpec,
    Spec,
    Variant,
)


class Problem(Struct, frozen=True):
    """What went wrong, in one line."""

    message: str
    type: str


class Failure(Struct, frozen=True):
    """Every error looks like this."""

    error: Problem


class Health(Struct, frozen=True):
    """The server answers."""

    status: str
    version: str


class Declaration(Struct, frozen=True, forbid_unknown_fields=True):
    """What a loop is declared with; what is left out stays as it is."""

    task: Literal["classify", "chat"] | UnsetType = UNSET
    signal: str | UnsetType = UNSET
    capability: str | UnsetType = UNSET
    outcome: str | UnsetType = UNSET
    goal: Literal["up", "down"] | UnsetType = UNSET
    labels: tuple[str, ...] | UnsetType = UNSET
    trainer: Spec | UnsetType = UNSET
    policy: dict[str, Any] | UnsetType = UNSET  # fields of Policy
    variants: tuple[Variant, ...] | UnsetType = UNSET
    sticky: Literal["subject", "session", "request"] | UnsetType = UNSET
    signals: tuple[SignalSpec, ...] | UnsetType = UNSET
    derive: tuple[str, ...] | UnsetType = UNSET


class PredictRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A request to the live model."""

    input: Input
    subject: str | None = None  # who asks; stored as a keyed pseudonym
    session: str | None = None
    context: dict[str, Any] | None = None  # what else is known; slices are read from here
    id: str | None = None  # yours, if you want to retry safely
    consent: tuple[str, ...] | None = None  # purposes the person agreed to; default service and improve


class Answer(Struct, frozen=True, omit_defaults=False):
    """The live model's answer; `output` is null where the loop abstains."""

    id: str  # say this in your feedback
    output: str | None
    confidence: float | None
    alternatives: tuple[Alternative, ...]
    model: str | None
    abstained: bool
    note: str | UnsetType = UNSET


class Taken(Struct, frozen=True, omit_defaults=True):
    """A durable record: new, known (a retry), held until its interaction comes; or ignored: without consent, none."""

    id: str
    state: Literal["new", "known", "held", "ignored"]
    note: str | None = None


class BlobTaken(Struct, frozen=True):
    """Bytes that are on disk, for an interaction to name."""

    blob: str  # their SHA-256
    media: str  # media type, by the bytes themselves
    size: int


class ConsentGiven(Struct, frozen=True, forbid_unknown_fields=True):
    """What a person says once for all: true allows, false forbids, null goes back to the default."""

    improve: bool | UnsetType | None = UNSET  # their data may be learned from
    share: bool | UnsetType | None = UNSET  # it may leave the installation


class ConsentHeld(Struct, frozen=True):
    """What a person has said so far, and what that changed."""

    allows: dict[str, bool]
    interactions: int  # of the past, that now allow less
    feedback: int  # that they gave, on whatever interaction: the same
    reviews: int  # open reviews of theirs, that nobody is asked any more


class Feedbacks(Struct, frozen=True):
    """All that was said of an interaction, oldest first."""

    feedback: list[Feedback]


class Refused(Struct, frozen=True):
    """A line of a batch that was not taken; the others were."""

    line: int
    error: str


class LoopView(Struct, frozen=True):
    """A loop: what was declared, and where it stands."""

    spec: LoopSpec
    status: Status


class Loops(Struct, frozen=True):
    """Every loop of this folder."""

    loops: list[LoopView]


class Turns(Struct, frozen=True):
    """Reports, oldest first."""

    turns: list[TurnReport]


class TurnAsked(Struct, frozen=True):
    """A turn by hand: the worker goes on with it."""

    loop: str
    turn: int | None  # its number, once it is open
    note: str


class Reviews(Struct, frozen=True):
    """Pieces of human work, the most urgent first."""

    reviews: list[Queued]


class AnnotateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """One person's answer to a review."""

    value: str
    annotator: str = "me"
    rationale: str | None = None
    seconds: float | None = None  # time it took


class RollbackRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Back to an earlier model."""

    to: str | None = None  # model id; without it, the one that was live before
    by: str = "api"
    reason: str = ""


class Releases(Struct, frozen=True):
    """Releases, oldest first: the newest counts."""

    releases: list[Release]


class Models(Struct, frozen=True):
    """Trained model versions, oldest first."""

    models: list[Model]


class Versions(Struct, frozen=True):
    """Dataset versions, newest first."""

    datasets: list[DatasetVersion]


class Erasure(Struct, frozen=True):
    """What a subject's erasure took out, and which models had learned from it."""

    rows: dict[str, int]
    interactions: tuple[str, ...]
    versions: tuple[str, ...]
    models: tuple[str, ...]


class KeyRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A key to be made."""

    role: Role
    name: str = ""  # what it is for, in your words
    loop: str = ""  # the only loop it is for; empty: all
    origins: tuple[str, ...] = ()  # pages a publishable key is used from: "https://shop.example"
    rate: float | None = None  # requests a second; null: the installation's limit
    days: float | None = None  # how long it works; null: until it is revoked


class RotateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A new secret for an old key."""

    grace_s: float = 86_400.0  # seconds for which the old one still works


class KeyView(Struct, frozen=True):
    """A key without its secret."""

    id: str
    name: str
    role: Role
    state: Literal["live", "ends", "ended", "revoked"]
    loop: str
    origins: tuple[str, ...]
    rate: float | None
    at: int
    until: int | None
    revoked: int | None
    replaces: str  # id of the key it was rotated from


class KeyMade(Struct, frozen=True):
    """A new key, and its secret, which nobody can show again."""

    key: KeyView
    secret: str


class Keys(Struct, frozen=True):
    """Every key, oldest first."""

    keys: list[KeyView]


class AuditLog(Struct, frozen=True):
    """Who did what, newest first."""

    audit: list[Audit]


class CampaignAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """What devices are asked to send; what is left out stays as it is."""

    when: dict[str, Any] | UnsetType = UNSET  # predicate: {"confidence": {"below": 0.6}}
    rate: float | UnsetType | None = UNSET  # uploads an hour and device, at most; null: no cap
    bytes: int | UnsetType | None = UNSET  # and device, over its life; null: no budget
    until: int | UnsetType | None = UNSET  # ms since 1970 from which no device sends any more; null: no end
    before_s: float | UnsetType = UNSET  # what was seen so long before is sent too
    after_s: float | UnsetType = UNSET  # and after
    priority: Literal["critical", "normal", "bulk"] | UnsetType = UNSET
    state: Literal["active", "paused", "ended"] | UnsetType = UNSET  # an end is for ever


class Campaigns(Struct, frozen=True):
    """What devices are asked to send."""

    campaigns: list[Campaign]


class CampaignView(Struct, frozen=True):
    """A campaign, and what came of it."""

    campaign: Campaign
    came: Came
