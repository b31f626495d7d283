"""What the machine offers beside the answers of its live model: bought labels, and classes nobody has named yet."""

from typing import Literal

from msgspec import Struct


class SourceAnswer(Struct, frozen=True, gc=False, kw_only=True):
    """What a source that costs money said of one input: kept, so that nobody pays for it twice."""

    id: str  # "loop:source:fingerprint"
    loop: str
    source: str  # hash of all that decides the answer: name, url, model, prompt, parameters
    interaction: str  # the one that brought the input: whoever it belongs to takes this with them when they are erased
    turn: int  # the turn that paid for it
    label: str | None = None  # None: it named none of the classes
    classes: str = ""  # hash of the classes it could choose among; an abstention counts among the same alone
    confidence: float = 0.0  # in the source's own coin
    cost: float = 0.0  # in the loop's currency
    at: int = 0


class ProposedClass(Struct, frozen=True, gc=False, kw_only=True):
    """Inputs alike that fit no class of the loop, and a name for them; a person accepts it, or says no."""

    id: str
    loop: str
    turn: int  # the turn that found it
    name: str  # made of its most telling words
    words: tuple[str, ...] = ()
    size: int = 0  # rows found alike
    score: float = 0.0  # mean novelty of its rows, 0 to 1
    interactions: tuple[str, ...] = ()  # those that brought them, the most typical first; the words are made of theirs
    nearest: str | None = None  # the class of the loop it is most like
    state: Literal["open", "accepted", "refused"] = "open"
    label: str | None = None  # the name a person gave it
    by: str = ""
    at: int = 0
