"""The page of one interaction, and the list of a loop's: everything shown, nothing run, and light whatever came in."""

import base64

import httpx
import pytest

from everloop.collect import build_feedback
from everloop.types import Drop, Interaction, Review
from everloop.wheel import Wheel

from .conftest import HOSTILE
from .test_pages import Reader

PNG = b"\x89PNG\r\n\x1a\n" + bytes(50)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def page(http: httpx.Client, path: str) -> str:
    answer = http.get(path)
    assert answer.status_code == 200, answer.text
    assert len(answer.content) + len(http.get("/static/everloop.css").content) < 150_000
    assert "<script" not in answer.text.lower()
    read = Reader(answer.text)
    for tag, attributes in read.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag
        for name in ("href", "src"):
            assert not (attributes.get(name) or "/").startswith(("http", "//", "javascript", "data"))
    return answer.text


def said(wheel: Wheel, **given: object) -> None:
    wheel.store.records.put(build_feedback(given, wheel.door))


def test_a_conversation_is_shown_whole(http: httpx.Client, wheel: Wheel) -> None:
    loop = wheel.loop("seen", task="chat")
    content = [
        {"type": "text", "text": "What is this?\nAnd <b>that</b>?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64(PNG)}"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "input_audio", "input_audio": {"data": b64(b"ID3\x03" + bytes(20)), "format": "mp3"}},
        {"data": b64(b"\0\0\0\x20ftypisom"), "media": "video/mp4", "name": "clip.mp4"},
        {"type": "file", "file": {"filename": "bill.pdf", "file_data": b64(b"%PDF-1.7")}},
    ]
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"what": "cat"}'}}
    it = loop.log(
        {"messages": [{"role": "system", "content": "You see."}, {"role": "user", "content": content}]}, "a cat",
        message={"role": "assistant", "content": "a cat", "tool_calls": [call]}, variant="small", propensity=0.25,
        tokens_in=120, tokens_out=7, first_token_ms=80.0, latency_ms=420.0, cost=0.00012, context={"channel": "web"},
        subject="zoltan", session="s1",
    )  # fmt: skip
    text = page(http, f"/interactions/{it.id}")
    for part in ("You see.", "And &lt;b&gt;that&lt;/b&gt;?", "a cat", "look_up", "small", "25.0 %", "120 in, 7 out",
                 "80 ms", "420 ms", "0.000120", "channel", "clip.mp4", "bill.pdf", "https://example.org/a.png",
                 "keyed pseudonym", "Patterns alone do not find names", "No turn has read it yet"):  # fmt: skip
        assert part in text, part
    assert f'<img src="/v1/blobs/{it.attachments[0].hash}"' in text
    assert "<audio controls" in text
    assert "<video controls" in text
    assert text.count("<img") == 1
    assert "zoltan" not in text


@pytest.mark.parametrize(
    "given",
    [
        HOSTILE,
        {"messages": [{"role": HOSTILE, "content": HOSTILE, HOSTILE: HOSTILE}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "javascript:alert(1)"}}]}
            ]
        },
        {"messages": [{"role": "user", "content": [{"data": "QUJD", "media": "text/html", "name": HOSTILE}]}]},
        {"messages": [{"role": "tool", "tool_calls": [HOSTILE, None, {"function": {"name": HOSTILE}}]}]},
        {"messages": [{"role": "user", "content": {"a": [[[[HOSTILE]]]]}}, {}]},
        {HOSTILE: {"blob": HOSTILE, "media": "image/png"}},
        {"picture": {"blob": '"><script>alert(1)</script>', "media": "image/png", "size": "x"}},
        {"messages": []},
        {"messages": "x", "input": [{"role": 7}]},
        {},
        [1.5, float(2**60)] * 400,
    ],
    ids=repr,
)
def test_hostile_inputs_are_shown_and_not_run(http: httpx.Client, wheel: Wheel, given: object) -> None:
    loop = wheel.loop("seen", task="chat")
    it = loop.log(given, HOSTILE, context={HOSTILE: HOSTILE}, session=HOSTILE, variant=HOSTILE, error=HOSTILE,
                  status="partial", trace=HOSTILE, id=HOSTILE.replace("/", "")[:150])  # fmt: skip
    said(wheel, kind="comment", interaction=it.id, value=HOSTILE)
    said(wheel, kind="correction", interaction=it.id, value=HOSTILE, rationale=HOSTILE)
    text = page(http, f"/interactions/{it.id}")
    assert HOSTILE not in text
    assert HOSTILE not in page(http, "/loops/seen/interactions")


@pytest.mark.parametrize("letter", ["x", '"', "&", "漢", "😀", "<"])
def test_a_hundred_kilobytes_stay_a_light_page(http: httpx.Client, wheel: Wheel, letter: str) -> None:
    loop = wheel.loop("seen", task="chat")
    many = [{"role": "user", "content": letter * 500}] * 400
    for given in (letter * 25_000, {"messages": many}, {"x": letter * 25_000}):
        it = loop.log(given, letter * 25_000, context={"x": letter * 20_000})
        for _ in range(3):
            said(wheel, kind="comment", interaction=it.id, value=letter * 20_000)
        text = page(http, f"/interactions/{it.id}")
        assert "the rest is in the JSON" in text
        assert f'href="/v1/interactions/{it.id}"' in text
    page(http, "/loops/seen/interactions")


def test_all_that_was_said_of_it(http: httpx.Client, wheel: Wheel) -> None:
    loop = wheel.loop("seen", task="chat")
    it = loop.log("how long", "two days", subject="ann")
    http.post("/v1/feedback", json={"kind": "correction", "interaction": it.id, "value": "three days",
                                    "rationale": "it is written so", "seconds": 4.5})  # fmt: skip
    http.post("/v1/feedback", json={"kind": "rating", "interaction": it.id, "value": 4}, headers={"sec-gpc": "1"})
    wheel.store.records.replace(Review(id="r1", loop="seen", turn=1, interaction=it.id, input="x", why="random"))
    loop.annotate("r1", "three days", annotator="eve", rationale="I know")
    text = page(http, f"/interactions/{it.id}")
    for part in ("correction", "it is written so", "seconds: 4.5", "rating", "not learned from", "eve answered",
                 "three days</b>", "I know", "2 pieces of feedback"):  # fmt: skip
        assert part in text, part
    assert "<del>two</del>" in text.replace("<del>two </del>", "<del>two</del>")
    assert "<ins>three</ins>" in text.replace("<ins>three </ins>", "<ins>three</ins>")
    assert [f["kind"] for f in http.get(f"/v1/interactions/{it.id}/feedback").json()["feedback"]] == [
        "correction", "rating",
    ]  # fmt: skip


def test_what_became_of_it(http: httpx.Client, wheel: Wheel) -> None:
    loop = wheel.loop("support", policy={"golden_share": 0.0, "trigger_feedback": 0})
    made = {}
    for n, (name, text) in enumerate(
        [("kept", "where is my card"), ("again", "Where is my  card"), ("other", "what rate")]
    ):
        made[name] = loop.predict(text)
        loop.feedback(made[name].id, correction="card" if n < 2 else "rate")
    made["private"] = loop.predict("my own business", consent=["service"])
    loop.turn()
    version, model = wheel.store.datasets.log("support")[0], loop.models()[0]
    kept = page(http, f"/interactions/{made['kept'].id}")
    assert version.id in kept
    assert model.id in kept
    assert "to train on" in kept
    again = page(http, f"/interactions/{made['again'].id}")
    assert f'href="/interactions/{made["kept"].id}"' in again
    assert "the same input again" in again
    private = page(http, f"/interactions/{made['private'].id}")
    assert "the person did not agree that it may be learned from" in private
    assert "not improve" in private
    assert version.id not in private
    drop = wheel.store.records.get(Drop, made["again"].id)
    assert drop is not None


def test_a_failed_and_an_abstained_answer_say_so(http: httpx.Client, wheel: Wheel) -> None:
    loop = wheel.loop("seen", task="chat")
    failed = loop.log("x", status="failed", error="the upstream did not answer")
    text = page(http, f"/interactions/{failed.id}")
    assert "No answer came." in text
    assert "the upstream did not answer" in text
    assert "It abstained." in page(http, f"/interactions/{loop.log('y').id}")


def test_the_list_is_newest_first_and_goes_on(http: httpx.Client, wheel: Wheel) -> None:
    loop, noise = wheel.loop("seen", task="chat"), wheel.loop("noise")
    rows = []
    for n in range(120):
        rows.append(loop.log(f"question {n}", "yes"))
        if n % 10 == 0:
            noise.log_many([{"input": f"{n} {k}"} for k in range(40)])
    loop.feedback(rows[-1].id, thumb="up")
    seen: list[str] = []
    path: str | None = "/loops/seen/interactions"
    while path:
        text = page(http, path)
        found = [attributes["title"] for tag, attributes in Reader(text).tags
                 if tag == "a" and (attributes.get("href") or "").startswith("/interactions/")]  # fmt: skip
        seen += [str(one) for one in found]
        older = [attributes["href"] for tag, attributes in Reader(text).tags if attributes.get("rel") == "next"]
        path = older[0] if older else None
    assert seen == [it.id for it in reversed(rows)]
    assert "thumb 1" in page(http, "/loops/seen/interactions")
    assert "Nothing has come in yet" in page(http, f"/loops/{wheel.loop('empty').name}/interactions")
    assert http.get("/loops/seen/interactions?before=x").status_code == 422
    assert "no older ones" in page(http, "/loops/seen/interactions?before=1")
    assert 'href="/loops/seen/interactions"' in http.get("/loops/seen").text


def test_what_is_not_there(http: httpx.Client, wheel: Wheel) -> None:
    wheel.loop("seen")
    for path in ("/interactions/nope", "/v1/interactions/nope/feedback", "/loops/nope/interactions"):
        assert http.get(path).status_code == 404
    assert wheel.store.records.count(Interaction) == 0


def test_a_session_a_person_and_a_trace_each_have_their_own(http: httpx.Client, wheel: Wheel) -> None:
    loop = wheel.loop("seen", task="chat")
    odd = "s&1?<b>"
    for number in range(3):
        loop.log(f"question {number}", "a", session=odd if number else "other", subject=f"u{number}", trace="t1",
                 id=f"i{number}", at=1_700_000_000_000 + number)  # fmt: skip
    wheel.loop("elsewhere", task="chat").log("question 9", "a", session=odd)
    links = {tag[1]["href"] for tag in Reader(page(http, "/interactions/i1")).tags if tag[0] == "a"}
    found = {}
    for field in ("session", "subject", "trace"):
        (link,) = (str(href) for href in links if f"interactions?{field}=" in str(href))
        text = page(http, link)
        found[field] = [number for number in (9, 2, 1, 0) if f"question {number}" in text]
    assert found == {"session": [2, 1], "subject": [1], "trace": [2, 1, 0]}
    assert "There are none" in page(http, "/loops/seen/interactions?session=nobody")
