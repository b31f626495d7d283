"""Logging in with a key, in a real browser: the forms, the cookie, what each role sees, and the end of a session."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everloop import keys
from everloop.settings import Settings
from everloop.wheel import Wheel

from ..server.conftest import served

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def closed(chromium: Any, tmp_path: Path) -> Iterator[tuple[Wheel, Any, dict[str, keys.Made]]]:
    """An installation with keys, a page of a browser that has none, and the keys by their names."""
    with Wheel(Settings(home=str(tmp_path))) as wheel:
        wheel.loop("support").log("where is my card", "sent", id="a")
        wheel.loop("other")
        records = wheel.store.records
        made = {
            "me": keys.create(records, "me", "admin"),
            "rita": keys.create(records, "rita", "reviewer", loop="support"),
            "bot": keys.create(records, "bot", "client"),
        }
        with served(wheel) as client:
            context = chromium.new_context(base_url=str(client.base_url).rstrip("/"))
            page = context.new_page()
            page.trouble = []
            page.on("pageerror", lambda error: page.trouble.append(str(error)))
            yield wheel, page, made
            assert page.trouble == []
            context.close()


def log_in(page: Any, secret: str) -> None:
    page.get_by_label("key").fill(secret)
    page.get_by_role("button", name="Log in").click()


def test_an_admin_comes_to_the_page_they_wanted_and_leaves_again(closed: Any) -> None:
    _, page, made = closed
    secret = made["me"].secret
    page.goto("/loops/support?x=1")
    assert "/login?next=/loops/support" in page.url
    log_in(page, "evl_nothing")
    assert "no such key" in page.content()
    assert page.get_by_label("key").input_value() == "", "a key that was typed is not sent back"
    log_in(page, secret)
    page.wait_for_url("**/loops/support")
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert secret not in str(cookie)
    assert page.evaluate("document.cookie") == ""
    page.goto("/audit")
    assert page.get_by_role("cell", name="login").count() == 1
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login*")
    page.goto("/audit")
    assert "/login" in page.url


def test_a_reviewer_of_one_loop_sees_that_loop_and_a_revoked_one_nothing(closed: Any) -> None:
    wheel, page, made = closed
    page.goto("/")
    log_in(page, made["rita"].secret)
    page.get_by_role("link", name="support").first.wait_for()
    assert page.get_by_role("link", name="other").count() == 0
    for path in ("/audit", "/loops/other"):
        answer = page.goto(path)
        assert answer.status == 403
        assert "Traceback" not in page.content()
    keys.revoke(wheel.store.records, made["rita"].key.id)
    page.wait_for_timeout(1_000)  # it stops within a second
    page.goto("/")
    assert "/login" in page.url
    assert page.get_by_label("key").is_visible(), "its session leads nowhere any more, and least of all in circles"


def test_a_client_key_opens_no_page_and_says_why(closed: Any) -> None:
    _, page, made = closed
    page.goto("/")
    log_in(page, made["bot"].secret)
    assert "a client key can't see pages" in page.content().replace("&#39;", "'")
    assert page.context.cookies() == []
