"""What `everloop init` is told of variants, on the command line and in a file."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from everloop.errors import InvalidInput
from everloop.types import LoopSpec, Price, Variant

_PLAIN = {info.name: info.type for info in msgspec.structs.fields(Variant) if info.name not in {"params", "price"}}
_PRICES = {f"price.{info.name}": info.type for info in msgspec.structs.fields(Price)}
_PARAMS = "params."


def read_variants(given: Sequence[Sequence[str]], there: Any) -> list[dict[str, Any]]:
    """The variants that are `there`, changed by each ``name=… url=… model=…``; one with a new name is added.

    Raises InvalidInput with one line for a word that can't be.
    """
    known = msgspec.to_builtins(there)
    if not isinstance(known, list | tuple) or not all(isinstance(one, dict) and "name" in one for one in known):
        raise InvalidInput("variants: expected a list of objects, each with a name")
    made = {one["name"]: one for one in known}
    for words in given:
        fields = _fields(words)
        name = fields.get("name")
        if not name:
            raise InvalidInput(f"--variant {' '.join(words)}: say which one with name=…")
        old = made.get(name, {})
        merged = {**old, **fields}
        for part in ("params", "price"):
            merged[part] = {**old.get(part, {}), **fields.get(part, {})}
        missing = [f"{field}=…" for field in ("url", "model") if not merged.get(field)]
        if missing:
            raise InvalidInput(f"--variant name={name}: it is new, so it needs {' and '.join(missing)} too")
        made[name] = merged
    return list(made.values())


def _fields(words: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise InvalidInput(f"--variant {word!r}: write it as KEY=VALUE")
        if key.startswith(_PARAMS) and len(key) > len(_PARAMS):
            found.setdefault("params", {})[key.removeprefix(_PARAMS)] = _json_or_text(text)
        elif key in _PRICES:
            found.setdefault("price", {})[key.removeprefix("price.")] = _converted(word, text, _PRICES[key])
        elif key in _PLAIN:
            found[key] = _converted(word, text, _PLAIN[key])
        else:
            near = difflib.get_close_matches(key, (*_PLAIN, *_PRICES), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join((*_PLAIN, *_PRICES))}, params.…"
            raise InvalidInput(f"--variant: no field called {key!r}; {hint}")
    return found


def _converted(word: str, text: str, kind: Any) -> Any:
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"--variant {word}: {str(error)[0].lower()}{str(error)[1:]}") from None


def _json_or_text(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def read_declaration(path: str, name: str) -> dict[str, Any]:
    """The fields of a loop in a JSON file, as ``everloop init NAME --json`` prints them; raises InvalidInput."""
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(f"--declare {path}: {(error.strerror or str(error)).lower()}") from None
    try:
        found = msgspec.json.decode(raw.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{path}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidInput(f"{path}: expected one JSON object, the fields of a loop")
    if found.get("name", name) != name:
        raise InvalidInput(f"{path}: declares loop {found['name']!r}, not {name!r}")
    return {key: value for key, value in found.items() if key not in {"name", "at"}}


def next_steps(spec: LoopSpec, base: str, home: str) -> str:
    """What to do with a loop that variants answer."""
    if not spec.variants:
        return f"""
next: say who answers, any OpenAI-compatible API
  everloop init {spec.name}{home} --variant name=a url=https://api.openai.com/v1 model=gpt-5-mini \\
    key_env=OPENAI_API_KEY"""
    return f"""
next:
  everloop up{home}
then give your OpenAI client this base_url, and the loop as its model:
  from openai import OpenAI
  client = OpenAI(base_url="{base}/v1", api_key="none")
  answer = client.chat.completions.create(model="loop:{spec.name}", user="who asks",
                                          messages=[{{"role": "user", "content": "where is my card?"}}])
the answer's id is what feedback speaks of:
  curl -X POST {base}/v1/feedback -d '{{"interaction": "ID", "kind": "thumb", "value": "up"}}'"""
