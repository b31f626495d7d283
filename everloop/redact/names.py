"""Names and places, which have no pattern: Presidio and a language model of spaCy, from the `pii` extra."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from everloop.errors import InvalidInput
from everloop.redact.recogniser import Span

_TYPES = {"PERSON": "person", "LOCATION": "place", "NRP": "group", "ORGANIZATION": "organisation"}


class Presidio(NamedTuple):
    """A finder that asks Presidio; make it with `presidio()`, once, since it loads a language model."""

    engine: Any  # presidio_analyzer.AnalyzerEngine
    language: str
    types: dict[str, str]  # Presidio's entity types and what they are called here
    least: float  # scores below it are not believed, 0..1

    @property
    def names(self) -> tuple[str, ...]:
        """What the entity types are called here."""
        return tuple(self.types.values())

    def find(self, text: str) -> Iterable[Span]:
        """What Presidio is sure enough of."""
        results = self.engine.analyze(
            text=text, language=self.language, entities=list(self.types), score_threshold=self.least
        )
        return [Span(found.start, found.end, self.types[found.entity_type]) for found in results]


def presidio(
    language: str = "en",
    *,
    model: str = "en_core_web_lg",
    types: dict[str, str] | None = None,
    least: float = 0.5,
    engine: Any = None,
) -> Presidio:
    """A finder of persons and places (and, if `types` asks for them, groups and organisations) for `redact`.

    `model` is a spaCy model that is installed; nothing is downloaded. With `engine`, an
    `AnalyzerEngine` of your own is asked, and `types` may name any entity type it knows. Raises InvalidInput where
    the extra or the model is not installed. Source: https://microsoft.github.io/presidio/analyzer/
    """
    if engine is None:
        try:
            import spacy.util  # type: ignore[import-not-found,unused-ignore]
            from presidio_analyzer import AnalyzerEngine  # type: ignore[import-not-found,unused-ignore]
            from presidio_analyzer.nlp_engine import (  # type: ignore[import-not-found,unused-ignore]
                NlpEngineProvider,
            )
        except ImportError:
            raise InvalidInput("Presidio is not installed; run: pip install 'everloop[pii]'") from None
        if not spacy.util.is_package(model):  # Presidio would download it, or end the process
            raise InvalidInput(f"spaCy's model {model!r} is not installed; run: python -m spacy download {model}")
        configuration = {"nlp_engine_name": "spacy", "models": [{"lang_code": language, "model_name": model}]}
        engine = AnalyzerEngine(
            nlp_engine=NlpEngineProvider(nlp_configuration=configuration).create_engine(),
            supported_languages=[language],
        )
    chosen = types or {name: _TYPES[name] for name in ("PERSON", "LOCATION")}
    return Presidio(engine, language, chosen, least)
