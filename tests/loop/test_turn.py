"""The wheel turns: from the first correction to a better model, interrupted anywhere, by whomever."""

import shutil
import threading
import time

import msgspec
import pytest

import everloop
from everloop import train
from everloop.cli import main
from everloop.collect.tending import Tended
from everloop.curate.inputs import fingerprint
from everloop.curate.near_duplicates import grams, jaccard
from everloop.errors import Conflict, EverloopError, InvalidInput, LeaseLost, NotFound
from everloop.loop import STEPS, advance, rebuild
from everloop.turn.workbench import Workbench
from everloop.types import Correction, Drop, Interaction, Placement, Release, Review, Spec, Turn, Verdict
from tests.loop.conftest import questions

LABELLED_FIRST = {"golden_share": 0.0, "trigger_feedback": 0}


def started(wheel, n=60, **policy):
    """A loop that has learned from n labelled questions."""
    loop = wheel.loop("support", policy={**LABELLED_FIRST, **policy})
    loop.log_many({"id": f"q{i}", "input": text, "label": topic} for i, (text, topic) in enumerate(questions(n)))
    loop.turn()
    return loop


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A folder where `started` has been called."""
    home = tmp_path_factory.mktemp("once") / "home"
    with everloop.open(home) as wheel:
        started(wheel)
    return home


@pytest.fixture
def learned(once, tmp_path):
    """Asked for before `wheel`, which then opens a copy of that folder."""
    shutil.copytree(once, tmp_path / "home")


def test_a_loop_that_has_learned_nothing_abstains_and_says_so(wheel):
    loop = wheel.loop("support")
    answer = loop.predict("where is my card")
    assert (answer.output, answer.confidence, answer.model) == (None, None, None)
    assert loop.status().live is None
    report = loop.turn()
    assert report.verdict is None
    assert "needs labels of at least two classes" in report.report()


def test_the_first_labels_make_a_model_that_answers(learned, wheel):
    loop = wheel.get("support")
    assert loop.report().verdict.outcome == "pass"
    answer = loop.predict("please the refund and the merchant")
    assert answer.output == "refund"
    assert 1 / 3 < answer.confidence <= 1
    assert answer.model == loop.status().live
    assert wheel.interaction(answer.id) == answer


def test_a_model_is_rebuilt_bit_for_bit_from_its_spec_and_dataset_version(learned, wheel, capsys):
    loop = wheel.get("support")
    model = loop.models()[-1]
    assert rebuild(wheel.store, model) == wheel.store.blobs.get(model.blob)
    home = ["--home", wheel.settings.home]
    assert main(["models", "support", "--rebuild", model.id, *home]) == 0
    assert "all the same" in capsys.readouterr().out
    first = loop.records.find(Interaction, "support")[0]
    loop.records.replace(msgspec.structs.replace(model, spec=Spec(name=model.spec.name, args={"c": 0.01})))
    assert main(["models", "support", "--rebuild", model.id[-8:], *home]) == 1
    assert "not the same" in capsys.readouterr().out
    assert main(["models", "support", "--rebuild", first.id, *home]) == 2


def test_a_correction_reaches_the_next_model(learned, wheel):
    loop = wheel.get("support")
    for i, (text, _) in enumerate(questions(40, seed=1)):
        loop.predict(f"zebra stripes {text}", id=f"z{i}")
        loop.feedback(f"z{i}", correction="zoo")
    report = loop.turn()
    assert report.feedback == 40
    assert "zoo" in loop.models()[-1].classes


def test_golden_rows_are_asked_for_and_never_trained_on(wheel):
    loop = started(wheel, golden_share=0.5, golden_source="traffic", review_budget=40)
    for text, topic in questions(80, seed=2):
        answer = loop.predict(text)
        loop.feedback(answer.id, correction=topic)
    while loop.advance("hand") != "label":
        pass
    queue = loop.reviews()
    assert {review.why for review in queue} >= {"golden"}
    assert all(review.proposal for review in queue)
    places = {p.interaction: p for p in loop.records.find(Placement, "support")}
    for review in queue:
        if review.why == "golden":
            assert places[review.interaction].split == "golden"
            loop.annotate(review.id, next(t for q, t in questions(80, seed=2) if q == review.input))
    report = loop.turn()
    assert report.golden >= 20
    assert report.verdict.n == report.golden
    train, golden = (wheel.store.datasets.examples(report.dataset, split) for split in ("train", "golden"))
    assert not {e.group for e in train} & {e.group for e in golden}
    assert all(jaccard(grams(a.input), grams(b.input)) < 0.7 for a in train for b in golden)


def test_a_twin_of_a_golden_row_cannot_be_put_into_training(learned, wheel):
    loop = wheel.get("support")
    golden = "my plastic card went missing in the post last week"
    loop.log(golden, id="gold", label="card", split="golden")
    loop.turn()
    loop.log(golden + "!!", id="twin", label="card", split="train")
    loop.log(golden.upper(), id="same", label="card", split="train")
    report = loop.turn()
    inputs = [str(e.input).lower() for e in wheel.store.datasets.examples(report.dataset, "train")]
    assert not any("went missing" in text for text in inputs)
    assert report.golden == 1
    with pytest.raises(InvalidInput, match="honest"):
        loop.undo("twin")


def test_a_placed_twin_is_stopped_by_the_last_guard(learned, wheel):
    loop = wheel.get("support")
    golden, twin = "my plastic card went missing in the post", "my plastic card went missing in the post!"
    for text, split in ((golden, "golden"), (twin, "train")):  # somebody wrote places past curation
        place = Placement(id=fingerprint(text), loop="support", interaction=split, group=split, split=split, turn=0)
        wheel.store.records.replace(place)
        loop.log(text, id=split, label="card")
    report = loop.turn()
    assert report.dropped["golden_twin"] == 1
    assert twin not in [e.input for e in wheel.store.datasets.examples(report.dataset, "train")]


def test_a_sealed_row_is_never_learned_from(wheel):
    loop = wheel.loop("support", policy=LABELLED_FIRST)
    loop.seal([questions(60)[0][0]])
    started(wheel)
    report = loop.report()
    assert report.dropped["sealed"] == 1
    assert questions(60)[0][0] not in [e.input for e in wheel.store.datasets.examples(report.dataset)]


def _came_to(home, stop_before=None):
    """What a turn gives that another process goes on with, from `stop_before` or from the start."""
    with everloop.open(home) as wheel:
        loop = wheel.loop("support", policy=LABELLED_FIRST)
        loop.log_many({"id": f"q{i}", "input": t, "label": c} for i, (t, c) in enumerate(questions(60)))
        if stop_before:
            loop.advance("hand")
            while next(s for s in STEPS if s not in {d.name for d in _open(loop).steps}) != stop_before:
                loop.advance()
    with everloop.open(home) as wheel:
        loop = wheel.get("support")
        report = loop.turn()
        verdict = report.verdict
        return report.dataset_hash, loop.models()[-1].blob, (verdict.outcome, verdict.estimate, verdict.n)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return _came_to(tmp_path_factory.mktemp("uninterrupted"))


@pytest.mark.parametrize("stop_before", STEPS)
def test_a_turn_goes_on_in_another_process_from_any_step(tmp_path, uninterrupted, stop_before):
    """The same rows give the same dataset, model bytes and verdict, wherever the first worker stopped."""
    assert _came_to(tmp_path, stop_before) == uninterrupted


def _open(loop):
    return loop.records.find(Turn, loop.name, state="open")[0]


def test_only_one_worker_turns_a_loop_and_a_late_one_is_fenced_off(learned, wheel):
    loop = wheel.get("support")
    other = Workbench(wheel.store, "other", lease_seconds=30)
    lease = wheel.store.records.lease("turn:support", "other", 30)
    assert loop.advance() is None
    with pytest.raises(Conflict, match="another worker"):
        loop.advance("hand")
    wheel.store.records.unlease(lease)
    assert advance(other, loop.spec, "hand") == "open"
    stale = wheel.store.records.lease("turn:support", "third", 30)
    assert stale.token > lease.token
    with pytest.raises(LeaseLost):
        wheel.store.records.replace(_open(loop), fence=lease)


def test_enough_feedback_starts_a_turn_by_itself_and_little_does_not(wheel):
    loop = started(wheel, trigger_feedback=5)
    for i, (text, topic) in enumerate(questions(5, seed=3)):
        assert loop.advance() is None, f"started after {i}"
        answer = loop.predict(text)
        loop.feedback(answer.id, comment="nice")
        loop.feedback(answer.id, correction=topic)
    assert loop.advance() == "open"
    assert _open(loop).trigger == "feedback"


def test_a_turn_without_news_makes_no_candidate(learned, wheel):
    loop = wheel.get("support")
    report = loop.turn()
    assert (report.candidates, report.verdict) == (0, None)
    assert "nothing new" in report.report()


def test_what_arrives_during_a_turn_waits_for_the_next(learned, wheel):
    loop = wheel.get("support")
    loop.log("a new question about the envelope", id="early", label="card")
    loop.advance("hand")
    loop.log("another new one about the merchant", id="late", label="refund")
    first = loop.turn()
    assert (first.interactions, loop.turn().interactions) == (1, 1)


def test_the_live_model_is_swapped_between_requests(learned, wheel):
    loop = wheel.get("support")
    models, failures, stop = set(), [], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                models.add(loop.predict("the merchant and the refund").model)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    loop.log_many({"input": t, "label": c} for t, c in questions(60, seed=5))
    first = loop.status().live
    loop.records.replace(Release(id="r", loop="support", model=_another(loop), stage="live", previous=first, at=1))
    loop.live(fresh=True)
    loop.predict("the merchant and the refund")
    loop.rollback(reason="looked worse")
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(models) == 2
    assert loop.status().live == first


def _another(loop):
    model = msgspec.structs.replace(loop.models()[0], id="another-model")
    loop.records.replace(model)
    return model.id


def test_rollback_says_why_it_cannot(wheel):
    loop = wheel.loop("support")
    with pytest.raises(Conflict, match="no live model"):
        loop.rollback()
    started(wheel)
    with pytest.raises(Conflict, match="nothing to go back to"):
        loop.rollback()
    with pytest.raises(NotFound, match="no model 'nonsense'"):
        loop.rollback("nonsense")


def test_undo_brings_a_dropped_row_back(learned, wheel):
    loop = wheel.get("support")
    loop.predict("about the envelope or the merchant", id="both")
    loop.feedback("both", correction="card", subject="ann")
    loop.feedback("both", correction="refund", subject="bob")
    assert loop.turn().dropped["contradicted"] == 1
    loop.undo("both")
    report = loop.turn()
    assert "contradicted" not in report.dropped
    assert loop.records.get(Drop, "both").undone


def test_what_was_taken_back_stays_so_whatever_else_leaves_it_out(wheel):
    loop = started(wheel)
    loop.log("I am out of the office until Monday", id="away")

    def left_out():
        drop = loop.records.get(Drop, "away")
        return drop.reason, drop.undone

    loop.turn()
    assert left_out() == ("boilerplate", False)
    loop.undo("away")
    for _ in range(3):
        loop.turn()
        assert left_out() == ("no_signal", False)
    loop.feedback("away", correction="card")
    for _ in range(2):
        loop.turn()
        assert left_out() == ("boilerplate", True)
        assert "away" in str(wheel.store.datasets.examples(loop.report().dataset))


def test_forgetting_a_person_names_the_models_that_learned_from_them(learned, wheel):
    loop = wheel.get("support")
    loop.predict("the secret of my plastic card", id="s", subject="u42")
    loop.feedback("s", correction="card", subject="u42")
    report = loop.turn()
    assert report.dataset_hash != loop.report(0).dataset_hash
    erased = wheel.forget("u42")
    assert erased.interactions == ("s",)
    assert loop.models()[-1].id in erased.models
    assert "secret" not in str(wheel.store.datasets.examples(report.dataset))
    with pytest.raises(NotFound):
        wheel.interaction("s")


def test_reviews_are_asked_once_and_settle_what_people_disagree_on(wheel):
    loop = started(wheel, review_budget=10, review_fresh=5)
    for text, _ in questions(30, seed=6):
        answer = loop.predict(text)
        loop.feedback(answer.id, thumb="down")
    loop.turn()
    asked = [r.interaction for r in loop.records.find(Review, "support")]
    assert 0 < len(asked) <= 10
    for review in loop.reviews():
        note = loop.annotate(review.id, "card", rationale="write to ada@example.org")
        assert note.rationale == "write to [email]", "what reviewers write is redacted, too"
    loop.turn()
    again = [r.interaction for r in loop.records.find(Review, "support")]
    assert len(again) == len(set(again))
    assert loop.report().human_labels == len(asked)


def test_check_says_what_is_shown_and_what_is_not(wheel):
    loop = wheel.loop("support", signal="agents correct it", outcome="handoff_rate", goal="down", policy=LABELLED_FIRST)
    assert "accumulates" in loop.check().summary
    started(wheel)
    for text, topic in questions(25, seed=9):
        loop.feedback(loop.predict(text).id, correction=topic)
    check = loop.check()
    assert (check.arrows[0].estimate, check.arrows[0].n) == (1, 25)  # labels that were brought are no usage
    assert [arrow.verdict for arrow in check.arrows] == ["pass", "inconclusive", "inconclusive"]
    assert "no model has replaced the first one" in check.arrows[1].evidence
    assert not check.turning
    assert "handoff_rate" in check.sentence


def test_verdicts_are_kept_with_what_they_rest_on(learned, wheel):
    loop = wheel.get("support")
    (verdict,) = loop.records.find(Verdict, "support")
    assert verdict.champion is None
    assert verdict.low <= verdict.estimate <= verdict.high
    assert loop.curve()[0].n == verdict.n


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ({"goal": "sideways"}, "goal|Invalid enum"),
        ({"colour": "red"}, "a loop has no 'colour'; it has task"),
        ({"policy": {"margin": 7}}, "margin=7"),
        ({"policy": {"level": 0.2}}, "level=0.2"),
        ({"policy": {"dial": 1}}, "dial"),
        ({"labels": ["a", "a"]}, "a label is there twice"),
        ({"labels": ["a", " "]}, "a label can't be blank"),
        ({"policy": {"auto_confidence": -1}}, "auto_confidence=-1"),
        ({"trainer": {"name": "linear_text.v1", "args": {"depth": 3}}}, "linear_text.v1 can't be made with"),
        ({"trainer": "deep.v9"}, "no trainer called 'deep.v9'; there are: linear_text.v1"),
        ({"policy": {"rules": ["nope.v1"]}}, "no rule called 'nope.v1'"),
    ],
)
def test_a_bad_declaration_is_one_line_and_changes_nothing(wheel, declaration, message):
    wheel.loop("support", signal="s")
    with pytest.raises(InvalidInput, match=message) as caught:
        wheel.loop("support", **declaration)
    assert "\n" not in str(caught.value)
    assert wheel.get("support").spec.signal == "s"


def test_unknown_loops_interactions_and_labels(wheel):
    with pytest.raises(NotFound, match="no loop called 'nope'; there are: none"):
        wheel.get("nope")
    loop = wheel.loop("support", labels=["card", "refund"])
    with pytest.raises(NotFound, match="no interaction 'x'"):
        loop.feedback("x", thumb="up")
    assert loop.feedback("x", thumb="up", hold=True) == "held"
    answer = loop.predict("where is it", id="x")
    assert loop.status().feedback == {"thumb": 1}
    with pytest.raises(InvalidInput, match="'crad' is not a label of loop 'support'; did you mean card"):
        loop.feedback(answer.id, correction="crad")
    with pytest.raises(NotFound, match="interaction 'x' is of loop 'support', not of 'other'"):
        wheel.loop("other").feedback("x", correction="anything")
    with pytest.raises(InvalidInput, match="letters"):
        wheel.loop("Bad Name")


def test_threads_that_turn_at_once_share_one_turn(learned, wheel):
    loop = wheel.get("support")
    for i, (text, topic) in enumerate(questions(30, seed=3)):
        loop.log(f"giraffe {text}", label=topic, id=f"g{i}")
    gate, reports = threading.Barrier(3), []

    def turn():
        gate.wait()
        reports.append(loop.turn())

    threads = [threading.Thread(target=turn) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [report.state for report in reports] == ["closed"] * 3
    assert all(turn.state == "closed" for turn in loop.records.find(Turn, "support"))
    assert sum(report.interactions for report in loop.reports()) == 90


def test_threads_that_tend_at_once_do_not_take_the_lease_from_each_other(wheel, monkeypatch):
    loop, meeting, met = wheel.loop("support"), threading.Barrier(2), []

    def slow(*_):
        try:
            met.append(meeting.wait(0.2))
        except threading.BrokenBarrierError:
            meeting.reset()
        return Tended()

    monkeypatch.setattr("everloop.wheel.tend", slow)
    threads = [threading.Thread(target=loop.tend) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert met == []


def test_a_turn_goes_on_where_another_worker_has_taken_over_the_signals(wheel, monkeypatch):
    def lost(*_):
        raise LeaseLost("another worker has taken over")

    monkeypatch.setattr("everloop.wheel.tend", lost)
    assert wheel.loop("support").turn().state == "closed"


def _until(loop, step):
    while loop.advance("hand") != step:
        pass


@pytest.mark.parametrize("asked", [False, True])
def test_what_is_remembered_of_a_turn_forgets_who_is_erased(learned, wheel, asked):
    loop = wheel.get("support")
    loop.predict("zebra stripes on my card", id="z", subject="ann" if asked else None)
    loop.feedback("z", correction="zoo", subject="ann")
    _until(loop, "label")
    wheel.forget("ann")
    if asked:  # as many came as went: the counts alone are as they were
        loop.predict("something else", id="later")
    report = loop.turn()
    assert all(e.target != "zoo" for e in wheel.store.datasets.examples(report.dataset))


def test_a_person_erased_while_a_model_learns_from_them_is_not_in_it(learned, wheel, monkeypatch):
    loop = wheel.get("support")
    loop.log("zebra stripes on my card", label="zoo", id="z", subject="ann")
    _until(loop, "dataset")
    fit, fitted = train.fitted, []

    def erased_meanwhile(job):
        if not fitted:
            wheel.forget("ann")
        fitted.append({e.target for e in job.examples})
        return fit(job)

    monkeypatch.setattr(train, "fitted", erased_meanwhile)
    report = loop.turn()
    assert ["zoo" in targets for targets in fitted] == [True, False]
    assert report.candidates == 1
    assert "zoo" not in loop.models()[-1].classes


def test_after_a_rollback_the_status_shows_the_accuracy_of_the_model_that_is_live(learned, wheel):
    loop = wheel.get("support")
    first = loop.status()
    for i, (text, _) in enumerate(questions(40, seed=1)):
        loop.log(f"zebra stripes {text}", label="zoo", id=f"z{i}", split="golden" if i % 2 else "train")
    report = loop.turn()
    assert report.release is not None
    assert loop.status().accuracy == report.verdict.candidate_score
    loop.rollback()
    status = loop.status()
    assert status.live == first.live
    assert (status.accuracy, status.accuracy_n) == (report.verdict.champion_score, report.verdict.n)
    assert status.accuracy != report.verdict.candidate_score


def test_a_label_outside_the_closed_set_that_came_too_early_to_be_refused_teaches_nothing(learned, wheel):
    loop = wheel.get("support")
    wheel.loop("support", labels=["card", "refund", "limit"])
    wheel.feedback([Correction(id="c", interaction="early", at=1, value="zoo")]).result()  # as the gateway takes it
    loop.predict("zebra stripes on my card", id="early")
    report = loop.turn()
    assert {e.target for e in wheel.store.datasets.examples(report.dataset)} == {"card", "refund", "limit"}


def test_an_outcome_is_counted_once_and_a_model_is_not_compared_with_itself(wheel):
    loop = wheel.loop("support", outcome="handoffs")
    for i in range(20):
        loop.predict(f"question {i}", id=f"q{i}")
        loop.feedback(f"q{i}", outcome=1.0)
    assert loop.check().arrows[2].n == 20


@pytest.mark.parametrize(
    ("misuse", "says"),
    [
        (
            lambda loop: loop.feedback(loop.predict("hello"), thumb="up"),
            r"id \(answer.id\), not Interaction",
        ),
        (lambda loop: loop.log("hello", label=3), "label: expected a text, got int"),
        (lambda loop: loop.log_many(["hello"]), "row 1: expected the fields of an interaction, got str"),
        (lambda loop: loop.seal([3]), "input: expected a text"),
        (lambda loop: loop.wheel.forget(None), "subject: expected a text"),
        (lambda loop: loop.wheel.loop(3), "loop name 3"),
        (lambda _: everloop.open(""), "home: an empty name"),
    ],
)
def test_a_slip_in_a_program_is_one_line_that_says_what_to_write(wheel, misuse, says):
    with pytest.raises(InvalidInput, match=says):
        misuse(wheel.loop("support"))


def test_a_wheel_that_is_closed_in_the_middle_of_a_step_leaves_the_turn_to_the_next_at_once(
    learned, wheel, monkeypatch
):
    loop = wheel.get("support")
    loop.log("zebra stripes", label="zoo")
    _until(loop, "dataset")
    fit, learning, closed, ended = train.fitted, threading.Event(), threading.Event(), []

    def slow(job):
        learning.set()
        closed.wait(30)
        return fit(job)

    def step():
        try:
            loop.advance()
        except EverloopError as error:
            ended.append(error)

    monkeypatch.setattr(train, "fitted", slow)
    worker = threading.Thread(target=step)
    worker.start()
    assert learning.wait(10)
    wheel.close()
    closed.set()
    with everloop.open(wheel.settings.home) as again:
        begun = time.monotonic()
        assert again.get("support").turn().candidates == 1
        assert time.monotonic() - begun < wheel.settings.lease_seconds / 3
    worker.join(30)
    assert len(ended) == 1


def test_what_a_person_did_not_agree_to_cannot_be_taken_back_or_configured_away(wheel):
    loop = started(wheel, rules=["empty.v1", "no_signal.v1"])
    loop.predict("zebra stripes on my card", id="z", consent=["service"])
    loop.feedback("z", correction="zoo")
    report = loop.turn()
    assert report.dropped == {"no_consent": 1}
    with pytest.raises(InvalidInput, match="is the person's own choice; it can't be undone"):
        loop.undo("z")
    assert "zoo" not in {e.target for e in wheel.store.datasets.examples(report.dataset)}
