"""Label: the machine proposes, people verify or escalate what is uncertain."""

from everloop.label.assemble import Assembly, Opinion, assemble, target_of
from everloop.label.choose import Wanted, choose

__all__ = ["Assembly", "Opinion", "Wanted", "assemble", "choose", "target_of"]
