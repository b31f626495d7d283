"""The pages in a real browser: they fit, they can be read, they work from the keyboard, and nothing foreign runs."""

from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.browser
PATHS = ("/", "/loops/support", "/loops/fresh", "/loops/silent", "/loops/support/turns/2", "/docs", "/nowhere")

# Every text against what is painted behind it; returns those below WCAG's AA (4.5, or 3 for large text).
CONTRAST = """() => {
  const probe = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const known = {}, rgba = c => known[c] ??= (() => { probe.clearRect(0, 0, 1, 1); probe.fillStyle = c;
    probe.fillRect(0, 0, 1, 1); return [...probe.getImageData(0, 0, 1, 1).data]; })();
  const light = ([r, g, b]) => { const [x, y, z] = [r, g, b].map(v => { v /= 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126*x + 0.7152*y + 0.0722*z; };
  const behind = e => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor);
    if (c[3] > 250) return c; } return [255, 255, 255]; };
  const low = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim();
    if (!text || !e.getClientRects().length || ['TITLE', 'DESC'].includes(e.tagName.toUpperCase())) continue;
    const style = getComputedStyle(e), svg = e instanceof SVGElement;
    const a = light(rgba(svg ? style.fill : style.color)), b = light(behind(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.6 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) low.push(text.slice(0, 40) + ' ' + ratio.toFixed(2));
  }
  return low;
}"""

SMALL = """() => [...document.querySelectorAll('body *')].filter(e => e.getClientRects().length
    && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())).filter(e => {
  const svg = e.closest('svg');
  if (['TITLE', 'DESC'].includes(e.tagName.toUpperCase())) return false;
  const scale = svg && svg.viewBox.baseVal.width ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
  return parseFloat(getComputedStyle(e).fontSize) * scale < 10; }).map(e => e.textContent.slice(0, 40))"""


# The quick suite sees both themes and both widths once; the other two pairs are looked at among the slow ones.
@pytest.fixture(
    scope="module",
    params=[
        ("light", 1280),
        ("dark", 360),
        pytest.param(("dark", 1280), marks=pytest.mark.slow),
        pytest.param(("light", 360), marks=pytest.mark.slow),
    ],
    ids=lambda p: f"{p[0]}-{p[1]}",
)
def window(request: pytest.FixtureRequest, chromium: Any, address: str) -> Iterator[Any]:
    scheme, width = request.param
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, base_url=address)
    opened = context.new_page()
    opened.complaints = []
    opened.on("dialog", lambda dialog: (opened.complaints.append("a dialog opened"), dialog.dismiss()))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.on("console", lambda m: "404" in m.text or opened.complaints.append(m.text))
    opened.on("request", lambda r: r.url.startswith(address) or opened.complaints.append(f"asked for {r.url}"))
    yield opened
    context.close()


@pytest.fixture
def page(window: Any) -> Any:
    """One tab for all: each of its own would cost the browser another process."""
    window.complaints.clear()
    return window


@pytest.mark.parametrize("path", PATHS)
def test_it_fits_and_can_be_read(page: Any, path: str) -> None:
    page.goto(path)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(SMALL) == []
    assert page.complaints == []


def test_one_drawing_of_each_chart_is_shown(page: Any) -> None:
    page.goto("/loops/support")
    for chart in page.locator(".chart").all():
        assert chart.locator("svg:visible").count() == 1


def test_it_works_from_the_keyboard(page: Any) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    seen = []
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.textContent"))
        if seen[-1] == "support":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url("**/loops/support")
    summary = page.locator("summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("details[open] table").first.is_visible()


def test_the_checks_find_a_planted_offence(page: Any) -> None:
    page.goto("/")
    page.evaluate("document.querySelector('h1').style.cssText = 'color: #999; background: #aaa'")
    page.evaluate("document.querySelector('footer code').style.fontSize = '7px'")
    assert [line.split()[0] for line in page.evaluate(CONTRAST)] == ["Loops"]
    assert len(page.evaluate(SMALL)) == 1
