"""Label: the machine proposes, people verify or escalate what is uncertain."""

import everloop.label.bigger_model  # noqa: F401  # registers its source
from everloop.label.arms import Gain, gain
from everloop.label.asking import Wanted, ask, recheck
from everloop.label.assemble import Assembly, Opinion, assemble, target_of
from everloop.label.audit import Audit, Audited, audit_share, recalibrate
from everloop.label.calibrating import Combined, combine
from everloop.label.choosing import Chosen, Quota, choose
from everloop.label.floors import Floors, certify_groups
from everloop.label.guarantee import Certified, certify
from everloop.label.novelty import Novelty, outside
from everloop.label.proposing import ProposedClass, propose
from everloop.label.sources import Said, Seen, Source
from everloop.label.sources import propose as propose_labels
from everloop.label.within import class_space

__all__ = [
    "Assembly", "Audit", "Audited", "Certified", "Chosen", "Combined", "Floors", "Gain", "Novelty", "Opinion",
    "ProposedClass", "Quota", "Said", "Seen", "Source", "Wanted", "ask", "assemble", "audit_share",
    "certify", "certify_groups", "choose", "class_space", "combine", "gain", "outside", "propose", "propose_labels",
    "recalibrate", "recheck", "target_of",
]  # fmt: skip
