"""What a campaign asks for, as JSON: parsed once into closures, evaluated in microseconds, and never code.

A predicate is an object. Each of its keys must hold:

====================================  ==================================================================
``{"all": [p, …]}``, ``any``, ``not``  every, one or none of them
``{"confidence": {"below": 0.6}}``     a field by its dotted path (``input.text``, ``context.speed``,
                                       ``input.messages.-1.content``), compared by ``below``, ``above``,
                                       ``equals``, ``in``, ``contains``, ``length``, ``missing``
``{"margin": {"below": 0.1}}``         the confidence in the answer less that in the next best
``{"disagrees": {"with": "shadow"}}``  a second model's answer (`log(…, second=…)`) is another one; with
                                       ``gap``, or its confidence is so far away
``{"share": 0.01}``                    one in a hundred, by a hash of the id under the campaign's name: the
                                       same ones wherever it is asked
``{"feedback": "intervention"}``       such feedback is given now; its fields are ``feedback.reason`` and so on
====================================  ==================================================================

What is absent, or of another type, is never below, above, equal to or in anything: no evidence is no match. There are
no regular expressions: what the server says must not be able to keep a device busy.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from everloop.errors import InvalidInput
from everloop.types import FeedbackFields, Interaction

Moment = Mapping[str, Any]  # the fields of an interaction, and "feedback" where some is given now
Test = Callable[[Moment], bool]

MOST_BYTES = 8192  # of a predicate as JSON
DEEPEST = 8  # predicates within predicates
MOST_TESTS = 64  # comparisons and the like in one
MOST_VALUES = 256  # after "in"
LONGEST_PATH = 8  # segments

_ROOTS = frozenset(Interaction.__struct_fields__) - {"id", "at", "redacted", "attachments"} | {"feedback", "margin"}
_KINDS = frozenset(str(kind.__struct_config__.tag) for kind in FeedbackFields.__subclasses__())
_ABSENT: Any = object()


class Predicate(NamedTuple):
    """A predicate ready to be asked. `on_feedback`: it speaks of feedback, so feedback is a moment to ask it."""

    test: Test
    on_feedback: bool


def parse(when: Any, key: str = "") -> Predicate:
    """`when` as a predicate; `{}` is always true. `key`: what ``share`` is drawn under, a campaign's name.

    Raises InvalidInput with one line, and the nearest name, for an operator or field there is not, and for what is too
    deep, too long or of the wrong type.

    >>> unsure = parse({"all": [{"confidence": {"below": 0.6}}, {"not": {"output": {"equals": "spam"}}}]})
    >>> unsure.test({"confidence": 0.5, "output": "ham"}), unsure.test({"output": "ham"})
    (True, False)
    >>> parse({"confidence": {"bellow": 0.6}})
    Traceback (most recent call last):
        ...
    everloop.errors.InvalidInput: when: no comparison 'bellow'; did you mean below?
    """
    try:
        size = len(msgspec.json.encode(when))
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise InvalidInput("when: must be JSON") from None
    if size > MOST_BYTES:
        raise InvalidInput(f"when: {size:,} bytes; at most {MOST_BYTES:,} are possible")
    parser = _Parser(key)
    return Predicate(parser.predicate(when, 1), parser.on_feedback)


class _Parser:
    """Counts what a predicate holds while it is turned into closures."""

    def __init__(self, key: str):
        self._key = key
        self._tests = 0
        self.on_feedback = False

    def predicate(self, when: Any, depth: int) -> Test:
        if not isinstance(when, dict):
            raise InvalidInput(f"when: a predicate is an object, not {_named(when)}")
        if depth > DEEPEST:
            raise InvalidInput(f"when: nested deeper than {DEEPEST} predicates")
        return _all([self._term(name, given, depth) for name, given in when.items()])

    def _term(self, name: str, given: Any, depth: int) -> Test:
        self._tests += 1
        if self._tests > MOST_TESTS:
            raise InvalidInput(f"when: more than {MOST_TESTS} tests")
        match name:
            case "all":
                return _all(self._several(name, given, depth))
            case "any":
                return _any(self._several(name, given, depth))
            case "not":
                inner = self.predicate(given, depth + 1)
                return lambda moment: not inner(moment)
            case "share":
                return _share(_number(name, given, 0.0, 1.0), self._key)
            case "disagrees":
                return _disagrees(given)
            case "feedback" if not isinstance(given, dict):
                return self._feedback(given)
            case _:
                return self._field(name, given)

    def _several(self, name: str, given: Any, depth: int) -> list[Test]:
        if not isinstance(given, list) or not given:
            raise InvalidInput(f"when: {name!r} takes a list of predicates")
        return [self.predicate(one, depth + 1) for one in given]

    def _feedback(self, given: Any) -> Test:
        asked = given if isinstance(given, list) and given else [given]
        for kind in asked:
            if not isinstance(kind, str) or kind not in _KINDS:
                raise InvalidInput(f"when: no kind of feedback {_short(kind)}; {_nearest(kind, _KINDS)}")
        self.on_feedback = True
        kinds = frozenset(asked)

        def test(moment: Moment) -> bool:
            feedback = moment.get("feedback")
            return feedback is not None and feedback.get("kind") in kinds

        return test

    def _field(self, name: str, given: Any) -> Test:
        path = name.split(".")
        if path[0] not in _ROOTS:
            words = _ROOTS | {"all", "any", "not", "share", "disagrees"}
            raise InvalidInput(f"when: no field or operator {_short(path[0])}; {_nearest(path[0], words)}")
        if len(path) > LONGEST_PATH or "" in path:
            raise InvalidInput(f"when: {_short(name)} is no path of 1 to {LONGEST_PATH} names with dots between them")
        if not isinstance(given, dict) or not given:
            raise InvalidInput(f'when: say how {_short(name)} compares: {{"below": …}}, {{"equals": …}}, …')
        self.on_feedback |= path[0] == "feedback"
        self._tests += len(given) - 1
        read = _reader(path)
        tests = [_comparison(operator, value) for operator, value in given.items()]
        if len(tests) == 1:
            only = tests[0]
            return lambda moment: only(read(moment))

        def test(moment: Moment) -> bool:
            found = read(moment)
            return all(one(found) for one in tests)

        return test


def _all(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]

    def test(moment: Moment) -> bool:
        for one in tests:  # noqa: SIM110 (a generator costs as much as the tests)
            if not one(moment):
                return False
        return True

    return test


def _any(tests: list[Test]) -> Test:
    def test(moment: Moment) -> bool:
        for one in tests:  # noqa: SIM110
            if one(moment):
                return True
        return False

    return test


def _share(share: float, key: str) -> Test:
    import hashlib  # a tenth of what importing the client costs, and most have no campaign

    bound = int(share * 2**64)
    secret = key.encode("utf-8", "surrogatepass")[:64]

    def test(moment: Moment) -> bool:
        id = str(moment.get("id")).encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(id, digest_size=8, key=secret).digest(), "big") < bound

    return test


def _disagrees(given: Any) -> Test:
    if not isinstance(given, dict) or not given.keys() <= {"with", "gap"}:
        raise InvalidInput('when: "disagrees" takes {"with": name of the second model, "gap": 0.3} or parts of it')
    name = given.get("with")
    if name is not None and not isinstance(name, str):
        raise InvalidInput(f'when: "with" names a second model, not {_named(name)}')
    gap = _number("gap", given["gap"], 0.0, 1.0) if "gap" in given else None

    def test(moment: Moment) -> bool:
        context = moment.get("context")
        second = context.get("second") if isinstance(context, Mapping) else None
        if not isinstance(second, Mapping):
            return False
        answers = second.values() if name is None else [second[name]] if name in second else []
        return any(_apart(moment, answer, gap) for answer in answers)

    return test


def _apart(moment: Moment, answer: Any, gap: float | None) -> bool:
    whole = isinstance(answer, Mapping)
    if (answer.get("output") if whole else answer) != moment.get("output"):
        return True
    if gap is None or not whole:
        return False
    mine, its = moment.get("confidence"), answer.get("confidence")
    return _is_number(mine) and _is_number(its) and abs(mine - its) >= gap


def margin(moment: Moment) -> Any:
    """The confidence in the answer less that in the best other one; absent where one of them is."""
    mine = moment.get("confidence")
    best = None
    for other in moment.get("alternatives") or ():
        value, its = (
            (other.get("value"), other.get("confidence"))
            if isinstance(other, Mapping)
            else (getattr(other, "value", None), getattr(other, "confidence", None))
        )
        if _is_number(its) and value != moment.get("output") and (best is None or its > best):
            best = its
    return mine - best if _is_number(mine) and best is not None else _ABSENT


def _reader(path: Sequence[str]) -> Callable[[Moment], Any]:
    """What stands at a path, or _ABSENT. A number in it counts places in a list, from its end below zero."""
    if list(path) == ["margin"]:
        return margin
    root, rest = path[0], [(name, _place(name)) for name in path[1:]]
    if not rest:
        return lambda moment: moment.get(root, _ABSENT)

    def read(moment: Moment) -> Any:
        found = moment.get(root, _ABSENT)
        for name, place in rest:
            if isinstance(found, Mapping):
                found = found.get(name, _ABSENT)
            elif isinstance(found, list | tuple) and place is not None and -len(found) <= place < len(found):
                found = found[place]
            else:
                return _ABSENT
        return found

    return read


def _place(name: str) -> int | None:
    digits = name.removeprefix("-")
    return int(name) if digits.isascii() and digits.isdigit() and len(digits) < 7 else None


def _comparison(operator: str, value: Any) -> Callable[[Any], bool]:
    """Whether something found at a path stands to `value` as `operator` says."""
    match operator:
        case "below":
            bound = _number(operator, value)
            return lambda found: _is_number(found) and found < bound
        case "above":
            bound = _number(operator, value)
            return lambda found: _is_number(found) and found > bound
        case "equals":
            same = _scalar(operator, value)
            return lambda found: _scalars(found) and _plain(found) == same
        case "in":
            if not isinstance(value, list) or len(value) > MOST_VALUES:
                raise InvalidInput(f'when: "in" takes a list of at most {MOST_VALUES} values')
            values = frozenset(_scalar(operator, one) for one in value)
            return lambda found: _scalars(found) and _plain(found) in values
        case "contains":
            part = _scalar(operator, value)
            return lambda found: _contains(found, value, part)
        case "length":
            if not isinstance(value, dict) or not value or not value.keys() <= {"below", "above", "equals"}:
                raise InvalidInput('when: "length" takes {"below": n}, {"above": n} or {"equals": n}')
            tests = [_comparison(name, _number(name, bound)) for name, bound in value.items()]
            return lambda found: isinstance(found, str | list | tuple | dict) and all(t(len(found)) for t in tests)
        case "missing":
            if not isinstance(value, bool):
                raise InvalidInput('when: "missing" is true or false')
            return lambda found: (found is _ABSENT or found is None) is value
    operators = ("below", "above", "equals", "in", "contains", "length", "missing")
    raise InvalidInput(f"when: no comparison {_short(operator)}; {_nearest(operator, operators)}")


def _contains(found: Any, value: Any, part: Any) -> bool:
    if isinstance(found, str):
        return isinstance(value, str) and value in found
    return isinstance(found, list | tuple) and any(_scalars(one) and _plain(one) == part for one in found)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scalars(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _plain(value: Any) -> Any:
    """A scalar so that, unlike in Python, true is not 1."""
    return ("boolean", value) if isinstance(value, bool) else value


def _scalar(operator: str, value: Any) -> Any:
    if not _scalars(value):
        raise InvalidInput(f"when: {operator!r} takes a text, a number, true, false or null, not {_named(value)}")
    return _plain(value)


def _number(name: str, value: Any, low: float | None = None, high: float | None = None) -> float:
    if not _is_number(value):
        raise InvalidInput(f"when: {name!r} takes a number, not {_named(value)}")
    if low is not None and high is not None and not low <= value <= high:
        raise InvalidInput(f"when: {name!r} is between {low:g} and {high:g}, not {value:g}")
    return value  # type: ignore[no-any-return]


def _nearest(name: Any, names: Any) -> str:
    near = difflib.get_close_matches(str(name), sorted(names), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(names))}"


def _named(value: Any) -> str:
    return {list: "a list", dict: "an object", str: "a text", type(None): "null", bool: "true or false"}.get(
        type(value), "a number"
    )


def _short(value: Any) -> str:
    text = str(value)
    return repr(text if len(text) <= 40 else text[:37] + "…")
