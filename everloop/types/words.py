"""Words that several records use."""

from typing import Any, Literal

# What a model answers about: a text, a vector of numbers (a small image, flattened), or a chat request as an object.
Input = str | list[float] | dict[str, Any]

Split = Literal["train", "golden", "test"]
Origin = Literal["production", "human", "auto", "synthetic"]
Stage = Literal["shadow", "canary", "live", "rolled_back", "retired"]
Outcome3 = Literal["pass", "fail", "inconclusive"]
Role = Literal["admin", "developer", "reviewer", "client", "publishable"]
