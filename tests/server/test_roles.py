"""Every operation and every role, as a table a person can read. Who adds an operation says here who may call it."""

import re

from everloop.server import create_app
from everloop.server.access import Rule
from everloop.wheel import Wheel

# Letters: d developer, r reviewer, c client, p publishable; "all": no key needed; "-": admin alone, who may everything.
# Then how a key of one loop is kept to it: "path", by the handler ("own"), or not let in at all (""); "*": audited.
MATRIX = """
all  ""    GET /healthz
all  ""    GET /static/{file}
all  ""    GET /login
all  ""    POST /login
all  ""    POST /logout
all  ""    GET /api/public/health
drcp own   POST /v1/feedback
d.c. path  POST /v1/loops/{name}/predict
d.c. path  POST /v1/loops/{name}/interactions
d.c. own   POST /v1/chat/completions
d.c. own   POST /v1/embeddings
d.c. own   GET /v1/models
d.c. own   GET /v1/models/{model}
d.c. own   POST /inference
d.c. own   POST /feedback
d.c. own   POST /api/public/scores
d.c. own   POST /api/public/ingestion
d.c. own   POST /api/public/dataset-items
d.c. own   POST /api/public/v2/datasets
d.c. own   GET /api/public/projects
d.c. own   POST /api/public/otel/v1/traces
d.c. own   POST /api/3.0/mlflow/traces/{trace}/assessments
d.c. own   GET /api/3.0/mlflow/traces/{trace}/assessments/{id}
d.c. own   PATCH /api/3.0/mlflow/traces/{trace}/assessments/{id}
d.c. own   DELETE /api/3.0/mlflow/traces/{trace}/assessments/{id}
d.c. own   POST /v1/span_annotations
d.c. own   POST /v1/trace_annotations
d.c. own   POST /v1/span_notes
d.c. own   POST /v1/traces
d.c. own   POST /v1/logs
d.c. own   POST /v1/metrics
d.c. path  POST /v1/loops/{name}/traces
d.c. path  POST /v1/loops/{name}/logs
d.c. own   POST /v1/blobs
dr.. own   GET /v1/blobs/{hash}
dr.. own   GET /v1/interactions/{id}
dr.. own   GET /v1/interactions/{id}/feedback
-    ""*   DELETE /v1/subjects/{subject}
d.c. ""    PUT /v1/subjects/{subject}/consent
dr.. ""    GET /v1/subjects/{subject}/consent
dr.. own   GET /v1/loops
d... path* PUT /v1/loops/{name}
dr.. path  GET /v1/loops/{name}
dr.. path  GET /v1/loops/{name}/check
drc. path  GET /v1/loops/{name}/campaigns
dr.. path  GET /v1/loops/{name}/campaigns/{id}
d... path* PUT /v1/loops/{name}/campaigns/{id}
dr.. path  GET /v1/loops/{name}/turns
d... path* POST /v1/loops/{name}/turns
dr.. path  GET /v1/loops/{name}/turns/{n}
dr.. path  GET /v1/loops/{name}/drops
dr.. path  GET /v1/loops/{name}/drops/audits
dr.. path* POST /v1/loops/{name}/drops/audits
dr.. path* POST /v1/loops/{name}/drops/audits/{id}
d... path* POST /v1/loops/{name}/drops/{id}/undo
d... path* POST /v1/loops/{name}/drops/undo
dr.. path  GET /v1/loops/{name}/reviews
dr.. path  GET /v1/loops/{name}/annotators
dr.. own*  POST /v1/reviews/{id}
dr.. path  GET /v1/loops/{name}/slices
d... path* POST /v1/loops/{name}/slices
d... path* DELETE /v1/loops/{name}/slices/{id}
dr.. path  GET /v1/loops/{name}/classes
dr.. path  GET /v1/loops/{name}/classes/{id}
d... path* POST /v1/loops/{name}/classes/{id}/accept
d... path* POST /v1/loops/{name}/classes/{id}/refuse
dr.. path  GET /v1/loops/{name}/signals
dr.. path  GET /v1/loops/{name}/signals/{signal}
dr.. path  GET /v1/loops/{name}/models
dr.. path  GET /v1/loops/{name}/releases
d... path* POST /v1/loops/{name}/rollback
dr.. path  GET /v1/loops/{name}/datasets
dr.. path  GET /v1/loops/{name}/datasets/{version}
dr.. path  GET /v1/loops/{name}/datasets/{version}/diff
dr.. path  GET /v1/loops/{name}/examples/{example}
dr.. path  GET /v1/loops/{name}/refs
d... path* PUT /v1/loops/{name}/refs/{ref}
d... path* DELETE /v1/loops/{name}/refs/{ref}
d... path* POST /v1/loops/{name}/edits
d... path* POST /v1/loops/{name}/merges
dr.. path  GET /loops/{name}/datasets
dr.. path  GET /loops/{name}/datasets/{version}
-    ""    GET /v1/keys
-    ""*   POST /v1/keys
-    ""*   POST /v1/keys/{id}/rotate
-    ""*   DELETE /v1/keys/{id}
-    ""    GET /v1/audit
-    ""    GET /audit
drc. own   GET /openapi.json
dr.. own   GET /docs
dr.. own   GET /
dr.. path  GET /loops/{name}
dr.. path  GET /loops/{name}/turns/{n}
dr.. path  GET /loops/{name}/interactions
dr.. path  GET /loops/{name}/slices
d... path* POST /loops/{name}/slices
dr.. path  GET /loops/{name}/drops
dr.. path* POST /loops/{name}/drops
dr.. path  GET /loops/{name}/classes
d... path* POST /loops/{name}/classes
dr.. path  GET /loops/{name}/signals
dr.. own   GET /interactions/{id}
"""
LETTERS = {"d": "developer", "r": "reviewer", "c": "client", "p": "publishable"}


def rules(wheel: Wheel) -> dict[str, Rule]:
    routes = create_app(wheel, worker=False).routes
    return {rule.needs: rule for route in routes for rule in route.app._rules.values()}  # type: ignore[attr-defined]


def row(rule: Rule) -> str:
    who = "".join(letter if role in rule.roles else "." for letter, role in LETTERS.items())
    kept = "path" if rule.in_path else "own" if rule.bound else '""'
    who = "all" if rule.public else "-" if who == "...." else who
    return f"{who:4} {kept + ('*' if rule.audited else ''):5} {rule.needs}"


def test_the_table_is_what_we_mean(wheel: Wheel) -> None:
    found = {needs: row(rule) for needs, rule in rules(wheel).items()}
    meant = {re.sub(r"^\S+ +\S+ +", "", line): line for line in MATRIX.strip().splitlines()}
    assert sorted(found.keys() - meant.keys()) == [], "new: say in the matrix who may call it"
    assert sorted(meant.keys() - found.keys()) == [], "gone: take it out of the matrix"
    assert found == meant


def test_nothing_that_changes_a_loop_or_a_key_is_for_clients(wheel: Wheel) -> None:
    for rule in rules(wheel).values():
        if rule.audited and not rule.public:
            assert not {"client", "publishable"} & rule.roles, rule.needs
        if "publishable" in rule.roles:
            assert rule.needs == "POST /v1/feedback"
        if rule.public:
            assert not rule.audited
