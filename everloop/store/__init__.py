"""Where rows, dataset versions and blobs live. Three small Protocols; one contract suite runs against every backend.

Open the embedded one with ``everloop.store.open_store(folder)``: everything in one SQLite file and a folder of blobs.
"""

from everloop.store.open import Store, open_store
from everloop.store.protocols import Amendment, Blobs, Carry, Change, Datasets, Erased, Receipt, Records, Signals, Uses

__all__ = [
    "Amendment",
    "Blobs",
    "Carry",
    "Change",
    "Datasets",
    "Erased",
    "Receipt",
    "Records",
    "Signals",
    "Store",
    "Uses",
    "open_store",
]
