"""What a backend must do. Nothing here knows SQLite, and nothing may: PostgreSQL stands behind the same words."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from msgspec import Struct

from everloop.types import DatasetVersion, Diff, Example, Lease, Ref, Split

R = TypeVar("R", bound=Struct)

# new: written now. known: that id was there with the same content (a retry). held: feedback whose interaction has not
# arrived; it is durable, and is joined when the interaction comes.
Receipt = Literal["new", "known", "held"]


class Erased(NamedTuple):
    """What an erasure took out."""

    rows: dict[str, int]  # how many, by kind of record
    interactions: tuple[str, ...]  # their ids
    versions: tuple[str, ...]  # dataset versions that held an example of the subject
    models: tuple[str, ...]  # models that were trained on one of those versions


class Amendment(NamedTuple):
    """What a new dataset version has otherwise than its parent."""

    put: Sequence[Example] = ()  # added, or instead of the one with the same id
    remove: Sequence[str] = ()  # ids; of one that is not there nothing happens
    merged: str | None = None  # id of the second parent, where it is a merge


class Change(NamedTuple):
    """One step in the life of an example."""

    version: DatasetVersion  # the first on its line to have it so
    example: Example | None  # None: taken out


class Records(Protocol):
    """The log of interactions and feedback, and the control rows.

    A *kind* is the record's class in ``types`` (for feedback, pass ``FeedbackFields`` to mean all ten). Every
    record has `id` and `loop`; each gets a *position* when it is written: a number that grows in the order in which
    records become readable, so that "everything up to position p" never changes afterwards. Positions have gaps, are
    per kind (the ten kinds of feedback share theirs), and are never given out twice. An id is unique within its kind;
    a placement's (the fingerprint of an input) within its kind and loop.
    """

    def submit(self, records: Sequence[Struct]) -> "Future[list[Receipt]]":
        """Hand records to the next group commit; the future resolves once they are on disk, in order of `records`.

        All of them or none are written. An id that is there already with equal content is "known" (never written
        twice); with other content the future raises Conflict. Feedback for an absent interaction is "held"; when the
        interaction arrives, in the same transaction, it gets its loop and a position of its own. Feedback that has a
        loop already joins an interaction of that loop alone; of another's it is held, as if that were not there.
        Feedback may name a trace instead of an interaction: it is written as feedback on the newest interaction (by
        `at`, then position) of that trace that is complete, or the newest where none is, as far as this transaction
        sees; an interaction whose id is equal goes first. Held, it is joined when one of the trace arrives. Sent again
        under the name of the trace it is "known".
        Times (`at`), consent, and loop, diff and distance of feedback do not count as content. A record that could not
        be read back (a NaN where a number must be) raises InvalidInput at once; the future raises StoreFull when the
        disk is full.
        """

    def put(self, *records: Struct) -> list[Receipt]:
        """`submit` and wait."""

    def replace(self, *records: Struct, fence: Lease | None = None, unless_erased: bool = False) -> None:
        """Write or overwrite records by id, all in one transaction, durable on return.

        An overwritten record keeps its position. With `fence`, raises LeaseLost and writes nothing unless that lease
        is still held with that token; a lease past its time counts as held until somebody else takes it. With
        `unless_erased`, feedback that is there no longer is left out, and so are derived signals and answers of sources
        whose interaction is not: somebody may have been erased since they were read.
        """

    def get(self, kind: type[R], id: str) -> R | None:
        """One record, or None. Loops are found by name: their id is their name."""

    def find(self, kind: type[R], loop: str | None = None, *, newest: bool = False, limit: int | None = None,
             **where: Any) -> list[R]:  # fmt: skip
        """Records of a kind in order of position (or newest first), whose fields equal `where`.

        Filters are indexed for: Interaction(subject, session, trace), feedback(interaction, subject), Review(state,
        turn, interaction), Annotation(review, interaction), Drop(turn, reason), DropAudit(reason, interaction),
        Model(turn), Verdict(candidate, turn), Turn(number, state), Placement(group, interaction), Derived(rule,
        interaction), SourceAnswer(source, interaction; turn beside source), Campaign(state), ProposedClass(state), and
        `id` of every kind. Any other field raises InvalidInput. A tuple, list or set as value means "one of these";
        None means absent. `position=range(a, b)` means from position a up to, and without, b.
        """

    def scan(self, kind: type[R], loop: str, *, after: int = 0, upto: int | None = None,
             batch: int = 10_000) -> Iterator[list[tuple[int, R]]]:  # fmt: skip
        """(position, record) in batches, in order of position; holds no lock and little memory between batches."""

    def head(self, kind: type[Struct], loop: str) -> int:
        """The newest position of a kind in a loop; 0 if there is none."""

    def count(self, kind: type[Struct], loop: str | None = None, **where: Any) -> int:
        """How many; filters as in `find`."""

    def tally(self, kind: type[Struct], loop: str, by: str, **where: Any) -> dict[str, int]:
        """How many by the value of a filterable field: `tally(Drop, "support", "reason", turn=3)`; absence counts
        under ""."""

    def delete(self, kind: type[Struct], ids: Sequence[str], fence: Lease | None = None) -> int:
        """Remove records by id, waiting feedback too; how many there were."""

    def held(self, older_than: int | None = None) -> list[Any]:
        """Feedback still waiting for its interaction, oldest `at` first; of these, what has an `at` before `older_than`
        (ms since 1970)."""

    def erase(self, subject: str) -> Erased:
        """Remove every interaction and feedback of a subject, and all that hangs on them: their drops, reviews,
        annotations, placements, answers bought for them, columns and derived signals (also those of others'
        interactions they gave feedback on), open proposals of classes that are made of their words too (of those
        that were decided, the words), what reviews say of their rows or by their word, and their examples
        in every dataset version. One transaction.

        On return the bytes are gone from the disk too, as far as the backend can see to it. Blobs are released, not
        deleted: `Uses.sweep` does that. `rows["blob"]` says how many nobody else uses.
        """

    def lease(self, name: str, owner: str, seconds: float) -> Lease | None:
        """Take or renew a lease; None while another owner holds it. The token grows when the owner changes."""

    def unlease(self, lease: Lease) -> None:
        """Give it back; nothing happens if it is no longer ours."""

    def close(self) -> None:
        """Finish what was submitted, then close."""


class Datasets(Protocol):
    """Dataset versions: a version is a commit with a parent, a recipe, a content hash, and what it adds and removes."""

    def commit(self, loop: str, examples: Sequence[Example] | Amendment, *, id: str, parent: str | None, recipe: Any,
               at: int, alongside: Sequence[Struct] = (), fence: Lease | None = None,
               branch: Ref | None = None) -> DatasetVersion:  # fmt: skip
        """Make `examples` the content of a new version; only what differs from the parent is stored. An Amendment is
        the parent's content but for what it says, and costs what it changes and a look at the parent's digests.

        The hash is SHA-256 over the sorted digests of the examples' content (input, target, origin, split, weight,
        depth, slices), so it does not depend on order, ids or times. `alongside` records are written (as by
        `Records.replace`) in the same transaction. Committing an `id` again returns what is there. An example id twice
        in `examples`, or a parent that is not of this loop, raises InvalidInput. With `branch` (its `version` is filled
        in) that branch then points at the new version; Conflict, and nothing is written, if it is not at `parent`.
        """

    def get(self, version: str) -> DatasetVersion | None:
        """One version; a unique prefix of its id or hash (8 characters or more) will do.

        InvalidInput if it stands for several."""

    def log(self, loop: str) -> list[DatasetVersion]:
        """Versions of a loop, newest first."""

    def diff(self, old: str | None, new: str) -> Diff:
        """What `new` adds to and removes from `old` (None: the empty set); examples ordered by id.

        Compared by id and by what the hash counts as content: other evidence for the same example is no difference.
        `added` and `removed` of a DatasetVersion count in the same way. NotFound for a version there is not.
        """

    def examples(self, version: str, split: Split | None = None, *, only: Sequence[str] | None = None) -> list[Example]:
        """The content of a version, ordered by id, less what has been erased; of it, `only` the examples with these
        ids. NotFound if there is no such version."""

    def holding(self, example: str) -> list[DatasetVersion]:
        """Versions that hold the example with this id, oldest first."""

    def history(self, loop: str, example: str) -> list[Change]:
        """Where the example with this id was added, changed (be it only in its evidence) or removed, oldest first; less
        what has been erased."""

    def refs(self, loop: str) -> list[Ref]:
        """Branches and tags of a loop, oldest first."""

    def ref(self, loop: str, name: str) -> Ref | None:
        """One branch or tag."""

    def head(self, loop: str, branch: str = "main") -> DatasetVersion | None:
        """The version a branch or tag points at; None if there is no such name."""

    def point(self, ref: Ref, expected: str | None, *, alongside: Sequence[Struct] = (),
              fence: Lease | None = None) -> None:  # fmt: skip
        """Make a branch or tag (`expected` None), or move a branch from version `expected` to where `ref` says; with
        `alongside` in one transaction, durable on return.

        Conflict, and nothing is written, if the name is taken or points elsewhere by now, or is a tag. InvalidInput
        for a version that is not of this loop.
        """

    def unpoint(self, ref: Ref) -> None:
        """Forget a name; its versions stay. Conflict if it is not, or no longer, as `ref` says."""


class Blobs(Protocol):
    """Bytes by their SHA-256."""

    def put(self, data: bytes) -> str:
        """Store, durable on return; the hash. The same bytes twice are stored once."""

    def get(self, hash: str) -> bytes:
        """The bytes; NotFound if absent, StoreDamaged if they no longer have that hash."""

    def has(self, hash: str) -> bool:
        """Whether they are there."""

    def size(self, hash: str) -> int:
        """How many bytes; NotFound if absent."""

    def delete(self, hash: str) -> None:
        """Remove; nothing happens if absent."""


class Signals(Protocol):
    """Declared signals (`LoopSpec.signals`) as columns, and how well they come in.

    `Records` makes the columns when it writes a LoopSpec, and fills them in the transaction that writes or joins the
    feedback; deleting and erasing feedback reaches them. What was written before its declaration is not in them.
    """

    def columns(self, loop: str, name: str, *, kind: str | None = None, only: Sequence[str] | None = None,
                since: int | None = None, limit: int | None = None) -> dict[str, list[Any]]:  # fmt: skip
        """The rows of a declared signal, column by column, all equally long, oldest position first; NotFound lists
        what is declared.

        Every signal has `interaction`, `asked` and `at` (when the interaction was and
        when it happened, ms since 1970 by the clock of who sent it), `received` (by ours) and `silent`; an outcome has
        `value`; then come the fields that are declared now, None where a row has none or had none yet. `only`: no
        other columns than these; `since`: only what was received then or later; `limit`: only the newest so many.
        `kind` tells an outcome from an implicit
        signal of the same name.
        """

    def coverage(self, loop: str, name: str, *, after: int, before: int, limit: int = 5_000,
                 kind: str | None = None) -> tuple[int, int]:  # fmt: skip
        """How many interactions with `at` from `after` up to `before` were looked at, at most `limit`, the newest; and
        how many of these have the signal, silence not counted."""

    def held_since(self) -> list[int]:
        """When each piece of feedback came that still waits for its interaction, of all loops, in no order."""


class Uses(Protocol):
    """Which record uses which blob: interactions their attachments, interventions their window.

    `Records` writes a use with the record and releases it when the record is deleted or erased; a blob whose last use
    is released is found by `sweep`, also after a crash. Bytes are announced before they are put among the blobs, so
    that no sweep takes them before the record that names them is there.
    """

    def announce(self, hashes: Sequence[str], interaction: str | None = None) -> None:
        """These blobs are about to be put, for an interaction with that id or (None) for one yet unknown; durable on
        return."""

    def known(self, hash: str, loop: str = "") -> bool:
        """Whether it was announced or is in use (with `loop`: by an interaction of that loop). A model is neither."""

    def sweep(self, discard: Callable[[str], None], before: int) -> int:
        """`discard` every blob that nobody uses, and nobody announced since `before` (ms since 1970); how many.

        What an erasure released is due at once. While `discard` runs nobody can announce the same bytes. Killed in
        between, the next sweep does the rest.
        """


class Carry(Protocol):
    """What a turn keeps of a loop's log (interactions, feedback, annotations, placements), to save reading it again.

    It may hold what people said. Whatever changes or deletes anything of that log deletes what is kept of it, in the
    same transaction, and counts it; adding to the log does not, nor does a correction that gets its diff.
    """

    def changes(self, loop: str) -> int:
        """How often something of the loop's log was changed or deleted. Ask before the log is read, and give what it
        said to `keep`."""

    def keep(self, loop: str, data: Iterable[bytes], changes: int, fence: Lease | None = None) -> bool:
        """Keep `data`, made of the log as it was at `changes`, in the place of what was kept; durable on return.

        False, and nothing is kept, if the log was changed since. It is written in parts, so that others can write in
        between; killed on the way, what was kept before stays. With `fence`, LeaseLost as in `Records.replace`.
        """

    def kept(self, loop: str) -> bytes | None:
        """What was kept last, in one piece; None if nothing is. It fits the log as `changes` counts it now."""
