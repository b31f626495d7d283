"""Weak and watched slices of a loop: the page, its forms, and the JSON behind them. Plain: each in a thread."""

import threading
from urllib.parse import parse_qs

from msgspec import Struct
from msgspec.structs import replace

from everloop.auditing import noted, unchanged
from everloop.errors import Conflict, InvalidInput, NotFound, UserError
from everloop.evaluate import WeakSlice, parse
from everloop.loop import newest_version
from everloop.server.table import Operation
from everloop.server.views import Pages
from everloop.server.wire import Call, Reply, decode, one_line, redirect, reply
from everloop.types import WatchedSlice
from everloop.watching import (
    Rows,
    Watching,
    Weakness,
    live_model,
    unwatch,
    watch_found,
    watch_terms,
    watchings,
    weakness,
)
from everloop.wheel import Loop, Wheel

_KEPT = 8  # findings that are remembered: each may have cost a training
_FORM_FIELDS = 10


class SliceAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """A slice to watch: its terms, or the id of a weak slice that was found."""

    terms: list[str] = []
    id: str = ""
    name: str = ""
    note: str = ""


class Slices(Struct, frozen=True):
    """The weak slices of the live model, and those that are watched."""

    weak: Weakness | None  # None: there is no live model yet
    watched: list[Watching]


class Slicing:
    """Handlers of the page, and of the JSON behind it."""

    def __init__(self, wheel: Wheel, pages: Pages):
        self._wheel = wheel
        self._store = wheel.store
        self._pages = pages
        self._found: dict[tuple[str, str], tuple[tuple[str, ...], Weakness]] = {}
        self._finding = threading.Lock()

    def operations(self) -> list[Operation]:
        """The rows of the table."""
        path = "/v1/loops/{name}/slices"
        rows = ("rows", '"golden", the default: rows the live model never trains on; "all": also rows people labelled, '
                        "answered by models trained without them, which takes a while")  # fmt: skip
        return [
            Operation("GET", path, "Where the live model is weak, and the slices that are watched.", self.listed,
                      Slices, tag="loops", query=(rows,)),
            Operation("POST", path, "Watch a slice: a candidate that is worse there is not released.", self.watch,
                      WatchedSlice, SliceAsked, "loops", query=(rows,)),
            Operation("DELETE", f"{path}/{{id}}", "Watch a slice no longer.", self.unwatch, WatchedSlice, tag="loops"),
            Operation("GET", "/loops/{name}/slices", "Where a loop is weak, and what is watched.", self.page,
                      query=(rows,)),
            Operation("POST", "/loops/{name}/slices", "Watch a slice, or no longer, from the page.", self.form,
                      also=("application/x-www-form-urlencoded",), roles=("developer",),
                      replies=((303, "Done; the page is next."),)),
        ]  # fmt: skip

    def listed(self, call: Call) -> Reply:
        """What was found, and what is watched."""
        loop = self._wheel.get(call.params["name"])
        return reply(Slices(self._weak(loop, _rows(call)), watchings(self._store, loop.name)))

    def watch(self, call: Call) -> Reply:
        """Watch one."""
        loop = self._wheel.get(call.params["name"])
        asked = decode(call.body, SliceAsked)
        if bool(asked.terms) == bool(asked.id):
            raise InvalidInput("give either terms, or the id of a weak slice")
        return reply(self._watched(call, loop, asked, _rows(call)))

    def unwatch(self, call: Call) -> Reply:
        """Watch one no longer."""
        loop = self._wheel.get(call.params["name"])
        return reply(unwatch(self._store, loop.name, call.params["id"]))

    def page(self, call: Call) -> Reply:
        """The same for a person."""
        return self._shown(call, _rows(call), {})

    def form(self, call: Call) -> Reply:
        """A button of the page; what can't be is said on it."""
        loop = self._wheel.get(call.params["name"])
        given = _form_of(call.body)
        rows: Rows = "all" if given.get("rows") == "all" else "golden"
        try:
            if given.get("unwatch"):
                noted(target=f"{loop.name}, {given['unwatch'][:100]}", detail="unwatch")
                unwatch(self._store, loop.name, given["unwatch"])
            else:
                terms = list(parse(given["terms"])) if given.get("terms") else []
                asked = SliceAsked(terms, given.get("watch", ""), given.get("name", ""))
                if not asked.terms and not asked.id:
                    raise InvalidInput("write the slice as name=value, several with & between them")
                self._watched(call, loop, asked, rows)
        except UserError as error:
            unchanged()
            return self._shown(call, rows, given, one_line(error))._replace(status=error.status)
        return redirect(f"/loops/{loop.name}/slices{'?rows=all' if rows == 'all' else ''}#watched")

    def _shown(self, call: Call, rows: Rows, given: dict[str, str], problem: str = "") -> Reply:
        loop = self._wheel.get(call.params["name"])
        return self._pages.render(
            "slices.html", here_path=f"/loops/{loop.name}", spec=loop.spec, weak=self._weak(loop, rows), rows=rows,
            watched=watchings(self._store, loop.name), problem=problem,
            given={name: given.get(name, "")[:1000] for name in ("terms", "name")},
            may=call.key is None or call.key.role in {"admin", "developer"},
        )  # fmt: skip

    def _watched(self, call: Call, loop: Loop, asked: SliceAsked, rows: Rows) -> WatchedSlice:
        by = call.key.id if call.key is not None else "open"
        noted(target=f"{loop.name}, {asked.id or ' & '.join(asked.terms)[:200]}", detail="watch")
        if asked.terms:
            return watch_terms(self._store, loop.name, asked.terms, name=asked.name, by=by, note=asked.note)
        found = self._by_id(loop, asked.id, rows)
        return watch_found(self._store, loop.name, found, name=asked.name, by=by, note=asked.note)

    def _by_id(self, loop: Loop, id: str, rows: Rows) -> WeakSlice:
        """A weak slice that somebody was shown, also if a newer model has come since."""
        kept = [weak for (name, _), (_, weak) in tuple(self._found.items()) if name == loop.name]
        for weak in (*kept, *([] if kept else [self._weak(loop, rows)])):
            for one in weak.found.slices if weak is not None else ():
                if one.id == id:
                    return one
        raise NotFound(f"no weak slice {id[:80]!r} in loop {loop.name!r}; GET it anew, or give its terms")

    def _weak(self, loop: Loop, rows: Rows) -> Weakness | None:
        """What was found for this model and this dataset version, once; None while there is nothing to look in."""
        spec = loop.spec
        model, version = live_model(self._store, spec), newest_version(self._store, loop.name)
        if model is None or version is None:
            return None
        key = (model.id, version.id, str(version.erased), str(spec.policy.level))
        with self._finding:  # one at a time: two readers of a page must not pay twice
            kept = self._found.get((loop.name, rows))
            if kept is None or kept[0] != key:
                try:
                    found = weakness(self._store, spec, rows)
                except Conflict:  # rolled back meanwhile
                    return None
                self._found.pop((loop.name, rows), None)
                self._found[(loop.name, rows)] = kept = (key, found)
                while len(self._found) > _KEPT:
                    self._found.pop(next(iter(self._found)))
        there = {one.id for one in self._store.records.find(WatchedSlice, loop.name)}
        return _marked(kept[1], there)


def _marked(weak: Weakness, there: set[str]) -> Weakness:
    return replace(weak, watched=tuple(one.id for one in weak.found.slices if one.id in there))


def _rows(call: Call) -> Rows:
    match call.query.get("rows", "golden"):
        case "golden":
            return "golden"
        case "all":
            return "all"
        case other:
            raise InvalidInput(f"rows: golden or all, not {other[:40]!r}")


def _form_of(body: bytes) -> dict[str, str]:
    """The fields of a form, the first of each; of what is none, none."""
    try:
        return {name: values[0] for name, values in parse_qs(body.decode(), max_num_fields=_FORM_FIELDS).items()}
    except ValueError:  # not UTF-8, or more fields than a form of ours has
        return {}
