"""Answer a request with the live model, or abstain: a loop that has learned nothing never guesses."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from everloop.collect.door import Door
from everloop.collect.incoming import build_interaction
from everloop.types import Alternative, Interaction, LoopSpec

_ALTERNATIVES = 4  # next best answers kept with each interaction: enough for curation to weigh a correction
_PLACES = 6  # digits a confidence keeps, so that another machine's last bit decides nothing


class Predicts(Protocol):
    """What answering needs of a model."""

    classes: tuple[str, ...]

    def probabilities(self, inputs: Any) -> NDArray[np.float64]:
        """Calibrated probabilities, one row an input, one column a class."""


class Live(NamedTuple):
    """The model that answers now, and the probability with which traffic is routed to it."""

    model: str
    predictor: Predicts
    propensity: float = 1.0


def answer(spec: LoopSpec, live: Live | None, given: Mapping[str, Any], door: Door) -> Interaction:
    """The interaction that answers `given` (input, subject, session, context, …); nothing is stored yet.

    Without a live model its output is None: it abstains. Raises InvalidInput for what the model can't take.
    """
    started = time.perf_counter()
    asked = build_interaction(spec, given, door)
    if live is None:
        return _finish(asked, started)
    row = live.predictor.probabilities([asked.input])[0]
    order = np.argsort(-row, kind="stable")[: _ALTERNATIVES + 1]
    best = [Alternative(live.predictor.classes[i], round(float(row[i]), _PLACES)) for i in order]
    return _finish(
        asked, started, output=best[0].value, confidence=best[0].confidence, alternatives=tuple(best[1:]),
        model=live.model, propensity=live.propensity,
    )  # fmt: skip


def _finish(asked: Interaction, started: float, **found: Any) -> Interaction:
    took = round((time.perf_counter() - started) * 1000, 3)
    return msgspec.structs.replace(asked, latency_ms=took, **found)
