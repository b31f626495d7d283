"""What is said against a label, beside it."""

import numpy as np
import pytest

from everloop.curate.arguments import argument
from everloop.errors import InvalidInput
from everloop.features.neighbours import Neighbours

NAMES = ["lost card", "late card", "fees"]
LABELS = np.array([1, 0, 0, 1, 2])
PROBABILITIES = np.array([[0.91, 0.05, 0.04], [0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.0, 0.0, 1.0]])


def near(*rows):
    found = np.array(rows)
    return Neighbours(found, np.full(found.shape, 0.9, np.float32))


def test_both_labels_stand_beside_each_other_with_their_witnesses():
    (found,) = argument(np.array([0]), LABELS, PROBABILITIES, NAMES, near=near([2, 3, 1]))
    assert (found.given, found.proposed) == (1, 0)
    assert (found.given_probability, found.proposed_probability) == (0.05, 0.91)
    assert found.supporting == (2, 1)
    assert found.opposing == (3,)
    assert found.sentence == (
        "Labelled “late card” (5 %), but the model says “lost card” (91 %), as are 2 of its 3 nearest neighbours."
    )


def test_a_row_that_is_doubted_itself_is_no_witness():
    doubted = np.array([True, True, False, False, False])
    (found,) = argument(np.array([0]), LABELS, PROBABILITIES, NAMES, near=near([2, 3, 1]), doubted=doubted)
    assert found.supporting == (2,)
    assert "1 of its 2" in found.sentence


def test_without_neighbours_there_is_the_model_alone():
    (found,) = argument(np.array([4]), LABELS, PROBABILITIES, NAMES)
    assert found.supporting == found.opposing == ()
    assert found.sentence == "Labelled “fees” (over 99 %), where the model says “lost card” (under 1 %)."


def test_the_proposal_can_be_the_callers_and_labels_stay_as_they_are():
    names = ["<b>", "late", "fees"]
    found = argument(np.array([3, 0]), LABELS, PROBABILITIES, names, proposed=np.full(5, 2), near=near([0], [1]))
    assert [a.row for a in found] == [3, 0]
    assert [a.proposed for a in found] == [2, 2]
    assert "its nearest neighbour is not" in found[0].sentence
    assert argument(np.array([0]), LABELS, PROBABILITIES, names)[0].sentence.count("<b>") == 1


def test_what_does_not_match_is_refused():
    with pytest.raises(InvalidInput, match="names"):
        argument(np.array([0]), LABELS, PROBABILITIES, NAMES[:2])
    with pytest.raises(InvalidInput, match="rows"):
        argument(np.array([5]), LABELS, PROBABILITIES, NAMES)
    with pytest.raises(InvalidInput, match="neighbours"):
        argument(np.array([0, 1]), LABELS, PROBABILITIES, NAMES, near=near([2]))
    assert argument(np.zeros(0, int), LABELS, PROBABILITIES, NAMES) == []
