"""The documentation is the table that routes: they can't part."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
from starlette.routing import Route

from everloop.server import create_app
from everloop.wheel import Wheel


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        yield from (ref for value in node.values() for ref in references(value))
        yield from (value for value in node.get("mapping", {}).values() if isinstance(value, str))
    elif isinstance(node, list):
        yield from (ref for value in node for ref in references(value))


def test_every_route_is_documented_and_every_reference_resolves(http: httpx.Client, wheel: Wheel) -> None:
    document = http.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    app = create_app(wheel, worker=False)
    routes = {route.path.replace(":path}", "}") for route in app.routes if isinstance(route, Route)}
    assert set(document["paths"]) == routes
    refs = set(references(document))
    assert len(refs) > 30
    for ref in refs:
        assert ref.startswith("#/components/schemas/")
        assert ref.rpartition("/")[2] in document["components"]["schemas"]
    ids = [op["operationId"] for path in document["paths"].values() for op in path.values()]
    assert len(set(ids)) == len(ids)
    for path, operations in document["paths"].items():
        for op in operations.values():
            named = {p["name"] for p in op.get("parameters", ()) if p["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))
            assert op["responses"]
            assert op["summary"].endswith(".")


def test_what_a_client_may_leave_out_is_not_required(http: httpx.Client) -> None:
    schemas = http.get("/openapi.json").json()["components"]["schemas"]
    assert set(schemas["Correction"]["required"]) == {"kind", "interaction", "value"}
    assert schemas["Interaction"]["required"] == ["input"]


def test_the_page_shows_every_operation(http: httpx.Client) -> None:
    document, page = http.get("/openapi.json").json(), http.get("/docs").text
    for path in document["paths"]:
        assert path in page
