"""Timed parts: what a few durations say of the next one."""

import math

import numpy as np
import pytest

from seeds.cost.timing import Timed, total
from seeds.errors import ProtocolError
from seeds.interval import Interval


def test_the_next_duration_lies_in_the_interval_as_often_as_it_says():
    """Five durations of a skewed machine, and the sixth: 95 % of 2,000, within four standard errors."""
    draws = np.random.default_rng(1).lognormal(-3, 0.4, size=(2000, 6))
    inside = 0
    for *known, following in draws:
        found = Timed(tuple(known)).times(1)
        inside += found.low <= following <= found.high
    assert abs(inside / 2000 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 2000)


def test_many_of_a_thing_take_as_often_as_long():
    one = Timed((1.0, 2.0, 3.0))
    once, often = one.times(1), one.times(7)
    assert (often.value, often.low, often.high) == pytest.approx((7 * once.value, 7 * once.low, 7 * once.high))
    assert once.value == 2.0


@pytest.mark.parametrize("seconds", [(), (1.0,), (1.0, 0.0), (1.0, math.inf), (1.0, math.nan)])
def test_durations_that_tell_nothing_are_refused(seconds):
    with pytest.raises(ProtocolError, match="two or more, each above 0"):
        Timed(seconds)


def test_parts_of_one_machine_are_slow_or_fast_together():
    found = total([Interval(1.0, 0.7, 1.3), Interval(2.0, 1.6, 2.5), Interval(0.0, 0.0, 0.0)])
    assert (found.value, found.low, found.high) == pytest.approx((3.0, 2.3, 3.8))
