"""A wheel in a temporary folder, and a small support desk whose questions are easy to tell apart."""

import numpy as np
import pytest

import everloop

TOPICS = {
    "card": ["card", "plastic", "chip", "delivery", "envelope", "post"],
    "refund": ["refund", "money", "back", "merchant", "reversal", "return"],
    "limit": ["limit", "maximum", "allowance", "cap", "ceiling", "raise"],
}
_FILLER = "please tell me about the thing with my and why is it so can you help today".split()


def questions(n, seed=0):
    """n (question, topic), all different."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(n):
        topic = list(TOPICS)[number % len(TOPICS)]
        words = [*rng.choice(TOPICS[topic], 3), *rng.choice(_FILLER, 5)]
        rng.shuffle(words)
        found.append((f"{' '.join(words)} {rng.integers(1e6)}", topic))
    return found


@pytest.fixture
def wheel(tmp_path):
    with everloop.open(tmp_path / "home") as wheel:
        yield wheel
