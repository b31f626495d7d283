"""A bigger model has its say in a turn: asked once about each input, only about what may leave, kept through kills."""

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import everloop
from everloop.errors import LeaseLost
from everloop.label import buying
from everloop.types import SourceAnswer
from everloop.wheel import Loop, Wheel
from tests.server.conftest import TOPICS
from tests.server.stub_upstream import Stub, running


def _hard(count: int) -> dict[str, str]:
    """Texts and their labels; a model that has seen few of them is unsure of many."""
    chance, made = random.Random(7), {}
    for i in range(count):
        label = sorted(TOPICS)[i % len(TOPICS)]
        others = [word for name in sorted(TOPICS) if name != label for word in TOPICS[name].split()]
        own = chance.choice((2, 3, 5, 5))
        words = [*chance.sample(TOPICS[label].split(), own), *chance.sample(others, 5 - own)]
        made[" ".join(chance.sample(words, 5))] = label
    return made


TRUTH = _hard(330)
ROWS = list(TRUTH.items())
KNOWN, GOLDEN, NEW = ROWS[:30], ROWS[30:150], ROWS[150:]
LABEL = ROWS[0][1]
SHARED = ("service", "improve", "share")
POLICY = {"golden_share": 0.0, "trigger_feedback": 0, "review_budget": 0, "auto_error": 0.05, "auto_audit": 0}


class Labeller:
    """Answers every request with the right label, until it is told otherwise."""

    def __init__(self, stub: Stub):
        self.stub, self.url, self.status, self.before = stub, stub.url, 200, lambda: None
        self.asked: list[str] = []
        self.lock = threading.Lock()

    def __bool__(self) -> bool:
        return True

    def popleft(self) -> Any:
        async def act(request: Any, send: Any) -> None:
            text = request.body["messages"][1]["content"]
            with self.lock:
                self.asked.append(text)
            self.before()
            said = {"choices": [{"message": {"content": TRUTH.get(text, LABEL)}}],
                    "usage": {"prompt_tokens": 90, "completion_tokens": 10}}  # fmt: skip
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": self.status, "headers": headers})
            await send({"type": "http.response.body", "body": json.dumps(said).encode()})

        return act


@pytest.fixture
def big() -> Iterator[Labeller]:
    with running() as stub:
        labeller = Labeller(stub)
        stub.script = labeller  # type: ignore[assignment]
        yield labeller


@pytest.fixture
def wheel(tmp_path: Path) -> Iterator[Wheel]:
    with everloop.open(tmp_path) as wheel:
        yield wheel


def declared(wheel: Wheel, big: Labeller, policy: dict[str, Any] | None = None, **args: Any) -> Loop:
    price = {"input": 1_000.0, "output": 1_000.0}  # 0.1 an answer
    source = {"name": "bigger_model.v1", "args": {"url": big.url, "model": "big", "price": price, **args}}
    dials = {**POLICY, "sources": [source], **(policy or {})}
    return wheel.loop("desk", labels=sorted(set(TRUTH.values())), policy=dials)


def logged(loop: Loop, *, golden: Any = SHARED, new: Any = SHARED) -> None:
    for rows, split, consent in ((KNOWN, "train", SHARED), (GOLDEN, "golden", golden), (NEW, None, new)):
        loop.log_many({"input": text, "label": label if split else None, "split": split, "consent": consent,
                       "subject": f"person {text}"} for text, label in rows)  # fmt: skip


def bought(loop: Loop) -> dict[str, Any]:
    found: list[dict[str, Any]] = next(s for s in loop.report().steps if s.name == "dataset").counts["bought"]
    return found[0]


def another_turn(loop: Loop, text: str) -> Any:
    loop.log_many([{"input": text, "label": LABEL, "split": "train"}])
    return loop.turn()


def test_each_input_is_asked_about_once(wheel: Wheel, big: Labeller) -> None:
    loop = declared(wheel, big)
    logged(loop)
    report = loop.turn()
    kept = wheel.store.records.find(SourceAnswer, "desk")
    assert len(big.asked) == len(set(big.asked)) == len(kept) == bought(loop)["asked"] > 100
    assert set(big.asked) <= set(TRUTH)
    assert report.cost == pytest.approx(len(kept) * 0.1)
    assert report.spent == report.cost
    assert f"bigger_model.v1 (big): {len(kept)} asked, 0 answers kept from before" in report.report()
    assert "so far" in report.report()
    made = [e for e in wheel.store.datasets.examples(str(report.dataset), "train") if e.origin == "auto"]
    assert len(made) == report.auto_labelled > 100
    assert sum(e.target != TRUTH[str(e.input)] for e in made) <= 0.05 * len(made)
    again = another_turn(loop, "one more card that was stolen")
    new = set(big.asked[len(kept) :])
    assert not new & set(big.asked[: len(kept)]), "paid for twice"
    assert bought(loop)["kept"] > 0.5 * len(kept)
    assert again.cost == pytest.approx(0.1 * len(new))
    assert again.spent == pytest.approx(report.cost + again.cost)
    assert [one.spent for one in loop.reports()] == pytest.approx([report.spent, again.spent])


@pytest.mark.slow
def test_at_most_so_many_and_those_it_is_least_sure_of_first(wheel: Wheel, big: Labeller) -> None:
    loop = declared(wheel, big, most=60)
    logged(loop)
    loop.turn()
    assert len(big.asked) == 60
    assert bought(loop)["waiting"] > 0
    assert len(set(big.asked) & set(dict(KNOWN))) == 20, "a third to weigh it by, at most"
    another_turn(loop, "one more card that was stolen")
    assert len(big.asked) == len(set(big.asked)) == 120


@pytest.mark.slow
def test_only_what_people_agreed_to_share_is_sent_to_others(
    wheel: Wheel, big: Labeller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(everloop.label.bigger_model, "_is_own", lambda _: False)
    loop = declared(wheel, big)
    logged(loop, new=("service", "improve"))
    loop.turn()
    assert big.asked == []
    assert bought(loop)["held"] > 100
    shared = [text for text, _ in NEW[:40]]
    for text in shared:  # somebody else says the same: one of both has not agreed
        loop.log(text, consent=SHARED)
    mine, theirs = [f"{text} now" for text in shared], [f"{text} then" for text in shared]
    TRUTH.update({text: TRUTH[text.rsplit(" ", 1)[0]] for text in (*mine, *theirs)})
    loop.log_many({"input": text, "consent": SHARED} for text in mine)
    loop.log_many({"input": text} for text in theirs)
    another_turn(loop, "one more card that was stolen")
    assert set(big.asked) <= {*mine, *dict(KNOWN), *dict(GOLDEN)}
    assert "no consent to share" in loop.report().report()
    asked = len(big.asked)
    declared(wheel, big, own=True)
    another_turn(loop, "and one more card that was stolen")
    assert set(big.asked[asked:]) & set(dict(NEW))


def test_where_what_measures_it_may_not_leave_nothing_is_asked(
    wheel: Wheel, big: Labeller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(everloop.label.bigger_model, "_is_own", lambda _: False)
    loop = declared(wheel, big)
    logged(loop, golden=("service", "improve"))
    loop.turn()
    assert big.asked == []
    assert "none of the rows that would measure its labels may be sent" in loop.report().report()


@pytest.mark.parametrize(
    ("policy", "says"),
    [({"auto_error": 0.0}, "labels nothing by itself"), ({"auto_error": 0.01}, "before 299 rows drawn at random")],
)
def test_nothing_is_bought_that_could_not_count(wheel: Wheel, big: Labeller, policy: dict[str, Any], says: str) -> None:
    loop = declared(wheel, big, policy)
    logged(loop)
    assert says in loop.turn().report()
    assert big.asked == []


@pytest.mark.slow
def test_a_server_that_is_down_and_a_budget(wheel: Wheel, big: Labeller) -> None:
    loop = declared(wheel, big, max_cost=2.05)
    logged(loop)
    big.status = 403
    assert "stopped: status 403" in loop.turn().report()
    assert wheel.store.records.count(SourceAnswer) == 0
    big.status = 200
    report = another_turn(loop, "one more card that was stolen")
    assert report.cost == pytest.approx(2.0)
    assert "stopped at max_cost" in report.report()
    assert another_turn(loop, "and one more card that was stolen").spent == pytest.approx(4.0)


@pytest.mark.slow
def test_killed_in_between_it_goes_on_where_it_was(
    wheel: Wheel, big: Labeller, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(buying, "_BATCH", 16)
    loop = declared(wheel, big, most=100)
    logged(loop)

    class Killed(BaseException):
        pass

    def dies(*_: Any) -> Any:
        if wheel.store.records.count(SourceAnswer) >= 48:
            raise Killed
        return right(*_)

    right = buying.leaves
    monkeypatch.setattr(buying, "leaves", dies)
    with pytest.raises(Killed):
        loop.turn()
    loop.let_go()
    monkeypatch.setattr(buying, "leaves", right)
    assert wheel.store.records.count(SourceAnswer) == 48
    with everloop.open(tmp_path) as other:  # another process
        report = other.get("desk").turn()
    assert len(big.asked) == len(set(big.asked)) == 100
    assert report.cost == pytest.approx(10.0), "what was paid before is counted"
    assert bought(loop)["kept"] == 0


@pytest.mark.slow
def test_who_is_erased_meanwhile_leaves_no_answer(wheel: Wheel, big: Labeller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buying, "_BATCH", 16)
    loop = declared(wheel, big)
    logged(loop)
    gone: list[str] = []

    def erase() -> None:  # in the middle of the turn, and nothing waits for it
        if len(big.asked) >= 20 and not gone:
            gone.extend([big.asked[0], big.asked[19], *(text for text, _ in NEW if text not in big.asked)][:12])
            threading.Thread(target=lambda: [wheel.forget(f"person {text}") for text in gone]).start()

    big.before = erase
    loop.turn()
    for text in gone:
        wheel.forget(f"person {text}")
    left = {it.id: it.input for it in wheel.store.records.find(everloop.types.Interaction, "desk")}
    kept = wheel.store.records.find(SourceAnswer, "desk")
    assert kept
    assert not {one.interaction for one in kept} - set(left)
    assert not set(gone) & set(map(str, left.values()))


def test_who_loses_the_turn_keeps_what_was_paid_for(wheel: Wheel, big: Labeller) -> None:
    loop = declared(wheel, big)
    logged(loop)
    for _ in range(3):
        loop.advance("hand")
    big.before = lambda: loop.let_go() if len(big.asked) == 5 else None
    with pytest.raises(LeaseLost):
        loop.advance("hand")
    assert wheel.store.records.count(SourceAnswer) == len(big.asked) == 32
