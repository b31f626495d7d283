"""The pages: every state renders, nothing foreign runs, they stay light."""

from collections.abc import Iterator
from html.parser import HTMLParser

import httpx
import pytest

from everloop.wheel import Wheel

from .conftest import HOSTILE, served


@pytest.fixture(scope="module")
def pages(turned: Wheel) -> Iterator[httpx.Client]:
    with served(turned) as client:
        yield client


class Reader(HTMLParser):
    """Checks that tags are closed, and collects tags, attributes and ids."""

    VOID = frozenset({"meta", "link", "br", "hr", "img", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


PATHS = (
    "/",
    "/loops/support",
    "/loops/fresh",
    "/loops/silent",
    "/loops/support/signals",
    "/loops/support/slices",
    "/loops/support/datasets",
    "/loops/support/datasets/latest",
    "/loops/fresh/datasets",
    "/loops/support/turns/1",
    "/loops/support/turns/2",
    "/docs",
)


@pytest.mark.parametrize("path", PATHS)
def test_pages_are_sound_light_and_safe(pages: httpx.Client, path: str) -> None:
    answer = pages.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    sheet = pages.get("/static/everloop.css")
    assert len(answer.content) + len(sheet.content) < 150_000
    read = Reader(answer.text)
    assert not [tag for tag, _ in read.tags if tag in ("script", "style", "iframe")]
    assert "<script" not in answer.text.lower()
    for tag, attributes in read.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag
        for name in ("href", "src"):
            assert not (attributes.get(name) or "/").startswith(("http", "//", "javascript"))
        if tag == "svg":
            assert attributes.get("role") == "img" or attributes.get("aria-hidden") == "true"
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in read.tags:
        for ref in (attributes.get("aria-labelledby") or "").split():
            assert ref in ids


def test_hostile_names_are_shown_and_not_run(pages: httpx.Client) -> None:
    text = pages.get("/loops/support").text
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text


def test_no_loop_says_what_to_type(http: httpx.Client) -> None:
    text = http.get("/").text
    assert "everloop init support --task classify" in text
    assert "curl -X POST" in text


def test_a_loop_where_nothing_came_in_says_so(pages: httpx.Client) -> None:
    text = pages.get("/loops/fresh").text
    assert "Nothing has come in yet" in text
    assert "No turn yet" in text
    assert "/v1/loops/fresh/predict" in text


def test_a_loop_that_abstains_says_so(pages: httpx.Client) -> None:
    text = pages.get("/loops/silent").text
    assert "Nothing learned yet" in text
    assert "never guesses" in text


def test_a_loop_that_turned_shows_all_of_it(pages: httpx.Client, turned: Wheel) -> None:
    text = pages.get("/loops/support").text
    for part in ("Accuracy by turn", "What was kept", "Verdicts", "Releases", "Turns", "Is it a flywheel"):
        assert part in text
    assert text.count('role="img"') >= 5
    status = turned.get("support").status()
    assert status.live
    assert status.live in text
    for reason in turned.get("support").report().dropped:
        assert reason.replace("_", " ") in text


def test_a_missing_page_is_a_page_for_people_and_json_for_programs(pages: httpx.Client) -> None:
    person = pages.get("/nowhere", headers={"accept": "text/html"})
    assert person.status_code == 404
    assert "content-security-policy" in person.headers
    assert "Back to the loops" in person.text
    assert pages.get("/nowhere").json()["error"]["type"] == "NotFound"
    lost = pages.get("/loops/nope", headers={"accept": "text/html"})
    assert lost.status_code == 404
    assert "no loop called" in lost.text


def test_static_files_are_kept_and_nothing_else_is_served(pages: httpx.Client) -> None:
    assert "immutable" in pages.get("/static/everloop.css?v=1").headers["cache-control"]
    assert pages.get("/static/icon.svg").headers["content-type"] == "image/svg+xml"
    for path in ("/static/nope.css", "/static/..%2fapp.py", "/static/%2e%2e/app.py"):
        assert pages.get(path).status_code == 404


def test_a_browser_gets_a_page_that_says_what_is_wrong_and_a_program_gets_json(pages: httpx.Client) -> None:
    for path in ("/loops/nope", "/loops/support/turns/999", "/nowhere"):
        shown = pages.get(path, headers={"accept": "text/html,*/*;q=0.8"})
        assert shown.status_code == 404
        assert shown.headers["content-type"].startswith("text/html")
        Reader(shown.text)
        assert "Back to the loops" in shown.text
        assert pages.get(path).json()["error"]["type"] == "NotFound"
    assert pages.get("/v1/loops/nope", headers={"accept": "text/html"}).json()["error"]["type"] == "NotFound"
