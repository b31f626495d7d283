"""Phoenix's annotations of spans and traces as our feedback.

An annotation is one per (name, span, identifier): sent again, it replaces what was said before. Its `result` may hold
a label, a score and an explanation at once: the label is the verdict where it plainly is one ("correct"), else the
score; whatever is not the verdict is kept beside it in the context.
"""

import hashlib
from typing import Any, Literal

from everloop.errors import InvalidInput
from everloop.interop.judgement import (
    MAX_NAME,
    NOTHING_DECLARED,
    Declared,
    Judgement,
    Source,
    feedback_of,
    number,
    object_field,
    optional_text,
    person_of,
    scale_of,
    shown,
    text_field,
)

Target = Literal["span", "trace"]
_KINDS: dict[str, Source] = {"HUMAN": "user", "LLM": "system", "CODE": "system"}


def annotations(body: Any) -> list[Any]:
    """The annotations of a request, each still to be read."""
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, list):
        raise InvalidInput(f'send {{"data": [annotation, …]}}, not {shown(data if isinstance(body, dict) else body)}')
    return data


def annotation_id(target: Target, about: str, name: str, identifier: str) -> str:
    """The id of the feedback an annotation is kept as: the same for the same name, target and identifier.

    >>> annotation_id("span", "ab", "quality", "") == annotation_id("span", "ab", "quality", "")
    True
    """
    key = "\0".join((target, about, name, identifier))
    return f"phoenix.{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def about(given: Any, target: Target) -> str:
    """The id of the span or trace an annotation speaks of."""
    if not isinstance(given, dict):
        raise InvalidInput(f"an annotation is an object, not {shown(given)}")
    return text_field(given, f"{target}_id").strip()


def feedback(
    given: Any, target: Target, interaction: str, declared: Declared = NOTHING_DECLARED
) -> list[dict[str, Any]]:
    """The fields of the feedback that an annotation of a span or trace is; `interaction` is what it is put to.

    >>> said = {"span_id": "ab", "name": "quality", "annotator_kind": "HUMAN", "result": {"label": "good", "score": 1}}
    >>> [(f["kind"], f["value"], f["context"]["score"]) for f in feedback(said, "span", "ab")]
    [('thumb', 'up', 1.0)]
    """
    named = about(given, target)
    name = text_field(given, "name", MAX_NAME)
    kind = given.get("annotator_kind", "HUMAN")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InvalidInput(f"annotator_kind: one of {', '.join(_KINDS)}, got {str(kind)[:40]!r}")
    result = object_field(given, "result")
    label, explanation = optional_text(result, "label"), optional_text(result, "explanation")
    score = None if result.get("score") is None else number(result["score"], "score")
    subject, metadata = person_of(object_field(given, "metadata"))
    identifier = optional_text(given, "identifier") or ""
    context: dict[str, Any] = {"tool": "phoenix", "by": kind}
    if metadata:
        context["metadata"] = metadata
    if identifier:
        context["identifier"] = identifier
    if named != interaction:
        context[target] = named
    one = Judgement(
        id=annotation_id(target, named, name, identifier), interaction=interaction, name=name, value="",
        context=context, source=_KINDS[kind], rationale=explanation, scale=scale_of(metadata), subject=subject,
    )  # fmt: skip
    if label is None and score is None:
        if explanation is None:
            raise InvalidInput("result: say at least one of label, score and explanation")
        return feedback_of(one._replace(role="words", value=explanation, rationale=None), declared)
    return _verdict(one, label, score, declared)


def _verdict(one: Judgement, label: str | None, score: float | None, declared: Declared) -> list[dict[str, Any]]:
    if label is None or (score is not None and one.name in declared.outcomes):
        assert score is not None
        beside = {} if label is None else {"label": label}
        return feedback_of(one._replace(value=score, context={**one.context, **beside}), declared)
    if score is None:
        return feedback_of(one._replace(value=label), declared)
    said = feedback_of(one._replace(value=label, context={**one.context, "score": score}), declared)
    if said[0]["kind"] != "comment":
        return said
    return feedback_of(one._replace(value=score, context={**one.context, "label": label}), declared)


def note(given: Any, id: str) -> dict[str, Any]:
    """The comment that a note on a span is; notes add up, so `id` is a new one."""
    data = object_field(given, "data") if isinstance(given, dict) else {}
    fields = {"id": id, "interaction": text_field(data, "span_id").strip(), "kind": "comment"}
    return {**fields, "value": text_field(data, "note"), "context": {"name": "note", "tool": "phoenix"}}


def says(status: int, message: str, kind: str) -> dict[str, Any]:
    """An error as Phoenix's API words it."""
    return {"detail": message}
