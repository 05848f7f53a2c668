"""The page in a real browser, looked at: it fits a phone, is dark where asked, prints, and axe finds nothing serious.

axe-core comes in a package of its own; where it is missing, the test that needs it is skipped and says so.
"""

import re

import pytest

from tests import browsed
from tests.browsed import CLAIM, DESKTOP, PHONE, ROW

browser, built, opened, which = browsed.browser, browsed.built, browsed.opened, browsed.which  # fixtures

BOTH_WIDTHS = pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
MOST_SHEETS = 40  # of A4, with no claim opened


@BOTH_WIDTHS
def test_the_page_never_scrolls_sideways(opened, which, size):
    page = opened(which, size=size)
    for details in ("", "all.forEach(one => { one.open = true; })"):
        page.eval_on_selector_all("details", f"all => {{ {details} }}")
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    wide = page.eval_on_selector_all(".scroll", "all => all.filter(one => one.scrollWidth > one.clientWidth).length")
    assert wide > 0 or size == DESKTOP  # what is wider scrolls inside its own container


def test_the_dark_page_is_dark_and_so_are_its_drawings(opened):
    colours = {}
    for scheme in ("light", "dark"):
        page = opened(scheme=scheme)
        drawn = page.locator(".drawing path[style*=stroke]").first
        colours[scheme] = (
            page.evaluate("getComputedStyle(document.body).backgroundColor"),
            drawn.evaluate("path => getComputedStyle(path).stroke"),
        )
    light, dark = colours["light"], colours["dark"]
    assert light == ("rgb(255, 255, 255)", "rgb(26, 26, 26)")
    assert max(map(int, re.findall(r"\d+", dark[0]))) < 60
    assert min(map(int, re.findall(r"\d+", dark[1]))) > 200


def test_the_first_screen_holds_the_first_claim(opened, which):
    page = opened(which)
    first = page.locator("tr.line").first.bounding_box()
    assert first["y"] + 100 < DESKTOP[1]  # its statement, figure and verdict


def test_a_phone_shows_a_row_without_scrolling_sideways(opened, which):
    page = opened(which, size=PHONE, after=f"#{ROW}")
    for part in (".figure", ".badge", ".pytest code", ".copy", ".control"):
        box = page.locator(f"#{ROW} {part}").first.bounding_box()
        assert box["x"] >= 0, part
        assert box["x"] + box["width"] <= PHONE[0], part
    groups = page.locator(".glance .group").evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")
    assert max(groups) < 40  # a word and a count


def test_every_run_of_a_row_can_be_read(opened):
    page = opened(after=f"#{ROW}")
    numbers = page.locator(f"#{ROW} .each code").first
    assert not numbers.is_visible()
    page.locator(f"#{ROW} .each > summary").click()
    assert numbers.is_visible()
    assert len(numbers.inner_text().split()) == 5


def test_all_claims_can_be_opened_and_closed_at_once(opened, which):
    page = opened(which)
    details, button = page.locator("tbody.claim .detail > td > details"), page.locator(".open-all")
    button.click()
    assert details.evaluate_all("all => all.every(one => one.open)")
    assert button.inner_text() == "Close all"
    button.click()
    assert not details.evaluate_all("all => all.some(one => one.open)")


def test_paper_shows_what_is_open_and_no_controls(opened, which):
    page = opened(which, after=f"#claim-{CLAIM}")
    page.emulate_media(media="print")
    for hidden in (".filters", ".top nav", ".skip", f"#{ROW} .copy", ".again", "figure .data", f"#{ROW} .notes"):
        assert not page.locator(hidden).first.is_visible(), hidden
    assert page.locator(f"#{ROW}").bounding_box()["height"] > 20
    assert page.locator("tbody.claim .rows").evaluate_all("all => all.filter(one => one.checkVisibility()).length") == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= DESKTOP[0]


def test_paper_is_not_a_book(opened, which):
    page = opened(which)
    closed = _sheets(page)
    page.click(".open-all")
    assert closed < MOST_SHEETS
    assert _sheets(page) > closed


def _sheets(page) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4")))


@pytest.mark.parametrize(
    ("which", "size", "scheme"),
    [
        *(("made-up", size, scheme) for size in (PHONE, DESKTOP) for scheme in ("light", "dark")),
        ("repository", PHONE, "dark"),  # 10,000 elements: 10 s
    ],
    ids=lambda told: told if isinstance(told, str) else str(told[0]),
)
def test_axe_finds_nothing_serious(opened, which, size, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no package axe-playwright-python").Axe()
    page = opened(which, size=size, scheme=scheme, after=f"#claim-{CLAIM}")
    page.eval_on_selector_all("details.data", "all => { all[0].open = true; }")
    found = axe.run(page, options={"resultTypes": ["violations"]}).response
    assert len(found["passes"]) > 20
    serious = {
        rule["id"]: [node["html"][:200] for node in rule["nodes"][:3]]
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
    }
    assert serious == {}
