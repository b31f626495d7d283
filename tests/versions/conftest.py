"""A loop with a dataset version and the evidence behind it, without the cost of a turn."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import everloop
from everloop.curate.inputs import fingerprint
from everloop.types import DatasetVersion, Example, Interaction, Label, Ref, Spec
from everloop.versions import Editor
from everloop.wheel import Wheel

TEXTS = {"where is my card": "card", "i want my money back": "refund", "raise my limit": "limit",
         "the post lost it": "card", "a golden question": "card"}  # fmt: skip
Make = Callable[..., DatasetVersion]


def example(text: str, target: str, **more: Any) -> Example:
    id = fingerprint(text)
    return Example(**{
        "id": id, "loop": "support", "input": text, "target": target, "origin": "production", "split": "train",
        "group": id, "evidence": (f"i-{id}", f"l-{id}"), "subjects": ("u1",), **more,
    })  # fmt: skip


@pytest.fixture
def wheel(tmp_path: Any) -> Iterator[Wheel]:
    with everloop.open(tmp_path / "home") as wheel:
        wheel.loop("support", labels=["card", "refund", "limit"], signal="agents correct it", outcome="handoffs")
        yield wheel


@pytest.fixture
def first(wheel: Wheel) -> DatasetVersion:
    """v1 at main: five examples, one of them golden, one the machine's."""
    examples = []
    for text, label in TEXTS.items():
        id = fingerprint(text)
        wheel.store.records.put(
            Interaction(id=f"i-{id}", loop="support", at=1, input=text, output="refund", subject="u1",
                        redacted={"email": 1} if label == "limit" else {}),
            Label(id=f"l-{id}", interaction=f"i-{id}", loop="support", at=2, value=label, source="import"),
        )  # fmt: skip
        more: dict[str, Any] = {"split": "golden"} if "golden" in text else {}
        if label == "limit":
            more = {"origin": "auto", "weight": 0.5, "slices": ("channel=web",)}
        examples.append(example(text, label, **more))
    return wheel.store.datasets.commit(
        "support", examples, id="01a00000-0000-7000-8000-000000000001", parent=None, at=1,
        recipe=Spec(name="turn.v1", args={"turn": 1}), branch=Ref(id="main", loop="support", kind="branch", version=""),
    )  # fmt: skip


@pytest.fixture
def editor(wheel: Wheel) -> Editor:
    return Editor(wheel.store, wheel.get("support").spec, wheel.door, "ada", wheel.owner, 1.0)
