"""When a delivery is there, against plain arithmetic: downloads, opening, steps, break-even speeds, and runs that never are."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeds.cost.arrival import SPEEDS, arrival_s, break_even_bps, link_of, median, work_s
from seeds.cost.calibration import Parts
from seeds.cost.timing import Timed
from seeds.wire.download import HEADER_BYTES
from seeds.wire.link import Link

NEVER = math.inf


def parts(size_bytes: int, fetch_s: float = 0.01, open_s: float = 0.02, step_s: float | None = 0.005) -> Parts:
    steps = None if step_s is None else Timed((step_s,) * 3)
    return Parts(size_bytes, Timed((fetch_s,) * 3), Timed((open_s,) * 3), steps)


def test_the_way_takes_the_bits_the_opening_and_the_steps():
    found = arrival_s(parts(1_000_000), np.array([0.0, 10.0, NEVER]), Link(8e6, 0.1))
    bits_s = 2 * 0.1 + (1_000_000 + HEADER_BYTES) / 1e6
    assert found == pytest.approx([bits_s + 0.03, bits_s + 0.03 + 0.05, NEVER])
    slower = arrival_s(parts(1_000_000), np.array([10.0]), Link(8e6, 0.1), slower=4.0)
    assert slower == pytest.approx([bits_s + 4 * (0.03 + 0.05)])


def test_what_is_used_as_it_comes_is_there_at_once_or_never():
    assert work_s(parts(1, step_s=None), np.array([0.0, NEVER])) == pytest.approx([0.03, NEVER])


def test_the_reports_six_links_have_their_speeds():
    assert [link_of(speed).bandwidth_bps for speed in SPEEDS] == [56e3, 1e6, 5e6, 25e6, 100e6, 1e9]


@given(
    st.integers(10_000, 10**9), st.floats(0.001, 1.0), st.floats(0.001, 1.0), st.integers(1, 300), st.floats(0.0, 0.3)
)  # fmt: skip
def test_at_the_break_even_speed_both_are_there_at_the_same_time(weights_bytes, share, step_s, steps, latency_s):
    """And the smaller one is ahead below it, behind above it."""
    weights, seed = parts(weights_bytes), parts(int(share * weights_bytes), step_s=step_s)
    none, some = np.zeros(1), np.array([float(steps)])
    crossing = break_even_bps(weights.size_bytes, float(work_s(weights, none)[0]), seed, some)[0]
    if seed.size_bytes == weights.size_bytes:
        assert crossing == 0
        return

    def lead_s(bandwidth_bps: float) -> float:
        link = Link(bandwidth_bps, latency_s)
        return float(arrival_s(weights, none, link)[0] - arrival_s(seed, some, link)[0])

    tolerance = 1e-9 * (1 + steps * step_s)  # float64 sums of seconds
    assert lead_s(crossing) == pytest.approx(0, abs=tolerance)
    assert lead_s(crossing / 2) > 0 > lead_s(2 * crossing)


def test_a_seed_that_never_gets_there_is_sooner_at_no_speed():
    seed = parts(1_000)
    assert break_even_bps(10**6, 0.03, seed, np.array([NEVER, 0.0])) == pytest.approx([0.0, math.inf])


def test_a_larger_and_slower_delivery_is_sooner_at_no_speed():
    assert break_even_bps(1_000, 0.01, parts(2_000), np.array([5.0]))[0] == 0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0], (3.0, 3.0, 3.0)),
        ([1.0, 2.0, NEVER], (2.0, 1.0, NEVER)),
        ([1.0, 2.0, NEVER, NEVER], (NEVER, 1.0, NEVER)),  # half of them never: so is the median
        ([8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], (4.5, 1.0, 8.0)),
        ([NEVER] * 8, (NEVER, NEVER, NEVER)),
    ],
    ids=["one", "three", "half never", "eight", "never"],
)
def test_the_median_counts_runs_that_never_get_there(values, expected):
    found = median(np.array(values))
    assert (found.value, found.low, found.high) == expected


def test_the_interval_of_a_median_covers_it_as_often_as_it_says():
    """2,000 sets of eight skewed values; exactly 99.2 % at best, because order statistics come in steps."""
    rng = np.random.default_rng(0)
    sets = rng.exponential(size=(2000, 8))
    covered = np.mean([(i := median(one)).low <= math.log(2) <= i.high for one in sets])
    assert covered >= 0.95
