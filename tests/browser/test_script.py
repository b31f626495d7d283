"""The script for web pages, in a real browser: what people do on somebody's page arrives as feedback, once."""

import gzip
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from everloop.settings import Settings
from everloop.types import Comment, Correction, Feedback, FeedbackFields, Implicit, Thumb, Vote
from everloop.wheel import Wheel

from ..server.conftest import served

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SCRIPT = Path(__file__).parents[2] / "everloop" / "server" / "static" / "everloop.js"
ANSWER = "Your card was <b>sent</b> on Monday."


@pytest.fixture
def wheel(tmp_path: Path) -> Iterator[Wheel]:
    with Wheel(Settings(home=str(tmp_path))) as made:
        made.loop("shop").log("where is my card", "sent", id="a")
        made.loop("shop").log("where is my card", "lost", id="b")
        yield made


@pytest.fixture
def shop(chromium: Any, wheel: Wheel) -> Iterator[Any]:
    """`shop(html)` opens a page with the script and `html` in its body; `shop.said()` is the feedback that arrived."""
    with served(wheel) as client:
        address = str(client.base_url).rstrip("/")
        context = chromium.new_context(base_url=address)
        page = context.new_page()
        page.trouble = []
        page.on("pageerror", lambda error: page.trouble.append(str(error)))

        def opened(html: str, head: str = "") -> Any:
            script = "<script src='/static/everloop.js' defer></script>"
            text = f"<!doctype html><title>shop</title>{head}{script}<h1>Shop</h1>"
            context.route("**/shop", lambda route: route.fulfill(body=text + html, content_type="text/html"))
            page.goto("/shop")
            return page

        yield opened
        assert page.trouble == []
        context.close()


def arrived(wheel: Wheel, enough: Callable[[list[Feedback]], bool], seconds: float = 10.0) -> list[Feedback]:
    """The feedback in the store once there is `enough`, or when the time is over."""
    until = time.monotonic() + seconds
    while True:
        found: list[Any] = wheel.store.records.find(FeedbackFields, "shop")
        if enough(found) or time.monotonic() > until:
            return found
        time.sleep(0.05)


def test_it_is_small() -> None:
    assert len(gzip.compress(SCRIPT.read_bytes(), 9)) < 6_000


def test_a_thumb_arrives_and_a_second_thought_too(shop: Any, wheel: Wheel) -> None:
    page = shop(f"<p data-everloop=a>{ANSWER}</p>")
    page.get_by_role("button", name="Bad answer").click()
    page.get_by_role("button", name="Bad answer").click()  # pressed already: says nothing new
    page.get_by_role("button", name="Good answer").click()
    assert page.get_by_role("button", name="Good answer").get_attribute("aria-pressed") == "true"
    assert page.get_by_role("button", name="Bad answer").get_attribute("aria-pressed") == "false"
    found = arrived(wheel, lambda f: len(f) >= 2)
    assert [(type(f), f.value, f.interaction) for f in found] == [(Thumb, "down", "a"), (Thumb, "up", "a")]
    assert found[0].subject is not None
    assert found[0].subject == found[1].subject, "the second must count as the same person's"


def test_a_correction_with_its_reason_from_the_keyboard(shop: Any, wheel: Wheel) -> None:
    page = shop(f"<p data-everloop=a>{ANSWER}</p>")
    page.get_by_role("button", name="Correct it").focus()
    page.keyboard.press("Enter")
    box = page.get_by_role("textbox", name="What should it say?")
    assert box.input_value() == "Your card was sent on Monday."
    box.fill("Your card was <img src=x onerror=alert(1)> lost.")
    page.get_by_role("textbox", name="Why? (optional)").fill("the tracking says so")
    page.get_by_role("button", name="Save").click()
    (found,) = arrived(wheel, lambda f: len(f) >= 1)
    assert isinstance(found, Correction)
    assert found.value == "Your card was <img src=x onerror=alert(1)> lost."
    assert found.rationale == "the tracking says so"
    assert found.seconds is not None
    assert page.locator("img").count() == 0, "what was typed is a text, not a page"
    assert page.locator("p").inner_text() == found.value


def test_escape_takes_a_correction_back_and_the_same_text_is_none(shop: Any, wheel: Wheel) -> None:
    page = shop(f"<p data-everloop=a>{ANSWER}</p>")
    page.get_by_role("button", name="Correct it").click()
    page.keyboard.press("Escape")
    assert page.get_by_role("textbox").count() == 0
    page.get_by_role("button", name="Correct it").click()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Nothing was changed").wait_for()
    page.get_by_role("button", name="Good answer").click()
    assert [f.value for f in arrived(wheel, lambda f: len(f) >= 1)] == ["up"]


def test_a_label_is_chosen_from_a_list(shop: Any, wheel: Wheel) -> None:
    page = shop("<p data-everloop=a data-everloop-choices='sent|lost|stolen'>sent</p>")
    page.get_by_role("button", name="Correct it").click()
    page.get_by_role("combobox").select_option("stolen")
    page.get_by_role("button", name="Save").click()
    assert [f.value for f in arrived(wheel, lambda f: len(f) >= 1)] == ["stolen"]


def test_a_vote_between_two_answers(shop: Any, wheel: Wheel) -> None:
    page = shop("<p>sent</p><p>lost</p><div data-everloop-vote='a, b'></div>")
    page.get_by_role("button", name="The second is better").click()
    (found,) = arrived(wheel, lambda f: len(f) >= 1)
    assert isinstance(found, Vote)
    assert (found.interaction, found.value, found.other) == ("a", "other", "b")
    assert page.get_by_role("button", name="The first is better").is_disabled()


def test_what_is_masked_leaves_the_page_in_nothing(shop: Any, wheel: Wheel) -> None:
    page = shop(
        "<p data-everloop=a>Dear <span data-everloop-mask>Ada Lovelace</span>, your PIN"
        " <input value=1234> was <i>sent</i>.</p>"
    )
    page.get_by_role("button", name="Correct it").click()
    box = page.get_by_role("textbox", name="What should it say?")
    assert "Ada" not in box.input_value()
    assert "1234" not in box.input_value()
    box.fill(box.input_value().replace("sent", "lost"))
    page.get_by_role("button", name="Save").click()
    (found,) = arrived(wheel, lambda f: len(f) >= 1)
    assert "lost" in found.value
    assert "Ada" not in json.dumps(found.value)
    assert page.get_by_text("Ada Lovelace").is_visible(), "the page keeps what it showed"


def test_an_answer_in_a_masked_part_is_masked_whole(shop: Any, wheel: Wheel) -> None:
    page = shop(f"<div data-everloop-mask><p data-everloop=a>{ANSWER}</p></div>")
    page.get_by_role("button", name="Correct it").click()
    assert page.get_by_role("textbox", name="What should it say?").input_value() == "•••"


def test_what_people_do_arrives_when_they_leave(shop: Any, wheel: Wheel) -> None:
    page = shop(f"<p data-everloop=a data-everloop-position=2>{ANSWER}</p><button data-everloop-retry=a>Again</button>")
    page.locator("p").click(click_count=3)
    page.keyboard.press("Control+C")
    page.get_by_role("button", name="Again").click()
    page.wait_for_timeout(1_200)  # what is looked at for less than a second was not looked at
    page.goto("about:blank")
    found = arrived(wheel, lambda f: {"copy", "retry", "dwell"} <= {i.value for i in f})
    by = {f.value: f for f in found if isinstance(f, Implicit)}
    assert set(by) == {"copy", "retry", "dwell"}
    assert by["dwell"].dwell_ms >= 1_000
    assert by["copy"].position == 2
    assert len(found) == 3, "each of them once"


def test_nobody_who_asks_not_to_be_shared_is_watched(shop: Any, wheel: Wheel) -> None:
    page = shop(
        f"<p data-everloop=a>{ANSWER}</p>",
        head="<script>Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})</script>",
    )
    page.locator("p").click(click_count=3)
    page.keyboard.press("Control+C")
    page.get_by_role("button", name="Good answer").click()
    page.goto("about:blank")
    found = arrived(wheel, lambda f: len(f) >= 1)
    time.sleep(0.3)
    assert [f.value for f in wheel.store.records.find(FeedbackFields, "shop")] == ["up"] == [f.value for f in found]


def test_the_console_says_once_why_something_was_not_taken(shop: Any, wheel: Wheel) -> None:
    wheel.loop("shop", labels=["sent", "lost"])
    page = shop(f"<p data-everloop=a data-everloop-with='thumbs correct'>{ANSWER}</p>")
    page.get_by_role("button", name="Correct it").click()
    page.get_by_role("textbox", name="What should it say?").fill("something else")
    page.get_by_role("textbox", name="What should it say?").press("Tab")
    page.get_by_role("button", name="Good answer").click()
    with page.expect_console_message(lambda one: "is not a label of loop 'shop'" in one.text):
        page.get_by_role("button", name="Save").click()
    assert [f.value for f in arrived(wheel, lambda f: len(f) >= 1)] == ["up"]


def test_long_texts_of_any_script_arrive_in_parts_that_fit(shop: Any, wheel: Wheel) -> None:
    page = shop(f"<p data-everloop=a data-everloop-with=thumbs>{ANSWER}</p>")
    page.evaluate("for (let n = 0; n < 3; n++) Everloop.feedback('a', 'comment', {value: '語'.repeat(15000) + n})")
    assert len(arrived(wheel, lambda f: len(f) >= 3)) == 3
    page.evaluate("for (let n = 0; n < 3; n++) Everloop.feedback('a', 'comment', {value: '語'.repeat(6000) + n})")
    page.goto("about:blank")
    assert len(arrived(wheel, lambda f: len(f) >= 6)) == 6


def test_without_a_network_it_waits_and_arrives_once(shop: Any, wheel: Wheel) -> None:
    page = shop(f"<p data-everloop=a>{ANSWER}</p>")
    page.context.set_offline(True)
    page.get_by_role("button", name="Good answer").click()
    page.wait_for_function("Object.keys(localStorage).some(n => n.startsWith('everloop.unsent.'))")
    assert wheel.store.records.find(FeedbackFields, "shop") == []
    page.context.set_offline(False)
    assert [f.value for f in arrived(wheel, lambda f: len(f) >= 1)] == ["up"]
    page.wait_for_function("!Object.keys(localStorage).some(n => n.startsWith('everloop.unsent.'))")


def test_what_an_earlier_visit_could_not_send_is_sent(shop: Any, wheel: Wheel) -> None:
    page = shop(f"<p data-everloop=a>{ANSWER}</p>")
    event = {"id": "f1", "interaction": "a", "kind": "comment", "value": "from before", "at": 1}
    page.evaluate(
        "e => localStorage.setItem('everloop.unsent.x', JSON.stringify(e) + '\\n' + JSON.stringify(e))", event
    )
    page.reload()
    (found,) = arrived(wheel, lambda f: len(f) >= 1)
    assert isinstance(found, Comment)
    assert found.id == "f1"


def test_answers_that_come_later_are_found_and_a_page_may_forbid_inline_styles(shop: Any, wheel: Wheel) -> None:
    page = shop("<main></main>", head="<meta http-equiv=content-security-policy content=\"default-src 'self'\">")
    page.evaluate("document.querySelector('main').innerHTML = '<p data-everloop=b>late</p>'")
    page.get_by_role("button", name="Bad answer").click()
    assert [f.interaction for f in arrived(wheel, lambda f: len(f) >= 1)] == ["b"]
    page.evaluate("Everloop.feedback('b', 'comment', {value: 'from a program'})")
    assert len(arrived(wheel, lambda f: len(f) >= 2)) == 2
