"""Invariants of the way there and back: components, moments, and what algebra says about both.

subject -> [extract] -> Seed -> store -> [assemble] -> weights
"""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from seeds import moments, pca, store
from seeds.assemble import assemble
from seeds.codecs import PcaCodec
from seeds.draw import Draw
from seeds.extract import extract
from seeds.moments import Moments, pooled, tensor_moments
from seeds.pca import PCA, column_pca
from tests.strategies import FLOATS, ORDINARY, bits, flat_weights, rng_seeds, states, weights

pytestmark = pytest.mark.roundtrip

HALF_ULP = 2.0**-24  # relative rounding error of float32, and of the grid up to rank 32: half of 2**-23 of the largest
DENORMAL = 2.0**-149  # spacing of float32 near zero, where rounding is absolute
FLOAT64 = 2.0**-52


def decoded(found: PCA) -> np.ndarray:
    """The approximation as assembly gives it, in float64: (units, features)."""
    parts = {"mean": found.mean, "components": found.components, "scores": found.scores}
    shape = len(found.scores), len(found.mean)
    return PcaCodec.decode(parts, shape, Draw(0, "")).double().numpy()


def tolerance(found: PCA, largest: float) -> float:
    """Bound on the error of one decoded entry, given the magnitude of the largest weight.

    Each of `rank` products s * c has |c| <= 1, and s and c each off by half a grid step, which is at most HALF_ULP of
    the largest score or of 1; the mean and the sum are cast to float32 once each. Doubled for second-order terms and
    float64 rounding, which are 2**-20 times smaller.
    """
    rank = len(found.components)
    grid = 2 * rank * found.scores.abs().max().item() * HALF_ULP
    return 2 * (grid + 2 * largest * HALF_ULP) + (rank + 2) * DENORMAL


def norm_tolerance(found: PCA, weight: Tensor) -> float:
    """Bound on the Frobenius norm of the same errors over a whole matrix."""
    return math.sqrt(weight.numel()) * tolerance(found, weight.abs().max().item())


def spectrum(weight: Tensor) -> np.ndarray:
    """Singular values of the centred rows by LAPACK's SVD, which shares nothing with the Gram route."""
    rows = weight.double().numpy()
    return np.linalg.svd(rows - rows.mean(0), compute_uv=False)


@st.composite
def ranked(draw, kinds=None):
    """A matrix and a rank that it allows."""
    weight = draw(weights(kinds=kinds) if kinds else weights())
    return weight, draw(st.integers(1, min(weight.shape)))


@given(weights())
@example(torch.zeros(3, 2))
@example(torch.full((4, 4), 0.1))
@example(torch.randn(48, 40, generator=torch.Generator().manual_seed(0)))
def test_a_full_rank_pca_seed_rebuilds_the_weight(weight):
    """All components together give every entry back, up to the grid."""
    found = column_pca(weight, min(weight.shape))
    error = np.abs(decoded(found) - weight.double().numpy()).max()
    # 40 components: the grid is one bit coarser beyond rank 32
    assert error <= tolerance(found, weight.abs().max().item()) * (1 if min(weight.shape) <= 32 else 2)


@given(ranked(), st.sampled_from(FLOATS))
def test_components_come_from_any_float_dtype_and_leave_it_alone(drawn, dtype):
    """The values decide, not how they are stored; the weights themselves are not touched."""
    weight, rank = drawn
    weight = (weight / (weight.abs().max() or 1.0)).to(dtype)
    before = weight.clone()
    found, wider = column_pca(weight, rank), column_pca(weight.double(), rank)
    assert bits(weight) == bits(before)
    assert bits(found.scores) == bits(wider.scores)  # every value has the same float64, so every later step has too
    assert bits(found.components) == bits(wider.components)


@given(ranked())
def test_the_error_of_a_pca_seed_is_the_discarded_energy(drawn):
    """Eckart and Young: the squared error is the sum of the squared singular values left out."""
    weight, rank = drawn
    found = column_pca(weight, rank)
    values = spectrum(weight)
    discarded, whole = np.linalg.norm(values[rank:]), np.linalg.norm(values)
    error = np.linalg.norm(decoded(found) - weight.double().numpy())
    # the Gram route resolves energies to FLOAT64 of the largest, so norms to its root: 2**-26, four times below HALF_ULP
    assert error == pytest.approx(discarded, rel=0, abs=norm_tolerance(found, weight))
    assert found.residual_std * math.sqrt(weight.numel()) == pytest.approx(discarded, rel=0, abs=norm_tolerance(found, weight))
    # centring in float64 leaves FLOAT64 of the largest weight in each entry, on both sides of the comparison
    noise = 8 * FLOAT64 * math.sqrt(weight.numel()) * weight.abs().max().item()
    if whole > noise:
        share = 1 - (discarded / whole) ** 2
        assert found.captured_energy == pytest.approx(share, rel=0, abs=1e-12 + 4 * noise / whole)


@given(weights(smallest_side=2))
def test_the_error_falls_with_every_further_component(weight):
    """A larger rank never rebuilds worse, and captures at least as much energy."""
    found = [column_pca(weight, rank) for rank in range(1, min(weight.shape) + 1)]
    errors = [np.linalg.norm(decoded(one) - weight.double().numpy()) for one in found]
    slack = 2 * norm_tolerance(found[-1], weight)  # two errors are compared, each with its own rounding
    assert all(later <= earlier + slack for earlier, later in pairwise(errors))
    captured = [one.captured_energy for one in found]
    # eigenvalues near FLOAT64 of the largest come in any order
    assert all(later >= earlier - 1e-12 for earlier, later in pairwise(captured))
    assert 0.0 <= captured[0] <= captured[-1] + 1e-12 <= 1.0 + 1e-12


@given(ranked(), st.sampled_from((0.001, 0.05, 1.0)), st.integers(0, 2**32 - 1))
def test_no_other_basis_of_the_same_rank_beats_the_components(drawn, distance, generator_seed):
    """Neither a random basis nor one a small step away from the components leaves a smaller error."""
    weight, rank = drawn
    found = column_pca(weight, rank)
    rows = weight.double().numpy()
    centred = rows - rows.mean(0)
    start = found.components.double().numpy().T * (1 - distance)
    step = np.random.default_rng(generator_seed).standard_normal((weight.shape[1], rank)) * distance
    basis = np.linalg.qr(start + step)[0]  # (features, rank)
    other = np.linalg.norm(centred - centred @ basis @ basis.T)
    assert np.linalg.norm(decoded(found) - rows) <= other + norm_tolerance(found, weight)


@given(ranked())
def test_components_are_orthonormal(drawn):
    """Their Gram matrix is the identity, also where the weights leave directions undetermined."""
    weight, rank = drawn
    components = column_pca(weight, rank).components.double()
    # each row is off by at most sqrt(features) * HALF_ULP in norm, and a product holds two rows; 2.1 covers the square
    allowed = 2.1 * math.sqrt(weight.shape[1]) * HALF_ULP
    assert (components @ components.T - torch.eye(rank)).abs().max().item() <= allowed


@given(ranked(), st.randoms(use_true_random=False))
def test_decoded_bits_do_not_depend_on_the_order_of_summation(drawn, random):
    """Sums over components, in any order or in exact arithmetic, give the bits that assembly gives."""
    weight, rank = drawn
    found = column_pca(weight, rank)
    order = random.sample(range(rank), rank)
    scores, components = found.scores.double().numpy(), found.components.double().numpy()
    summed = np.zeros((len(scores), components.shape[1]))
    for k in order:
        summed += np.outer(scores[:, k], components[k])
    i, j = random.randrange(weight.shape[0]), random.randrange(weight.shape[1])
    products = zip(scores[i].tolist(), components[:, j].tolist(), strict=True)
    exact = sum((Fraction(s) * Fraction(c) for s, c in products), Fraction(0))
    assert Fraction(float(summed[i, j])) == exact, "a partial sum was rounded"
    plain = torch.from_numpy(summed + found.mean.double().numpy()).float()
    assert bits(torch.from_numpy(decoded(found)).float()) == bits(plain)


@pytest.mark.parametrize("rank", [1, 2, 3, 32, 33, 128, 129, 2048, 2049])
def test_the_grid_leaves_room_for_the_largest_sums(rank):
    """The worst case, `rank` products of the largest odd numbers on the grid, is summed without rounding."""
    width = pca.grid_bits(rank)
    largest = 1.0 - 2.0**-width
    assert pca.on_grid(torch.tensor([largest, 0.3], dtype=torch.float64), width)[0] == largest
    total = 0.0
    for _ in range(rank):
        total += largest * largest
    assert Fraction(total) == rank * Fraction(largest) ** 2


@given(ranked(kinds=("normal", "huge mean")))
def test_scores_and_components_lie_on_the_grid(drawn):
    """Every stored value is a whole number of steps, of which the largest magnitude has at most 2**24."""
    found = column_pca(*drawn)
    for values in (found.scores.double(), found.components.double()):
        step = 2.0 ** (math.frexp(values.abs().max().item())[1] - 24)
        assert torch.equal((values / step).round(), values / step)


@given(states(), st.sampled_from(("exact", "exact+vectors")))
def test_a_seed_of_an_assembled_exact_seed_is_the_same_seed(state, codec):
    """Nothing is lost on the way there, back and there again: the files have the same bytes."""
    seed = extract(state, codec)
    again = extract(assemble(seed), codec)
    assert store.to_bytes(again) == store.to_bytes(seed)


@given(ranked())
def test_a_seed_of_an_assembled_pca_seed_assembles_the_same_weights(drawn):
    """A matrix of rank K is its own best approximation of rank K; vectors stay to the bit."""
    weight, rank = drawn
    codec = f"pca:{rank}+vectors"
    once = assemble(extract({"body": weight, "bias": weight[0].clone()}, codec))
    twice = assemble(extract(once, codec))
    found = column_pca(once["body"], rank)
    error = (twice["body"].double() - once["body"].double()).norm().item()
    # once["body"] was cast to float32, so a sum of such roundings lies outside its K components: that is what is lost
    cast = math.sqrt(weight.numel()) * (HALF_ULP * once["body"].abs().max().item() + DENORMAL)
    assert error <= norm_tolerance(found, once["body"]) + cast
    assert bits(twice["bias"]) == bits(weight[0])


def is_determined(weight: Tensor, rank: int) -> bool:
    """Whether a gap follows singular value `rank`: then the best approximation is unique and well conditioned."""
    values = np.append(spectrum(weight), 0.0)
    noise = 64 * FLOAT64 * math.sqrt(weight.numel()) * weight.abs().max().item()  # of centring, see captured_energy above
    return values[rank - 1] > 1e6 * noise and values[rank - 1] ** 2 - values[rank] ** 2 > 1e-4 * values[0] ** 2


@given(ranked(), st.randoms(use_true_random=False))
def test_permuted_rows_give_permuted_approximations(drawn, random):
    """The order of the units means nothing to the components."""
    weight, rank = drawn
    order = random.sample(range(len(weight)), len(weight))
    found, permuted = column_pca(weight, rank), column_pca(weight[order], rank)
    allowed = tolerance(found, weight.abs().max().item())
    np.testing.assert_allclose(permuted.mean.numpy(), found.mean.numpy(), rtol=0, atol=allowed)
    if is_determined(weight, rank):
        # with a gap of 1e-4, float64 rounding turns the plane by about 1e-11: nothing beside the grid
        np.testing.assert_allclose(decoded(permuted), decoded(found)[order], rtol=0, atol=2 * allowed)


@given(ranked(kinds=ORDINARY), st.integers(-20, 20))
def test_powers_of_two_scale_a_seed_exactly(drawn, exponent):
    """Mean, scores and residual are multiplied, components and captured energy keep their bits."""
    weight, rank = drawn
    factor = 2.0**exponent  # scores then span 2**-110 to 2**70 at most: no value becomes denormal and loses bits
    found, scaled = column_pca(weight, rank), column_pca(weight * factor, rank)
    assert bits(scaled.components) == bits(found.components)
    assert bits(scaled.scores) == bits(found.scores * factor)
    assert bits(scaled.mean) == bits(found.mean * factor)
    assert scaled.captured_energy == found.captured_energy
    assert scaled.residual_std == found.residual_std * factor


@given(ranked(kinds=("normal", "duplicated columns", "rank deficient")), st.integers(-100, 100))
def test_a_shift_of_the_columns_moves_the_mean_alone(drawn, shift):
    """Adding one row to all rows changes neither what is captured nor the deviations that come back."""
    weight, rank = drawn
    scale = weight.abs().max().item() or 1.0
    weight = torch.round(weight / scale * 256)  # whole numbers, so that the shift is exact in float32
    row = torch.arange(weight.shape[1]) - float(shift)
    found, shifted = column_pca(weight, rank), column_pca(weight + row, rank)
    allowed = 2 * tolerance(found, (weight + row).abs().max().item() + 256)
    np.testing.assert_allclose(shifted.mean.numpy(), (found.mean + row).numpy(), rtol=0, atol=allowed)
    assert shifted.captured_energy == pytest.approx(found.captured_energy, abs=1e-10)  # FLOAT64 * (shift / spread), squared
    if is_determined(weight, rank):
        np.testing.assert_allclose(decoded(shifted), decoded(found) + row.numpy(), rtol=0, atol=allowed)


def plain_moments(values: Tensor) -> Moments:
    """The definition, in float64: two passes of numpy."""
    plain = values.double().numpy()
    scale = np.abs(plain).max() or 1.0
    mean = (plain / scale).mean()
    return Moments(mean * scale, math.sqrt(np.square(plain / scale - mean).mean()) * scale, plain.size)


def assert_same_moments(found: Moments, expected: Moments, relative: float) -> None:
    """Equal up to a share of the spread; float64 itself leaves FLOAT64 of the mean in both."""
    allowed = relative * expected.std + 16 * FLOAT64 * abs(expected.mean) + 2.0**-1074
    assert abs(found.mean - expected.mean) <= allowed, f"mean {found.mean!r} is not {expected.mean!r}"
    assert abs(found.std - expected.std) <= allowed, f"std {found.std!r} is not {expected.std!r}"
    assert found.count == expected.count


@given(flat_weights(), st.sampled_from((1, 3, 16, 64)), st.sampled_from((0, moments.SMALL)))
@example(torch.tensor([3.4e38, 3.4e38, 3.4e38, -3.4e38]), 64, 0)  # the largest deviation leaves float32, the moments do not
@example(torch.tensor([1e-45, 0.0]), 1, 0)
@example(torch.tensor([1.1, -2.3, 3.7]) * 2.0**-73, 64, 0)  # float32 squares keep three bits
def test_moments_equal_their_definition(values, chunk, small):
    """Mean and population standard deviation agree with float64, by either way, whatever the dtype and the chunks' borders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moments, "CHUNK", chunk)
        patch.setattr(moments, "SMALL", small)
        found = tensor_moments(values)
    # 64 sequential float32 additions err by 64 * HALF_ULP of the sum of squares, which is at most 11 variances there
    # (CANCELLATION); the square root halves, the mean adds as much again
    assert_same_moments(found, plain_moments(values), relative=64 * HALF_ULP * 16)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("kind", ["normal", "mean of three spreads", "mean of thousand spreads", "two values"])
def test_moments_of_many_values_equal_their_definition(dtype, kind):
    """Three chunks of real size and a rest, with the sums that float32 rounds most."""
    generator = np.random.default_rng(0)
    values = generator.standard_normal(3 * moments.CHUNK + 17) * 0.1
    values = {
        "normal": lambda: values,
        "mean of three spreads": lambda: values + 0.3,
        "mean of thousand spreads": lambda: values + 100,
        "two values": lambda: np.sign(values) * 0.1,
    }[kind]()
    tensor = torch.from_numpy(values).to(dtype)
    # a tenth of the sampling error of a standard deviation, 1 / sqrt(2 n) = 8e-4: nobody can tell the seeds apart
    assert_same_moments(tensor_moments(tensor), plain_moments(tensor), relative=0.1 / math.sqrt(2 * tensor.numel()))


@given(st.lists(flat_weights().map(lambda values: values.float().double()), min_size=1))  # float32, as the parts of a seed are
def test_pooled_moments_are_those_of_the_concatenation(parts):
    """Moments of the parts say everything about the moments of the whole."""
    whole = plain_moments(torch.cat(parts))
    found = pooled(plain_moments(part) for part in parts)
    assert_same_moments(found, whole, relative=1e-9)  # float64 squares: half of its digits where one mean dominates


@given(weights(kinds=("normal", "two values", "constant")), st.integers(-20, 20), rng_seeds)
def test_moments_of_the_fast_way_follow_scale_and_ignore_order(weight, exponent, rng_seed):
    """A power of two multiplies both moments; a permutation of the entries changes neither."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moments, "SMALL", 0)
        found = tensor_moments(weight)
        scaled = tensor_moments(weight * 2.0**exponent)
        order = torch.from_numpy(Draw(rng_seed, "order").permutation(weight.numel()))
        mixed = tensor_moments(weight.reshape(-1)[order])
    expected = Moments(found.mean * 2.0**exponent, found.std * 2.0**exponent, found.count)
    assert_same_moments(scaled, expected, relative=64 * HALF_ULP)  # either side may take the second, exact pass
    assert_same_moments(mixed, found, relative=64 * HALF_ULP)
