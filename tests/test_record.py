"""Benchmarks as data and as a page: nothing is lost, peers are found, and what is not reached says so."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from seeds.cost import page, race, record
from seeds.cost.arrival import SPEEDS
from seeds.cost.calibration import Parts
from seeds.cost.delivery import DELIVERIES
from seeds.cost.race import Download, Entrant
from seeds.cost.record import Record
from seeds.cost.timing import Timed

FAST = Record("extract moments", "fast[ours]", 3, 1.0, 1.1, 1.2, {"against": "plain", "at_most": 2.0, "bytes": 1000})
PLAIN = Record("extract moments", "plain", 3, 0.4, 0.5, 0.6, {"gb_per_s": 3.14159, "threads": 1})


def scaled(parameters: int) -> Record:
    facts = {"way": "moments", "parameters": parameters, "seconds": parameters / 1e9, "peak_anonymous_bytes": 2e8}
    return Record("scale", f"moments[{parameters}]", 1, 1.0, 1.0, 1.0, facts)


FITTED = Record("scale exponent", "test_the_exponent_of_growth[moments]", 1, 1.0, 1.0, 1.0, {
    "sizes": "1M 10M", "exponent": 1.06, "exponent_low": 1.0, "exponent_high": 1.1,
    "exponent_from_10M": 1.0, "exponent_from_10M_low": 0.9, "exponent_from_10M_high": 1.2,
})  # fmt: skip
PLANNED = Record("plan", "test_the_first_choice[digits-mlp-56kbps]", 1, 1.0, 1.0, 1.0, {
    "choice": "moments", "steps": 50, "planned_s": 1.0, "planned_low_s": 0.9, "planned_high_s": 1.2, "done_s": 1.3,
    "inside": False, "soonest": True, "planned_quality": 0.96, "done_quality": 0.951, "second_choice": "recipe",
    "second_done_s": 2.0,
})  # fmt: skip


def entrants() -> list[Entrant]:
    """All deliveries of digits-mlp on a machine that takes ten milliseconds for everything but steps."""
    third = Timed((0.01,) * 3)
    found = []
    for size, (name, sent) in enumerate(DELIVERIES.items(), 1):
        parts = Parts(110_000 // size, third, third, Timed((0.002,) * 3) if sent.tuned else None)
        downloads = {speed: Download([8 * parts.size_bytes / bps], speed != "56kbps") for speed, bps in SPEEDS.items()}
        found.append(Entrant("digits-mlp", name, 500, parts, downloads))
    return found


def test_a_session_of_benchmarks_becomes_plain_records():
    stats = SimpleNamespace(rounds=3, min=0.1, median=0.2, max=0.3)
    timed = SimpleNamespace(group="store", name="save", stats=stats, extra_info={"error": 0.0}, has_error=False)
    broken = SimpleNamespace(group="store", name="load", stats=stats, extra_info={}, has_error=True)
    assert record.of_session([timed, broken], "now") == [Record("store", "save", 3, 0.1, 0.2, 0.3, {"error": 0.0}, "now")]


def test_the_least_times_of_a_benchmark_and_its_peer_are_compared():
    (found,) = record.standings([FAST, PLAIN])
    assert found.ratio == pytest.approx(2.5)
    assert found.is_reached is False
    (found,) = record.standings([replace(FAST, min_s=0.8), PLAIN])
    assert found.is_reached is True
    (found,) = record.standings([replace(FAST, facts={"against": "plain"}), PLAIN])
    assert found.is_reached is None


def test_a_peer_of_another_group_or_session_is_none():
    assert record.standings([FAST, replace(PLAIN, group="assemble")]) == []
    assert record.standings([FAST, replace(PLAIN, session="yesterday")]) == []


def test_a_partial_run_erases_nothing(tmp_path):
    record.write([FAST, PLAIN], tmp_path, {"torch": "2"})
    record.write([replace(FAST, min_s=0.5)], tmp_path, {"torch": "2"})
    assert record.read(tmp_path / "extract-moments.json") == [replace(FAST, min_s=0.5), PLAIN]
    assert json.loads((tmp_path / "extract-moments.json").read_text())["environment"] == {"torch": "2"}
    assert record.read(tmp_path / "none.json") == []


def test_a_whole_run_leaves_out_benchmarks_that_are_gone(tmp_path):
    record.write([FAST, PLAIN], tmp_path, {})
    record.write([PLAIN], tmp_path, {}, whole=True)
    assert record.read(tmp_path / "extract-moments.json") == [PLAIN]


def test_entrants_come_back_from_their_file_in_the_order_of_deliveries(tmp_path):
    one, *others = entrants()
    race.write(others, tmp_path)
    race.write([one], tmp_path)
    assert race.read(tmp_path / "race-digits-mlp.json") == [one, *others]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("benchmarks")
    record.write([FAST, PLAIN, scaled(10**6), scaled(10**7), FITTED, PLANNED], tmp_path, {})
    race.write(entrants(), tmp_path)
    page.write(tmp_path)
    return tmp_path


def test_the_page_names_figures_that_are_not_reached(written):
    text = (written / "README.md").read_text()
    assert "| extract moments | fast[ours] | plain | 2.5 | 2 | **not reached** |" in text


def test_the_page_tells_computed_downloads_from_measured_ones(written):
    """The 56 kbit/s column is computed here, and all of it but "never" is in italics; the others are not."""
    lines = [line for line in (written / "README.md").read_text().splitlines() if line.startswith("| int8 |")]
    cells = [cell.strip() for cell in lines[0].split("|")[5:-1]]
    assert len(cells) == len(SPEEDS)
    assert cells[0].startswith("*")
    assert not any("*" in cell for cell in cells[1:])


def test_the_page_says_below_which_speed_a_seed_is_sooner(written):
    text = (written / "README.md").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("| moments | 95% |")]
    assert "kbit/s" in line or "Mbit/s" in line
    (never,) = [line for line in text.splitlines() if line.startswith("| recipe | 99% |")]
    assert "never" in never


def test_the_page_shows_the_figure_of_each_race_and_of_scale(written):
    text = (written / "README.md").read_text()
    for name in ("cost-quality-digits-mlp", "cost-scale"):
        assert f"](../figures/{name}.svg)" in text


def test_every_number_of_a_record_is_on_the_page(written):
    text = (written / "README.md").read_text()
    assert "| plain | 400 ms | 500 ms | 3 |  | gb per s 3.142, threads 1 |" in text
    assert "| fast[ours] | 1 s | 1.1 s | 3 | 2.5 | bytes 1,000 |" in text


def test_the_page_tells_growth_and_memory(written):
    text = (written / "README.md").read_text()
    assert "| moments | 1M 10M | 1.060 [1.000, 1.100] **not reached** | 1.000 [0.900, 1.200] | 0.2 GB |" in text


def test_the_page_tells_whether_plans_came_true(written):
    text = (written / "README.md").read_text()
    assert "0 of 1 took as long as the plan's 95 % interval says; 1 of 1 were sooner" in text
    assert "| digits-mlp-56kbps | moments | 50 | 1 s [900 ms, 1.2 s] | 1.3 s | 0.960 | 0.951 | recipe | 2 s |" in text
