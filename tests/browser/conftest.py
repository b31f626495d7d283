"""Debian's Chromium through Playwright; without either, these tests are skipped and say so."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everloop.wheel import Wheel

from ..server.conftest import served, turned  # noqa: F401 - a fixture

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed: pip install 'everloop[browser]'")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def address(turned: Wheel) -> Iterator[str]:  # noqa: F811
    with served(turned) as client:
        yield str(client.base_url).rstrip("/")
