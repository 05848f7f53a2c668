"""The checks: each fault alone is found by its name and its counts, and its nearest sound neighbour is passed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from seeds.audit.checks import CHECKS, REPEATS, Exhibit, found_faults, require_sound
from seeds.audit.protocol import FAULTS
from seeds.data import Examples
from seeds.errors import ProtocolError
from seeds.measure import FRESH, ORIGINAL
from seeds.quantity import Mean
from seeds.seed import Entry, Seed
from tests.strategies import rng_seeds

pytestmark = pytest.mark.audit

ASSEMBLED = "pca:1+vectors"
EXAMPLES = 60  # that an original is scored on


def text(rows, mask=None, labels=(0, 1), split="test"):
    """Token ids, with labels 0 and 1; without a mask all of them count."""
    return Examples(torch.tensor(rows), torch.tensor(labels), None if mask is None else torch.tensor(mask).bool(), split)


def above_chance(right):
    return Mean(np.repeat([[1.0, 0.0]], [right, EXAMPLES - right], axis=1), bounds=(0.0, 1.0), random=False) - 0.5


def seed_of(components, name="weight"):
    components = torch.tensor(components)
    return Seed(ASSEMBLED, (Entry(name, (3, 3), "float32", "pca", {"components": components}),))


MATRIX = torch.tensor([[3.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])  # around its mean it lies along the first axis
VECTORS = {"bias": torch.tensor([0.1, -0.2, 0.3]), "gain": torch.ones(2)}
SOUND = Exhibit(
    counted=text([[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]]),
    calibration=text([[2, 3, 4, 5, 6], [6, 5, 4, 3, 2]], split="calibration"),
    original=above_chance(EXAMPLES),
    classes=2,
    seed=seed_of([[1.0, 0.0, 0.0]]),
    weights={"weight": torch.eye(3), **VECTORS},
    assembled={"weight": MATRIX, **VECTORS},
    arms=(ORIGINAL, ASSEMBLED, FRESH),
    runs=3,
)
PADDED = [[1, 2, 3, 0, 0, 0], [3, 2, 0, 0, 0, 0]]

FAULTY = {  # a fault: what shows it and nothing else, and the evidence
    "one_class": (
        {"counted": text([[1, 2, 3], [3, 2, 1]], labels=(1, 1))}, "test is not class-balanced: [0, 2] examples per class"
    ),
    "untrained_head": (
        {"original": above_chance(30)}, "the original is 0.000 [-0.132, 0.132] above chance; a trained head is over 0.1"
    ),
    "pads_counted": ({"counted": text(PADDED)}, "7 of 12 counted tokens repeat one token at the end of a row"),
    "empty_rows": ({"counted": text([[1, 2, 3, 4], [7, 7, 7, 7]])}, "1 of 2 rows have no text"),
    "norms_drawn": (
        {"assembled": {"weight": MATRIX, **VECTORS, "gain": torch.tensor([1.0, 1.0000001])}},
        "1 of 2 vectors are not the original's, gain for one",
    ),
    "components_ignored": (
        {"assembled": {"weight": MATRIX.roll(1, 1), **VECTORS}}, "1 of 1 matrices do not lie in their components, weight to 0%"
    ),
    "one_run": ({"runs": 1}, "1 runs; at least 3 are needed"),
    "uncalibrated": ({"calibration": None}, "scores are as they come; no split calibrates them"),
    "no_fresh": ({"arms": (ORIGINAL, ASSEMBLED)}, "there is original, pca:1+vectors, and none of guess, unigram, fresh"),
}  # fmt: skip


def shows(**changes) -> dict[str, str]:
    """The faults of the sound exhibit after these changes."""
    return found_faults(replace(SOUND, **changes))


def test_every_fault_has_a_check():
    assert tuple(CHECKS) == FAULTS
    assert tuple(FAULTY) == FAULTS


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_alone_is_found_with_its_counts(fault):
    """By its own check and no other; what is sound passes."""
    changes, evidence = FAULTY[fault]
    assert shows(**changes) == {fault: evidence}
    assert CHECKS[fault](SOUND) is None


def test_what_is_sound_passes():
    require_sound(SOUND)
    assert found_faults(SOUND) == {}


def test_a_refusal_names_all_faults_in_their_order():
    merged = {name: value for changes, _ in FAULTY.values() for name, value in changes.items()}
    merged["counted"] = text([[1, 2, 0, 0, 0], [7, 7, 7, 7, 7]], labels=(1, 1))
    merged["assembled"] = {"weight": MATRIX.roll(1, 1), "bias": torch.zeros(3), "gain": torch.zeros(2)}
    everything = replace(SOUND, **merged)
    found = found_faults(everything)
    assert tuple(found) == FAULTS
    with pytest.raises(ProtocolError) as refused:
        require_sound(everything)
    assert str(refused.value) == "; ".join(f"{fault}: {found[fault]}" for fault in FAULTS)


# -- classes and heads ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "classes", "counts"), [((0, 0, 1), 2, "[2, 1]"), ((0, 1), 3, "[1, 1, 0]"), ((1, 2), 3, "[0, 1, 1]")]
)
def test_a_missing_or_a_larger_class_is_found(labels, classes, counts):
    found = shows(counted=text([[1, 2, 3]] * len(labels), labels=labels), classes=classes)
    assert list(found) == ["one_class"]
    assert counts in found["one_class"]


def test_text_without_labels_has_neither_classes_nor_a_head():
    unlabelled = replace(SOUND.counted, labels=None)
    assert shows(counted=unlabelled, original=None, classes=2048) == {}


def test_a_head_is_trained_if_its_lower_limit_is_above_the_bound():
    """The exact binomial limit of the accuracy, computed elsewhere, crosses 0.6 between two neighbouring counts."""
    limits = [binomtest(right, EXAMPLES).proportion_ci(0.95, "exact").low for right in range(EXAMPLES + 1)]
    least = next(right for right, low in enumerate(limits) if low > 0.6)
    assert limits[least - 1] < 0.6
    assert shows(original=above_chance(least)) == {}
    assert list(shows(original=above_chance(least - 1))) == ["untrained_head"]


def test_a_head_that_is_always_wrong_is_not_trained():
    assert list(shows(original=above_chance(0))) == ["untrained_head"]


# -- pads and empty rows --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repeats", [1, 2, 3, 4])
def test_few_equal_tokens_at_the_end_are_text(repeats):
    """Two are text, three are pads."""
    found = shows(counted=text([[1, 2, 3, *[9] * repeats], [3, 2, 1, *range(4, 4 + repeats)]]))
    assert found == (
        {"pads_counted": f"{repeats} of {2 * (3 + repeats)} counted tokens repeat one token at the end of a row"}
        if repeats >= 3
        else {}
    )


def test_tokens_that_repeat_elsewhere_are_text():
    assert shows(counted=text([[0, 0, 0, 0, 1], [2, 0, 0, 3, 0]])) == {}


def test_rows_may_be_padded_with_different_tokens():
    assert shows(counted=text([[1, 2, 8, 8, 8], [1, 2, 9, 9, 9]]))["pads_counted"].startswith("6 of 10 ")


def test_one_token_before_the_pads_is_text():
    """Such a row is not empty, and its pads are found."""
    assert shows(counted=text([[5, 0, 0, 0], [1, 2, 3, 4]])) == {
        "pads_counted": "3 of 8 counted tokens repeat one token at the end of a row"
    }


def test_pads_behind_a_mask_are_not_counted():
    assert shows(counted=text(PADDED, [[1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0]])) == {}


def test_pads_that_a_mask_forgets_are_counted():
    found = shows(counted=text(PADDED, [[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0]]))
    assert found == {"pads_counted": "2 of 7 counted tokens repeat one token at the end of a row"}


def test_a_mask_does_not_hide_an_empty_row():
    """It is a scored row all the same; its tokens are no pads of text."""
    counted = text([[1, 2, 3, 0, 0, 0], [0, 0, 0, 0, 0, 0]], [[1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    assert shows(counted=counted) == {"empty_rows": "1 of 2 rows have no text"}


def test_both_faults_of_text_are_counted_apart():
    """The tokens of empty rows count for neither figure of the pads."""
    assert shows(counted=text([[1, 2, 0, 0, 0], [0, 0, 0, 0, 0]])) == {
        "pads_counted": "3 of 5 counted tokens repeat one token at the end of a row",
        "empty_rows": "1 of 2 rows have no text",
    }


def test_pixels_have_no_pads():
    """Dark pixels at the end of an image, and an image that is all dark, are what they are."""
    pixels = torch.tensor([[0.5, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert shows(counted=replace(SOUND.counted, inputs=pixels)) == {}


@given(rng_seeds, st.integers(1, 6), st.integers(2, 5), st.integers(REPEATS + 2, 12), st.booleans())
def test_counted_pads_are_found_and_masked_ones_are_not(rng_seed, count, vocabulary, width, full_row):
    """Rows of random ids, padded with any token: each text ends in another one, and a full row in two different ones."""
    rng = np.random.default_rng(rng_seed)
    ids = rng.integers(vocabulary, size=(count, width))
    pad = rng.integers(vocabulary)
    lengths = rng.integers(1, width - REPEATS + 1, size=count)
    mask = np.arange(width) < lengths[:, None]
    ids[~mask] = pad
    ids[np.arange(count), lengths - 1] = (pad + 1) % vocabulary
    if full_row:
        row = np.arange(width) % vocabulary
        ids, mask = np.vstack([ids, row]), np.vstack([mask, np.ones_like(row)])
    counted = Examples(torch.from_numpy(ids), None, None, "test")
    masked = replace(counted, mask=torch.from_numpy(mask.astype(bool)))
    everything = replace(counted, mask=torch.ones_like(counted.inputs, dtype=torch.bool))

    pads = f"{(mask == 0).sum()} of {ids.size} counted tokens repeat one token at the end of a row"
    assert CHECKS["pads_counted"](replace(SOUND, counted=counted)) == pads
    assert CHECKS["pads_counted"](replace(SOUND, counted=everything)) == pads
    assert CHECKS["pads_counted"](replace(SOUND, counted=masked)) is None
    assert CHECKS["empty_rows"](replace(SOUND, counted=masked)) is None


# -- weights --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bias", "kept"),
    [
        (VECTORS["bias"].clone(), True),
        (VECTORS["bias"].double(), True),
        (VECTORS["bias"].half(), False),
        (VECTORS["bias"].double() + 1e-12, False),
        (VECTORS["bias"].flip(0), False),
        (VECTORS["bias"][:2], False),
    ],
    ids=["copy", "wider", "rounded", "nearly", "other order", "shorter"],
)
def test_vectors_are_kept_if_every_value_is(bias, kept):
    """Whatever their dtype."""
    found = shows(assembled={**SOUND.assembled, "bias": bias})
    assert found == ({} if kept else {"norms_drawn": "1 of 2 vectors are not the original's, bias for one"})


def test_matrices_and_single_values_are_no_vectors():
    before, after = ({"scale": torch.tensor(value)} for value in (1.0, 2.0))
    assert shows(weights={**SOUND.weights, **before}, assembled={**SOUND.assembled, **after}) == {}


@pytest.mark.parametrize(("off", "found"), [(0.99, []), (1.01, ["components_ignored"])], ids=["above", "below"])
def test_half_of_a_matrix_must_lie_in_its_components(off, found):
    """Squares count, around the matrix's own mean: a shift of all rows is no part of it."""
    rows = torch.tensor([[1.0, off, 0.0], [-1.0, -off, 0.0], [0.0, 0.0, 0.0]]) + torch.tensor([0.0, 50.0, -50.0])
    assert list(shows(assembled={**SOUND.assembled, "weight": rows})) == found


@pytest.mark.parametrize(("units", "found"), [(2, []), (3, ["components_ignored"])], ids=["the rank", "one more"])
def test_a_matrix_no_larger_than_the_rank_has_nothing_to_ignore(units, found):
    """Two components can hold any two rows, so that they say nothing; three rows along other axes miss them."""
    assembled = {**SOUND.assembled, "weight": torch.eye(5)[2 : 2 + units]}
    assert list(shows(seed=seed_of(torch.eye(5)[:2].tolist()), assembled=assembled)) == found


def test_a_kernel_is_read_as_rows():
    """(units, all the rest): along its first component it passes, along another place of the kernel it does not."""
    component = torch.zeros(8)
    component[5] = 1.0
    kernel = torch.tensor([1.0, -2.0, 3.0, 0.5])[:, None] * component
    found = [
        list(shows(seed=seed_of([component.tolist()]), assembled={**SOUND.assembled, "weight": k.reshape(4, 2, 2, 2)}))
        for k in (kernel, kernel.roll(1, 1))
    ]
    assert found == [[], ["components_ignored"]]


def test_only_the_matrices_that_are_ignored_are_counted():
    seed = Seed(ASSEMBLED, (*seed_of([[1.0, 0.0, 0.0]], "one").entries, *seed_of([[0.0, 1.0, 0.0]], "other").entries))
    found = shows(seed=seed, assembled={**SOUND.assembled, "one": MATRIX, "other": MATRIX})
    assert found == {"components_ignored": "1 of 2 matrices do not lie in their components, other to 0%"}


def test_where_only_moments_are_published_no_weights_are_compared():
    assert shows(seed=None, weights={}, assembled={}) == {}


def test_a_seed_without_components_has_none_to_ignore():
    moments = Entry("weight", (3, 3), "float32", "moments", {"mean": torch.tensor(0.0), "std": torch.tensor(1.0)})
    assert shows(seed=Seed("moments", (moments,)), assembled={**SOUND.assembled, "weight": MATRIX.roll(1, 1)}) == {}


# -- runs, calibration and arms -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("runs", "found"), [(None, []), (1, ["one_run"]), (2, ["one_run"]), (3, []), (100, [])])
def test_three_runs_are_enough_and_none_where_nothing_is_drawn(runs, found):
    assert list(shows(runs=runs)) == found


def test_the_scored_split_may_not_calibrate():
    found = shows(calibration=SOUND.counted)
    assert found == {"uncalibrated": "test is scored and fits the calibration; use another split"}


def test_a_fresh_arm_is_enough_whatever_else_there_is():
    assert shows(arms=(FRESH,)) == {}
    assert list(shows(arms=("freshly drawn",))) == ["no_fresh"]


def test_text_that_ends_with_the_token_it_is_padded_with_is_no_pad():
    """One end token is text; the mask hides the pads behind it."""
    counted = text([[5, 6, 0, 0, 0, 0]])
    masked = replace(counted, mask=torch.tensor([[True, True, True, False, False, False]]))
    assert CHECKS["pads_counted"](replace(SOUND, counted=masked)) is None
    assert CHECKS["pads_counted"](replace(SOUND, counted=counted)) is not None


def test_a_constant_matrix_does_not_lie_in_its_components():
    exhibit = replace(SOUND, assembled={"weight": torch.zeros(3, 3), **VECTORS})
    assert (CHECKS["components_ignored"](exhibit) or "").startswith("1 of 1 matrices")


def test_a_vector_that_is_missing_is_not_the_originals():
    exhibit = replace(SOUND, assembled={"weight": MATRIX, "bias": VECTORS["bias"]})
    assert CHECKS["norms_drawn"](exhibit) == "1 of 2 vectors are not the original's, gain for one"
