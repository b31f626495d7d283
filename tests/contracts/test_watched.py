"""Watched slices in the store: kept whole, replaced by id, of one loop, taken out."""

from everloop.store import Store
from everloop.types import WatchedSlice

TERMS = WatchedSlice(id="a", loop="support", name="German web", terms=("channel=web", "lang=de"), by="ann", at=7)
CLUSTER = WatchedSlice(id="b", loop="support", name="near: card", centroid=(0.1, -0.25), radius=0.5, space="text.256")
OTHER = WatchedSlice(id="c", loop="sales", name="x", terms=("x=1",), note="a \N{SNOWMAN}")


def test_kept_replaced_and_removed(store: Store, reopen: object) -> None:
    assert store.records.put(TERMS, CLUSTER) == ["new", "new"]
    store.records.replace(OTHER)
    again = reopen()  # type: ignore[operator]
    assert again.records.find(WatchedSlice, "support") == [TERMS, CLUSTER]
    assert again.records.get(WatchedSlice, "c") == OTHER
    renamed = WatchedSlice(id="a", loop="support", name="web", terms=TERMS.terms)
    store.records.replace(renamed)
    assert store.records.find(WatchedSlice, "support") == [renamed, CLUSTER]
    assert store.records.delete(WatchedSlice, ["a", "nothing"]) == 1
    assert store.records.find(WatchedSlice) == [CLUSTER, OTHER]
