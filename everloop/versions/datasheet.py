"""A datasheet: what a file of training data is, where it came from and what it may be used for, beside the file.

The questions are those of Gebru et al. 2021, "Datasheets for datasets" (Communications of the ACM 64:12). What only its
publisher can know is left as a line to fill in.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from everloop.types import DatasetVersion
from everloop.versions.comparing import Composition

_MOST = 30  # classes and slices listed
_FILL = "_to fill in_"


class Facts(NamedTuple):
    """What a datasheet is written from."""

    file: str  # its name
    format: str
    rows: int
    split: str | None
    sentence: str  # the loop's
    version: DatasetVersion
    names: tuple[str, ...]  # branches and tags
    composition: Composition  # of what was exported
    since: int | None  # first interaction behind it, ms since 1970
    until: int | None
    kinds: Mapping[str, int]  # pieces of evidence by kind
    redacted: Mapping[str, int]  # placeholders in the evidence, by type of private data
    audited: str | None  # measured error of the machine's labels, in a sentence
    withheld: int
    unshared: int
    shareable: int
    only_shareable: bool
    models: tuple[str, ...]  # of this installation, trained on the version
    pairs: Mapping[str, int] | None  # of preferences: how many by source, and what was left out


def datasheet(facts: Facts) -> str:
    """The sheet, in Markdown."""
    version = facts.version
    parts = [
        f"# Datasheet of {_plain(facts.file)}",
        f"Written by Everloop with the file, on {_day(version.at)}'s dataset version `{version.id}`"
        f"{_named(facts.names)}. What only you can know is marked {_FILL}.",
        "## Motivation", _plain(facts.sentence),
        f"Created by: {_FILL}. Funded by: {_FILL}.",
        "## Composition", *_composition(facts),
        "## Collection", *_collection(facts),
        "## Labelling", *_labelling(facts),
        "## Cleaning", "Near-duplicates are grouped, and a group is in one split alone. Whatever was left out is kept "
        "in the installation with its reason, and can be taken back there.",
        "## Consent and privacy", *_consent(facts),
        "## Provenance", *_provenance(version),
        "## Uses", f"Trained on it here: {len(facts.models):,} models{_named(facts.models[:_MOST])}; "
        f"elsewhere: {_FILL}. Should not be used for: {_FILL}.",
        "## Distribution", f"Licence: {_FILL}. Third-party rights: {_FILL}.",
        "## Maintenance", f"Contact: {_FILL}. Erased people are taken out of the installation's versions, not out of "
        "copies of this file: export it anew after an erasure, and pass that on.",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _composition(facts: Facts) -> list[str]:
    made = facts.composition
    if facts.pairs is not None:
        lines = ", ".join(f"{_plain(name)} {n:,}" for name, n in facts.pairs.items()) or "none"
        return [
            f"{facts.rows:,} preferences, format {facts.format}: for one input, the answer people prefer and one they "
            f"do not. From: {lines}. Nothing set aside for evaluation is among them, unless a split was asked for."
        ]
    part = f", split {facts.split} alone" if facts.split else ""
    rows = [f"{facts.rows:,} examples, format {facts.format}{part}; weights sum to {made.weight:,.1f}."]
    for title, counts in (("split", made.splits), ("origin", made.origins), ("class", made.classes),
                          ("slice", made.slices)):  # fmt: skip
        if counts:
            rows.append(_table(title, counts))
    if made.synthetic:
        rows.append(f"{made.synthetic:,} examples were made by a model.")
    return rows


def _collection(facts: Facts) -> list[str]:
    span = f" from {_day(facts.since)} to {_day(facts.until)}" if facts.since and facts.until else ""
    kinds = ", ".join(f"{_plain(kind)} {n:,}" for kind, n in facts.kinds.items()) or "none is there any more"
    return [
        f"Collected{span} from a model in use: what it was asked, what it answered, and what people did with that. "
        f"Pieces of evidence: {kinds}. {facts.composition.people:,} people are known by a pseudonym; who gave none "
        "is not counted."
    ]


def _labelling(facts: Facts) -> list[str]:
    made = facts.composition
    if facts.pairs is not None:
        return [
            "A correction prefers what the person wrote to the model's answer; a vote, one answer to another. Voices "
            "on the same two answers are counted against each other, and where they balance the two are left out."
        ]
    auto = made.origins.get("auto", 0)
    share = f"{auto / made.examples:.1%}" if made.examples else "none"
    lines = [
        "Origin `production`: the label is what people's feedback says, by majority. `human`: somebody was asked, or "
        "brought the label along, or edited it. `auto`: the machine's own label, taken above a confidence and given "
        "less weight. `synthetic`: made by a model.",
        f"Labelled by the machine: {auto:,} of {made.examples:,} ({share}).",
    ]
    if auto:
        lines.append(
            f"Their error: {facts.audited}"
            if facts.audited
            else "Their error: not measured by an audit; do not rely on these labels as if people had given them."
        )
    return lines


def _consent(facts: Facts) -> list[str]:
    redacted = ", ".join(f"{_plain(kind)} {n:,}" for kind, n in facts.redacted.items()) or "none found"
    lines = [
        "Everybody in the evidence allows their data to be learned from, as of this export; "
        f"{facts.withheld:,} rows were left out because somebody has taken that back.",
        f"Everybody behind {facts.shareable:,} of the rows also agreed to share. "
        + (f"{facts.unshared:,} that somebody did not agree to share were left out."
           if facts.only_shareable else "**The others may be used by you, and may not be passed on.**"),
        f"Private data taken out before anything was stored, by type: {redacted}. Patterns do not find names. "
        "Pseudonyms are not in the file.",
    ]  # fmt: skip
    if facts.version.erased:
        lines.append(f"{facts.version.erased:,} examples of this version were erased since at the wish of the people "
                     "in them; its hash is of what it was made with.")  # fmt: skip
    return lines


def _provenance(version: DatasetVersion) -> list[str]:
    recipe = msgspec.json.encode(version.recipe).decode().replace("`", "'")
    pairs = [
        ("version", version.id), ("loop", version.loop), ("hash", version.hash), ("parent", version.parent or "none"),
        ("merged with", version.merged), ("made", _moment(version.at)), ("examples when made", f"{version.size:,}"),
        ("recipe", recipe),
    ]  # fmt: skip
    return ["\n".join(f"- {name}: `{value}`" for name, value in pairs if value is not None)]


def _table(title: str, counts: Mapping[str, int]) -> str:
    rows = [f"| {_plain(name)} | {n:,} |" for name, n in list(counts.items())[:_MOST]]
    if len(counts) > _MOST:
        rows.append(f"| {len(counts) - _MOST:,} more | {sum(list(counts.values())[_MOST:]):,} |")
    return "\n".join([f"| {title} | examples |", "|---|---|", *rows])


def _named(names: tuple[str, ...]) -> str:
    return f" ({', '.join(names)})" if names else ""


def _plain(text: str) -> str:
    """Words of strangers on one line, in which nothing is markup."""
    line = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#!&~" else c for c in line if c.isprintable())


def _day(at: int | None) -> str:
    return _moment(at)[:10] if at is not None else "an unknown day"


def _moment(at: int) -> str:
    try:
        return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return f"{at} ms since 1970"


__all__ = ["Facts", "datasheet"]
