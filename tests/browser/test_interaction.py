"""The page of one interaction in a real browser: its pictures load, it can be read, it fits, nothing in it runs."""

import base64
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

import everloop
from everloop.types import Interaction, Review
from everloop.wheel import Wheel

from ..server.conftest import HOSTILE, served
from .test_pages import CONTRAST, SMALL

pytestmark = [pytest.mark.browser, pytest.mark.slow]


LENGTH = """() => new Promise((known, failed) => { const audio = document.querySelector('audio');
  audio.onloadedmetadata = () => known(audio.duration); audio.onerror = () => failed(audio.error.message);
  audio.preload = 'metadata'; audio.load(); })"""


def picture(width: int = 60, height: int = 40) -> bytes:
    """A PNG, drawn here."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(
        b"\0" + bytes(v for x in range(width) for v in (4 * x % 256, 6 * y % 256, 120)) for y in range(height)
    )
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def sound() -> bytes:
    """A WAV of a tenth of a second of silence."""
    data = bytes(800)
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    return b"RIFF" + struct.pack("<I", 36 + len(data)) + head + b"data" + struct.pack("<I", len(data)) + data


def inline(data: bytes, media: str) -> str:
    return f"data:{media};base64,{base64.b64encode(data).decode()}"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Interaction]]:
    with everloop.open(tmp_path_factory.mktemp("seen")) as wheel, served(wheel) as client:
        yield str(client.base_url).rstrip("/"), filled(wheel)


def filled(wheel: Wheel) -> Interaction:
    loop = wheel.loop("seen", task="chat")
    content = [
        {"type": "text", "text": "What is in this picture, and what does the recording say? " + HOSTILE},
        {"type": "image_url", "image_url": {"url": inline(picture(), "image/png")}},
        {"data": base64.b64encode(sound()).decode(), "media": "audio/wav", "name": HOSTILE},
        {"type": "file", "file": {"filename": "bill.pdf", "file_data": inline(b"%PDF-1.7", "application/pdf")}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a-picture-that-was-not-sent-along.png"}},
    ]
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "look_up", "arguments": '{"what": "' + "colours " * 20 + '"}'},
    }
    it = loop.log(
        {"messages": [{"role": "system", "content": "You describe."}, {"role": "user", "content": content}]},
        "A field in two colours, and silence.",
        message={"role": "assistant", "content": "A field in two colours, and silence.", "tool_calls": [call]},
        variant="small", propensity=0.25, tokens_in=1204, tokens_out=37, first_token_ms=80.0, latency_ms=420.0,
        cost=0.00012, context={"channel": "web", "page": HOSTILE}, subject="zoltan", session="s1",
    )  # fmt: skip
    loop.feedback(it.id, thumb="down", subject="zoltan")
    loop.feedback(it.id, correction="A field in many colours, and a tenth of a second of silence.", rationale=HOSTILE)
    loop.feedback(it.id, comment="x" * 300)
    wheel.store.records.replace(Review(id="r1", loop="seen", turn=1, interaction=it.id, input="x", why="random"))
    loop.annotate("r1", "silence", annotator="eve", rationale=HOSTILE)
    loop.log("x" * 100_000, status="failed", error="the upstream did not answer", id="long")
    url = "http://127.0.0.1:9/v1"
    variants = [{"name": name, "url": url, "model": f"a-model-with-a-long-name-{name}"} for name in "ab"]
    answered = wheel.loop("answered", task="chat", variants=variants)
    for name in "ab":
        one = answered.log({"messages": [{"role": "user", "content": "why? " * 30}]}, "because " * 30, variant=name,
                           latency_ms=812.5, first_token_ms=90.0, cost=0.000123)  # fmt: skip
        answered.feedback(one.id, thumb="up")
    return it


@pytest.fixture(params=[("light", 1280), ("dark", 1280), ("light", 360), ("dark", 360)], ids=lambda p: f"{p[0]}-{p[1]}")
def page(request: pytest.FixtureRequest, chromium: Any, seen: tuple[str, Interaction]) -> Iterator[Any]:
    scheme, width = request.param
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, base_url=seen[0],
                                   java_script_enabled=True)  # fmt: skip
    opened = context.new_page()
    opened.complaints = []
    opened.on("dialog", lambda dialog: (opened.complaints.append("a dialog opened"), dialog.dismiss()))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.on("console", lambda m: opened.complaints.append(m.text))
    opened.on("request", lambda r: r.url.startswith(seen[0]) or opened.complaints.append(f"asked for {r.url}"))
    yield opened
    context.close()


@pytest.mark.parametrize("which", ["whole", "long", "list"])
def test_it_fits_and_can_be_read(page: Any, seen: tuple[str, Interaction], which: str) -> None:
    page.goto(
        {"whole": f"/interactions/{seen[1].id}", "long": "/interactions/long"}.get(which, "/loops/seen/interactions")
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(SMALL) == []
    assert page.complaints == []


@pytest.mark.parametrize("path", ["/loops/answered/interactions", "/loops/answered"])
def test_what_was_answered_is_seen_without_scrolling_sideways(page: Any, path: str) -> None:
    page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    wide = "[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth).length"
    assert page.evaluate(wide) == 0
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(SMALL) == []
    assert page.complaints == []


def test_pictures_and_recordings_are_there(page: Any, seen: tuple[str, Interaction]) -> None:
    page.goto(f"/interactions/{seen[1].id}")
    image = page.locator(".turn img")
    image.scroll_into_view_if_needed()
    assert page.evaluate("document.querySelector('.turn img').decode().then(() => 60)") == 60
    assert page.evaluate("document.querySelector('.turn img').naturalWidth") == 60
    assert image.get_attribute("alt")
    assert page.evaluate(LENGTH) == pytest.approx(0.1, abs=0.01)
    assert page.locator("ins").count()
    assert page.locator("del").count()
    assert page.complaints == []


def test_an_attachment_opened_by_itself_can_do_nothing(page: Any, seen: tuple[str, Interaction]) -> None:
    answer = page.goto(f"/v1/blobs/{seen[1].attachments[0].hash}")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["content-type"] == "image/png"


def test_it_works_without_scripts_and_from_the_keyboard(chromium: Any, seen: tuple[str, Interaction]) -> None:
    context = chromium.new_context(base_url=seen[0], java_script_enabled=False)
    opened = context.new_page()
    opened.goto("/loops/seen")
    opened.get_by_role("link", name="2", exact=True).click()
    opened.wait_for_url("**/loops/seen/interactions")
    opened.locator(f'a[href="/interactions/{seen[1].id}"]').press("Enter")
    opened.wait_for_url(f"**/interactions/{seen[1].id}")
    assert opened.get_by_role("heading", name="What was said of it").is_visible()
    context.close()
