"""Labels that are probably wrong: asked about again, with what is said against them, as far as it is worth it."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from msgspec import json, structs

import everloop
from everloop.cli import main
from everloop.turn.doubting import shown
from everloop.types import Annotation, Correction, Doubt, Input, Interaction, Review
from everloop.wheel import Loop
from tests.server.conftest import HOSTILE, TOPICS, questions, served

POLICY = {"golden_share": 0.0, "trigger_feedback": 0, "review_budget": 60, "review_fresh": 0}
LABELS = sorted(TOPICS)
TRUTH = dict(questions(300, 5))


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    with everloop.open(tmp_path) as wheel:
        yield wheel.loop("desk", policy=POLICY)


def planted(loop: Loop, truth: dict[str, str] | None = None) -> set[str]:
    """Everybody corrects one answer, and every tenth of them is wrong; ids of these."""
    chance, wrong = random.Random(1), set()
    truth = TRUTH if truth is None else truth
    said = []
    loop.log_many({"id": f"i{i}", "input": json.decode(text) if text[0] == "[" else text, "subject": f"u{i}"}
                  for i, text in enumerate(truth))  # fmt: skip
    for i, label in enumerate(truth.values()):
        value = chance.choice([other for other in LABELS if other != label]) if i % 10 == 0 else label
        said.append(Correction(id=f"said{i}", interaction=f"i{i}", value=value, at=i, subject=f"u{i}"))
        wrong |= {f"i{i}"} if value != label else set()
    loop.records.put(*said)
    return wrong


def suspects(loop: Loop) -> list[Review]:
    return [review for review in loop.reviews() if review.why == "suspect"]


def answered(loop: Loop, what: Callable[[Review], str]) -> None:
    for review in suspects(loop):
        loop.annotate(review.id, what(review))


def test_a_turn_asks_again_with_its_argument_and_learns_how_often_it_was_right(
    loop: Loop, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = planted(loop)
    report = loop.turn()
    found = suspects(loop)
    assert len(found) == 15  # a quarter of the budget
    assert sum(review.interaction in wrong for review in found) >= 13
    assert report.suspects is not None
    assert report.suspects.flagged >= 25
    assert (report.suspects.asked, report.suspects.right) == (15, None)
    assert "labels doubted, 15 asked about" in report.report()
    one = shown(loop.records, found)[0]
    doubt, argument = one.doubt, one.argument
    assert doubt is not None
    assert argument is not None
    assert doubt.given != one.proposal == TRUTH[str(one.input)]
    assert doubt.score > 0.5
    assert argument.sentence.startswith(f"Labelled “{doubt.given}” (")
    assert f"the model says “{one.proposal}”" in argument.sentence
    assert len(argument.supporting) >= 3
    assert all(TRUTH[witness.words] == one.proposal for witness in argument.supporting)

    home = ["--home", str(loop.wheel.settings.home)]
    assert main(["review", "desk", *home]) == 0
    assert "why: everloop review ID" in capsys.readouterr().out
    assert main(["review", one.id, *home]) == 0
    said = capsys.readouterr().out
    assert argument.sentence in said
    assert f"like it, as proposed  {argument.supporting[0].words}" in said
    assert main(["review", one.id, "--json", *home]) == 0
    assert json.decode(capsys.readouterr().out)["argument"]["sentence"] == argument.sentence
    with served(loop.wheel) as http:
        listed = {r["id"]: r for r in http.get("/v1/loops/desk/reviews").json()["reviews"]}
        assert listed[one.id]["doubt"]["given"] == doubt.given
        assert listed[one.id]["argument"]["supporting"][0]["words"] == argument.supporting[0].words
        assert "labels doubted" in http.get("/loops/desk/turns/1").text
        assert "the model says" in http.get(f"/interactions/{one.interaction}").text

    answered(loop, lambda review: TRUTH[str(review.input)])
    report = loop.turn()
    assert report.suspects is not None
    assert report.suspects.n == 15
    assert report.suspects.right == pytest.approx(sum(r.interaction in wrong for r in found) / 15)
    assert "of 15 such labels people looked at" in report.report()
    assert not {r.interaction for r in suspects(loop)} & {r.interaction for r in found}  # nobody is asked twice


def test_flags_in_vain_are_fewer_flags_but_never_none(loop: Loop) -> None:
    planted(loop)
    loop.turn()
    for review in suspects(loop):
        assert review.doubt is not None
        assert review.doubt.given is not None
        loop.annotate(review.id, review.doubt.given)  # each label was right after all
        loop.records.replace(*(  # and so were the same in many loops' turns before
            row for n in range(8) for row in (
                structs.replace(review, id=f"{review.id}-{n}", interaction=f"gone-{n}", state="done"),
                Annotation(id=f"{review.id}-{n}.x", loop="desk", review=f"{review.id}-{n}", interaction=f"gone-{n}",
                           annotator="x", value=review.doubt.given),
            )
        ))  # fmt: skip
    report = loop.turn()
    assert report.suspects is not None
    assert report.suspects.flagged > 3
    assert report.suspects.asked == 3
    assert (report.suspects.right, report.suspects.n) == (0.0, 135)


def test_vectors_are_doubted_alike(loop: Loop) -> None:
    rng = np.random.default_rng(0)
    truth = {
        json.encode((np.eye(3)[i % 3].repeat(4) + rng.normal(0, 0.2, 12)).round(3).tolist()).decode(): LABELS[i % 3]
        for i in range(270)
    }
    wrong = planted(loop, truth)
    loop.turn()
    found = shown(loop.records, suspects(loop))
    assert len(found) == 15
    assert sum(review.interaction in wrong for review in found) >= 14
    for review in found:
        assert review.proposal == truth[json.encode(review.input).decode()]
        assert review.argument is not None
        assert "nearest neighbours" in review.argument.sentence
        assert review.argument.supporting[0].words.count(",") == 11


def doubted(given: str = "a", said: tuple[str, ...] = ("s",), **more: tuple[str, ...]) -> Review:
    doubt = Doubt(given=given, said=said, score=0.9, confidence=0.1, **more)
    return Review(id="r", loop="desk", turn=1, interaction="i", input="mine", why="suspect", proposal="b",
                  confidence=0.9, doubt=doubt)  # fmt: skip


def told(loop: Loop) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    (one,) = shown(loop.records, [loop.records.find(Review, "desk")[0]])
    assert one.argument is not None
    return (
        one.argument.sentence, tuple(w.words for w in one.argument.supporting),
        tuple(w.words for w in one.argument.opposing),
    )  # fmt: skip


def test_of_who_is_erased_or_withdraws_nothing_is_told(loop: Loop) -> None:
    for id in ("i", "n1", "n2", "n3"):
        loop.log(f"words of {id}", id=id, subject=f"of {id}")
    loop.feedback("i", correction="a", id="s", subject="who said it")
    loop.feedback("i", correction="a", id="s2", subject="who said it, too")
    review = doubted(said=("s", "s2"), supporting=("n1", "n2"), opposing=("n3",))
    loop.records.replace(review)
    before = told(loop)
    assert before[0].endswith("as are 2 of its 3 nearest neighbours.")
    assert before[1:] == (("words of n1", "words of n2"), ("words of n3",))
    loop.wheel.consent("of n3", improve=False)
    assert told(loop)[0].endswith("as are both of its nearest neighbours.")
    loop.wheel.forget("of n1")
    assert told(loop)[0].endswith("as is its nearest neighbour.")
    assert "n1" not in str(loop.records.get(Review, "r"))
    loop.wheel.forget("who said it")
    left = loop.records.get(Review, "r")
    assert left is not None
    assert left.doubt is not None
    assert (left.doubt.given, left.doubt.said) == ("a", ("s2",))
    loop.wheel.forget("who said it, too")
    (gone,) = shown(loop.records, loop.records.find(Review, "desk"))
    assert gone.doubt is not None
    assert (gone.doubt.given, gone.argument, gone.state) == (None, None, "open")
    loop.wheel.forget("of i")
    assert loop.records.find(Review, "desk") == []


def test_words_of_strangers_are_cut_and_shown_as_they_are(loop: Loop, capsys: pytest.CaptureFixture[str]) -> None:
    loop.log("mine", id="i")
    large: list[tuple[str, Input]] = [("n1", HOSTILE), ("n2", "x" * 200_000), ("n3", "a\x1b[31m\nb")]
    loop.records.put(*(Interaction(id=id, loop="desk", at=0, input=text) for id, text in large))
    loop.records.put(Interaction(id="other", loop="elsewhere", at=0, input="another loop's"))
    loop.records.replace(doubted(HOSTILE * 90, supporting=("n1", "n2", "n3", "other"), opposing=("never",)))
    sentence, supporting, opposing = told(loop)
    assert len(sentence) < 400
    assert [len(words) for words in supporting] == [len(HOSTILE), 300, 8]
    assert opposing == ()
    assert main(["review", "r", "--home", str(loop.wheel.settings.home)]) == 0
    assert "\x1b" not in capsys.readouterr().out
    with served(loop.wheel) as http:
        page: httpx.Response = http.get("/interactions/i")
        assert HOSTILE not in page.text
        assert "the model says" in page.text
