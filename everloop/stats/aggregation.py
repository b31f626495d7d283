"""One answer per item from people who disagree: the door to every way of aggregating judgements."""

from everloop.stats.collusion import Rings, resistant, rings
from everloop.stats.crowd_model import WithModel, with_model
from everloop.stats.dawid_skene import dawid_skene
from everloop.stats.ebcc import ebcc
from everloop.stats.judgements import Aggregated
from everloop.stats.majority import majority
from everloop.stats.one_coin import one_coin
from everloop.stats.selection import Selected, Tried, choose, select
from everloop.stats.stacking import Stacked, stacked
from everloop.stats.trust import Shrunk, Trust, shrunk, trust

__all__ = [
    "Aggregated", "Rings", "Selected", "Shrunk", "Stacked", "Tried", "Trust", "WithModel", "choose", "dawid_skene",
    "ebcc", "majority", "one_coin", "resistant", "rings", "select", "shrunk", "stacked", "trust", "with_model",
]  # fmt: skip
