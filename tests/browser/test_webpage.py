"""The page under examples/, in a real browser beside a server with keys: two origins, and a key anybody can read."""

import importlib.util
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

import everloop
from everloop.types import Correction, FeedbackFields, Implicit, Interaction, Thumb, Vote
from everloop.wheel import Wheel

pytestmark = [pytest.mark.browser, pytest.mark.slow]
EXAMPLE = Path(__file__).parents[2] / "examples" / "webpage.py"


class Site(NamedTuple):
    shop: Any
    wheel: Wheel

    def said(self, enough: Callable[[list[Any]], bool] = bool, seconds: float = 15.0) -> list[Any]:
        """What visitors said, once it is `enough` or the time is over."""
        until = time.monotonic() + seconds
        while True:
            found = [one for one in self.wheel.store.records.find(FeedbackFields) if one.source == "user"]
            if enough(found) or time.monotonic() > until:
                return found
            time.sleep(0.05)


@pytest.fixture(scope="module")
def example() -> Any:
    spec = importlib.util.spec_from_file_location("webpage_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(chromium: Any, example: Any) -> Iterator[Site]:
    with example.running() as (shop, home), everloop.open(home) as wheel:
        yield Site(shop, wheel)


@pytest.fixture
def visit(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context()
    page = context.new_page()
    page.told = []
    page.on("console", lambda message: page.told.append(message.text))
    page.on("pageerror", lambda error: page.told.append(f"page error: {error}"))
    yield page
    context.close()


@pytest.fixture
def elsewhere(site: Site) -> Iterator[str]:
    """The same page on an origin that the key was not made for."""

    class Copy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = site.shop.page("where is my card").encode()
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Copy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_a_visitor_says_and_does_arrives_once_from_another_origin(site: Site, visit: Any) -> None:
    visit.goto(f"{site.shop.origin}/?q=where is <i>the card</i> you promised")
    ids = visit.locator("[data-everloop-vote]").get_attribute("data-everloop-vote").split(", ")
    topic = visit.locator("b[data-everloop]")
    topic_id, was = topic.get_attribute("data-everloop"), topic.inner_text()
    visit.get_by_role("button", name="Good answer").nth(1).click()
    visit.get_by_role("button", name="Correct it").nth(1).click()
    box = visit.get_by_role("textbox", name="What should it say?")
    assert "Lovelace" not in box.input_value()
    box.fill(box.input_value() + " Mail me at ada@example.org.")
    visit.get_by_role("textbox", name="Why?").fill("it says nothing of where")
    visit.get_by_role("button", name="Save").click()
    visit.get_by_role("button", name="Correct it").nth(0).click()
    visit.get_by_role("combobox").select_option("limit")
    visit.get_by_role("button", name="Save").click()
    visit.get_by_role("button", name="The second is better").click()
    visit.wait_for_timeout(1_100)  # what is looked at for less than a second was not looked at
    visit.get_by_role("link", name="Ask again").click()  # leaves the page: the rest goes by beacon
    visit.get_by_role("heading", name="The card shop: help").wait_for()
    found = site.said(lambda f: {"dwell", "retry"} <= {one.value for one in f})
    assert visit.told == []
    thumbs = [one for one in found if isinstance(one, Thumb)]
    assert [(one.interaction, one.value) for one in thumbs] == [(ids[0], "up")]
    corrections = {one.interaction: one for one in found if isinstance(one, Correction)}
    assert set(corrections) == {ids[0], topic_id}
    assert corrections[topic_id].value == "limit" != was
    said = corrections[ids[0]]
    assert said.value.startswith("Dear •••, ")
    assert "ada@example.org" not in said.value
    assert said.redacted == {"email": 1}
    assert said.rationale == "it says nothing of where"
    assert [(one.interaction, one.value, one.other) for one in found if isinstance(one, Vote)] == [
        (ids[0], "other", ids[1])
    ]
    did = [(one.interaction, one.value) for one in found if isinstance(one, Implicit)]
    assert sorted(did) == sorted([(ids[0], "dwell"), (ids[1], "dwell"), (ids[0], "retry")])
    assert len({one.subject for one in found}) == 1, "one visit, one person"
    kept = site.wheel.store.records.get(Interaction, ids[0])
    assert kept is not None
    assert kept.input == "where is <i>the card</i> you promised"


def test_from_an_origin_the_key_is_not_for_nothing_arrives_and_the_console_says_why(
    site: Site, visit: Any, elsewhere: str
) -> None:
    before = len(site.said(lambda _: True))
    visit.goto(elsewhere)
    visit.get_by_role("button", name="Good answer").nth(1).click()
    with visit.expect_console_message(lambda one: "everloop" in one.text):
        pass
    visit.goto("about:blank")
    (why,) = [text for text in visit.told if "everloop" in text]
    assert f"is not for pages of {elsewhere}" in why
    assert "\n" not in why
    assert len(site.said(lambda _: True)) == before


def test_its_key_sends_feedback_and_nothing_else(site: Site, visit: Any) -> None:
    visit.goto(site.shop.origin)
    id = visit.locator("[data-everloop-position='1']").get_attribute("data-everloop")
    asked = visit.evaluate(
        """async ([url, key, id]) => {
            const said = {};
            const ask = async (name, path, options) => {
                try { said[name] = (await fetch(url + path, options)).status; } catch { said[name] = 'blocked'; }
            };
            const bearer = {headers: {authorization: 'Bearer ' + key}}, post = {method: 'POST'};
            await ask('read', `/v1/interactions/${id}`, bearer);
            await ask('read by address', `/v1/interactions/${id}?key=${key}`);
            await ask('loops', '/v1/loops', bearer);
            await ask('predict', `/v1/loops/topics/predict?key=${key}`, {...post, body: '{"input": "hello"}'});
            await ask('log', '/v1/loops/topics/interactions', {...post, ...bearer, body: '{"input": "hello"}'});
            await ask('keys', '/v1/keys', bearer);
            const one = {interaction: id, kind: 'label', value: 'x'};
            await ask('label', `/v1/feedback?key=${key}`, {...post, body: JSON.stringify(one)});
            one.kind = 'thumb'; one.value = 'up'; one.source = 'reviewer';
            await ask('as a reviewer', `/v1/feedback?key=${key}`, {...post, body: JSON.stringify(one)});
            return said;
        }""",
        [site.shop.everloop, site.shop.key, id],
    )
    refused = {name: asked.pop(name) for name in ("label", "as a reviewer")}
    assert set(refused.values()) == {403}
    assert set(asked.values()) == {"blocked"}
    described = httpx.get(f"{site.shop.everloop}/openapi.json", headers={"authorization": f"Bearer {site.shop.key}"})
    assert described.status_code == 403
    headers = {"authorization": f"Bearer {site.shop.key}", "origin": site.shop.origin}
    for method, path in (("GET", "/v1/audit"), ("DELETE", "/v1/subjects/ada"), ("POST", "/v1/chat/completions")):
        assert httpx.request(method, site.shop.everloop + path, headers=headers).status_code == 403


def test_it_fits_a_phone_and_says_what_a_question_holds_as_text(site: Site, visit: Any) -> None:
    visit.set_viewport_size({"width": 360, "height": 640})
    visit.goto(site.shop.origin + "/?q=" + "<img src=x onerror=alert(1)>" + "w" * 200)
    visit.get_by_role("button", name="Correct it").nth(1).click()
    assert visit.locator("img").count() == 0
    assert visit.evaluate("document.documentElement.scrollWidth") == 360
    assert visit.told == []
