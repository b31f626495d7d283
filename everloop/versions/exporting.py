"""Training data out: a dataset version, or the preferences of its time, as trainers and labelling tools read it.

Everything goes through `collect.leaving`: what may leave is decided by the consent that people give now.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from everloop.collect.leaving import leaving
from everloop.curate.inputs import fingerprint
from everloop.errors import InvalidInput
from everloop.interop import training
from everloop.reading import sentence
from everloop.store import Store
from everloop.types import (
    Correction,
    DatasetVersion,
    Drop,
    Example,
    FeedbackFields,
    Interaction,
    LoopSpec,
    Model,
    Placement,
    Split,
    Turn,
    Vote,
)
from everloop.versions.comparing import compose
from everloop.versions.datasheet import Facts, datasheet
from everloop.versions.naming import names

Format = Literal[
    "openai", "dpo", "trl", "trl-preference", "parquet", "jsonl", "csv", "labelstudio", "argilla"
]  # fmt: skip
FORMATS: dict[Format, str] = {  # and what a file of it ends in
    "openai": ".jsonl",
    "dpo": ".jsonl",
    "trl": ".jsonl",
    "trl-preference": ".jsonl",
    "parquet": ".parquet",
    "jsonl": ".jsonl",
    "csv": ".csv",
    "labelstudio": ".json",
    "argilla": ".json",
}
# The first three are what `everloop log` reads back.
COLUMNS = ("input", "label", "split", "origin", "weight", "depth", "slices", "group", "example")
_PAIRS = ("dpo", "trl-preference")
_TRAINED_ON = ("openai", "trl", *_PAIRS)  # no column says what is set aside: so it is not in them, unless asked for
_CHUNK = 1_000  # rows of a file written at once
_ROW_GROUP = 50_000  # of Parquet: large enough to be read fast, small enough to be held
_ASKED = 5_000  # records looked up at once
# Drops that say nothing against an answer.
_NOT_AGAINST = frozenset({"duplicate", "semantic_duplicate", "no_signal", "contradicted"})


class Export(NamedTuple):
    """A file about to be written, and its datasheet."""

    chunks: Iterator[bytes]
    rows: int
    withheld: int  # consent to learn from them was taken back
    shareable: int  # of the rows: everybody agreed to share
    unshared: int  # left out because only shareable ones were wanted
    split: Split | None
    sheet: str


def export(
    store: Store, spec: LoopSpec, version: DatasetVersion, format: Format, *, file: str, split: Split | None = None,
    shareable: bool = False, csv_lines: Callable[[Sequence[str], Iterator[Sequence[Any]]], Iterator[bytes]],
) -> Export:  # fmt: skip
    """What is to be written for one version. `file` is the name its datasheet calls it; `csv_lines` writes a table.

    Preferences ("dpo", "trl-preference") are those of the loop's interactions up to the version's turn. What is only
    trained on ("openai", "trl" and preferences) has the split "train" alone, unless another is asked for. Raises
    InvalidInput where inputs are numbers and the format is of texts, and where Parquet is asked for and pyarrow is not
    installed.
    """
    if split is None and format in _TRAINED_ON:
        split = "train"
    seen = _Seen()
    extra: dict[str, int] | None = None
    if format in _PAIRS:
        found = _pairs(store, spec, version, split)
        stand_ins = [_stand_in(spec.name, number, pair) for number, pair in enumerate(found.pairs)]
        left = leaving(store.records, stand_ins, shareable=shareable, seen=seen.note)
        kept = [found.pairs[int(example.id)] for example in left.examples]
        row = training.dpo_row if format == "dpo" else training.trl_preference_row
        if kept:
            row(kept[0])  # says now, before there is a file, that numbers are no chat
        chunks = _lines(row(pair) for pair in kept)
        extra = dict(Counter(f"{pair.source}s" for pair in kept))
        extra |= {"left out, undecided": found.undecided, "left out, without a comparable answer": found.unequal}
    else:
        examples = store.datasets.examples(version.id, split)
        left = leaving(store.records, examples, shareable=shareable, seen=seen.note)
        chunks = _chunks(format, left.examples, spec, csv_lines)
    facts = Facts(
        file=file, format=format, rows=len(left.examples), split=split, sentence=sentence(spec), version=version,
        names=tuple(ref.id for ref in names(store.datasets, spec.name).get(version.id, ())),
        composition=compose(left.examples), since=seen.first, until=seen.last, kinds=dict(seen.kinds.most_common()),
        redacted=dict(seen.redacted.most_common()), audited=_audited(store, spec, version), withheld=left.withheld,
        unshared=left.unshared, shareable=left.shareable, only_shareable=shareable,
        models=tuple(model.id for model in store.records.find(Model, spec.name) if model.dataset == version.id),
        pairs=extra,
    )  # fmt: skip
    return Export(chunks, len(left.examples), left.withheld, left.shareable, left.unshared, split, datasheet(facts))


class _Seen:
    """What the evidence is, noted on the way."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.redacted: Counter[str] = Counter()
        self.first: int | None = None
        self.last: int | None = None

    def note(self, item: Interaction | FeedbackFields) -> None:
        """Count one."""
        if isinstance(item, Interaction):
            self.kinds["interaction"] += 1
            self.first = item.at if self.first is None else min(self.first, item.at)
            self.last = item.at if self.last is None else max(self.last, item.at)
        else:
            self.kinds[str(item.__struct_config__.tag)] += 1
        if item.redacted:
            self.redacted.update(item.redacted)


# --- preferences ----------------------------------------------------------------------------------------------------


def _pairs(store: Store, spec: LoopSpec, version: DatasetVersion, split: Split | None) -> training.Pairs:
    upto = _cut(store, spec, version)
    said = [
        item for batch in store.records.scan(FeedbackFields, spec.name, upto=upto) for _, item in batch
        if isinstance(item, Correction | Vote)
    ]  # fmt: skip
    wanted = list(dict.fromkeys(
        id for item in said
        for id in (item.interaction, *((item.other, *item.others) if isinstance(item, Vote) else ())) if id
    ))  # fmt: skip
    dropped = _dropped(store, [*wanted, *(item.id for item in said)])
    splits = {p.id: p.split for batch in store.records.scan(Placement, spec.name) for _, p in batch}
    interactions = {}
    for start in range(0, len(wanted), _ASKED):
        for it in store.records.find(Interaction, spec.name, id=wanted[start : start + _ASKED]):
            if it.id not in dropped and splits.get(fingerprint(it.input), "train") == split:
                interactions[it.id] = it
    return training.pairs(interactions, [item for item in said if item.id not in dropped])


def _dropped(store: Store, ids: Sequence[str]) -> set[str]:
    """Interactions and feedback that curation or a person left out for a reason that stands against them."""
    found: set[str] = set()
    for start in range(0, len(ids), _ASKED):
        for drop in store.records.find(Drop, id=list(ids[start : start + _ASKED])):
            if not drop.undone and drop.reason not in _NOT_AGAINST:
                found.add(drop.id)
    return found


def _cut(store: Store, spec: LoopSpec, version: DatasetVersion) -> int | None:
    """Up to which feedback the version's turn read: exported again next year, it has the same preferences in it."""
    line: DatasetVersion | None = version
    while line is not None:
        number = line.recipe.args.get("turn")
        turns = store.records.find(Turn, spec.name, number=number, limit=1) if isinstance(number, int) else []
        if turns:
            return turns[0].cut.get("feedback")
        line = store.datasets.get(line.parent) if line.parent is not None else None
    return None


def _stand_in(loop: str, number: int, pair: training.Pair) -> Example:
    """A preference as `leaving` looks at it: by its evidence alone."""
    return Example(id=str(number), loop=loop, input="", target=pair.source, origin="production", split="train",
                   group=str(number), evidence=pair.evidence)  # fmt: skip


def _audited(store: Store, spec: LoopSpec, version: DatasetVersion) -> str | None:
    """What the turn that labelled it measured of its own labels' error, in a sentence; None: nothing."""
    number = version.recipe.args.get("turn")
    turns = store.records.find(Turn, spec.name, number=number, limit=1) if isinstance(number, int) else []
    for step in turns[0].steps if turns else ():
        error = step.counts.get("audited_error")
        if isinstance(error, Mapping) and {"estimate", "low", "high", "n"} <= error.keys():
            return (f"{error['estimate']:.1%} ({error['low']:.1%} to {error['high']:.1%}) of {error['n']:,} drawn at "
                    "random and checked by people.")  # fmt: skip
    return None


# --- files ----------------------------------------------------------------------------------------------------------


def _chunks(
    format: Format, examples: Sequence[Example], spec: LoopSpec,
    csv_lines: Callable[[Sequence[str], Iterator[Sequence[Any]]], Iterator[bytes]],
) -> Iterator[bytes]:  # fmt: skip
    match format:
        case "parquet":
            return _parquet(examples, spec)
        case "csv":
            return csv_lines(COLUMNS, map(_cells, examples))
        case "labelstudio":
            return _array(training.labelstudio_task(e) for e in examples)
        case "argilla":
            return _array(training.argilla_record(e) for e in examples)
        case "jsonl":
            return _lines(training.public(e) for e in examples)
        case _:
            row = training.openai_row if format == "openai" else training.trl_row
            if examples:
                row(examples[0])
            return _lines(row(e) for e in examples)


def _lines(rows: Iterator[Any]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    for row in rows:
        waiting += (msgspec.json.encode(row), b"\n")
        if len(waiting) >= 2 * _CHUNK:
            yield b"".join(waiting)
            waiting = []
    yield b"".join(waiting)


def _array(rows: Iterator[Any]) -> Iterator[bytes]:
    before = b"[\n"
    for row in rows:
        yield before + msgspec.json.encode(row)
        before = b",\n"
    yield b"[]\n" if before == b"[\n" else b"\n]\n"


def _cells(example: Example) -> tuple[str | float, ...]:
    given = example.input if isinstance(example.input, str) else msgspec.json.encode(example.input).decode()
    return (given, example.target, example.split, example.origin, example.weight, example.depth,
            " ".join(example.slices), example.group, example.id)  # fmt: skip


def _parquet(examples: Sequence[Example], spec: LoopSpec) -> Iterator[bytes]:
    """Row group after row group, so that the table is never whole in memory."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise InvalidInput("parquet needs pyarrow: pip install 'everloop[arrow]', or take --format jsonl") from None
    numbers = bool(examples) and all(isinstance(e.input, list) for e in examples)
    classes = [] if spec.task == "chat" else sorted({*spec.labels, *(e.target for e in examples)})
    described = training.features(numbers, classes)
    kinds = {"string": arrow.string(), "float64": arrow.float64(), "int32": arrow.int32()}

    def kind(feature: Mapping[str, Any]) -> Any:
        if feature["_type"] == "Sequence":
            return arrow.list_(kind(feature["feature"]))
        return arrow.int64() if feature["_type"] == "ClassLabel" else kinds[feature["dtype"]]

    told = msgspec.json.encode({"info": {"features": described}})
    schema = arrow.schema([(name, kind(feature)) for name, feature in described.items()],
                          metadata={b"huggingface": told})  # fmt: skip

    def written() -> Iterator[bytes]:
        places = {name: number for number, name in enumerate(classes)}
        sink = _Sink()
        with parquet.ParquetWriter(arrow.PythonFile(sink, mode="w"), schema, compression="zstd") as writer:
            for start in range(0, len(examples), _ROW_GROUP):
                part = training.columns(examples[start : start + _ROW_GROUP], numbers, places)
                writer.write_table(arrow.table(part, schema=schema))
                yield sink.taken()
        yield sink.taken()

    return written()


class _Sink:
    """A file that is handed on as it is written."""

    closed = False

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._at = 0

    def write(self, data: Any) -> int:
        """Take some bytes; how many."""
        self._waiting.append(bytes(data))
        self._at += len(self._waiting[-1])
        return len(self._waiting[-1])

    def tell(self) -> int:
        """Bytes so far."""
        return self._at

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Whoever took the bytes closes the file."""

    def taken(self) -> bytes:
        """What has come since the last time."""
        data = b"".join(self._waiting)
        self._waiting = []
        return data


__all__ = ["COLUMNS", "FORMATS", "Export", "Format", "export"]
