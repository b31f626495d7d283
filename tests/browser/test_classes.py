"""The page of proposed classes in a real browser: it fits, can be read, and works from the keyboard without scripts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import everloop
from everloop.types import Annotation, ProposedClass, Review
from everloop.wheel import Wheel

from ..server.conftest import HOSTILE, served
from .test_pages import CONTRAST, SMALL

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SAID = {
    "oil_change": "when is the oil in my car to be changed",
    "x" * 60: f"a_word_without_a_single_gap_{'y' * 200} {HOSTILE}",
}


@pytest.fixture
def found(tmp_path: Path) -> Iterator[tuple[Wheel, str]]:
    with everloop.open(tmp_path) as wheel, served(wheel) as client:
        loop = wheel.loop("desk", labels=["card", "refund"])
        wheel.loop("bare")
        for name, words in SAID.items():
            ids = [f"{name[:3]}{n}" for n in range(14)]
            loop.log_many({"id": id, "input": f"{words} {id}"} for id in ids)
            wheel.store.records.replace(ProposedClass(
                id=name[:3] * 4, loop="desk", turn=1, name=name, words=tuple(words.split()[:4]), size=14, score=0.4,
                interactions=tuple(ids), nearest="card",
            ))  # fmt: skip
        wheel.store.records.replace(ProposedClass(
            id="gone", loop="desk", turn=1, name="a_name_" * 9, size=9, state="refused", at=1,
        ))  # fmt: skip
        yield wheel, str(client.base_url).rstrip("/")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 360), ("dark", 360)])
def test_it_fits_and_can_be_read(chromium: Any, found: tuple[Wheel, str], scheme: str, width: int) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, base_url=found[1])
    page, complaints = context.new_page(), []
    page.on("dialog", lambda dialog: (complaints.append("a dialog opened"), dialog.dismiss()))
    page.on("console", lambda message: complaints.append(message.text))
    for path in ("/loops/desk/classes", "/loops/bare/classes", "/loops/desk"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
        assert page.evaluate(CONTRAST) == []
        assert page.evaluate(SMALL) == []
    assert complaints == []
    context.close()


def test_a_class_is_named_and_accepted_without_scripts(chromium: Any, found: tuple[Wheel, str]) -> None:
    wheel, address = found
    context = chromium.new_context(base_url=address, java_script_enabled=False)
    page = context.new_page()
    page.goto("/loops/desk")
    page.get_by_role("link", name="2 proposed").press("Enter")
    page.wait_for_url("**/loops/desk/classes")
    panel = page.locator("section", has=page.get_by_role("heading", name="oil_change"))
    name = panel.get_by_label("Name of the class")
    assert name.input_value() == "oil_change"
    name.fill("car maintenance")
    panel.get_by_label("when is the oil in my car to be changed oil1", exact=True).press("Space")  # not this one
    panel.get_by_label("I have looked at those").press("Space")
    name.press("Enter")  # the first button of the form: accept
    page.wait_for_url("**/loops/desk/classes#decided")
    assert page.get_by_role("cell", name="car maintenance").is_visible()
    notes = {n.interaction: n.value for n in wheel.store.records.find(Annotation)}
    assert notes == {f"oil{n}": "car maintenance" for n in range(10) if n != 1}
    queue = {r.interaction: r.proposal for r in wheel.store.records.find(Review, state="open")}
    assert queue == {f"oil{n}": "car maintenance" for n in (1, 10, 11, 12, 13)}
    page.locator("section", has=page.get_by_role("heading", name="xxx")).get_by_role("button", name="Refuse").click()
    page.wait_for_url("**/loops/desk/classes#decided")
    assert page.get_by_text("Nothing is proposed").is_visible()
    assert wheel.get("desk").spec.labels[-1] == "car maintenance"
    context.close()
