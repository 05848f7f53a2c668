"""Figures: every number that is drawn is in the CSV and lies where it says; titles and captions follow the data."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from seeds.audit.findings import ShareFinding
from seeds.figures import figure
from tests import figured
from tests.drawn import band, drawn, every_row_is_drawn_once, local, root, table, words
from tests.figured import MADE, changed, findings, heads, made

SLACK = 0.03  # points: places are kept to hundredths
NUMBER = re.compile(r"[\d.]+")
EACH = pytest.mark.parametrize("name", MADE)


def is_line(places: np.ndarray, numbers: np.ndarray) -> bool:
    """Whether places in the drawing are numbers on one scale."""
    fitted = np.polyval(np.polyfit(numbers, places, 1), numbers)
    return bool(np.abs(fitted - places).max() < SLACK)


# -- numbers --------------------------------------------------------------------------------------------------------------


@EACH
def test_every_row_of_the_csv_is_drawn_once_and_nothing_else_is(name):
    every_row_is_drawn_once(made(name))


@pytest.mark.parametrize("name", [name for name, how in MADE.items() if how.along is not None or how.up is not None])
def test_every_mark_lies_where_its_row_says(name):
    """Places of the marks of a panel are the numbers of the CSV, on one scale."""
    one, how = made(name), MADE[name]
    panels: dict[tuple, list] = {}
    for group in drawn(one):
        for row, place in zip(one.rows[group.first : group.last + 1], group.points, strict=True):
            panels.setdefault(tuple(row[column] for column in how.panel), []).append((row, place))
    for marks in panels.values():
        for axis, column in enumerate((how.along, how.up)):
            if column is not None:
                numbers = np.array([row[column] for row, _ in marks], float)
                places = np.array([place[axis] for _, place in marks])
                assert len(set(numbers)) > 1
                assert is_line(places, np.log(numbers) if ("along", "up")[axis] in how.logarithmic else numbers)


@pytest.mark.parametrize(("name", "low"), [("retention", 6), ("ladder", 5), ("ledger", 3), ("quality", 7)])
def test_every_interval_reaches_from_its_low_end_to_its_high_one(name, low):
    """Marks and ends of intervals of a panel are on one scale; a row that has ends has an interval, and no other has."""
    one, how = made(name), MADE[name]
    axis, column = (0, how.along) if how.up is None else (1, how.up)
    assert column is not None
    marks = {group.first: group.points[0][axis] for group in drawn(one)}
    intervals = {group.first: group.points for group in drawn(one, "interval")}
    single = {group.first for group in drawn(one) if group.first == group.last}
    assert set(intervals) == {place for place in single if one.rows[place][low] is not None}
    for panel in {tuple(row[column] for column in how.panel) for row in one.rows}:
        at = [i for i in intervals if tuple(one.rows[i][column] for column in how.panel) == panel]
        numbers = [one.rows[i][c] for i in at for c in (column, low, low + 1)]
        places = [place for i in at for place in (marks[i], *(point[axis] for point in intervals[i]))]
        assert is_line(np.array(places), np.array(numbers, float))


@pytest.mark.parametrize(("name", "low"), [("curves", 5), ("quality", 7)])
def test_every_band_reaches_from_the_low_ends_of_its_line_to_the_high_ones(name, low):
    """Ends of bands and the points of their lines are on one scale; all panels of a row share it, so one line has it, too."""
    one, how = made(name), MADE[name]
    lines = [group for group in drawn(one) if group.first < group.last]
    assert lines
    for line in lines:
        rows = one.rows[line.first : line.last + 1]
        ends = band(one, line)
        numbers = [row[column] for row in rows for column in (low, low + 1, how.up or 0)]
        places = [y for (lower, upper), (_, y) in zip(ends, line.points, strict=True) for y in (lower, upper, y)]
        assert is_line(np.array(places), np.array(numbers, float))


def test_marks_stand_beside_the_powers_of_ten_that_their_perplexities_are():
    one = made("pads")
    powers = {word.text: (word.top + word.bottom) / 2 for word in words(one) if re.fullmatch("10[⁰¹²³⁴⁵⁶⁷⁸⁹]+", word.text)}
    assert len(powers) > 1
    assert all(math.isclose(float(str(row[5])), math.exp(float(str(row[4]))), rel_tol=1e-8) for row in one.rows)
    marks = [(row[5], y) for line in drawn(one) for row, (_, y) in zip(one.rows[line.first :], line.points, strict=False)]
    scale = np.polyfit([math.log10(float(str(perplexity))) for perplexity, _ in marks], [y for _, y in marks], 1)
    for power, y in powers.items():
        exponent = "".join(str("⁰¹²³⁴⁵⁶⁷⁸⁹".index(digit)) for digit in power[2:])
        assert abs(np.polyval(scale, int(exponent)) - y) < 1


def test_bars_are_as_high_as_heads_are_many_and_none_is_left_out():
    one = made("heads")
    bars = [(group.points, one.rows[group.first]) for group in drawn(one)]
    heights = np.array([max(y for _, y in points) - min(y for _, y in points) for points, _ in bars])
    assert is_line(heights, np.array([row[5] for _, row in bars], float))
    for found in heads():
        for examples, accuracies in (("one class", found.one_class), ("balanced", found.balanced)):
            counts = [int(str(row[5])) for row in one.rows if row[1:3] == (found.arm, examples)]
            assert sum(counts) == np.size(accuracies)


def test_cells_carry_their_number_and_a_frame_where_it_is_enough():
    one = made("budgets")
    texts = [word.text for word in words(one)]
    shown = [text for text in texts if re.fullmatch(r"0\.\d\d", text)]
    assert shown == [f"{row[4]:.2f}" for row in one.rows]
    framed = {
        group.get("id") for group in root(one).iter() if any(figure.VERMILLION in path.get("style", "") for path in group)
    }
    enough = {f"rows-{i}-{i}" for i, row in enumerate(one.rows) if row[8] == "yes"}
    assert framed == enough
    assert enough


@EACH
def test_the_csv_has_the_numbers_as_they_are_under_columns_with_units(name):
    one = made(name)
    head, *rows = table(one.csv())
    assert tuple(head) == one.columns
    assert len(set(head)) == len(head)
    for read, row in zip(rows, one.rows, strict=True):
        assert [float(cell) if isinstance(value, float) else cell for cell, value in zip(read, row, strict=True)] == [
            value if isinstance(value, float) else "" if value is None else str(value) for value in row
        ]


@EACH
def test_no_number_of_the_csv_has_more_than_nine_digits_or_a_minus_before_a_zero(name):
    numbers = [cell for row in table(made(name).csv())[1:] for cell in row if re.fullmatch(r"-?[\d.]+(e-?\d+)?", cell)]
    assert numbers
    for cell in numbers:
        digits = re.sub(r"e.*|\D", "", cell).lstrip("0")
        assert "." not in cell or len(digits) <= 9, cell
        assert cell not in ("-0.0", "-0"), cell


@pytest.mark.parametrize("name", ["curves", "budgets"])
def test_the_last_digits_that_a_machine_gives_its_means_are_not_in_the_csv(name):
    """Quality that is larger by the least amount that a float can be."""
    moved = [
        replace(one, **{kind: {arm: np.nextafter(runs, 9).tolist() for arm, runs in getattr(one, kind).items()}})
        for one in figured.pieces() for kind in [{"curves": "along", "budgets": "budget"}[name]]
    ]  # fmt: skip
    assert moved != figured.pieces()
    assert changed(name, moved).csv() == made(name).csv()


def test_figures_of_rows_are_the_stored_figures_to_the_last_digit():
    rows = {f.place: f for f in findings()}
    for *_, size, kept, low, high, _, _, _, _, claim, row in made("retention").rows:
        f = rows[str(claim), str(row)]
        assert (size, kept) == (f.notes["times_smaller"], f.notes["retention"])
        assert (low, high) == ((f.low, f.high) if f.value == kept else (None, None))
    for *_, value, low, high, level, _, _, _, claim, row in made("ladder").rows:
        f = rows[str(claim), str(row)]
        assert (value, low, high, level) == (f.value, f.low, f.high, f.level)


# -- words ----------------------------------------------------------------------------------------------------------------


@EACH
def test_the_title_is_drawn_word_by_word(name):
    one = made(name)
    told = [" ".join("".join(group.itertext()).split()) for group in root(one).iter() if local(group) == "g"]
    assert one.title in told


def more_runs() -> dict[str, list]:
    """The same data of other numbers of runs."""
    return {
        "retention": [replace(f, runs=97) for f in findings()],
        "ladder": [replace(f, runs=97) for f in findings()],
        "curves": figured.pieces(runs=97),
        "budgets": figured.pieces(runs=97),
        "heads": [replace(h, one_class=[[0.0]] * 97, balanced=[[0.5]] * 97) for h in figured.heads()],
        "ledger": [replace(one, runs=97) for one in figured.ledgers()],
        "quality": [replace(one, samples=97) for one in figured.entrants()],
        "scale": [replace(one, rounds=97) for one in figured.records()],
    }


@pytest.mark.parametrize("name", more_runs())
def test_the_caption_names_how_many_runs_there_were(name):
    before, after = made(name), changed(name, more_runs()[name])
    assert "97" not in NUMBER.findall(before.caption)
    assert "97" in NUMBER.findall(after.caption)


@pytest.mark.parametrize("name", ["retention", "ladder"])
def test_the_caption_names_how_many_examples_there_were(name):
    """Of rows that were stored without their number, it names none."""
    assert "over runs and examples" in made(name).caption
    known = changed(name, [replace(f, examples=360 + 2 * i) for i, f in enumerate(findings())])
    assert re.search(r"over runs and 36\d to 37\d examples", known.caption)
    of = {(f.subject, f.codec): 360 + 2 * i for i, f in enumerate(findings())}
    examples, low = known.columns.index("examples"), known.columns.index("low")
    for row in known.rows:
        assert row[examples] == (None if row[low] is None else of[str(row[0]), str(row[1])])


def test_the_panels_of_pads_name_how_many_runs_there_were():
    (one,) = figured.pads()
    twice = replace(one, nats={arm: runs * 2 for arm, runs in one.nats.items()})
    assert "talk, 2 runs" in {word.text for word in words(made("pads"))}
    assert "talk, 4 runs" in {word.text for word in words(changed("pads", [twice]))}


def other() -> dict[str, list]:
    """Data that say something else."""
    share = ShareFinding("empty_rows", (9.0, 8.0, 10.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), True)
    return {
        "retention": [f for f in findings() if f.codec != "signs+vectors"],
        "ladder": [replace(f, outcome="HOLDS") for f in findings()],
        "curves": [replace(p, along=dict.fromkeys(p.along, p.along["fresh"])) for p in figured.pieces()],
        "budgets": [replace(p, budget=dict.fromkeys(p.budget, p.budget["original"])) for p in figured.pieces()],
        "heads": [replace(h, one_class=h.balanced) for h in figured.heads()],
        "ledger": [replace(one, shares=(share,)) for one in figured.ledgers()],
        "pads": [replace(p, nats={"assembled": [[1.0, 2.0, 3.0]]}) for p in figured.pads()],
        "quality": [one for one in figured.entrants() if one.delivery in ("original", "moments")],
        "scale": [replace(one, min_s=17.0, max_s=17.0) for one in figured.records()],
    }


@EACH
def test_the_title_and_the_words_for_the_blind_follow_the_data(name):
    before, after = made(name), changed(name, other()[name])
    assert after.title != before.title
    assert after.alt != before.alt


def test_a_ladder_without_a_refutation_does_not_claim_one():
    assert changed("ladder", other()["ladder"]).title.startswith("None of 7 descriptions")


def test_titles_say_the_figures_of_the_data():
    assert made("retention").title.startswith("Best mean of untrained seeds: 100 times smaller 0.60 % [−9.4 %, 10.6 %] of what")
    assert made("retention").title.endswith("2 times smaller 95.0 % [no interval] (pca+vectors)")
    assert "signs+vectors in 1 of 2 networks" in made("ladder").title
    assert "signs+vectors −17.0 % to 71.0 %" in made("ladder").alt
    assert "75.0 % of 8 untrained heads" in made("heads").title
    assert "up in 1 and down in 1 runs, by up to 403 times" in made("pads").title  # e^6
    assert made("ledger").title.endswith("one class in 1 and uncalibrated in 1 of 2 networks")
