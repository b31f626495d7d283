"""Is the candidate better than what is live? A verdict, with the numbers it rests on."""

from everloop.evaluate.verdicts import ENOUGH, judge

__all__ = ["ENOUGH", "judge"]
