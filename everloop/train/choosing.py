"""Which trainer: the one a Spec names, or the one that fits the inputs."""

from collections.abc import Sequence
from typing import cast

from everloop import registry
from everloop.errors import InvalidInput
from everloop.train import linear_text, linear_vector
from everloop.train.inputs import describe, is_text, is_vector, matrix, texts
from everloop.train.protocols import Trainer
from everloop.types import Input, Spec

registry.register("trainer", linear_text.NAME, linear_text.LinearText)
registry.register("trainer", linear_vector.NAME, linear_vector.LinearVector)


def trainer(spec: Spec) -> Trainer:
    """The trainer that `spec` names, made with its arguments; raises InvalidInput for a name or argument unknown.

    The argument `seed` is not the trainer's but the run's: who calls `fit` reads it from the Spec.

    >>> type(trainer(Spec(name="linear_text.v1", args={"c": 1.0}))).__name__
    'LinearText'
    """
    plugin = registry.find("trainer", spec.name)
    try:
        return cast(Trainer, plugin(**{name: value for name, value in spec.args.items() if name != "seed"}))
    except TypeError as error:
        raise InvalidInput(f"{spec.name} can't be made with {spec.args}: {error}") from None


def choose(inputs: Sequence[Input]) -> Spec:
    """The trainer for such inputs: "linear_text.v1" for texts and chats, "linear_vector.v1" for lists of numbers.

    Raises InvalidInput for none at all, a mixture, vectors of several lengths, or anything else.

    >>> choose(["hello"]).name, choose([[0.5, 1.0]]).name
    ('linear_text.v1', 'linear_vector.v1')
    """
    if not inputs:
        raise InvalidInput("no trainer can be chosen without an input")
    text = [is_text(value) for value in inputs]
    if all(text):
        texts(inputs)
        return Spec(name=linear_text.NAME)
    if any(text):
        rest = describe(inputs[text.index(False)])
        raise InvalidInput(f"a loop takes one kind of input, but there are texts and {rest}")
    for value in inputs:
        if not is_vector(value):
            raise InvalidInput(f"no trainer takes {describe(value)}; give texts, chats or lists of numbers")
    matrix(inputs)
    return Spec(name=linear_vector.NAME)
