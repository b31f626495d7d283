"""What the tests of all dialects share: any JSON, and what a translation may do with it."""

import json
from typing import Any

from hypothesis import strategies as st

from everloop.collect import Door, Pseudonyms, build_feedback
from everloop.errors import UserError

DOOR = Door(Pseudonyms(bytes(32)))

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of these fields, each as it should be or anything at all."""
    return st.fixed_dictionaries({}, optional={name: kind | json_values for name, kind in fields.items()})


def is_taken_or_refused(translate: Any) -> None:
    """Whatever came in, there is feedback that can be written, or one line that says why not."""
    try:
        made = translate()
        for fields in made:
            build_feedback(fields, DOOR)
    except UserError as error:
        assert str(error).strip()
        assert "\n" not in str(error)
    else:
        json.dumps(made)


def kinds(made: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """(kind, value) of each."""
    for fields in made:
        build_feedback(fields, DOOR)
    return [(fields["kind"], fields["value"]) for fields in made]
