"""Files of figures: the same bytes of the same data, nothing of no data, fit to be read; and those of this project."""

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from seeds import grid
from seeds.audit import findings as findings_file
from seeds.audit import page as audit_page
from seeds.claims import load
from seeds.cost import page as cost_page
from seeds.cost import race, record
from seeds.cost.record import Record
from seeds.errors import StoreError
from seeds.figures import cost, every, figure, ladder, retention
from seeds.figures.figure import Figure
from seeds.report import claims_file
from tests import figured
from tests.drawn import every_row_is_drawn_once, root, words
from tests.figured import MADE, ROOT, changed, findings, made

SIZE_LIMIT = 90_000  # bytes of an SVG
EACH = pytest.mark.parametrize("name", MADE)


@EACH
def test_the_same_data_give_the_same_bytes(name):
    again = changed(name, MADE[name].data())
    assert again == made(name)
    assert b"Matplotlib" not in again.svg
    assert not re.search(rb"20\d\d-\d\d-\d\d", again.svg)


@EACH
def test_without_data_there_is_no_figure(name):
    assert MADE[name].draw([]) is None


def test_rows_without_a_retention_a_size_or_a_rung_make_no_figure(tmp_path):
    bare = [replace(f, notes={}) for f in findings()]
    assert retention.retention(bare) is None
    assert ladder.ladder([f for f in findings() if f.claim != ladder.CLAIM]) is None
    assert cost.scale([replace(one, facts={}) for one in figured.records()]) is None
    assert every(tmp_path, []) == []


def test_what_is_stored_is_drawn_and_nothing_else(tmp_path):
    """Of each folder what it has: here rows and pieces, and none of races, records and audit."""
    grid.add(figured.pieces(), tmp_path / "finetune")
    assert [one.name for one in every(tmp_path, findings())] == ["retention", "ladder", "curves-made-up", "budgets-made-up"]


KINDS = ("pieces", "heads", "ledgers", "pads", "entrants", "sizes", "exponent")
FITTED = Record("scale exponent", "exponent[sum]", 1, 1.0, 1.0, 1.0, dict.fromkeys((
    "exponent", "exponent_low", "exponent_high", "exponent_from_10M", "exponent_from_10M_low", "exponent_from_10M_high"
), 1.0) | {"sizes": "1M 100M"})  # fmt: skip


def linked(folder: Path, kinds: Collection[str]) -> list[str]:
    """Stores data of some kinds, makes the three pages, and reads from them which figures they show."""
    if "pieces" in kinds:
        grid.add(figured.pieces(), folder / "finetune")
    for kind in {"heads", "ledgers", "pads"} & set(kinds):
        findings_file.add(getattr(figured, kind)(), folder / "audit")
    if "entrants" in kinds:
        race.write(figured.entrants(), folder / "benchmarks")
    record.write([*figured.records() * ("sizes" in kinds), *[FITTED] * ("exponent" in kinds)], folder / "benchmarks", {})
    pages = [*grid.write(folder / "finetune"), *audit_page.write(folder, {}, folder / "audit")]
    pages += cost_page.write(folder / "benchmarks")
    return [name for path in pages for name in re.findall(r"!\[[^]]*\]\(\.\./figures/(.*?)\.svg\)", path.read_text())]


@pytest.mark.parametrize("without", [None, *KINDS])
def test_the_pages_show_the_figures_that_are_drawn_and_no_other(tmp_path, without):
    """Growth over model size has a section where an exponent was fitted, and a drawing where models were timed."""
    shown = linked(tmp_path, [kind for kind in KINDS if kind != without])
    drawn = [one.name for one in every(tmp_path, []) if (one.name, without) != ("cost-scale", "exponent")]
    assert sorted(shown) == sorted(drawn)
    assert len(drawn) == {None: 7, "pieces": 5}.get(without, 6)


def test_pages_of_no_data_and_of_files_without_any_show_no_figure(tmp_path):
    assert linked(tmp_path, []) == []
    (tmp_path / "finetune" / "empty.json").write_text('{"pieces": []}')
    (tmp_path / "benchmarks" / "race-empty.json").write_text('{"entrants": []}')
    assert linked(tmp_path, []) == []
    assert every(tmp_path, []) == []


def test_a_figure_is_two_files_and_a_missing_folder_is_named(tmp_path):
    written = made("pads").write(tmp_path)
    assert [path.name for path in written] == ["audit-pads.svg", "audit-pads.csv"]
    assert [path.read_bytes() for path in written] == [made("pads").svg, made("pads").csv()]
    with pytest.raises(StoreError, match="nowhere"):
        made("pads").write(tmp_path / "nowhere")


def is_sound(one: Figure) -> None:
    """Small, of text that stays text, in the palette, loading nothing; words inside the drawing and apart from each other."""
    assert len(one.svg) < SIZE_LIMIT
    assert one.name == one.name.lower()
    assert all((one.title, one.caption.endswith("."), one.alt.endswith(".")))
    _, _, width, height = map(float, root(one).attrib["viewBox"].split())
    found = words(one)
    assert found
    for word in found:
        assert -1 <= word.left < word.right <= width + 1, (one.name, word)
        assert 0 <= word.top < word.bottom <= height, (one.name, word)
    for place, word in enumerate(found):
        for next_word in found[place + 1 :]:
            across = min(word.right, next_word.right) - max(word.left, next_word.left)
            down = min(word.bottom, next_word.bottom) - max(word.top, next_word.top)
            assert across < 1 or down < 1, (one.name, word, next_word)
    palette = {value for name, value in vars(figure).items() if name.isupper() and str(value).startswith("#")}
    shades = set(re.findall(r"fill: (#\w{6})", one.svg.decode())) if one.name.startswith("budgets") else set()
    assert set(re.findall(r"#[0-9a-f]{6}\b", one.svg.decode())) <= palette | shades
    assert not re.search(rb'href="(?!#)|<image|<script|url\((?!#)', one.svg)


@EACH
def test_a_figure_can_be_read(name):
    is_sound(made(name))


# -- of this project ------------------------------------------------------------------------------------------------------


def test_the_figures_of_this_project_are_all_there_and_can_be_read():
    names = [one.name for one in figured.stored()]
    assert len(set(names)) == len(names)
    kinds = (
        "retention",
        "ladder",
        "curves-",
        "budgets-",
        "audit-heads",
        "audit-ledger",
        "audit-pads",
        "cost-quality-",
        "cost-scale",
    )
    assert {kind for kind in kinds for name in names if name.startswith(kind)} == set(kinds)
    for one in figured.stored():
        is_sound(one)
        every_row_is_drawn_once(one)


def test_the_figures_belong_to_claims_and_rows_that_there_are():
    claims = load(ROOT / "tests" / "claims.toml", ROOT / "tests" / "expected.toml")
    rows = {f.place for f in claims_file.read(ROOT / "reports").findings}
    for one in figured.stored():
        assert set(one.claims) <= claims.keys(), one.name
        if "claim" in one.columns:
            at = one.columns.index("claim")
            assert {(row[at], row[at + 1]) for row in one.rows} <= rows
            assert {row[at] for row in one.rows} <= set(one.claims)


def test_the_stored_files_are_made_of_the_stored_data():
    """Numbers to the last of the digits that are kept; of drawings the title, for places of letters depend on the machine."""
    folder = ROOT / "reports" / "figures"
    files = {path for one in figured.stored() for path in (folder / f"{one.name}.svg", folder / f"{one.name}.csv")}
    assert set(folder.iterdir()) == files
    for one in figured.stored():
        assert (folder / f"{one.name}.csv").read_bytes() == one.csv(), one.name
        drawing = ElementTree.parse(folder / f"{one.name}.svg").getroot()
        assert one.title in " ".join("".join(drawing.itertext()).split())
