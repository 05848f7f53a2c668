"""The page in a headless browser, for tests: fixtures that they take by name.

Chromium comes from the system (Debian's package `chromium`), and Playwright drives it. Where one of them is missing, the tests
that need it are skipped and say which.
"""

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.pages import page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
)  # fmt: skip
PATIENCE_MS = 30_000  # of a browser beside other work
PHONE, DESKTOP = (390, 844), (1280, 900)
CLAIM = "zeroshot-accuracy"
ROW = f"row-{CLAIM}--digits-mlp-moments-raw"
SHOWN = "tbody.claim:not([hidden])"


class Opened(NamedTuple):
    """A page in the browser, with what it said on the console and what it asked for."""

    page: "Page"
    said: list[str]
    asked: list[str]


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    sync_api = pytest.importorskip("playwright.sync_api", reason="no package playwright")
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def built(browser, tmp_path_factory) -> Callable[[str], Path]:
    """Pages as files, made when they are first asked for: of made-up rows, and of the repository's."""
    folder = tmp_path_factory.mktemp("page")

    @cache
    def build(which: str) -> Path:
        path = folder / f"{which}.html"
        path.write_text(page("made up" if which == "made-up" else "the repository's"))
        return path

    return build


@pytest.fixture(params=["made-up", "repository"])
def which(request) -> str:
    return request.param


@pytest.fixture
def opened(browser, built):
    """Opens a page; at the end, no page may have complained, or have asked for anything besides its own file."""
    every: list[Opened] = []

    def open_page(which="made-up", size=DESKTOP, scheme="light", after="", **context) -> "Page":
        place = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, reduced_motion="reduce", **context
        )
        page, said, asked = place.new_page(), [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(built(which).as_uri() + after)
        every.append(Opened(page, said, asked))
        return page

    yield open_page
    for one in every:
        assert one.said == []
        assert {url.partition("#")[0] for url in one.asked} == {one.page.url.partition("#")[0]}
        one.page.context.close()
