"""An input or an answer as a page shows it: who said what, in texts, attachments and calls, cut to a budget."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from markupsafe import escape

from everloop.collect.media import AUDIO, IMAGES, VIDEO
from everloop.types import Attachment, Input, Interaction

_SHOWN = {**dict.fromkeys(IMAGES, "image"), **dict.fromkeys(AUDIO, "audio"), **dict.fromkeys(VIDEO, "video")}
_LONGEST = 12_000  # bytes of one block, escaped
_NUMBERS = 24  # of a vector
_TURNS = 200  # of a conversation; the middle is left out
_DEEPEST = 64
PARAMETERS = "asked with"
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function", "model"})


class Block(NamedTuple):
    """One piece of what was said."""

    kind: str  # text, image, audio, video, file, address, call, data
    text: str  # what to show; of an attachment, its name or nothing
    cut: bool = False  # there is more of it
    attachment: Attachment | None = None
    name: str = ""  # of a call


class Said(NamedTuple):
    """What one role said at one time."""

    role: str
    blocks: list[Block]


class Budget:
    """How many bytes of other people's text a page may still hold, counted as they will be sent."""

    def __init__(self, left: int):
        self.left = left

    def cut(self, text: str, most: int = _LONGEST) -> tuple[str, bool]:
        """As much of `text` as fits, and whether that is less than all."""
        room = max(0, min(self.left, most))
        shown = text[:room]
        while (size := len(str(escape(shown)).encode("utf-8", "replace"))) > room:
            shown = shown[: min(len(shown) * room // size, len(shown) - 1)]
        self.left -= size
        return shown, len(shown) < len(text)

    def text(self, kind: str, text: str, name: str = "", most: int = _LONGEST) -> Block:
        """A block of that text."""
        shown, cut = self.cut(text, most)
        return Block(kind, shown, cut, name=name)


def asked(given: Input, budget: Budget) -> list[Said]:
    """An input, whatever its kind."""
    if isinstance(given, str):
        return [Said("", [budget.text("text", given)])]
    if isinstance(given, list):
        shown = ", ".join(f"{x:g}" for x in given[:_NUMBERS])
        more = f", … ({len(given):,} numbers)" if len(given) > _NUMBERS else ""
        return [Said("", [Block("data", shown + more)])]
    place = next((one for one in ("messages", "input") if _conversation(given.get(one))), None)
    if place is None:
        return [Said("", [*_attached(given), budget.text("data", _plain(given))])]
    messages = given[place]
    system = given.get("system")
    said = [Said("system", list(_content(system, budget)))] if system else []
    middle = len(messages) - _TURNS
    for at, message in enumerate(messages):
        if middle > 0 and at == _TURNS // 2:
            said.append(Said("", [Block("data", f"{middle:,} messages in between are not shown", True)]))
        if middle <= 0 or not _TURNS // 2 <= at < _TURNS // 2 + middle:
            said.append(_said(message, budget))
    # What is said is of more use than how it was asked for, so that comes last.
    rest = {key: value for key, value in given.items() if key not in {place, "system"} and value is not None}
    if rest:
        said.append(Said(PARAMETERS, [budget.text("data", _plain(rest), most=4_000)]))
    return said


def answered(it: Interaction, budget: Budget) -> Said | None:
    """What the model gave; None where it abstained or failed."""
    if it.message is not None:
        return _said({"role": "assistant", **it.message}, budget)
    return None if it.output is None else Said("", [budget.text("text", it.output)])


def _conversation(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _said(message: Mapping[str, Any], budget: Budget) -> Said:
    role = message.get("role")
    blocks: list[Block] = []
    known = {"role", "content", "parts", "tool_calls", "refusal", "audio"}
    for field in ("content", "parts", "audio"):
        if message.get(field) is not None:
            blocks += _content(message[field], budget)
    if isinstance(message.get("refusal"), str):
        blocks.append(budget.text("text", message["refusal"], name="refusal"))
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        blocks.append(_call(call, budget))
    rest = {key: value for key, value in message.items() if key not in known and value not in (None, [], {}, "")}
    if rest:
        blocks.append(budget.text("data", _plain(rest), most=2_000))
    return Said(role if isinstance(role, str) and role in _ROLES else "other", blocks)


def _content(content: Any, budget: Budget) -> Iterator[Block]:
    if isinstance(content, str):
        yield budget.text("text", content)
        return
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            yield budget.text("text", part)
            continue
        found = _attached(part)
        yield from found
        words = _words(part)
        if words is not None:
            yield budget.text("text", words)
        elif isinstance(part, dict) and part.get("type") in ("tool_call", "tool_use", "function_call"):
            yield _call(part, budget)
        elif (address := _address(part)) is not None:
            yield budget.text("address", address, most=1_000)
        elif not found:
            yield budget.text("data", _plain(part))


def _words(part: Any) -> str | None:
    """The text of a part that is one, in any of the shapes there are."""
    if not isinstance(part, dict):
        return None
    for field in ("text", "content", "refusal", "transcript"):
        if isinstance(part.get(field), str) and (part.get("type") != "blob" or field != "content"):
            return str(part[field])
    return None


def _address(part: Any) -> str | None:
    """Where a part that was not sent along is to be found. It is shown as a text: a page fetches nothing."""
    if not isinstance(part, dict):
        return None
    for one in (part, *(inner for inner in part.values() if isinstance(inner, dict))):
        for field in ("url", "image_url", "uri", "file_id"):
            if isinstance(one.get(field), str):
                return str(one[field])
    return None


def _call(call: Any, budget: Budget) -> Block:
    inner = call.get("function", call) if isinstance(call, dict) else {}
    inner = inner if isinstance(inner, dict) else {}
    name = inner.get("name")
    given = next((inner[one] for one in ("arguments", "input", "content") if one in inner), inner or call)
    text = given if isinstance(given, str) else _plain(given)
    return budget.text("call", text, name=budget.cut(name, 200)[0] if isinstance(name, str) else "tool")


def _attached(value: Any, levels: int = _DEEPEST) -> list[Block]:
    """The attachments in a value, in order."""
    if isinstance(value, dict):
        if isinstance(value.get("blob"), str) and isinstance(value.get("media"), str):
            return [attachment(value)]
        value = list(value.values())
    if not isinstance(value, list) or not levels:
        return []
    return [block for inner in value for block in _attached(inner, levels - 1)]


def attachment(value: Mapping[str, Any]) -> Block:
    """The block of an attachment's reference; what is shown in place was recognised by its bytes."""
    name, size = value.get("name"), value.get("size")
    made = Attachment(
        hash=str(value["blob"]), media=str(value["media"])[:160], size=size if isinstance(size, int) else 0, where="",
        name=name[:200] if isinstance(name, str) else None,
    )  # fmt: skip
    known = len(made.hash) == 64 and made.hash.isalnum() and made.hash.isascii()
    if not known:
        return Block("data", made.name or made.hash[:200])
    return Block(_SHOWN.get(made.media, "file"), made.name or "", attachment=made)


def _plain(value: Any) -> str:
    try:
        return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    except (msgspec.MsgspecError, RecursionError, TypeError, ValueError):
        return "(it can't be shown)"
