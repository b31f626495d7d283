"""Declaring a loop: what was asked for, merged into what is there, and checked as a whole."""

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from everloop import registry, train
from everloop.collect.incoming import check_label
from everloop.collect.signals import check_signals
from everloop.errors import InvalidInput
from everloop.label import paid
from everloop.types import LoopSpec, Policy, Spec

_LONGEST_NAME = 100  # of a variant: it travels in a header


def declared(there: LoopSpec, declaration: Mapping[str, Any]) -> LoopSpec:
    """The loop `there` with what `declaration` changes; InvalidInput for a field or a value that can't be."""
    fields: dict[str, Any] = {k: v for k, v in declaration.items() if v is not None}
    unknown = sorted(set(fields) - set(LoopSpec.__struct_fields__) | {"name", "at"} & set(fields))
    if unknown:
        known = ", ".join(f for f in LoopSpec.__struct_fields__ if f not in ("name", "at"))
        raise InvalidInput(f"a loop has no {unknown[0]!r}; it has {known}")
    if isinstance(fields.get("trainer"), str):
        fields["trainer"] = Spec(name=fields["trainer"])
    if isinstance(fields.get("policy"), Mapping):
        fields["policy"] = {**msgspec.to_builtins(there.policy), **fields["policy"]}
    try:
        merged = {**msgspec.to_builtins(there), **msgspec.to_builtins(fields)}
        spec = msgspec.convert(merged, LoopSpec)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"loop {there.name!r}: {' '.join(str(error).split()).replace('$.', '')}") from None
    for label in spec.labels:
        check_label(label, (), None)
    if len(set(spec.labels)) < len(spec.labels):
        raise InvalidInput(f"loop {there.name!r}: a label is there twice")
    if spec.trainer.name != "auto":
        train.trainer(spec.trainer)
    for rule in spec.policy.rules:
        registry.find("rule", rule)
    for source in spec.policy.sources:
        paid(source)  # also says which of its args can't be
    _check_policy(spec.policy)
    _check_variants(spec)
    check_signals(spec.signals)
    for rule in spec.derive:
        registry.find("signal", rule)
    return spec


def _check_policy(policy: Policy) -> None:
    shares = {"near_duplicate": (0.1, 1), "golden_share": (0, 0.9), "margin": (0, 1), "auto_weight": (0, 1),
              "auto_error": (0, 0.5)}  # fmt: skip
    for name, (low, high) in shares.items():
        if not low <= getattr(policy, name) <= high:
            raise InvalidInput(f"policy {name}={getattr(policy, name)}: must be between {low} and {high}")
    if not policy.auto_confidence >= 0:
        raise InvalidInput(f"policy auto_confidence={policy.auto_confidence}: must be 0 or more; above 1 means never")
    if policy.auto_by not in ("", "class") and not re.fullmatch(r"slice:[^\s=&]+", policy.auto_by):
        raise InvalidInput(f'policy auto_by={policy.auto_by[:80]!r}: "", "class", or "slice:" and the name of one: '
                           '"slice:channel"')  # fmt: skip
    if not 0.5 <= policy.level < 1:
        raise InvalidInput(f"policy level={policy.level}: must be at least 0.5 and below 1")
    for name in ("review_budget", "review_fresh", "trigger_feedback", "trigger_seconds", "auto_audit", "auto_notice"):
        if getattr(policy, name) < 0:
            raise InvalidInput(f"policy {name}={getattr(policy, name)}: can't be negative")


def _check_variants(spec: LoopSpec) -> None:
    names = [variant.name for variant in spec.variants]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidInput(f"loop {spec.name!r}: variant {twice!r} is there twice")
    for variant in spec.variants:
        if not (variant.name.isprintable() and variant.name.strip() and len(variant.name) <= _LONGEST_NAME):
            raise InvalidInput(f"variant {variant.name[:_LONGEST_NAME]!r}: a name is one line of 1 to {_LONGEST_NAME} "
                               "characters")  # fmt: skip
        if not variant.url.startswith(("http://", "https://")):
            raise InvalidInput(f"variant {variant.name!r}: url {variant.url!r} must start with http:// or https://")
        if not (math.isfinite(variant.weight) and variant.weight >= 0):
            raise InvalidInput(f"variant {variant.name!r}: weight {variant.weight} must be 0 or more")
        if not variant.timeout_s > 0 or variant.retries < 0:
            raise InvalidInput(f"variant {variant.name!r}: timeout_s must be above 0, and retries 0 or more")
    if spec.variants and not any(variant.weight for variant in spec.variants):
        raise InvalidInput(f"loop {spec.name!r}: one variant at least needs a weight above 0")
