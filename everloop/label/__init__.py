"""Label: the machine proposes, people verify or escalate what is uncertain."""

import everloop.label.bigger_model  # noqa: F401  # registers its source
from everloop.label.arms import Gain, gain
from everloop.label.asking import Wanted, ask, bring, doubtful, recheck, room_again
from everloop.label.assemble import Assembly, Opinion, assemble, target_of
from everloop.label.audit import Audit, Audited, Shift, audit_share, audits_for, recalibrate, shift, turns_until_heard
from everloop.label.belief import Belief, Believed, believe
from everloop.label.buying import Bought, Served, Wish, buy, serve
from everloop.label.calibrating import Combined, combine
from everloop.label.choosing import Chosen, Quota, choose
from everloop.label.floors import Floors, certify_groups
from everloop.label.guarantee import Certified, certify
from everloop.label.novelty import Novelty, outside
from everloop.label.paid import Answered, Paid, Terms, paid
from everloop.label.people import ENOUGH, NOBODY, Heard, Pair, People, Person, people
from everloop.label.proposing import ProposedClass, propose
from everloop.label.sources import Said, Seen, Source
from everloop.label.sources import propose as propose_labels
from everloop.label.within import class_space

__all__ = [
    "ENOUGH", "NOBODY", "Answered", "Assembly", "Audit", "Audited", "Belief", "Believed", "Bought", "Certified",
    "Chosen", "Combined", "Floors", "Gain", "Heard", "Novelty", "Opinion", "Paid", "Pair", "People", "Person",
    "ProposedClass", "Quota", "Said", "Seen", "Served", "Shift", "Source", "Terms", "Wanted", "Wish", "ask",
    "assemble", "audit_share", "audits_for", "believe", "bring", "buy", "certify", "certify_groups", "choose",
    "class_space", "combine", "doubtful", "gain", "outside", "paid", "people", "propose", "propose_labels",
    "recalibrate", "recheck", "room_again", "serve", "shift", "target_of", "turns_until_heard",
]  # fmt: skip
