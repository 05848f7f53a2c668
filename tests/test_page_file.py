"""The page as a file: safe, stable, light and complete, and nothing leaves it."""

import base64
import hashlib
import random
import re
from collections import Counter
from dataclasses import asdict, replace
from itertools import pairwise

import pytest

from seeds.report import claims_file, published
from seeds.report.page import BESIDE, html
from tests.pages import CLAIMS, FIGURE, REPORTS, changed, page, results, shown, tree

LARGEST_BYTES = 3_000_000  # of the page of the repository's own rows with all figures: seconds on a slow phone
DATA = pytest.mark.parametrize("data", ["made up", "the repository's"])
PLACE = ("zeroshot-accuracy", "digits-mlp-moments-raw")

# -- one file that is safe, stable and complete -------------------------------------------------------------------------


def test_the_same_rows_give_the_same_bytes_in_any_order():
    told = results()
    shuffled = list(told.findings)
    random.Random(1).shuffle(shuffled)
    assert html(told, CLAIMS, [FIGURE]) == page("made up") == html(replace(told, findings=shuffled), CLAIMS, [FIGURE])


def test_hostile_text_is_shown_and_never_obeyed():
    evil = "</script><img src=http://x.test onerror=alert(1)>\"'&{{ 7*7 }}"
    claim = CLAIMS[PLACE[0]]
    claims = {**CLAIMS, claim.name: replace(claim, says=evil, figure=evil, unit=evil, reason=evil)}
    told = changed(results(), PLACE, codec=evil, subject=evil, reason=evil, notes={evil: evil}, test=evil, outcome="UNDECIDED")
    session = replace(next(iter(told.sessions.values())), machine=evil, commit=evil, versions={evil: evil})
    told = replace(told, sessions={session.started: session})
    figure = replace(FIGURE, title=evil, caption=evil, alt=evil, columns=(evil,), rows=((evil,),))
    found = shown(told, claims, [figure])

    assert not found.all("img")
    assert len(found.all("script")) == 1
    assert not [name for e in found.walk() for name in e.attrs if name.startswith("on")]
    assert found.text.count("onerror=alert(1)") >= 12
    assert "49" not in found.one("details", id=f"claim-{claim.name}").one("dl", class_="plain").text


@DATA
def test_nothing_is_loaded_from_anywhere(data):
    for e in tree(data).walk():
        for name in ("src", "href", "srcset", "data", "action", "poster", "style"):
            target = e.attrs.get(name, "")
            if (e.tag, name, target) == ("a", "href", published.URL):  # followed by a reader, and loaded by nobody
                continue
            assert "//" not in target, (e.tag, name, target[:80])
        assert e.tag not in ("link", "iframe", "object", "embed", "base")
    (style,) = tree(data).all("style")
    assert not re.search(r"url\(|@import", "".join(map(str, style.inside)))


@DATA
def test_the_policy_lets_this_script_run_and_no_other(data):
    policy = next(e.attrs["content"] for e in tree(data).all("meta") if e.attrs.get("http-equiv") == "Content-Security-Policy")
    script = "".join(map(str, tree(data).one("script").inside))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:" in policy


@DATA
def test_ids_are_unique_and_every_link_has_its_target(data):
    ids = Counter(e.attrs["id"] for e in tree(data).walk() if "id" in e.attrs)
    assert [name for name, n in ids.items() if n > 1] == []
    links = {e.attrs["href"] for e in tree(data).walk() if "href" in e.attrs}
    assert {link for link in links if link.startswith("#")} <= {f"#{name}" for name in ids}
    labels = {name for e in tree(data).walk() for name in e.attrs.get("aria-labelledby", "").split()}
    assert labels <= ids.keys()
    assert {link for link in links if not link.startswith(("#", "data:text/csv"))} == {*BESIDE, published.URL}


def test_the_opening_names_the_audited_report_and_links_to_the_commit_that_was_read():
    opening = tree("made up").one("div", class_="question")
    assert f"({published.REPOSITORY} at commit {published.COMMIT})" in opening.text
    assert published.URL in [a.attrs["href"] for a in opening.all("a")]


def test_files_that_the_page_links_to_are_beside_it():
    assert [name for name in BESIDE if not (REPORTS / name).is_file()] == []


def test_the_page_stays_light():
    assert len(page("the repository's").encode()) < LARGEST_BYTES


@DATA
def test_the_page_has_one_heading_of_the_first_rank_landmarks_and_its_language(data):
    found = tree(data)
    assert len(found.all("h1")) == 1
    assert found.one("html").attrs["lang"] == "en"
    assert all(len(found.all(tag)) == 1 for tag in ("main", "nav", "footer", "title"))
    assert found.all("a", class_="skip")[0].attrs["href"] == "#claims"
    ranks = [int(e.tag[1]) for e in found.walk() if re.fullmatch("h[1-6]", e.tag)]
    assert all(b - a <= 1 for a, b in pairwise(ranks))


def test_the_footer_names_the_digest_of_all_rows():
    assert tree("made up").one("footer").one("code", class_="digest").text == claims_file.digest(results().findings)
    fewer = shown(replace(results(), findings=results().findings[:-1])).one("footer").text
    assert fewer != tree("made up").one("footer").text


def test_sessions_are_told_with_all_that_is_known_of_them():
    table = tree("made up").one("section", class_="measured").all("table")[-1].text
    session = asdict(next(iter(results().sessions.values())))
    assert session["commit"][:10] in table
    for told in ("(dirty)", "Linux x86_64, 4 cores, 2 processes", "Python 3.11.0", "torch 2.13", str(len(results().findings))):
        assert told in table
