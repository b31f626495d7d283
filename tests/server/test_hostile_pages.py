"""Every page over data that somebody hostile has stored everywhere it can be: none of it is more than text."""

import re

import httpx
import pytest

from everloop.keys import create
from everloop.wheel import Wheel
from tests.server.conftest import HOSTILE, served

# Beside the usual, what breaks out of an attribute, of a style or script, of JSON in a page, and of a comment.
WORST = f"{HOSTILE}</script></style></title></textarea>--><img src=x onerror=alert(1)>{{{{7*7}}}}javascript:alert(1)"
PICTURE = "data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIi8+"
TAGS = re.compile(r"<[a-z][^>]*>", re.IGNORECASE)


@pytest.fixture
def stored(wheel: Wheel) -> Wheel:
    """WORST wherever a client, a reviewer, an upstream or a developer can put a text."""
    variant = {"name": WORST[:100], "url": f"http://127.0.0.1:9/{WORST}", "model": WORST, "prompt": WORST}
    signals = [{"name": "dwell", "fields": {"ms": "int"}}, {"name": "solved", "kind": "outcome", "window_s": 3600.0}]
    loop = wheel.loop("worst", task="chat", signal=WORST, outcome=WORST, variants=[variant], signals=signals)
    picture = {"type": "image_url", "image_url": {"url": PICTURE}}
    said = [{"role": WORST,
             "content": [{"type": "text", "text": WORST}, picture, {"type": WORST, "url": f"javascript:{WORST}"}],
             "tool_calls": [{"function": {"name": WORST, "arguments": WORST}}]}]  # fmt: skip
    with served(wheel) as http:

        def sent(method: str, path: str, body: dict, *expected: int) -> None:
            answer = http.request(method, path, json=body)
            assert answer.status_code in (expected or (200, 201)), answer.text

        sent("POST", "/v1/loops/worst/interactions", {
            "id": "i", "input": {"messages": said, "system": WORST}, "output": WORST, "model": WORST, "variant": WORST,
            "session": WORST, "subject": WORST, "trace": WORST, "context": {WORST: WORST, "tags": [WORST]},
            "message": {"role": "assistant", "content": WORST, "refusal": WORST}, "status": "partial", "error": WORST,
            "alternatives": [{"value": WORST, "confidence": 0.1}],
        })  # fmt: skip
        for kind in (
            {"kind": "correction", "value": WORST, "rationale": WORST}, {"kind": "comment", "value": WORST},
            {"kind": "thumb", "value": "up", "rationale": WORST},
            {"kind": "intervention", "value": WORST, "device": WORST, "window": WORST, "note": WORST, "trigger": WORST},
            {"kind": "implicit", "value": "dwell", "item": WORST, "reason_start": WORST, "fields": {"ms": 1}},
            {"kind": "outcome", "value": 1.0, "name": "solved"}, {"kind": "label", "value": WORST},
            {"kind": "demonstration", "value": WORST, "case": WORST, "goal": WORST, "steps": [{WORST: WORST}]},
        ):  # fmt: skip
            sent("POST", "/v1/feedback", {"interaction": "i", "context": {WORST: WORST}, **kind})
        sent("PUT", "/v1/loops/worst/campaigns/away", {"when": {"input": {"contains": WORST}}}, 200, 422)
    loop.turn()
    create(wheel.store.records, WORST[:60], "client")
    return wheel


def test_no_page_lets_it_out(stored: Wheel) -> None:
    admin = create(stored.store.records, "admin", "admin").secret
    known, shown = {"name": "worst", "id": "i", "n": "1", "version": "latest"}, 0
    with served(stored) as http:
        http.headers.update({"authorization": f"Bearer {admin}", "accept": "text/html"})
        document = http.get("/openapi.json").json()
        read = [(path, of["get"]["responses"].get("200", {})) for path, of in document["paths"].items() if "get" in of]
        pages = [path.format(**known) for path, answer in read if "text/html" in answer.get("content", {})]
        assert len(pages) > 7
        for path in (*pages, f"/login?next={WORST}", f"/loops/{WORST}", f"/loops/worst/interactions?model={WORST}",
                     f"/interactions/{WORST}", f"/loops/worst/turns/{WORST}", f"/audit?limit={WORST}"):  # fmt: skip
            page = http.get(path)
            assert page.status_code in {200, 303, 404, 422}, (path, page.text[:200])
            harmless(path, page)
            shown += "&lt;script&gt;alert" in page.text
    assert shown > 6  # else there was nothing to let out


def harmless(path: str, page: httpx.Response) -> None:
    if page.status_code == 303:
        assert page.headers["location"] == "/", path
        return
    assert "default-src 'self'" in page.headers["content-security-policy"], path
    for tag in TAGS.findall(page.text):
        assert not re.search(r"\son\w+\s*=", re.sub(r'"[^"]*"', '""', tag)), (path, tag)
        assert not re.search(r'(href|src|action)\s*=\s*"?\s*(javascript|data|vbscript):', tag, re.IGNORECASE), (
            path,
            tag,
        )
    for closed in ("<script>alert", "</script></style>", "<img src=x", "</textarea>-->"):
        assert closed not in page.text, (path, closed)
