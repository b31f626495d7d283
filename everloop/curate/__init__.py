"""Curate: keep what teaches, and write down why each other thing was left out."""

from everloop.curate.carried import Carried, decode, encode, fits
from everloop.curate.funnel import Funnel, Known, run
from everloop.curate.inputs import fingerprint, text_of
from everloop.curate.placing import place, twins_between
from everloop.curate.repeats import alike
from everloop.curate.rule import Context, Hit, Passing, Rule
from everloop.curate.rules import CHAT_ORDER, DEFAULT_ORDER

__all__ = [
    "CHAT_ORDER", "DEFAULT_ORDER", "Carried", "Context", "Funnel", "Hit", "Known", "Passing", "Rule", "alike", "decode",
    "encode", "fingerprint", "fits", "place", "run", "text_of", "twins_between",
]  # fmt: skip
