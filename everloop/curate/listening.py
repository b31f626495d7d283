"""Whose feedback does not count: who clicks faster than anybody reads, or always the same whatever the answer was.

A person is judged by all their feedback so far, so one that turns out to be a script is unheard from the first click
on; each piece is a drop of its own, under the feedback's id, and can be taken back.
"""

from collections.abc import Iterable

from everloop.curate.carried import Click

REASON = "feedback_flood"
SAYS = "feedback faster than anybody reads, or the same whatever the answer was"
_BURST, _WITHIN_MS = 30, 30_000  # so many pieces in so long are more than a person can mean
_SAME_LABEL, _SAME_THUMB = 30, 200  # pieces that all say one thing: one label to correct to; up or down, every time
_ANSWERS = 3  # different answers they must have been given to


def unheard(clicks: Iterable[Click]) -> tuple[str, float, str] | None:
    """Why a person with this feedback is not heard: (reason, score, what it matched); None: they are.

    >>> fast = [Click(at=100 * i, what="thumb up", about=str(i), key="") for i in range(30)]
    >>> unheard(fast)
    ('feedback_flood', 30.0, '30 pieces of feedback in 2.9 s')
    >>> slow = [Click(at=9_000 * i, what="thumb up", about=str(i), key="") for i in range(30)]
    >>> unheard(slow) is None
    True
    """
    found = sorted(clicks, key=lambda click: click.at)
    n = len(found)
    for i in range(_BURST - 1, n):
        took = found[i].at - found[i - _BURST + 1].at
        if 0 < took <= _WITHIN_MS:  # all at one instant is an import that forgot the times
            return REASON, float(_BURST), f"{_BURST} pieces of feedback in {took / 1000:.1f} s"
    if n >= _SAME_LABEL and len({click.what for click in found}) == 1:
        what = found[0].what
        enough = _SAME_THUMB if what.startswith(("thumb ", "rating ")) else _SAME_LABEL
        if n >= enough and len({click.about for click in found}) >= _ANSWERS:
            return REASON, float(n), f"{n} times {what!r}, and nothing else"
    return None
