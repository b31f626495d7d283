"""Is the candidate better than what is live, and where is it worse? With the numbers the answers rest on."""

from everloop.evaluate.verdicts import ENOUGH, WATCHED, judge
from everloop.evaluate.watched import checked, id_of, members, named, parse, space_of, terms_of, with_watched
from everloop.evaluate.weak_slices import Found, WeakSlice, find

__all__ = [
    "ENOUGH", "WATCHED", "Found", "WeakSlice", "checked", "find", "id_of", "judge", "members", "named", "parse",
    "space_of", "terms_of", "with_watched",
]  # fmt: skip
