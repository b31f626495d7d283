"""A server on a real port over a real wheel, and a loop that has turned twice."""

import random
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import everloop
from everloop.server import create_app
from everloop.settings import Settings
from everloop.wheel import Wheel
from tests.listening import listening

HOSTILE = "<script>alert('x')</script>\"'&"
TOPICS = {
    "card_arrival": "card delivery post envelope waiting arrive shipped track tracking mail days yet received plastic",
    "exchange_rate": "rate euro dollar currency convert exchange pound yen conversion weekend spread foreign market",
    "lost_phone": "phone stolen lost sim number device handset dropped street taxi thief lock blocked app",
}


# What a client makes for itself reads every root certificate, for servers that speak none of it.
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@contextmanager
def served(wheel: Wheel, *, worker: bool = False) -> Iterator[httpx.Client]:
    with listening(create_app(wheel, worker=worker)) as port:
        address = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=address, timeout=30, trust_env=False, verify=PLAIN) as client:
            yield client


def questions(count: int, seed: int) -> list[tuple[str, str]]:
    """(text, label), no two nearly alike."""
    chance = random.Random(seed)
    made = []
    for i in range(count):
        label = sorted(TOPICS)[i % len(TOPICS)]
        made.append((" ".join(chance.sample(TOPICS[label].split(), 5)), label))
    return made


@pytest.fixture
def wheel(tmp_path: Path) -> Iterator[Wheel]:
    with everloop.open(settings=Settings(home=str(tmp_path / "home"), max_body_bytes=500_000)) as made:
        yield made


@pytest.fixture
def http(wheel: Wheel) -> Iterator[httpx.Client]:
    with served(wheel) as client:
        yield client


@pytest.fixture(scope="session")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wheel]:
    """Loops "support" (two turns, hostile names), "fresh" (nothing came in) and "silent" (abstains)."""
    with everloop.open(tmp_path_factory.mktemp("turned")) as made:
        made.loop("fresh", signal="nobody said anything")
        made.loop("silent", outcome=HOSTILE).predict(HOSTILE)
        loop = made.loop(
            "support",
            signal="agents correct the intent",
            outcome=HOSTILE,
            policy={"golden_share": 0.2, "golden_source": "feedback"},
        )
        for seed in (1, 2):
            for text, label in questions(90, seed):
                answer = loop.predict(text, subject="u1", context={"channel": HOSTILE if seed == 2 else "web"})
                loop.feedback(answer.id, correction=label)
            odd = loop.predict(HOSTILE)
            loop.feedback(odd.id, correction=HOSTILE)
            loop.predict("   ")
            loop.turn()
            for review in loop.reviews():
                loop.annotate(review.id, dict(questions(90, 1) + questions(90, 2)).get(str(review.input), HOSTILE))
        yield made
