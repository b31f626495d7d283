"""Classes a turn proposed for inputs that fit none: the page, its forms, the JSON behind them. Plain: in threads."""

import json
from urllib.parse import parse_qs

from msgspec import Struct

from everloop import deciding
from everloop.auditing import noted, unchanged
from everloop.curate import text_of
from everloop.deciding import Classes, Decided, Proposal
from everloop.errors import InvalidInput, UserError
from everloop.server.table import Operation
from everloop.server.views import Pages
from everloop.server.wire import Call, Reply, decode, one_line, redirect, reply
from everloop.types import Input
from everloop.wheel import Loop, Wheel

_FORM_FIELDS = 10 + deciding.SHOWN
_WORDS = 300  # characters of an input on the page
_DECIDED = 50  # decisions on the page; the API has all of them


class Acceptance(Struct, frozen=True, forbid_unknown_fields=True):
    """How a proposed class becomes a label."""

    name: str = ""  # of the label; empty: as it was proposed
    labelled: list[str] = []  # interactions of it that the caller has seen, and says it of; the others go to the queue
    annotator: str = ""  # whose word that is; empty: the key's


class Classing:
    """Handlers of the page, and of the JSON behind it."""

    def __init__(self, wheel: Wheel, pages: Pages):
        self._wheel = wheel
        self._store = wheel.store
        self._pages = pages

    def operations(self) -> list[Operation]:
        """The rows of the table."""
        path = "/v1/loops/{name}/classes"
        return [
            Operation("GET", path, "Proposed classes for inputs that fit none, and what was decided of earlier ones.",
                      self.listed, Classes, tag="loops"),
            Operation("GET", f"{path}/{{id}}", "A proposed class with its most typical inputs.", self.one, Proposal,
                      tag="loops"),
            Operation("POST", f"{path}/{{id}}/accept", "Make a label of a proposed class; its rows go to the queue.",
                      self.accept, Decided, Acceptance, "loops", needs_body=False),
            Operation("POST", f"{path}/{{id}}/refuse", "It is no class, and is not proposed again.", self.refuse,
                      Decided, tag="loops"),
            Operation("GET", "/loops/{name}/classes", "Inputs that fit no class, as proposed new ones.", self.page),
            Operation("POST", "/loops/{name}/classes", "Accept or refuse a proposed class, from the page.", self.form,
                      also=("application/x-www-form-urlencoded",), roles=("developer",),
                      replies=((303, "Done; the page is next."),)),
        ]  # fmt: skip

    def listed(self, call: Call) -> Reply:
        """All of them."""
        return reply(deciding.classes(self._store, self._loop(call).spec))

    def one(self, call: Call) -> Reply:
        """One."""
        records, loop = self._store.records, self._loop(call).name
        return reply(deciding.shown(records, deciding.named(records, loop, call.params["id"])))

    def accept(self, call: Call) -> Reply:
        """Make a label of it."""
        asked = decode(call.body, Acceptance) if call.body.strip() else Acceptance()
        return reply(self._accepted(call, call.params["id"], asked))

    def refuse(self, call: Call) -> Reply:
        """It is none."""
        return reply(deciding.refuse(self._store, self._loop(call).spec, call.params["id"], by=_by(call)))

    def page(self, call: Call) -> Reply:
        """The same for a person."""
        return self._shown(call)

    def form(self, call: Call) -> Reply:
        """A button of the page; what can't be is said on it."""
        loop, given = self._loop(call), _form_of(call.body)
        id, name = _first(given, "id"), _first(given, "name")
        try:
            noted(target=f"{loop.name}, {id[:100]}", detail=_first(given, "do")[:20])
            match _first(given, "do"):
                case "accept":
                    if not name.strip():
                        raise InvalidInput("give the class a name: it is what the model will answer")
                    ticked = given.get("row", []) if _first(given, "label_shown") else []
                    self._accepted(call, id, Acceptance(name, ticked))
                case "refuse":
                    deciding.refuse(self._store, loop.spec, id, by=_by(call))
                case _:
                    raise InvalidInput("press accept or refuse")
        except UserError as error:
            unchanged()
            return self._shown(call, one_line(error), id, name)._replace(status=error.status)
        return redirect(f"/loops/{loop.name}/classes#decided")

    def _accepted(self, call: Call, id: str, asked: Acceptance) -> Decided:
        annotator = asked.annotator or (f"key:{call.key.id}" if call.key is not None else "me")
        return deciding.accept(
            self._store, self._wheel.door, self._loop(call).spec, id, name=asked.name, by=_by(call),
            labelled=asked.labelled, annotator=annotator,
        )  # fmt: skip

    def _shown(self, call: Call, problem: str = "", id: str = "", name: str = "") -> Reply:
        loop = self._loop(call)
        found = deciding.classes(self._store, loop.spec)
        return self._pages.render(
            "classes.html", here_path=f"/loops/{loop.name}", spec=loop.spec, waits=found.waits, problem=problem,
            classes=[(one, [(row, _words(row.input)) for row in one.typical]) for one in found.open],
            decided=found.decided[:_DECIDED], given={id: name[:500]} if id else {},
            may=call.key is None or call.key.role in {"admin", "developer"},
        )  # fmt: skip

    def _loop(self, call: Call) -> Loop:
        return self._wheel.get(call.params["name"])


def _by(call: Call) -> str:
    return call.key.id if call.key is not None else "open"


def _words(value: Input) -> str:
    text = text_of(value)
    text = json.dumps(value) if text is None else text
    return text if len(text) <= _WORDS else f"{text[:_WORDS]}…"


def _form_of(body: bytes) -> dict[str, list[str]]:
    """The fields of a form; of what is none, none."""
    try:
        return parse_qs(body.decode(), max_num_fields=_FORM_FIELDS)
    except ValueError:  # not UTF-8, or more fields than a form of ours has
        return {}


def _first(given: dict[str, list[str]], name: str) -> str:
    return given.get(name, [""])[0]
