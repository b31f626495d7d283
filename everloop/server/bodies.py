"""What the API takes and gives, where it is not a record already. Their schemas are the documentation."""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from everloop.report import Status, TurnReport
from everloop.types import (
    Alternative,
    DatasetVersion,
    Input,
    LoopSpec,
    Model,
    Release,
    Review,
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
    """A durable record: new, known (a retry), or held until its interaction comes."""

    id: str
    state: Literal["new", "known", "held"]
    note: str | None = None


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

    reviews: list[Review]


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
