"""What people agreed to decides what is kept, what is learned from, and what leaves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import everloop
from everloop.collect import build_feedback, build_interaction
from everloop.collect.consent import DEFAULT, PURPOSES, UNSTORED, agreed, purposes, stored, under_gpc
from everloop.collect.leaving import leaving
from everloop.errors import InvalidInput
from everloop.types import Comment, Drop, FeedbackFields, Interaction, LoopSpec, Preference, Review

SPEC = LoopSpec(name="support")
said = st.none() | st.lists(st.sampled_from(PURPOSES), max_size=4)
allowed = st.dictionaries(st.sampled_from(["improve", "share"]), st.booleans())


@pytest.fixture
def wheel(tmp_path):
    with everloop.open(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        (["service", "profit"], "no purpose 'profit'; there are service, improve, share"),
        ("improve", "expected a list of service, improve, share"),
        ([1], "expected a list"),
        ([["service"]], "expected a list"),
        (["x" * 500], "no purpose 'xxxx"),
    ],
)
def test_an_unknown_purpose_is_refused_in_one_line(wheel, given_, says):
    for build in (
        lambda: build_interaction(SPEC, {"input": "x", "consent": given_}, wheel.door),
        lambda: build_feedback({"kind": "thumb", "value": "up", "interaction": "i", "consent": given_}, wheel.door),
        lambda: under_gpc(given_),
    ):
        with pytest.raises(InvalidInput, match=says) as caught:
            build()
        assert len(str(caught.value)) < 150


@given(said, allowed)
def test_what_is_forbidden_is_never_agreed_and_the_signal_only_takes_away(given_, allows):
    made = agreed(given_, allows)
    assert not [one for one in made if not allows.get(one, True)]
    assert set(made) <= set(PURPOSES)
    assert list(made) == [one for one in PURPOSES if one in made]
    out = agreed(under_gpc(given_), allows)
    assert set(out) <= set(made)
    assert "share" not in out
    assert ("improve" in out) == ("improve" in (given_ or ()) and allows.get("improve", True))


def test_the_default_is_service_and_improve():
    assert agreed(None, {}) == DEFAULT == build_default()
    assert purposes(["share", "improve", "share"]) == ("improve", "share")


def build_default() -> tuple[str, ...]:
    return Interaction(id="i", loop="l", at=1, input="x").consent


def test_without_service_it_is_answered_and_nothing_is_kept(wheel):
    loop = wheel.loop("support")
    image = {"messages": [{"role": "user", "content": [{"data": "AAAA", "media": "x/y"}]}]}
    for input in ("where is my card", image):
        made = loop.predict(input, consent=[], subject="ann", id="mine")
        assert made.id == "unstored-mine"
        assert not stored(made)
    assert loop.log("x", "y", label="card", consent=["improve"]).id.startswith(UNSTORED)
    records = wheel.store.records
    assert records.count(Interaction) == records.count(FeedbackFields) == len(records.held()) == 0
    assert not [path for path in (wheel.settings.folder / "blobs").rglob("*") if path.is_file()]
    with pytest.raises(InvalidInput, match="means that nothing is stored"):
        loop.predict("x", id="unstored-mine")
    thumb = {"kind": "thumb", "value": "up", "interaction": made.id}
    assert not stored(build_feedback(thumb, wheel.door))
    assert not stored(build_feedback({**thumb, "interaction": "i", "consent": []}, wheel.door))


def taught(wheel, text, label, **given_):
    loop = wheel.loop("support", policy={"golden_share": 0.0})
    made = loop.predict(text, **given_)
    loop.feedback(made.id, correction=label)
    return made


def test_without_improve_it_is_kept_and_never_learned_from(wheel):
    kept = taught(wheel, "where is my card", "card", consent=["service"])
    also = taught(wheel, "what is the rate", "rate")
    wheel.get("support").turn()
    assert wheel.interaction(kept.id).input == "where is my card"
    version = wheel.store.datasets.log("support")[0]
    held = wheel.store.datasets.examples(version.id)
    assert [e.evidence[0] for e in held] == [also.id]
    assert wheel.store.records.get(Drop, kept.id).reason == "no_consent"


def test_feedback_that_opted_out_teaches_nothing(wheel):
    loop = wheel.loop("support", policy={"golden_share": 0.0})
    made = [loop.predict(text) for text in ("where is my card", "what is the rate")]
    given_ = {"kind": "correction", "value": "card", "interaction": made[0].id, "consent": under_gpc(None)}
    wheel.store.records.put(build_feedback(given_, wheel.door))
    loop.feedback(made[1].id, correction="rate")
    loop.turn()
    held = wheel.store.datasets.examples(wheel.store.datasets.log("support")[0].id)
    assert [e.target for e in held] == ["rate"]


def test_taken_back_it_goes_out_of_the_past_and_stays_out(wheel):
    mine = [taught(wheel, f"where is card {n}", "card", subject="ann", consent=PURPOSES) for n in ("one", "two")]
    taught(wheel, "what is the rate", "rate", subject="bob")
    loop = wheel.get("support")
    loop.turn()
    first = wheel.store.datasets.log("support")[0]
    assert len(wheel.store.datasets.examples(first.id)) == 3
    records = wheel.store.records
    before = [it.id for batch in records.scan(Interaction, "support") for _, it in batch]
    records.replace(Review(id="r", loop="support", turn=1, interaction=mine[0].id, input="x", why="random"))

    assert wheel.consent("ann", improve=False) == ({"improve": False}, 2, 0, 1)
    assert wheel.consent("ann") == ({"improve": False}, 0, 0, 0)
    assert wheel.interaction(mine[0].id).consent == ("service", "share")
    assert records.get(Review, "r").state == "skipped"
    assert [it.id for batch in records.scan(Interaction, "support") for _, it in batch] == before  # positions stay
    loop.turn()
    held = wheel.store.datasets.examples(wheel.store.datasets.log("support")[0].id)
    assert [e.target for e in held] == ["rate"]

    after = taught(wheel, "where is card three", "card", subject="ann", consent=PURPOSES)
    assert after.consent == ("service", "share")
    assert wheel.consent("ann", improve=None, share=False).allows == {"share": False}
    assert taught(wheel, "where is card four", "card", subject="ann").consent == DEFAULT
    assert wheel.interaction(after.id).consent == ("service",)
    assert wheel.consent("ann", share=True) == ({"share": True}, 0, 0, 0)
    assert loop.predict("x", subject="ann").consent == PURPOSES
    assert wheel.interaction(after.id).consent == ("service",)  # what is allowed later does not reach back


def test_what_a_person_says_of_others_answers_is_theirs_too(wheel):
    loop = wheel.loop("support", policy={"golden_share": 0.0})
    asked = [loop.predict(text) for text in ("where is my card", "what is the rate", "raise my limit")]
    loop.feedback(asked[0].id, correction="card", subject="ann")
    wheel.store.records.put(Comment(id="h", interaction="later", at=1, value="x",
                                    subject=wheel.door.pseudonyms.of("ann")))  # fmt: skip
    assert wheel.consent("ann", improve=False) == ({"improve": False}, 0, 2, 0)
    loop.feedback(asked[1].id, correction="rate", subject="ann")
    loop.feedback(asked[2].id, correction="limit", subject="bob")
    assert [one.consent for one in wheel.store.records.held()] == [("service", "share")]
    loop.turn()
    held = wheel.store.datasets.examples(wheel.store.datasets.log("support")[0].id)
    assert [e.target for e in held] == ["limit"]


def test_another_process_notices_a_first_refusal(tmp_path, wheel):
    with everloop.open(tmp_path) as other:
        other.loop("support")
        assert other.get("support").predict("x", subject="ann").consent == DEFAULT
        wheel.consent("ann", improve=False)
        assert other.get("support").predict("x", subject="ann").consent == ("service",)


def test_what_a_person_refused_outlives_their_erasure_and_says_nothing_else(wheel):
    taught(wheel, "where is my card", "card", subject="ann")
    wheel.consent("ann", improve=False)
    wheel.forget("ann")
    (left,) = wheel.store.records.find(Preference)
    assert (left.allows, left.id) == ({"improve": False}, wheel.door.pseudonyms.of("ann"))
    assert wheel.get("support").predict("x", subject="ann").consent == ("service",)


@pytest.mark.parametrize(
    ("said_", "says"), [({"service": False}, "everloop forget"), ({"profit": True}, "no purpose 'profit'")]
)
def test_what_cannot_be_said_once_for_all(wheel, said_, says):
    with pytest.raises(InvalidInput, match=says):
        wheel.consent("ann", **said_)
    with pytest.raises(InvalidInput, match="subject: expected a text"):
        wheel.consent(7, improve=True)


def test_what_leaves_is_decided_when_it_leaves(wheel):
    taught(wheel, "where is my card", "card", subject="ann", consent=PURPOSES)
    taught(wheel, "what is the rate", "rate", subject="bob")
    taught(wheel, "my phone is gone", "phone", subject="cyd", consent=PURPOSES)
    wheel.get("support").turn()
    examples = wheel.store.datasets.examples(wheel.store.datasets.log("support")[0].id)

    def out(**how):
        left = leaving(wheel.store.records, examples, **how)
        return sorted(e.target for e in left.examples), *left[1:]

    assert out() == (["card", "phone", "rate"], 0, 2, 0)
    assert out(shareable=True) == (["card", "phone"], 0, 2, 1)
    wheel.consent("ann", improve=False)
    wheel.consent("cyd", share=False)
    assert out() == (["phone", "rate"], 1, 0, 0)
    assert out(shareable=True) == ([], 1, 0, 2)
