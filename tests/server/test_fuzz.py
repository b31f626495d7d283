"""Everything the document says can be asked, asked wrongly: no 5xx, no hang, and answers as the document has them."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from everloop.keys import create
from everloop.wheel import Wheel
from tests.server.conftest import HOSTILE, served
from tests.server.stub_upstream import running

HANG = 20  # seconds of silence that no request may take
ROLES = ("admin", "developer", "reviewer", "client", "publishable")
ORIGIN = "https://shop.example"
UPSTREAM = ("/v1/chat/completions", "/v1/embeddings", "/inference")  # 502 and 504 are the upstream's
TRACE, SPAN = "ab" * 16, "cd" * 8
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(64)
CALM = settings(
    deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


class Ground(NamedTuple):
    """A server with something of everything, and what its ids are."""

    address: str
    known: dict[str, list[str]]  # by the name of the path's parameter
    keys: dict[str, str]  # secret by role


def stocked(wheel: Wheel, upstream: str) -> dict[str, list[str]]:
    """Fill the wheel; the ids of what is there, by the name of the path's parameter."""
    variant = {"name": "a", "url": upstream, "model": "stub", "retries": 0, "timeout_s": 5.0}
    wheel.loop("desk", task="chat", variants=[variant], signals=[{"name": "solved", "kind": "outcome"}])
    support = wheel.loop("support", outcome=HOSTILE, labels=["card", "rate"],
                         signals=[{"name": "dwell", "fields": {"ms": "int"}}])  # fmt: skip
    wheel.loop("scratch")
    answers = [support.predict(f"where is card {n}? {HOSTILE}", subject="u1") for n in range(6)]
    for one, label in zip(answers, ["card", "rate"] * 3, strict=True):
        support.feedback(one.id, correction=label)
    support.turn()
    wheel.get("desk").log("a question", "an answer", id=SPAN, trace=TRACE)
    reviews = [review.id for review in support.reviews()]
    return {
        "name": ["support", "desk", "nobody"], "id": [answers[0].id, SPAN, "away", "s1", *reviews[:2]], "n": ["1", "2"],
        "model": ["loop:support", "loop:desk"], "trace": [f"tr-{TRACE}", "tr-1"], "subject": ["u1", "u2"],
        "signal": ["dwell", "solved"], "file": ["everloop.css", "..%2f..%2fpyproject.toml"], "hash": ["0" * 64],
    }  # fmt: skip


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with running() as stub:
        yield stub.url


@pytest.fixture
def ground(wheel: Wheel, upstream: str) -> Iterator[Ground]:
    known = stocked(wheel, upstream)
    with served(wheel) as http:
        assert http.put("/v1/loops/support/campaigns/away", json={"when": {"confidence": {"below": 0.5}}}).is_success
        known["hash"].append(http.post("/v1/blobs", content=PICTURE).json()["blob"])
        yield Ground(str(http.base_url).rstrip("/"), known, {})


@pytest.fixture
def guarded(ground: Ground, wheel: Wheel) -> Ground:
    """The same with a key of each role."""
    for role in ROLES:
        origins = (ORIGIN,) if role == "publishable" else ()
        ground.keys[role] = create(wheel.store.records, role=role, name=role, origins=origins, rate=10_000).secret  # type: ignore[arg-type]
    with httpx.Client(base_url=ground.address, trust_env=False) as http:
        while http.get("/v1/loops").status_code != 401:  # the keys are read anew twice a second
            pass
    return ground


def refused_rightly(answer: Any, path: str) -> None:
    """Nothing that went wrong here, and nothing of how this is made."""
    upstream_failed = answer.status_code in {502, 504} and path in UPSTREAM
    assert answer.status_code < 500 or upstream_failed, (answer.status_code, path, answer.content[:300])
    for sign in (b"Traceback (most recent", b'File "', b"site-packages", b"sqlite3."):
        assert sign not in answer.content, (path, answer.content[:300])
    if answer.status_code >= 400 and answer.headers.get("content-type") == "application/json":
        assert b"\\n" not in answer.content, (path, answer.content[:300])


def bearer(ground: Ground, role: str | None) -> dict[str, str]:
    if role not in ground.keys:
        return {}
    return {"authorization": f"Bearer {ground.keys[role]}", **({"origin": ORIGIN} if role == "publishable" else {})}


def operations(ground: Ground) -> list[Any]:
    """Of the server's own description; most of what it asks for by id is there."""
    schemathesis = pytest.importorskip("schemathesis")
    schema = schemathesis.openapi.from_url(f"{ground.address}/openapi.json", headers=bearer(ground, "admin"))

    @schema.hook
    def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
        for name, value in (path_parameters or {}).items():
            there = ground.known.get(name, ())
            if there and len(str(value)) % 4:
                scratch = name == "name" and context.operation.method.upper() == "PUT"  # the others stay as they are
                path_parameters[name] = "scratch" if scratch else there[len(str(value)) % len(there)]  # type: ignore[index]
        return path_parameters

    return [found.ok() for found in schema.get_all_operations()]


def fuzzed(ground: Ground, roles: Sequence[str | None], examples: int) -> None:
    """Each operation as the document has it and as it has not, by a caller of each role."""
    # Imported here, for every worker of the quick tests collects this file too.
    schemathesis, requests = pytest.importorskip("schemathesis"), pytest.importorskip("requests")
    rules = pytest.importorskip("schemathesis.specs.openapi.checks")
    checks = [rules.status_code_conformance, rules.content_type_conformance, rules.response_schema_conformance,
              rules.response_headers_conformance]  # fmt: skip
    session = requests.Session()
    session.trust_env = False
    wrong: list[str] = []
    for operation in operations(ground):
        cases = [operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode]

        @settings(CALM, max_examples=examples)
        @given(case=st.one_of(cases))
        def asked(case: Any) -> None:
            for role in roles:
                answer = case.call(base_url=ground.address, session=session, timeout=HANG, allow_redirects=False,
                                   headers=bearer(ground, role))  # fmt: skip
                refused_rightly(answer, case.path)
                case.validate_response(answer, checks=checks)
                for secret in ground.keys.values():
                    assert secret.encode() not in answer.content

        try:
            asked()
        except (Exception, ExceptionGroup) as error:  # the next operation is looked at all the same
            wrong.append(f"{operation.label}: {error}")
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.slow
def test_what_the_document_says_holds(ground: Ground) -> None:
    fuzzed(ground, [None], 12)


@pytest.mark.slow
def test_it_holds_with_keys_of_every_role(guarded: Ground) -> None:
    fuzzed(guarded, [None, *ROLES], 6)
