"""Collect: interactions and feedback from outside, checked, pseudonymised, durable before they are acknowledged."""

from everloop.collect.answering import Live, answer
from everloop.collect.door import Door
from everloop.collect.incoming import build_feedback, build_interaction, parse_lines
from everloop.collect.pseudonyms import Pseudonyms

__all__ = ["Door", "Live", "Pseudonyms", "answer", "build_feedback", "build_interaction", "parse_lines"]
