"""The ledger of faults: what makes a Shapley value one, for any game, and the protocols that its combinations stand for."""

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from functools import partial
from itertools import permutations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import t as student

from seeds.audit.ledger import MATERIAL, Share, Values, ledger, shapley
from seeds.audit.protocol import FAULTS, RANK, Protocol, combined
from seeds.interval import Interval

LARGEST = 2.0**20
TINY = float(np.finfo(np.float64).tiny)  # the smallest normal number: below it, rounding is absolute
ROUNDING = 2.0**-43  # of the largest figure: up to 32 terms, each rounded at 2**-53, with room
FLOOR = 2e-6  # an interval's smallest relative half-width is 1e-6, of one more than the value

Game = tuple[tuple[str, ...], Values]


def figures(*shape: int):
    return arrays(np.float64, shape, elements=st.floats(-LARGEST, LARGEST))


def table(faults: tuple[str, ...], rows: np.ndarray, stands_for: Callable[[frozenset[str]], frozenset[str]]) -> Values:
    """Rows of figures as values; each combination has the row of the one that it stands for."""
    of = dict(zip(combined(faults), rows, strict=True))
    return {c: of[stands_for(c)] for c in of}


@st.composite
def games(draw, stands_for: Callable[[frozenset[str]], frozenset[str]] = frozenset) -> Game:
    """Two to four faults, "a" and "b" among them, in any order, and figures below 2**20 of two to five runs."""
    faults = tuple(draw(st.permutations("abcd"[: draw(st.integers(2, 4))])))
    return faults, table(faults, draw(figures(2 ** len(faults), draw(st.integers(2, 5)))), stands_for)


def without_a(faults: frozenset[str]) -> frozenset[str]:
    return faults - {"a"}


def a_for_b(faults: frozenset[str]) -> frozenset[str]:
    """The same combination, but where only one of both is there, it is "a"."""
    return (faults - {"b"}) | {"a"} if len(faults & {"a", "b"}) == 1 else faults


def largest(values: Values) -> float:
    return max(float(np.abs(v).max()) for v in values.values())


def same(values: Values):
    """Equal up to rounding."""
    return partial(pytest.approx, rel=0, abs=ROUNDING * largest(values) + TINY)


def over_all_orders(values: Values, faults: tuple[str, ...], fault: str) -> np.ndarray:
    """What turning the fault on changes, averaged over every order of turning the faults on."""
    changes = []
    for order in permutations(faults):
        before = frozenset(order[: order.index(fault)])
        changes.append(values[before | {fault}] - values[before])
    return np.mean(changes, axis=0)


# -- what makes it a Shapley value ----------------------------------------------------------------------------------------


@given(games())
def test_the_shares_sum_to_the_effect_in_every_run(game):
    faults, values = game
    total = sum(shapley(values, faults, f) for f in faults)
    assert total == same(values)(values[frozenset(faults)] - values[frozenset()])
    found = ledger(values, faults)
    assert sum(s.share.value for s in found.shares) == same(values)(found.effect.value)


@given(games(stands_for=without_a))
def test_a_fault_that_never_changes_anything_has_no_share(game):
    """Exactly none, in every run; so its interval lies around zero, and is not material."""
    faults, values = game
    assert not shapley(values, faults, "a").any()
    share = ledger(values, faults)["a"]
    assert share.share.value == share.alone.value == share.last.value == 0
    assert -FLOOR < share.share.low < 0 < share.share.high < FLOOR
    assert not share.material


@given(games(stands_for=a_for_b))
def test_faults_that_change_the_same_have_equal_shares(game):
    faults, values = game
    assert shapley(values, faults, "a") == same(values)(shapley(values, faults, "b"))
    found = ledger(values, faults)
    assert found["a"].share.value == same(values)(found["b"].share.value)


@given(figures(4, 3), figures(3))
@example(np.full((4, 3), 2.225073858507e-311), np.zeros(3))  # denormal: found by hypothesis
def test_faults_that_only_add_up_have_their_own_weight(weights, sound):
    """First, last and on average."""
    faults = tuple("abcd")
    values = {c: sound + sum(weights[faults.index(f)] for f in c) for c in combined(faults)}
    found = ledger(values, faults)
    for fault, weight in zip(faults, weights, strict=True):
        assert shapley(values, faults, fault) == same(values)(weight)
        for part in (found[fault].share, found[fault].alone, found[fault].last):
            assert part.value == same(values)(weight.mean())


@given(figures(2, 8, 3), st.floats(-4, 4))
def test_shares_are_linear_in_the_figures(rows, factor):
    """So a share of nats is that of a difference of nats; `factor` is of one part."""
    faults = tuple("abc")
    one, other = (table(faults, part, frozenset) for part in rows)
    both = {c: factor * one[c] + other[c] for c in one}
    near = pytest.approx(0, abs=8 * ROUNDING * max(largest(one), largest(other)) + TINY)
    for fault in faults:
        parts = factor * shapley(one, faults, fault) + shapley(other, faults, fault)
        assert shapley(both, faults, fault) - parts == near


@given(games())
def test_the_share_is_the_mean_over_all_orders_of_turning_faults_on(game):
    """The plain transcription."""
    faults, values = game
    for fault in faults:
        assert shapley(values, faults, fault) == same(values)(over_all_orders(values, faults, fault))


# -- what the ledger makes of it ------------------------------------------------------------------------------------------


@given(games())
def test_every_figure_is_a_mean_over_paired_runs_with_its_interval_of_95_percent(game):
    faults, values = game
    found, none, every = ledger(values, faults), frozenset(), frozenset(faults)
    stated: list[tuple[Interval, np.ndarray]] = [
        (found.effect, values[every] - values[none]),
    ]
    for fault in faults:
        stated += [
            (found[fault].share, over_all_orders(values, faults, fault)),
            (found[fault].alone, values[frozenset({fault})] - values[none]),
            (found[fault].last, values[every] - values[every - {fault}]),
        ]
    for interval, per_run in stated:
        half = student.ppf(0.975, found.runs - 1) * per_run.std(ddof=1) / found.runs**0.5
        near = FLOOR * (1 + abs(per_run.mean())) + 16 * ROUNDING * largest(values)  # Student's factor is up to 13
        assert interval.value == pytest.approx(per_run.mean(), rel=0, abs=near)
        assert interval.value - interval.low == pytest.approx(half, rel=1e-9, abs=near)
        assert interval.high - interval.value == pytest.approx(half, rel=1e-9, abs=near)


@given(games())
def test_the_shares_come_in_the_order_of_the_faults_and_do_not_depend_on_it(game):
    faults, values = game
    found, turned = ledger(values, faults), ledger(values, faults[::-1])
    assert [s.fault for s in found.shares] == list(faults)
    assert [found[f].fault for f in faults] == list(faults)
    for fault in faults:
        assert found[fault].share.value == same(values)(turned[fault].share.value)


def judged(share: float, effect: float, spread: float = 0.0) -> Share:
    """The share of one of two faults that add up to the effect; two runs that far to either side of it."""
    weight, faults = share + np.array([-spread, spread]), ("a", "b")
    values = {c: ("a" in c) * weight + ("b" in c) * (effect - share) for c in combined(faults)}
    return ledger(values, faults)["a"]


@pytest.mark.parametrize("effect", [20.0, -20.0])
@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize(
    ("share", "spread", "material"),
    [
        (1.00001, 0.0, True),
        (1.0, 0.0, False),  # the limit itself is in the interval
        (0.99999, 0.0, False),
        (0.0, 0.0, False),
        (15.0, 1.0, True),  # half-width 12.7: [2.3, 27.7]
        (13.0, 1.0, False),  # [0.3, 25.7]: surely above zero, but not above a twentieth
        (5.0, 1.0, False),  # [-7.7, 17.7]
    ],
)
def test_a_share_is_material_if_its_interval_lies_beyond_a_twentieth_of_the_effect(effect, side, share, spread, material):
    """On either side of zero, whatever the effect's sign: a fault may hide an effect, too."""
    assert MATERIAL * 20.0 == 1.0
    assert judged(side * share, effect, spread).material is material


def test_any_share_surely_not_zero_is_material_where_the_effect_is_none():
    """Two faults that cancel out."""
    assert judged(3.0, 0.0).material
    assert judged(-3.0, 0.0).material
    assert not judged(0.0, 0.0).material


@given(games(), st.data())
def test_a_missing_combination_is_named(game, data):
    faults, values = game
    gone = data.draw(st.sampled_from(sorted(values, key=sorted)))
    rest = {c: v for c, v in values.items() if c != gone}
    with pytest.raises(ValueError, match=f"1 of {2 ** len(faults)} combinations are missing") as raised:
        ledger(rest, faults)
    assert str(sorted(gone)) in str(raised.value)


@pytest.mark.parametrize("runs", [0, 1])
def test_fewer_than_two_runs_give_no_ledger(runs):
    with pytest.raises(ValueError, match=f"{runs} runs give no interval; at least 2"):
        ledger({c: np.zeros(runs) for c in combined("ab")}, "ab")


# -- protocols ------------------------------------------------------------------------------------------------------------

fault_sets = st.frozensets(st.sampled_from(FAULTS))


def test_the_published_protocol_has_every_fault_and_the_sound_one_none():
    assert Protocol.published().faults == frozenset(FAULTS)
    assert Protocol.sound().faults == frozenset()
    assert Protocol() == Protocol.sound()


@given(fault_sets)
def test_a_protocol_of_some_faults_has_these_and_no_others(faults):
    protocol = Protocol.of(faults)
    assert protocol.faults == faults
    assert {f for f in FAULTS if getattr(protocol, f)} == faults
    assert Protocol.of(protocol.faults) == protocol


@pytest.mark.parametrize("unknown", ["one_klass", "faults", "codec", ""])
def test_an_unknown_fault_is_refused_by_name(unknown):
    with pytest.raises(ValueError, match=f"no such fault: {unknown}; allowed: one_class, ") as raised:
        Protocol.of([FAULTS[0], unknown])
    assert all(fault in str(raised.value) for fault in FAULTS)


@pytest.mark.parametrize(
    ("faults", "codec"),
    [
        ((), f"pca:{RANK}+vectors"),
        (("norms_drawn",), f"pca:{RANK}"),
        (("components_ignored",), "moments+vectors"),
        (("norms_drawn", "components_ignored"), "moments"),
    ],
    ids=["neither", "norms", "components", "both"],
)
def test_the_codec_is_what_both_faults_leave_of_the_seed(faults, codec):
    """Any other fault leaves it alone."""
    assert Protocol.of(faults).codec == codec
    others = set(FAULTS) - {"norms_drawn", "components_ignored"}
    assert Protocol.of(others | set(faults)).codec == codec


@given(fault_sets)
def test_every_combination_comes_once_and_the_empty_one_first(faults):
    found = list(combined(sorted(faults)))
    assert found[0] == frozenset()
    assert len(found) == len(set(found)) == 2 ** len(faults)
    assert all(c <= faults for c in found)


def test_a_protocol_cannot_be_changed():
    protocol = Protocol.sound()
    with pytest.raises(FrozenInstanceError):
        protocol.one_class = True  # pyright: ignore[reportAttributeAccessIssue]
    assert protocol == Protocol.sound()


@pytest.mark.parametrize("odd", [np.zeros(3), np.array([0.0, np.nan])], ids=["other runs", "not a number"])
def test_figures_that_cannot_be_paired_are_refused_by_name(odd):
    values = {frozenset(): np.zeros(2), frozenset({"a"}): odd, frozenset({"b"}): np.ones(2), frozenset({"a", "b"}): np.ones(2)}
    with pytest.raises(ValueError, match=r"under \['a'\] are out of range: 2 finite numbers"):
        ledger(values, ["a", "b"])


def test_a_fault_that_is_not_in_the_ledger_is_a_key_error():
    with pytest.raises(KeyError, match="unheard"):
        ledger({frozenset(): np.zeros(2), frozenset({"a"}): np.ones(2)}, ["a"])["unheard"]
