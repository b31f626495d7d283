"""Collect: interactions and feedback from outside, checked, pseudonymised, durable before they are acknowledged."""

from everloop.collect.answering import Live, answer
from everloop.collect.attachments import Keeper, may_hold
from everloop.collect.consent import Preferences
from everloop.collect.door import Door
from everloop.collect.hearing import hear, heard, said
from everloop.collect.incoming import build_feedback, build_interaction, parse_lines
from everloop.collect.preferring import Preferred, prefer
from everloop.collect.pseudonyms import Pseudonyms

__all__ = ["Door", "Keeper", "Live", "Preferences", "Preferred", "Pseudonyms", "answer", "build_feedback",
           "build_interaction", "hear", "heard", "may_hold", "parse_lines", "prefer", "said"]  # fmt: skip
