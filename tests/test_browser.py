"""The page in a real browser: it opens from disk, its filters and links work, and so does the keyboard alone."""

import re

import pytest

from tests import browsed
from tests.browsed import CLAIM, PATIENCE_MS, ROW, SHOWN

browser, built, opened, which = browsed.browser, browsed.built, browsed.opened, browsed.which  # fixtures


def wait_for(locator):
    """Assertions about an element that are tried until they hold, or until patience ends."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    return expect(locator)


def claims_shown(page) -> list[str]:
    return page.eval_on_selector_all(f"{SHOWN} details[id^=claim-]", "all => all.map(one => one.id.slice(6))")


def choose(page, name, value):
    page.select_option(f"select[name={name}]", value)


# -- filters and sorting --------------------------------------------------------------------------------------------------


def test_the_page_opens_from_disk_with_every_claim(opened, which):
    page = opened(which)
    assert page.url.startswith("file://")
    total = page.locator("tbody.claim").count()
    assert total > 0
    assert len(claims_shown(page)) == total
    assert page.locator(".shown").inner_text() == f"{total} of {total} claims shown"


def test_filters_narrow_the_table_and_say_so(opened):
    page = opened()
    total = len(claims_shown(page))
    choose(page, "family", "audit")
    assert claims_shown(page) == ["audit-accuracy"]
    assert page.locator(".shown").inner_text() == f"1 of {total} claims shown"
    assert page.locator(".shown").get_attribute("aria-live") == "polite"
    page.click("button[type=reset]")
    wait_for(page.locator(SHOWN)).to_have_count(total)
    choose(page, "verdict", "RECORDED")
    assert claims_shown(page) == ["cost-runtime"]
    choose(page, "verdict", "")
    page.fill("input[name=q]", "model assembled from a seed knows")
    assert claims_shown(page) == ["zeroshot-perplexity"]
    page.fill("input[name=q]", "no such words")
    assert claims_shown(page) == []
    assert page.locator(".nothing").is_visible()


def test_a_subject_narrows_the_rows_of_a_claim(opened):
    page = opened(after=f"#claim-{CLAIM}")
    choose(page, "subject", "digits-cnn")
    subjects = page.locator(f"#claim-{CLAIM} tbody:visible td:nth-child(2)").all_inner_texts()
    assert set(subjects) == {"digits-cnn"}
    assert "cost-runtime" in claims_shown(page)
    assert "zeroshot-perplexity" not in claims_shown(page)


def test_the_state_of_the_table_is_in_its_address(opened, which):
    page = opened(which)
    choose(page, "family", "zeroshot")
    page.fill("input[name=q]", "seed")
    page.get_by_role("button", name="Control").click()
    expected = claims_shown(page)
    again = opened(which, after="#" + page.url.partition("#")[2])
    assert claims_shown(again) == expected
    assert again.input_value("select[name=family]") == "zeroshot"
    assert 0 < len(expected) < page.locator("tbody.claim").count()


@pytest.mark.parametrize(
    ("which", "column"),
    [
        *(("made-up", name) for name in ("The report says", "Its figure", "Ours, by a sound one", "Control", "Verdict")),
        ("repository", "Ours, by a sound one"),
    ],
)
def test_sorting_orders_the_table_and_says_so(opened, which, column):
    page = opened(which)
    start = claims_shown(page)
    head = page.locator("#ledger > thead th", has_text=column)
    button = head.get_by_role("button")
    index = head.evaluate("head => head.cellIndex")

    def keys():
        cells = page.eval_on_selector_all(
            "tr.line", f"all => all.map(row => row.cells[{index}].dataset.key ?? row.cells[{index}].textContent.trim())"
        )
        numbers = column in ("Ours, by a sound one", "Control")
        return [float(key) if numbers else key.casefold() for key in cells if key]

    button.click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert _ordered(keys())
    button.click()
    assert head.get_attribute("aria-sort") == "descending"
    assert _ordered(keys()[::-1])
    button.click()
    assert head.get_attribute("aria-sort") is None
    assert claims_shown(page) == start


def _ordered(keys) -> bool:
    """Whether keys are in order; of text, by letters and digits alone, as the browser's collation does."""
    if keys and isinstance(keys[0], str):
        keys = [re.sub(r"[^a-z0-9 ]", "", key).split(" ")[0] for key in keys]
    return keys == sorted(keys)


def test_a_number_of_the_answer_filters_the_table_or_opens_its_row(opened, which):
    page = opened(which)
    count = page.locator(".answer a[data-filter^=verdict]").first
    number = int(count.inner_text())
    assert number > 0
    count.click()
    wait_for(page.locator(SHOWN)).to_have_count(number)
    link = page.locator(".answer a[href^='#row-']").first
    link.click()
    wait_for(page.locator(f"[id='{(link.get_attribute('href') or '')[1:]}']")).to_be_in_viewport()


# -- opening, keyboard, copying -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [f"#claim-{CLAIM}", f"#{ROW}"], ids=["claim", "row"])
def test_a_deep_link_opens_its_claim(opened, which, after):
    page = opened(which, after=after)
    assert page.locator(f"#claim-{CLAIM}").evaluate("details => details.open")
    wait_for(page.locator(after)).to_be_in_viewport()
    assert page.locator("details[open]").count() == 1


def test_a_deep_link_shows_a_row_that_a_filter_had_hidden(opened):
    page = opened(after="#family=cost")
    assert claims_shown(page) == ["cost-runtime"]
    page.evaluate(f"location.hash = '{ROW}'")
    wait_for(page.locator(f"#{ROW}")).to_be_in_viewport()
    assert CLAIM in claims_shown(page)


def _tab_to(page, reached: str, most: int = 200):
    """Presses Tab until the focus is on an element for which the expression is true."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(f"(() => {{ const at = document.activeElement; return {reached}; }})()"):
            return
    pytest.fail(f"Tab does not reach {reached} within {most} steps")


def test_the_keyboard_alone_opens_a_claim_and_copies_a_line(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "claims"
    _tab_to(page, f"at.tagName === 'SUMMARY' && at.parentElement.id === 'claim-{CLAIM}'")
    page.keyboard.press("Enter")
    assert page.locator(f"#claim-{CLAIM}").evaluate("details => details.open")
    _tab_to(page, f"at.className === 'copy' && at.closest('#{ROW}')")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    line = page.locator(f"#{ROW} .pytest code").inner_text()
    wait_for(page.locator("#said")).to_have_text(f"copied: {line}")
    assert page.evaluate("document.activeElement.textContent") == "Copied"
    _paste_and_compare(page, line)


def test_a_line_is_copied_without_a_clipboard_in_the_navigator(opened):
    page = opened(after=f"#claim-{CLAIM}")
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.locator(f"#{ROW} .copy").click()
    line = page.locator(f"#{ROW} .pytest code").inner_text()
    wait_for(page.locator("#said")).to_have_text(f"copied: {line}")
    _paste_and_compare(page, line)


def _paste_and_compare(page, line):
    page.locator("input[name=q]").focus()
    page.keyboard.press("Control+a")
    page.keyboard.press("Control+v")
    assert page.input_value("input[name=q]") == line


def test_everything_can_be_read_and_opened_without_javascript(opened, which):
    page = opened(which, java_script_enabled=False)
    assert not page.locator(".filters").is_visible()
    page.locator(f"#claim-{CLAIM} > summary").click()
    assert page.locator(f"#{ROW}").is_visible()
    assert not page.locator(f"#{ROW} .copy").is_visible()
    assert "pytest " in page.locator(f"#{ROW}").inner_text()
