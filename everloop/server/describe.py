"""The API described from its table: an OpenAPI 3.1 document, and the rows of the API page. Schemas are the records'."""

import re
import types
import typing
from collections.abc import Sequence
from typing import Any

import msgspec

from everloop.server.bodies import Failure, Refused
from everloop.server.table import Operation

_REF = "#/components/schemas/{name}"
_JSON = "application/json"
_NDJSON = "application/x-ndjson"
_HTML = "text/html"
_EVENTS = "text/event-stream"
_PROTOBUF = "application/x-protobuf"
# A key, however it is sent; none where the installation has none.
_OPEN: tuple[dict[str, list[str]], ...] = ({"key": []}, {"typed": []}, {})


def openapi(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a table of operations (https://spec.openapis.org/oas/v3.1.0)."""
    refs, components = _schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for op in operations:
        paths.setdefault(op.path, {})[op.method.lower()] = _operation(op, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Everloop",
            "version": version,
            "summary": "An open, self-hosted data flywheel.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(op.tag for op in operations)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "A key: evl_…"},
                "typed": {"type": "http", "scheme": "basic", "description": "The key as the password."},
            },
        },
    }


def groups(operations: Sequence[Operation]) -> list[tuple[str, list[dict[str, Any]]]]:
    """(tag, operations) for the API page; a type is shown as (name, [(field, type, note)])."""
    _, components = _schemas(operations)
    found: dict[str, list[dict[str, Any]]] = {}
    for op in operations:
        found.setdefault(op.tag, []).append(
            {
                **op._asdict(),
                "query": [(name, "string", meaning) for name, meaning in op.query],
                "takes": _tables(op.takes, components, op.optional),
                "gives": _tables(op.gives, components),
            }
        )
    return list(found.items())


def _schemas(operations: Sequence[Operation]) -> tuple[dict[int, Any], dict[str, Any]]:
    """(schema by id of the type, components). What clients may leave out of a record is not required of them."""
    kinds = [Failure, Refused, *(kind for op in operations for kind in (op.takes, op.gives) if kind is not None)]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    refs = {id(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    for op in operations:
        for struct in _members(op.takes) if op.optional else ():
            required = components[struct.__name__]["required"]
            components[struct.__name__]["required"] = [name for name in required if name not in op.optional]
    return refs, components


def _operation(op: Operation, refs: dict[int, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {
        "operationId": _id(op),
        "summary": op.does,
        "tags": [op.tag],
        "responses": {str(status): _response(op, status, meaning, refs) for status, meaning in op.replies},
    }
    out["responses"]["default"] = {"description": "An error, in one line.", "content": _errors(op, refs)}
    if not op.public:
        out["security"] = [*_OPEN]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", op.path)
    ]
    parameters += [
        {"name": name, "in": "query", "description": meaning, "schema": {"type": "string"}}
        for name, meaning in op.query
    ]
    if parameters:
        out["parameters"] = parameters
    if op.takes is not None:
        content = {_JSON: {"schema": refs[id(op.takes)]}}
        if op.lines:
            content[_NDJSON] = {"schema": refs[id(op.takes)]}
        out["requestBody"] = {"required": op.needs_body, "content": content | {media: {} for media in op.also}}
    elif op.also:
        out["requestBody"] = {"required": True, "content": {media: {} for media in op.also}}
    return out


def _response(op: Operation, status: int, meaning: str, refs: dict[int, Any]) -> dict[str, Any]:
    if status in {303, 304}:
        return {"description": meaning}
    if op.gives is None:
        return {"description": meaning, "content": {op.media: {}}}
    content: dict[str, Any] = {} if op.lines and status == 207 else {_JSON: {"schema": refs[id(op.gives)]}}
    if status >= 400:
        content = _errors(op, refs)
    if op.lines and status in {200, 207, 422}:
        content[_NDJSON] = {"schema": {"anyOf": [refs[id(op.gives)], refs[id(Refused)]]}}
    if op.events and status == 200:
        content[_EVENTS] = {}
    if _PROTOBUF in op.also:
        content[_PROTOBUF] = {}
    return {"description": meaning, "content": content}


def _errors(op: Operation, refs: dict[int, Any]) -> dict[str, Any]:
    """What an error looks like: a dialect has a shape of its own; a page is for who asks for HTML."""
    content: dict[str, Any] = {_JSON: {"schema": refs[id(Failure)] if op.says is None else {"type": "object"}}}
    if op.gives is None and op.media == _HTML:
        content[_HTML] = {}
    if _PROTOBUF in op.also:
        content[_PROTOBUF] = {}
    return content


def _id(op: Operation) -> str:
    """A name for generated clients: "get_v1_loops_name"."""
    return re.sub(r"\W+", "_", f"{op.method.lower()} {op.path}").strip("_")


def _members(kind: Any) -> tuple[Any, ...]:
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return typing.get_args(kind)
    return (kind,)


def _tables(
    kind: Any, components: dict[str, Any], optional: tuple[str, ...] = ()
) -> list[tuple[str, list[tuple[str, str, str]]]]:
    out = []
    for member in _members(kind) if kind is not None else ():
        schema = components.get(getattr(member, "__name__", ""))
        if schema is None:
            continue
        required = set(schema.get("required", ())) - set(optional)
        rows = [
            (name, _type(field), "required" if name in required else _default(field))
            for name, field in schema.get("properties", {}).items()
        ]
        out.append((member.__name__, rows))
    return out


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(f'"{value}"' for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_type(one) for one in schema["anyOf"])
    if "prefixItems" in schema:
        return f"[{', '.join(_type(one) for one in schema['prefixItems'])}]"
    if schema.get("type") == "array":
        return f"[{_type(schema.get('items') or {})}]"
    return str(schema.get("type", "any"))


def _default(schema: dict[str, Any]) -> str:
    value = schema.get("default")
    return "" if value in (None, [], {}, "") else f"default {msgspec.json.encode(value).decode()}"
