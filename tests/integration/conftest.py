"""What tests of the pages share: one browser, and a shop before it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.web_browser import Shop, chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """One for a file's tests."""
    with chromium() as started:
        yield started


@pytest.fixture
def shop(tmp_path: Path, browser: "Browser") -> Iterator[Shop]:
    """The API's house with its server, before a browser."""
    shop = Shop(tmp_path, browser)
    yield shop
    shop.close()
