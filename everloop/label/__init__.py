"""Label: the machine proposes, people verify or escalate what is uncertain."""

from everloop.label.arms import Gain, gain
from everloop.label.asking import Wanted, ask
from everloop.label.assemble import Assembly, Opinion, assemble, target_of
from everloop.label.audit import Audit, Audited, audit_share, recalibrate
from everloop.label.calibrating import Combined, combine
from everloop.label.choosing import Chosen, Quota, choose
from everloop.label.floors import Floors, certify_groups
from everloop.label.guarantee import Certified, certify
from everloop.label.novelty import Novelty, outside
from everloop.label.proposing import ProposedClass, propose
from everloop.label.within import class_space

__all__ = [
    "Assembly", "Audit", "Audited", "Certified", "Chosen", "Combined", "Floors", "Gain", "Novelty", "Opinion",
    "ProposedClass", "Quota", "Wanted", "ask", "assemble", "audit_share", "certify", "certify_groups", "choose",
    "class_space", "combine", "gain", "outside", "propose", "recalibrate", "target_of",
]  # fmt: skip
