"""What trainers and labelling tools read: examples and preferences as their rows. Pure.

Sources: OpenAI's fine-tuning guide (chat JSONL), TRL's "Dataset formats and types" (prompt-completion and preference,
conversational), Label Studio's "Import pre-annotated data" (tasks), Argilla's reference of records.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from everloop.errors import InvalidInput
from everloop.types import Correction, Example, Feedback, Input, Interaction, Vote


class Pair(NamedTuple):
    """Two answers to the same input, and which of them people prefer."""

    input: Input
    chosen: str
    rejected: str
    source: str  # "correction", "vote"
    evidence: tuple[str, ...]  # ids of the interactions and the feedback
    votes: int  # how many more were for it than against it


class Pairs(NamedTuple):
    """What people prefer, and what it could not be read from."""

    pairs: list[Pair]
    undecided: int  # pairs for which as many voices were for the one as for the other
    unequal: int  # votes between answers to different inputs, or to one that is not there


def pairs(interactions: Mapping[str, Interaction], feedback: Iterable[Feedback]) -> Pairs:
    """Preferences from corrections (chosen: the correction, rejected: the model's answer) and votes.

    `interactions` by id. Voices for the same two answers to the same input are counted against each other, and a person
    who voted twice on the same two counts as they voted last. Answers that are not whole (broken off, failed) or empty
    are no answers; ties and "both bad" prefer nothing.
    """
    voices: dict[tuple[bytes, str, str], dict[str, tuple[bool, str, tuple[str, ...], Input]]] = {}
    unequal = 0
    for said in sorted(feedback, key=lambda f: (f.at, f.id)):
        if not isinstance(said, Correction | Vote):
            continue
        it = interactions.get(said.interaction)
        if it is None:
            unequal += isinstance(said, Vote)
            continue
        for better, worse, used in _preferred(said, it, interactions):
            if worse is None or better is None:
                unequal += 1
                continue
            if better == worse:
                continue
            first, second = sorted((better, worse))
            key = (msgspec.json.encode(it.input, order="sorted"), first, second)
            who = said.subject or said.id
            voices.setdefault(key, {})[who] = (
                better == first,
                str(said.__struct_config__.tag),
                (*used, said.id),
                it.input,
            )
    found, undecided = [], 0
    for (_, first, second), by_person in voices.items():
        lead = sum(1 if for_first else -1 for for_first, *_ in by_person.values())
        if lead == 0:
            undecided += 1
            continue
        chosen, rejected = (first, second) if lead > 0 else (second, first)
        source = "correction" if any(kind == "correction" for _, kind, _, _ in by_person.values()) else "vote"
        evidence = tuple(dict.fromkeys(id for _, _, ids, _ in by_person.values() for id in ids))
        given = next(iter(by_person.values()))[3]
        found.append(Pair(given, chosen, rejected, source, evidence, abs(lead)))
    return Pairs(found, undecided, unequal)


def _preferred(
    said: Correction | Vote, it: Interaction, interactions: Mapping[str, Interaction]
) -> list[tuple[str | None, str | None, tuple[str, ...]]]:
    """(better answer, worse answer, ids of the interactions); None for one that is no answer to the same input."""
    mine = _answer(it)
    if isinstance(said, Correction):
        return [(said.value, mine, (it.id,))] if mine and said.value else []
    others = tuple(dict.fromkeys(id for id in (said.other, *said.others) if id))
    if said.value in {"this", 1}:
        rivals, mine_first = others, True
    elif said.value == "other" or (isinstance(said.value, int) and said.other):
        rivals, mine_first = (said.other,) if said.other else others[:1], False
    else:
        return []
    found: list[tuple[str | None, str | None, tuple[str, ...]]] = []
    for id in rivals:
        rival = interactions.get(id)
        theirs = _answer(rival) if rival is not None and rival.input == it.input else None
        found.append((mine, theirs, (it.id, id)) if mine_first else (theirs, mine, (it.id, id)))
    return found


def _answer(it: Interaction) -> str | None:
    return it.output if it.status == "complete" and it.message is None and it.output else None


# --- rows -----------------------------------------------------------------------------------------------------------


def messages(given: Input) -> list[dict[str, Any]]:
    """An input as the messages of a chat, without the answer; InvalidInput for numbers.

    >>> messages("where is my card")
    [{'role': 'user', 'content': 'where is my card'}]
    """
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if isinstance(given, dict) and isinstance(given.get("messages"), list):
        return [dict(message) for message in given["messages"] if isinstance(message, dict)]
    if isinstance(given, dict):
        return [{"role": "user", "content": msgspec.json.encode(given, order="sorted").decode()}]
    raise InvalidInput("inputs that are numbers are no chat: export them as parquet, jsonl or csv")


def prompt(given: Input) -> str:
    """An input as one text: of a chat with more than a user's message, each message behind its role.

    >>> prompt({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]})
    'system: Be brief.\\n\\nuser: Hi'
    """
    said = messages(given)
    if len(said) == 1 and said[0].get("role") == "user":
        return _words(said[0].get("content"))
    return "\n\n".join(f"{one.get('role', 'user')}: {_words(one.get('content'))}" for one in said)


def _words(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [part.get("text") if isinstance(part, dict) else part for part in content]
        return "\n".join(
            text if isinstance(text, str) else msgspec.json.encode(part).decode()
            for text, part in zip(texts, content, strict=True)
        )
    return "" if content is None else msgspec.json.encode(content).decode()


def openai_row(example: Example) -> dict[str, Any]:
    """A line of OpenAI's fine-tuning JSONL."""
    row: dict[str, Any] = {"messages": [*messages(example.input), _assistant(example.target)]}
    if isinstance(example.input, dict) and example.input.get("tools"):
        row["tools"] = example.input["tools"]
    return row


def trl_row(example: Example) -> dict[str, Any]:
    """A line of TRL's conversational prompt-completion form."""
    return {"prompt": messages(example.input), "completion": [_assistant(example.target)]}


def dpo_row(pair: Pair) -> dict[str, Any]:
    """A preference as three texts."""
    return {"prompt": prompt(pair.input), "chosen": pair.chosen, "rejected": pair.rejected}


def trl_preference_row(pair: Pair) -> dict[str, Any]:
    """A line of TRL's conversational preference form."""
    return {"prompt": messages(pair.input), "chosen": [_assistant(pair.chosen)],
            "rejected": [_assistant(pair.rejected)]}  # fmt: skip


def labelstudio_task(example: Example) -> dict[str, Any]:
    """A task of Label Studio for ``<Text name="text" value="$text"/>`` and ``<Choices name="label" toName="text">``.

    A person's label is an annotation; a machine's a prediction, which somebody may confirm.
    """
    chosen = {"result": [{"from_name": "label", "to_name": "text", "type": "choices",
                          "value": {"choices": [example.target]}}]}  # fmt: skip
    made = example.origin in {"auto", "synthetic"}
    return {
        "data": {"text": shown(example.input), "example": example.id, "split": example.split, "origin": example.origin,
                 "slices": list(example.slices)},
        "predictions": [{"model_version": "everloop", **chosen}] if made else [],
        "annotations": [] if made else [chosen],
    }  # fmt: skip


def argilla_record(example: Example) -> dict[str, Any]:
    """A record of Argilla with a text field "text" and a label question "label".

    A response needs the id of one of Argilla's own users, so every label is a suggestion; its agent says whose.
    """
    return {
        "id": example.id, "fields": {"text": shown(example.input)},
        "metadata": {"split": example.split, "origin": example.origin, "weight": example.weight},
        "suggestions": {"label": {"value": example.target, "score": None, "agent": f"everloop {example.origin}"}},
        "responses": {}, "vectors": {},
    }  # fmt: skip


def shown(given: Input) -> str:
    """An input as a text that a person reads."""
    if isinstance(given, str):
        return given
    return prompt(given) if isinstance(given, dict) else msgspec.json.encode(given).decode()


def public(example: Example) -> dict[str, Any]:
    """An example without the people behind it: their pseudonyms stay at home."""
    return {name: getattr(example, name) for name in example.__struct_fields__ if name != "subjects"}


def _assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


# --- Parquet --------------------------------------------------------------------------------------------------------


def features(numbers: bool, classes: Sequence[str]) -> dict[str, Any]:
    """The columns of an exported table as Hugging Face's ``datasets`` describes them; without `classes` a label is a
    text."""
    text = {"dtype": "string", "_type": "Value"}
    return {
        "input": {"feature": {"dtype": "float64", "_type": "Value"}, "_type": "Sequence"} if numbers else text,
        "label": {"names": list(classes), "_type": "ClassLabel"} if classes else text,
        "split": text, "origin": text, "weight": {"dtype": "float64", "_type": "Value"},
        "depth": {"dtype": "int32", "_type": "Value"}, "slices": {"feature": text, "_type": "Sequence"},
        "group": text, "example": text,
    }  # fmt: skip


def columns(examples: Sequence[Example], numbers: bool, classes: Mapping[str, int]) -> dict[str, list[Any]]:
    """Examples column by column, as `features` says; `classes` gives each label's number."""
    return {
        "input": [e.input if numbers else _text(e.input) for e in examples],
        "label": [classes[e.target] if classes else e.target for e in examples],
        "split": [e.split for e in examples], "origin": [e.origin for e in examples],
        "weight": [e.weight for e in examples], "depth": [e.depth for e in examples],
        "slices": [list(e.slices) for e in examples], "group": [e.group for e in examples],
        "example": [e.id for e in examples],
    }  # fmt: skip


def _text(given: Input) -> str:
    return given if isinstance(given, str) else msgspec.json.encode(given, order="sorted").decode()


__all__ = ["Pair", "Pairs", "argilla_record", "columns", "dpo_row", "features", "labelstudio_task", "messages",
           "openai_row", "pairs", "prompt", "public", "shown", "trl_preference_row", "trl_row"]  # fmt: skip
