"""Curate: keep what teaches, and write down why each other thing was left out."""

from everloop.curate.funnel import Funnel, Known, run
from everloop.curate.inputs import fingerprint, text_of
from everloop.curate.placing import place, twins_between
from everloop.curate.rules import DEFAULT_ORDER, Hit, Rule

__all__ = ["DEFAULT_ORDER", "Funnel", "Hit", "Known", "Rule", "fingerprint", "place", "run", "text_of", "twins_between"]
