"""Rows with columns of any names: which column is what, and a row as what it brings."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from everloop.errors import InvalidInput
from everloop.interop import messages
from everloop.interop.pieces import Piece, moment

_CONTEXT = "context."  # a column context.channel is the interaction's context "channel"; slices are read from there
_WHOLE = ("tokens_in", "tokens_out")
_NUMBERS = ("confidence", "propensity", "cost", "latency_ms", "first_token_ms")
_TEXTS = ("output", "id", "subject", "session", "variant", "trace", "status", "error", "model")
_VALUES = ("context", "consent", "message")
_SAID = ("thumb", "rating", "correction", "comment")  # feedback that a row brings with it
FIELDS = (
    "input", "messages", "label", "split", "at", *_TEXTS, *_VALUES, *_NUMBERS, *_WHOLE, *_SAID, "rationale",
)  # fmt: skip
# What each field is called elsewhere, the surest first; compared without case and punctuation.
_CALLED = {
    "input": "input question prompt query text utterance sentence user_input user_message user_query instruction",
    "messages": "messages conversation chat",
    "output": "output answer response completion reply prediction predicted generation model_output bot_response",
    "label": "label target intent category class expected expected_output ground_truth gold reference correct_answer",
    "correction": "correction corrected corrected_output edited",
    "id": "id interaction_id request_id uuid",
    "at": "at timestamp created_at created createdat time datetime date",
    "subject": "subject user_id userid user customer_id",
    "session": "session session_id sessionid conversation_id thread_id",
    "trace": "trace trace_id traceid",
    "variant": "variant model_name model",
    "thumb": "thumb thumbs user_feedback feedback liked vote",
    "rating": "rating stars user_rating csat",
    "comment": "comment user_comment",
    "tokens_in": "tokens_in prompt_tokens input_tokens",
    "tokens_out": "tokens_out completion_tokens output_tokens",
}
_UP = frozenset({"up", "1", "+1", "true", "yes", "thumbs_up", "like", "liked", "positive", "good", "👍"})
_DOWN = frozenset({"down", "0", "-1", "false", "no", "thumbs_down", "dislike", "disliked", "negative", "bad", "👎"})
_SCALES = (1.0, 5.0, 10.0, 100.0)
_FEW = 0.2  # a column of texts of which at most so many are different is taken for the label
_ENOUGH, _SHORT = 20, 60  # rows needed to say so, and characters at most


class Columns(NamedTuple):
    """What each column is."""

    fields: dict[str, str]  # column -> field
    scale: float = 5.0  # of ratings
    guessed: tuple[str, ...] = ()  # in words: what was not called by its own name


def mapped(given: Sequence[str]) -> dict[str, str]:
    """`field=column` pairs as column -> field; InvalidInput for a field there is not.

    >>> mapped(["input=question", "context.channel=source"])
    {'question': 'input', 'source': 'context.channel'}
    """
    found: dict[str, str] = {}
    for pair in given:
        field, separator, column = pair.partition("=")
        if not separator or not column:
            raise InvalidInput(f"--map {pair[:60]!r}: write it as field=column, like input=question")
        if field not in FIELDS and not (field.startswith(_CONTEXT) and field != _CONTEXT):
            known = f"{', '.join(FIELDS)}, context.NAME"
            raise InvalidInput(f"--map {pair[:60]!r}: no field {field[:40]!r}; there are {known}")
        if column in found:
            raise InvalidInput(f"--map {pair[:60]!r}: column {column[:40]!r} is {found[column]} already")
        found[column] = field
    return found


def guess(rows: Sequence[Mapping[str, Any]], told: Mapping[str, str]) -> Columns:
    """Which column is what, from the names and the first `rows`; what is `told` (column -> field) stands.

    InvalidInput where a column that was told is not there, or none can be the input.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    for column in told:
        if column not in names:
            raise InvalidInput(f"no column {column[:60]!r}; there are: {_listed(names)}")
    found, guessed = dict(told), []
    for name in names:  # our own names first: whoever uses them means them
        if name not in found and name in FIELDS and name not in found.values():
            found[name] = name
    plain = {_plain(name): name for name in reversed(names)}
    for field, called in _CALLED.items():
        if field in found.values() or (field in {"input", "messages"} and {"input", "messages"} & set(found.values())):
            continue
        like = next((plain[c] for c in called.split() if c in plain and plain[c] not in found), None)
        if like is not None and _fits(field, like, rows):
            found[like] = field
            guessed.append(f"{like} as {field}")
    texts = [name for name in names if name not in found and _is_text(name, rows)]
    if not {"input", "messages"} & set(found.values()):
        if not texts:
            raise InvalidInput(f"no column can be the input; there are: {_listed(names)} (--map input=COLUMN says it)")
        longest = max(texts, key=lambda name: sum(len(str(row.get(name) or "")) for row in rows))
        found[longest] = "input"
        texts.remove(longest)
        guessed.append(f"{longest} as input")
    if not {"label", "output", "messages"} & set(found.values()):
        few = next((name for name in texts if _repeats(name, rows)), None)
        if few is not None:
            found[few] = "label"
            guessed.append(f"{few} as label")
    return Columns(found, _scale(found, rows), tuple(guessed))


def read(row: Mapping[str, Any], columns: Columns, left_out: dict[str, None], *, parse: bool = False,
         loose: bool = False) -> Piece:  # fmt: skip
    """A row as an interaction with its label and feedback; a blank cell is an absent one, but for the input.

    Names of columns that are nothing are added to `left_out`. With `parse` a text in the input is JSON; with `loose` a
    number may stand where a text must. Raises InvalidInput with one line that names the field.
    """
    given: dict[str, Any] = {}
    context: dict[str, Any] = {}
    for name, value in row.items():
        field = columns.fields.get(name, name if name.startswith(_CONTEXT) else None)
        if field is None:
            left_out[name] = None
        elif field == "input":
            given["input"] = _parsed(value) if parse else value
        elif value is None or value == "":
            continue
        elif field.startswith(_CONTEXT):
            context[field.removeprefix(_CONTEXT)] = value
        else:
            given[field] = _converted(field, value, loose=loose)
    if "messages" in given:
        _converse(given, given.pop("messages"))
    if loose and isinstance(given.get("input"), int | float):
        given["input"] = str(given["input"])
    if isinstance(given.get("input"), list) and messages.dicts(given["input"]):
        given["input"] = {"messages": given["input"]}
    if context and isinstance(own := given.get("context", {}), dict):
        given["context"] = {**own, **context}
    label, split, rationale = given.pop("label", None), given.pop("split", None), given.pop("rationale", None)
    if label is None and split is not None:
        raise InvalidInput("split says where a label goes, and this row has no label")
    said = [_said(kind, given.pop(kind), columns.scale) for kind in _SAID if kind in given]
    if rationale is not None:
        said = [{**one, "rationale": rationale} if one["kind"] in {"thumb", "correction"} else one for one in said]
    return Piece(given, label, split, tuple(said))


def _converted(field: str, value: Any, *, loose: bool) -> Any:
    if field == "at":
        return moment(value, field)
    if field in _NUMBERS or field in _WHOLE:
        return _number(field, value, whole=field in _WHOLE)
    if field in _VALUES:
        said = messages.loads(value)
        if field == "consent" and isinstance(said, str):
            return [word.strip() for word in said.split(",") if word.strip()]
        return said
    if loose and isinstance(value, int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if field == "label" and not isinstance(value, str):
        raise InvalidInput(f"label: expected a text, got {type(value).__name__}")
    return value


def _converse(given: dict[str, Any], conversation: Any) -> None:
    """A conversation is the input; if it ends with the assistant's word and no output is given, that is the output."""
    said = messages.dicts(messages.loads(conversation))
    if not said:
        raise InvalidInput("messages: expected a list of messages, each with role and content")
    if said[-1].get("role") == "assistant" and "output" not in given:
        answer = messages.answer_of(said[-1])
        given["output"], said = answer.output, said[:-1]
        if answer.message is not None:
            given["message"] = answer.message
    given["input"] = {"messages": said}


def _said(kind: str, value: Any, scale: float) -> dict[str, Any]:
    if kind == "thumb":
        word = _thumb(value)
        if word is None:
            raise InvalidInput(f"thumb: expected up or down (or 1 and 0, yes and no), got {str(value)[:40]!r}")
        return {"kind": kind, "value": word}
    if kind == "rating":
        return {"kind": kind, "value": _number(kind, value, whole=False), "scale": scale}
    return {"kind": kind, "value": value}


def _thumb(value: Any) -> str | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    word = str(value).strip().casefold().replace(" ", "_")
    return "up" if word in _UP else "down" if word in _DOWN else None


def _number(field: str, value: Any, *, whole: bool) -> float | int:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise InvalidInput(f"{field}: expected a number, got {value[:40]!r}") from None
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value:  # noqa: PLR0124
        raise InvalidInput(f"{field}: expected a number, got {str(value)[:40]!r}")
    if not whole:
        return value
    count = messages.whole(value)
    if count is None:
        raise InvalidInput(f"{field}: expected a whole number, got {str(value)[:40]!r}")
    return count


def _parsed(text: Any) -> Any:
    found = messages.loads(text)
    if isinstance(found, str) or not isinstance(text, str):
        raise InvalidInput("the input is not JSON: a list of numbers or an object is expected")
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()).strip("_")


def _fits(field: str, column: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the first rows hold what the field takes."""
    values = [row[column] for row in rows if row.get(column) not in (None, "")]
    if field == "thumb":
        return bool(values) and all(_thumb(value) is not None for value in values)
    if field in {"at", "rating", "tokens_in", "tokens_out"}:
        try:
            for value in values:
                moment(value, field) if field == "at" else _number(field, value, whole=False)
        except InvalidInput:
            return False
        return bool(values)
    return not (field == "input" and values and all(isinstance(value, bool) for value in values))


def _is_text(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    values = [row[name] for row in rows if row.get(name) not in (None, "")]
    return bool(values) and all(isinstance(value, str) for value in values) and not all(_is_number(v) for v in values)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _repeats(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    values = [str(row[name]) for row in rows if row.get(name) not in (None, "")]
    few = 2 <= len(set(values)) <= max(2, _FEW * len(values))
    return len(values) >= _ENOUGH and few and max(map(len, values)) <= _SHORT


def _scale(fields: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> float:
    column = next((name for name, field in fields.items() if field == "rating"), None)
    if column is None:
        return 5.0
    values: list[float] = []
    for row in rows:
        try:
            values.append(_number("rating", row.get(column), whole=False))
        except InvalidInput:
            continue
    # A file of ones and noughts, or of ones and twos, may be on a scale of five as well; fractions are not.
    most = max(values, default=0.0)
    if any(not float(value).is_integer() for value in values) and most <= 1:
        return 1.0
    return next((scale for scale in _SCALES[1:] if most <= scale), 100.0)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name[:60] for name in names[:20]) + (", …" if len(names) > 20 else "") or "none"
