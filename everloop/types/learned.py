"""Models, what is known of them, and where they stand."""

from msgspec import Struct

from everloop.types.declared import Spec
from everloop.types.words import Outcome3, Stage


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
