"""A real browser for the pages: Debian's Chromium, headless, watched for errors and for requests to elsewhere."""

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from proximity.api.app import create_app
from proximity.api.server import ApiServer
from tests.api_house import TOKEN, House

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = (
    "Chromium is not installed: apt-get install chromium"
    if CHROMIUM is None
    else "playwright is not installed: pip install playwright"
)
needs_browser = pytest.mark.skipif(CHROMIUM is None or importlib.util.find_spec("playwright") is None, reason=MISSING)


class Shop:
    """A house with its server and a browser before it."""

    def __init__(self, folder: Path, browser: "Browser") -> None:
        self.house = House(folder)
        self.app = create_app(self.house.context)
        self.server = ApiServer(self.app, port=0)
        self.server.start()
        self.browser = browser
        self.errors: list[str] = []
        self.elsewhere: list[str] = []

    @property
    def console(self) -> str:
        """The console's address with the key."""
        return f"{self.server.url}/?key={TOKEN}"

    def mine(self, shopper: str) -> str:
        """The address of a shopper's own page."""
        return f"{self.server.url}/me/{self.house.tokens[shopper]}"

    @contextmanager
    def page(self, address: str, width: int = 1440, height: int = 900, **context: Any) -> "Iterator[Page]":
        """An open page in a context of its own; afterwards it must have had no error and asked nobody else."""
        opened = self.browser.new_context(viewport={"width": width, "height": height}, **context)
        try:
            page = opened.new_page()
            page.set_default_timeout(60_000)
            page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: self.errors.append(str(error)))
            page.on("request", lambda asked: self._watch(asked.url))
            page.clock.install()  # runs as ever, until a test turns it forward
            page.goto(address)
            yield page
            assert self.errors == []
            assert self.elsewhere == []
        finally:
            opened.close()

    def _watch(self, url: str) -> None:
        if not url.startswith((self.server.url, "data:")):
            self.elsewhere.append(url)

    def close(self) -> None:
        """Server and store."""
        self.server.stop()
        self.house.close()


@contextmanager
def chromium() -> "Iterator[Browser]":
    """One browser for a file's tests."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        # In a container the tests run as root, where Chromium's own sandbox cannot be set up.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


# The lowest contrast of any visible text against the colour that is really behind it, as WCAG 2.2 computes it.
CONTRAST = r"""
() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const over = (top, below) => ({
    r: top.r * top.a + below.r * (1 - top.a), g: top.g * top.a + below.g * (1 - top.a),
    b: top.b * top.a + below.b * (1 - top.a), a: 1,
  });
  const light = ({ r, g, b }) => {
    const linear = (one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    const [x, y, z] = [r, g, b].map((one) => linear(one / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.backgroundImage.includes("gradient")) return null;
      layers.push(parse(style.backgroundColor));
    }
    const ground = parse(getComputedStyle(document.body).backgroundColor);
    return layers.reverse().reduce((below, top) => over(top, below), ground);
  };
  let worst = { ratio: 99 };
  for (const element of document.querySelectorAll("body *:not(svg):not(svg *):not(option):not(script)")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.matches(".sr, .skip, :disabled, :disabled *")) continue;
    const ground = behind(element);
    if (!ground) continue;
    const [one, two] = [light(over(parse(getComputedStyle(element).color), ground)), light(ground)];
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (ratio < worst.ratio) worst = { ratio, text: element.textContent.slice(0, 60), class: element.className };
  }
  return worst;
}
"""
