"""Dataset versions for programs and for people: what is in them, what changed, their names, edits, merges, blame."""

from collections import OrderedDict
from typing import Any, Literal

from msgspec import Struct, field

from everloop import versions
from everloop.errors import Conflict, InvalidInput, NotFound
from everloop.server.table import Operation
from everloop.server.views import Pages
from everloop.server.wire import Call, Reply, decode, reply
from everloop.types import DatasetVersion, Example, Ref
from everloop.versions.merging import Clash, Prefer
from everloop.versions.naming import LATEST, MAIN
from everloop.wheel import Loop, Wheel

_SHOWN, _MOST = 20, 1_000  # examples in one answer
_LISTED = 100  # versions, classes and slices on a page
_KEPT = 16  # compositions, which take seconds to count and never change but by erasure
_WAIT = 5.0  # seconds for a turn that is putting a version together


class Refs(Struct, frozen=True):
    """Branches and tags of a loop."""

    refs: list[Ref]


class Shown(Struct, frozen=True):
    """What a dataset version is made of."""

    version: DatasetVersion
    names: list[str]
    composition: versions.Composition


class Difference(Struct, frozen=True):
    """What one version has otherwise than another, in counts, and the first examples of each sort."""

    old: str | None
    new: str
    comparison: versions.Comparison
    added: list[dict[str, Any]]
    removed: list[dict[str, Any]]


class PointRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a branch or tag is to point."""

    version: str = LATEST
    kind: Literal["branch", "tag"] = "branch"
    move: bool = False  # a branch that is there may be put elsewhere
    by: str = "me"
    why: str = ""


class EditRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Other labels for examples, and examples to take out; each is named by its id or its input's text."""

    branch: str
    relabel: dict[str, str] = field(default_factory=dict)
    drop: list[str] = field(default_factory=list)
    by: str = "me"
    why: str = ""


class MergeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose line is to be brought into which branch, and how clashes are settled."""

    theirs: str
    into: str = MAIN
    prefer: list[Prefer] = field(default_factory=list)
    dry_run: bool = False
    by: str = "me"
    why: str = ""


class Merged(Struct, frozen=True):
    """What became of a merge."""

    kind: Literal["nothing", "forward", "merged", "clash"]
    version: DatasetVersion  # where the branch is now
    base: DatasetVersion | None
    clashes: tuple[Clash, ...]
    put: int
    removed: int
    dry_run: bool


class DatasetPages:
    """Handlers of the pages, and of the JSON behind them. Plain functions: each runs in a thread."""

    def __init__(self, wheel: Wheel, pages: Pages):
        self._wheel = wheel
        self._pages = pages
        self._made: OrderedDict[tuple[str, int], versions.Composition] = OrderedDict()

    def operations(self) -> list[Operation]:
        """The rows of the table."""
        loop, op = "/v1/loops/{name}", Operation
        limit = ("limit", f"at most so many examples of each sort, up to {_MOST:,}; {_SHOWN} by default")
        return [
            op("GET", f"{loop}/datasets/{{version}}", 'What a dataset version is made of: "latest", a branch, a tag, '
               "an id or hash, any of them with ~1 behind it for its parent.", self.shown, Shown, tag="models"),
            op("GET", f"{loop}/datasets/{{version}}/diff", "What a version has otherwise than another.", self.diff,
               Difference, tag="models", query=(("old", "the other version; its parent by default"), limit)),
            op("GET", f"{loop}/examples/{{example}}", "Where an example came from, and every model that learned it.",
               self.blame, versions.Blame, tag="models"),
            op("GET", f"{loop}/refs", "Branches and tags of a loop's dataset.", self.refs, Refs, tag="models"),
            op("PUT", f"{loop}/refs/{{ref}}", "Begin or move a branch, or make a tag.", self.point, Ref, PointRequest,
               "models", needs_body=False),
            op("DELETE", f"{loop}/refs/{{ref}}", "Forget a branch or a tag; its versions stay.", self.unpoint, Ref,
               tag="models"),
            op("POST", f"{loop}/edits", "Relabel examples or take them out, as a new version on a branch.", self.edit,
               DatasetVersion, EditRequest, "models", replies=((201, "The new version."),)),
            op("POST", f"{loop}/merges", "Bring one line of a dataset into another.", self.merge, Merged, MergeRequest,
               "models", replies=((200, "Done, or with dry_run what would be done."),)),
            op("GET", "/loops/{name}/datasets", "A loop's dataset versions.", self.page),
            op("GET", "/loops/{name}/datasets/{version}", "One dataset version.", self.version_page),
        ]  # fmt: skip

    def shown(self, call: Call) -> Reply:
        """What a version is made of."""
        loop, version = self._named(call)
        return reply(Shown(version, self._names(loop, version), self._composition(version)))

    def diff(self, call: Call) -> Reply:
        """What changed between two."""
        loop, new = self._named(call)
        word, limit = call.query.get("old"), _limit(call)
        old = versions.named(self._wheel.store.datasets, loop.name, word).id if word else new.parent
        diff = self._wheel.store.datasets.diff(old, new.id)
        return reply(Difference(
            old, new.id, versions.compare(diff), [_public(e) for e in diff.added[:limit]],
            [_public(e) for e in diff.removed[:limit]],
        ))  # fmt: skip

    def blame(self, call: Call) -> Reply:
        """Where an example came from."""
        return reply(versions.blame(self._wheel.store, self._loop(call).name, call.params["example"]))

    def refs(self, call: Call) -> Reply:
        """Branches and tags."""
        return reply(Refs(self._wheel.store.datasets.refs(self._loop(call).name)))

    def point(self, call: Call) -> Reply:
        """Begin or move a branch, or make a tag."""
        loop, name = self._loop(call).name, call.params["ref"]
        asked = decode(call.body, PointRequest) if call.body.strip() else PointRequest()
        datasets = self._wheel.store.datasets
        version = versions.named(datasets, loop, asked.version)
        if asked.kind == "branch":
            made = versions.branch(datasets, loop, name, version, by=asked.by, why=asked.why, move=asked.move)
        elif asked.move:
            raise InvalidInput("move: a tag never moves")
        else:
            made = versions.tag(datasets, loop, name, version, by=asked.by, why=asked.why)
        return reply(made)

    def unpoint(self, call: Call) -> Reply:
        """Forget a name."""
        loop, name = self._loop(call).name, call.params["ref"]
        ref = self._wheel.store.datasets.ref(loop, name)
        if ref is None:
            raise NotFound(f"no branch or tag {name[:63]!r} in {loop}")
        return reply(versions.delete(self._wheel.store.datasets, loop, ref.kind, name))

    def edit(self, call: Call) -> Reply:
        """A new version on a branch."""
        asked = decode(call.body, EditRequest)
        editor = self._editor(self._loop(call), asked.by)
        made = versions.edit(editor, asked.branch, relabel=asked.relabel, drop=asked.drop, why=asked.why)
        return reply(made, 201)

    def merge(self, call: Call) -> Reply:
        """One line into another."""
        asked = decode(call.body, MergeRequest)
        editor = self._editor(self._loop(call), asked.by)
        done = versions.merge(editor, asked.theirs, asked.into, asked.prefer, why=asked.why, dry=asked.dry_run)
        if done.kind == "clash" and not asked.dry_run:
            first = next(clash for clash in done.clashes if clash.took is None)
            raise Conflict(f"{len(done.clashes):,} examples clash, the first {first.example}: nothing was changed; "
                           "dry_run lists them, prefer settles them")  # fmt: skip
        return reply(Merged(*done, dry_run=asked.dry_run))

    def page(self, call: Call) -> Reply:
        """Every version, with its names."""
        loop = self._loop(call)
        log = self._wheel.store.datasets.log(loop.name)
        return self._pages.render(
            "datasets.html", here_path=f"/loops/{loop.name}", spec=loop.spec, log=log[:_LISTED], many=len(log),
            names=versions.names(self._wheel.store.datasets, loop.name),
        )  # fmt: skip

    def version_page(self, call: Call) -> Reply:
        """One version, and what changed from its parent."""
        loop, version = self._named(call)
        diff = self._wheel.store.datasets.diff(version.parent, version.id) if version.parent else None
        return self._pages.render(
            "dataset.html", here_path=f"/loops/{loop.name}", spec=loop.spec, v=version, listed=_LISTED,
            names=self._names(loop, version), made=self._composition(version),
            change=versions.compare(diff) if diff else None,
        )  # fmt: skip

    def _loop(self, call: Call) -> Loop:
        return self._wheel.get(call.params["name"])

    def _named(self, call: Call) -> tuple[Loop, DatasetVersion]:
        loop = self._loop(call)
        return loop, versions.named(self._wheel.store.datasets, loop.name, call.params["version"])

    def _names(self, loop: Loop, version: DatasetVersion) -> list[str]:
        found = versions.names(self._wheel.store.datasets, loop.name).get(version.id, [])
        return [ref.id for ref in found]

    def _composition(self, version: DatasetVersion) -> versions.Composition:
        key = (version.id, version.erased)
        made = self._made.get(key)
        if made is None:
            made = versions.compose(self._wheel.store.datasets.examples(version.id))
            self._made[key] = made
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
        return made

    def _editor(self, loop: Loop, by: str) -> versions.Editor:
        return versions.Editor(self._wheel.store, loop.spec, self._wheel.door, by, self._wheel.owner, _WAIT)


def _limit(call: Call) -> int:
    text = call.query.get("limit", str(_SHOWN))
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 0 < int(text) <= _MOST):
        raise InvalidInput(f"limit: a whole number from 1 to {_MOST:,}, not {text[:40]!r}")
    return int(text)


def _public(example: Example) -> dict[str, Any]:
    return {name: getattr(example, name) for name in example.__struct_fields__ if name != "subjects"}
