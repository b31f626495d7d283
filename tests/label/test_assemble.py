"""From evidence to examples: whose word counts, and what the machine may say by itself."""

from hypothesis import given
from hypothesis import strategies as st

from everloop.label import Opinion, assemble, target_of
from everloop.types import Policy
from tests.label.test_asking import row


def made(evidence=(), pool=(), opinions=None, threshold=0.0, **policy):
    return assemble("l", 3, evidence, pool, opinions or {}, Policy(**policy), threshold)


def test_an_annotation_beats_any_number_of_corrections():
    assert target_of(row("r", *[("correction", "x")] * 5, ("annotation", "y"))) == ("y", True)
    assert target_of(row("r", ("annotation", "z"), ("annotation", "a"))) == ("a", True)
    assert target_of(row("r", ("annotation", "a"), ("annotation", "z"))) == ("z", True)
    assert target_of(row("r", ("correction", "x"), ("confirmed", "x"), ("correction", "y"))) == ("x", False)


def test_a_label_that_is_probably_wrong_counts_less_until_it_is_settled():
    def weight(kind, wrong):
        assembly = made([row("r", (kind, "x"))], opinions={"r": Opinion("a", 0.95, 0.01, wrong)})
        return assembly.examples[0].weight, assembly.doubted

    assert weight("correction", 0.72) == (0.3, 1)
    assert weight("correction", 1.0) == (0.1, 1)
    assert weight("correction", 0.04) == (1.0, 0)
    assert weight("annotation", 0.72) == (1.0, 0)


def test_golden_takes_only_what_people_were_asked_about():
    rows = [row("said", ("correction", "x"), split="golden"), row("asked", ("annotation", "x"), split="golden")]
    assembly = made(rows, [row("silent", split="golden")])
    assert [(e.id, e.split) for e in assembly.examples] == [("asked", "golden")]
    assert {d.reason for d in assembly.drops} == {"golden_unverified"}


def test_the_machine_labels_what_it_is_sure_of_and_never_what_was_refuted():
    pool = [row("sure"), row("unsure"), row("refuted", ("refuted", "a")), row("unseen"), row("g", split="golden")]
    opinions = {id: Opinion("a", 0.97, 0) for id in ("sure", "refuted", "g")} | {"unsure": Opinion("a", 0.5, 0)}
    assembly = made(pool=pool, opinions=opinions, auto_confidence=0.9, auto_weight=0.4)
    (example,) = assembly.examples
    assert (example.id, example.origin, example.weight, assembly.automatic) == ("sure", "auto", 0.4, 1)
    assert {d.id: d.score for d in assembly.drops}["i-unsure"] == 0.5
    assert made(pool=pool, opinions=opinions, auto_confidence=1.01).automatic == 0
    assert made(pool=pool, opinions=opinions, threshold=None).automatic == 0
    assert made(pool=pool, opinions=opinions, threshold=0.98, auto_confidence=0.9).automatic == 0
    assert made(pool=pool, opinions=opinions, threshold=0.5, auto_confidence=0.1).automatic == 2


kinds = st.sampled_from(["correction", "confirmed", "annotation", "refuted", "label"])
rows = st.lists(
    st.tuples(
        st.lists(st.tuples(kinds, st.sampled_from("abc")), max_size=3),
        st.sampled_from(["train", "golden", "test"]),
        st.floats(0, 1),
    ),
    max_size=20,
)


@given(rows)
def test_everything_becomes_an_example_or_a_drop_and_only_golden_that_was_asked(raw):
    made_rows = [row(f"r{n}", *said, split=split) for n, (said, split, _) in enumerate(raw)]
    argued = [r for r in made_rows if any(s.kind != "refuted" for s in r.statements)]
    pool = [r for r in made_rows if r not in argued]
    opinions = {r.id: Opinion("a", raw[n][2], raw[n][2]) for n, r in enumerate(made_rows)}
    assembly = made(argued, pool, opinions)
    assert sorted([e.id for e in assembly.examples] + [d.id[2:] for d in assembly.drops]) == sorted(
        r.id for r in made_rows
    )
    assert all(e.split in ("train", "golden") for e in assembly.examples)
    assert all(0 < e.weight <= 1 for e in assembly.examples)
