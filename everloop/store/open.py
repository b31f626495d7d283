"""The embedded store: one SQLite file and a folder of blobs."""

from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from everloop.errors import StoreError
from everloop.store.folder_blobs import FolderBlobs
from everloop.store.protocols import Blobs, Carry, Datasets, Records, Signals, Uses
from everloop.store.sqlite_carried import SqliteCarried
from everloop.store.sqlite_connection import Readers, explain, prepare
from everloop.store.sqlite_datasets import SqliteDatasets
from everloop.store.sqlite_records import SqliteRecords
from everloop.store.sqlite_signals import SqliteSignals
from everloop.store.sqlite_uses import SqliteUses
from everloop.store.sqlite_writer import Writer

FILE = "everloop.db"


class Store(NamedTuple):
    """Records, datasets and blobs of one folder; a context manager that closes them."""

    records: Records
    datasets: Datasets
    blobs: Blobs
    folder: Path
    uses: Uses
    signals: Signals
    carry: Carry

    def close(self) -> None:
        """Finish what was submitted, then close; a second time does nothing."""
        self.records.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_store(folder: Path | str) -> Store:
    """Open the store in `folder`, making it if there is none; several processes may have the same one open.

    Raises StoreTooNew (and changes nothing) if a newer Everloop wrote it, StoreDamaged if what is there is no store,
    StoreFull if there is no space, StoreError if the folder can't be written.

    >>> import tempfile
    >>> from everloop.types import LoopSpec
    >>> with tempfile.TemporaryDirectory() as folder, open_store(folder) as store:
    ...     store.records.put(LoopSpec(name="support"))
    ['new']
    """
    folder = Path(folder)
    path = folder / FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # what people said is for its owner alone
        prepare(path)
        blobs = FolderBlobs(folder / "blobs")
    except FileExistsError:
        raise StoreError(f"{folder} is a file: give a folder for the store") from None
    except OSError as error:
        raise explain(error, path) from error
    writer, readers = Writer(path), Readers(path)
    records, datasets = SqliteRecords(writer, readers), SqliteDatasets(writer, readers)
    uses, signals, carry = SqliteUses(writer, readers), SqliteSignals(readers), SqliteCarried(writer, readers)
    return Store(records, datasets, blobs, folder, uses, signals, carry)
