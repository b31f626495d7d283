"""The index of signatures: the same answer as all at once, through bytes, damage, floods and erasure."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.curate.near_duplicates import grams, groups, jaccard
from everloop.curate.near_index import Index
from everloop.errors import InvalidInput, StoreDamaged

WORDS = "card transfer arrived pending refund exchange rate top up cash atm fee pin lost stolen phone".split()
sentences = st.lists(st.sampled_from(WORDS), min_size=3, max_size=9).map(" ".join)


def prints(count, start=0):
    return [hashlib.sha256(str(i).encode()).hexdigest()[:32] for i in range(start, start + count)]


def reader(texts):
    return lambda rows: [texts[row] for row in rows.tolist()]


def never(rows):
    raise AssertionError(f"asked for {rows}")


def partition(labels):
    return {frozenset(np.flatnonzero(labels == one).tolist()) for one in np.unique(labels)}


@given(st.lists(st.lists(sentences, max_size=15), max_size=4))
@settings(max_examples=20, deadline=None)
def test_batch_by_batch_and_through_bytes_gives_the_groups_of_all_at_once(batches):
    texts = [text for batch in batches for text in batch]
    ids = prints(len(texts))
    index, parts, n = Index(0.7), [], 0
    for batch in batches:
        added = index.add(ids[n : n + len(batch)], batch, reader(texts))
        assert added.rows.tolist() == list(range(n, n + len(batch)))
        for (i, j), similarity in zip(added.pairs.tolist(), added.similarity.tolist(), strict=True):
            assert i < j
            assert j >= n
            assert jaccard(grams(texts[i]), grams(texts[j])) == pytest.approx(similarity)
            assert similarity >= 0.7
        parts.append(index.dump(n))
        n += len(batch)
        index = Index.load(parts)
    assert partition(index.groups) == partition(groups(texts, 0.7))
    assert (index.groups == Index.load([index.dump()]).groups).all()
    assert index.fingerprints(np.arange(n)) == ids


def test_a_new_text_may_join_two_old_groups():
    texts = [
        "one two three four five six",
        "four five six seven eight nine ten",
        "one two three four five six seven eight nine ten",
    ]
    index = Index(0.5)
    before = index.add(prints(2), texts[:2], reader(texts))
    assert before.groups.tolist() == [0, 1]
    first = index.dump()
    index.add(prints(1, 2), texts[2:], reader(texts))
    assert index.groups.tolist() == [0, 0, 0]
    assert Index.load([first, index.dump(2)]).groups.tolist() == [0, 0, 0]


def test_what_is_there_already_is_not_added_again():
    texts = ["where is my card", "Where is my card?", "cancel it"]
    index = Index()
    first = index.add(prints(2), texts[:2], reader(texts))
    again = index.add([*prints(3)[::-1], prints(3)[2].upper()], [*texts[::-1], texts[2]], reader(texts))
    assert again.rows.tolist() == [2, 1, 0, 2]
    assert len(index) == 3
    assert first.groups.tolist() == [0, 0]
    assert index.rows_of(prints(4)).tolist() == [0, 1, 2, -1]
    assert index.add(prints(3), texts, never).pairs.shape == (0, 2)


def test_nothing_at_all():
    index = Index()
    assert index.add([], [], never).rows.shape == (0,)
    assert len(Index.load([index.dump(), index.dump()])) == 0
    assert index.rows_of([]).shape == index.groups.shape == (0,)


def test_only_texts_that_may_be_near_are_asked_for():
    rng = np.random.default_rng(0)
    texts = [" ".join("".join(map(chr, rng.integers(97, 123, 7))) for _ in range(6)) for _ in range(2_000)]
    index, asked = Index(), []
    index.add(prints(2_000), texts, never)
    index.add(
        prints(20, 2_000),
        [text + "?" for text in texts[:20]],
        lambda rows: asked.extend(rows.tolist()) or reader(texts)(rows),
    )
    assert sorted(asked) == list(range(20))
    assert index.groups[2_000:].tolist() == list(range(20))


def test_a_flood_of_one_text_asks_for_one():
    texts = ["where is my card"] * 30_000
    index, asked = Index(), []
    index.add(prints(20_000), texts[:20_000], never)
    index.add(prints(10_000, 20_000), texts[:10_000], lambda rows: asked.extend(rows.tolist()) or reader(texts)(rows))
    assert asked == [0]
    assert not index.groups.any()


def test_what_is_forgotten_leaves_no_trace_and_its_twin_takes_its_place():
    texts = ["where is my card", "Where is my  card", "cancel it"]
    index = Index()
    index.add(prints(3), texts, reader(texts))
    assert index.forget([prints(1)[0], "f" * 32]) == 1
    again = Index.load([index.dump()])
    assert bytes.fromhex(prints(1)[0]) not in index.dump()
    assert again.rows_of(prints(3)).tolist() == [-1, 1, 2]
    assert again.fingerprints(np.array([0])) == ["0" * 32]
    texts = ["gone", *texts[1:], "where is my card?"]
    assert again.add(prints(1, 3), texts[3:], reader(texts)).pairs.tolist() == [[1, 3]]


def test_a_text_that_is_gone_is_nobody_s_duplicate():
    index = Index()
    index.add(prints(1), ["where is my card"], never)
    assert index.add(prints(1, 1), ["where is my card?"], lambda rows: [None] * len(rows)).pairs.shape == (0, 2)


def test_a_row_takes_less_than_a_hundred_bytes():
    index = Index()
    empty = len(index.dump())
    index.add(prints(500), [f"a text about number {i * i}" for i in range(500)], never)
    assert len(index.dump()) - empty <= 100 * 500


def damaged():
    index = Index()
    index.add(prints(3), ["one text", "another text", "something else"], never)
    whole = index.dump()
    yield "no bytes", []
    yield "no index", [b""]
    yield "no index", [b"x" * 500]
    yield "shape", [whole[:-1]]
    yield "shape", [whole + b"\0"]
    yield "not what was written", [whole[:-1] + bytes([whole[-1] ^ 1])]
    yield "was made by", [whole.replace(b"rminhash", b"rminhush")]
    yield "do not follow", [whole, whole]
    yield "do not follow", [index.dump(1)]
    yield "do not follow", [whole, Index(0.9).dump()]
    yield "shape", [whole[:48] + b"\xff" * 8 + whole[56:]]  # a threshold that is none


@pytest.fixture(scope="module")
def damages():
    return list(damaged())


@pytest.mark.parametrize("which", range(11))
def test_bytes_that_are_not_what_they_were_are_refused(damages, which):
    assert len(damages) == 11
    says, parts = damages[which]
    with pytest.raises(StoreDamaged, match=says):
        Index.load(parts)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_changed_byte_is_noticed(data):
    index = Index()
    index.add(prints(3), ["one text", "another text", "something else"], never)
    whole = bytearray(index.dump())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(StoreDamaged):
        Index.load([bytes(whole)])


@pytest.mark.parametrize("one", ["", "abc", "g" * 32, "a" * 64, "é" * 32])
def test_a_fingerprint_is_32_hex_digits(one):
    with pytest.raises(InvalidInput, match="32 hex digits"):
        Index().add([one], ["text"], never)


def test_lists_of_different_lengths_are_refused():
    index = Index()
    with pytest.raises(ValueError, match="1 fingerprints for 2 texts"):
        index.add(prints(1), ["a", "b"], never)
    index.add(prints(1), ["where is my card"], never)
    with pytest.raises(ValueError, match="gave 0 texts for 1 rows"):
        index.add(prints(1, 1), ["where is my card?"], lambda rows: [])
    assert len(index) == 1
