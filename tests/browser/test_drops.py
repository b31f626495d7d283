"""What was left out, in a real browser: it fits, it can be read, and a sample is judged from the keyboard alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import everloop
from everloop.types import Drop, DropAudit
from everloop.wheel import Wheel
from tests.browser.test_pages import CONTRAST, SMALL
from tests.server.conftest import HOSTILE, served

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PATH = "/loops/desk/drops"


@pytest.fixture(scope="module")
def dropped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Wheel, str]]:
    with everloop.open(tmp_path_factory.mktemp("dropped")) as wheel:
        loop = wheel.loop("desk", policy={"trigger_feedback": 0})
        for i in range(40):
            loop.log(f"Where is my card, the one I ordered {i} days ago?", id=f"i{i}")
        loop.log(HOSTILE * 3, id="hostile")
        loop.log("unbroken" * 100_000, id="large")
        loop.log("   ", id="empty")
        loop.turn()

        def drop(id: str, reason: str, matched: str | None = None) -> Drop:
            return Drop(id=id, loop="desk", turn=1, stage="curate", reason=reason, score=0.8125, matched=matched)

        wheel.store.records.replace(
            *(drop(f"i{i}", "flood", f"40 times within a minute: {HOSTILE}") for i in range(30)),
            drop("large", "near_duplicate", "hostile"), drop("hostile", "near_duplicate", "i3"),
            *(drop(f"i{i}", "no_consent") for i in range(30, 33)),
            *(DropAudit(id=f"a{i}", loop="desk", reason="flood", interaction=f"i{i}", right=i < 3, by="x", at=i + 1)
              for i in range(12)),
        )  # fmt: skip
        with served(wheel) as http:
            yield wheel, str(http.base_url).rstrip("/")


@pytest.fixture(
    params=[("light", 1280), ("dark", 360), ("dark", 1280), ("light", 360)],
    ids=lambda p: f"{p[0]}-{p[1]}",
)
def page(request: pytest.FixtureRequest, chromium: Any, dropped: tuple[Wheel, str]) -> Iterator[Any]:
    scheme, width = request.param
    context = chromium.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, base_url=dropped[1]
    )  # fmt: skip
    opened = context.new_page()
    opened.complaints = []
    opened.on("dialog", lambda dialog: (opened.complaints.append("a dialog opened"), dialog.dismiss()))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.on("console", lambda m: opened.complaints.append(m.text))
    yield opened
    context.close()


def fits(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(SMALL) == []
    assert page.complaints == []


def test_it_fits_and_a_sample_is_judged_from_the_keyboard(
    page: Any, dropped: tuple[Wheel, str], tmp_path: Path
) -> None:  # fmt: skip
    records = dropped[0].store.records
    records.delete(DropAudit, [a.id for a in records.find(DropAudit, "desk", reason="near_duplicate")])
    page.goto("/loops/desk")
    page.get_by_role("link", name="Was that right?").click()
    page.wait_for_url(f"**{PATH}")
    fits(page)
    page.screenshot(path=tmp_path / "reasons.png", full_page=True)
    assert page.get_by_text("This rule is wrong more than 20 % of the time").is_visible()
    page.get_by_role("button", name="of near duplicate").click()
    page.wait_for_url("**reason=near_duplicate#sample")
    assert page.locator(".judge .one").count() == 2
    assert page.get_by_text("Keys:").is_visible()
    fits(page)
    page.screenshot(path=tmp_path / "cards.png", full_page=True)
    page.keyboard.press("y")
    page.locator(".judge .one").nth(1).wait_for(state="detached")
    page.get_by_text("Keys:").wait_for()  # by the script, which is there then
    page.keyboard.press("n")
    page.get_by_text("All that was drawn has been looked at.").wait_for()
    assert sorted(a.right for a in records.find(DropAudit, "desk", reason="near_duplicate")) == [False, True]
    assert page.get_by_text("So far 1 of 2 were right").is_visible()
    fits(page)
    page.screenshot(path=tmp_path / "judged.png", full_page=True)
    page.get_by_role("link", name="Take back all 2 of this rule").click()
    page.wait_for_url("**undo=1")
    fits(page)
    page.screenshot(path=tmp_path / "sure.png", full_page=True)
    page.get_by_role("link", name="Leave them out").click()
    page.wait_for_url("**reason=near_duplicate#sample")
    assert records.count(Drop, "desk", undone=True) == 0


def test_without_scripts_the_buttons_do_it(chromium: Any, dropped: tuple[Wheel, str]) -> None:
    records = dropped[0].store.records
    before = records.count(DropAudit, "desk", reason="flood")
    context = chromium.new_context(base_url=dropped[1], java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{PATH}?reason=flood")
    page.get_by_role("button", name="Draw 18 more").click()
    assert records.count(DropAudit, "desk", reason="flood") == before + 18  # all there are
    assert not page.get_by_text("Keys:").is_visible()
    page.get_by_role("button", name="Should have stayed").first.click()
    assert page.locator(".judge .one").count() == 17
    page.get_by_role("button", name="Take back Where is").first.click()
    assert records.count(Drop, "desk", reason="flood", undone=True) == 1
    context.close()
