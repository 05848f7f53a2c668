"""What linear algebra says of components and singular values when a matrix is turned, transposed or shifted.

weights -> [extract] -> Seed -> store -> [assemble] -> weights

Rotating features, or rotating units about the row mean, turns the best approximation along with the matrix. Transposition
does not: the row mean of a matrix and that of its transpose are different things to leave out. It does where both are zero,
and always for singular values; in between, two sums of singular values bound what either leaves.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from seeds.codecs import SpectrumCodec
from seeds.pca import PCA, column_pca
from tests.strategies import ORDINARY, weights
from tests.test_roundtrip import FLOAT64, decoded, is_determined, ranked, spectrum, tolerance

pytestmark = pytest.mark.roundtrip

generator_seeds = st.integers(0, 2**32 - 1)


def rotation(side: int, generator: np.random.Generator, kind: str) -> np.ndarray:
    """An orthogonal matrix (side, side): a rotation or reflection, or one that only moves or turns round single axes."""
    if kind == "rotation":
        return np.linalg.qr(generator.standard_normal((side, side)))[0]
    return np.eye(side)[generator.permutation(side)] * generator.choice([-1.0, 1.0], side)


def rounding(weight: Tensor) -> float:
    """Bound on the norm of what float64 leaves when a matrix is centred, or turned by products over one side."""
    return 16 * FLOAT64 * math.sqrt(weight.numel() * max(weight.shape)) * weight.abs().max().item()


def resolution(weight: Tensor) -> float:
    """Smallest norm that can be told from what is left out: energies are sums in float64, and a norm is the root of one."""
    return math.sqrt(FLOAT64 * max(weight.shape)) * weight.norm().item() + rounding(weight)


def left_out(found: PCA, weight: Tensor) -> float:
    """Frobenius norm of what the components leave."""
    return found.residual_std * math.sqrt(weight.numel())


def assert_same_share(found: float, expected: float, weight: Tensor) -> None:
    """Of the captured energies; shares of a matrix whose rows are nearly equal are shares of rounding."""
    whole, noise = float(np.linalg.norm(spectrum(weight))), rounding(weight)
    if whole > noise:
        assert found == pytest.approx(expected, rel=0, abs=1e-12 + 4 * noise / whole)


@given(ranked(), st.sampled_from(("rotation", "permutation")), generator_seeds)
def test_turned_features_turn_the_approximation(drawn, kind, generator_seed):
    """Components of W Q are those of W times Q: the mean and what comes back turn, captured energy and residual stay."""
    weight, rank = drawn[0].double(), drawn[1]
    turn = rotation(weight.shape[1], np.random.default_rng(generator_seed), kind)
    found, turned = column_pca(weight, rank), column_pca(weight @ torch.from_numpy(turn), rank)
    assert_same_share(turned.captured_energy, found.captured_energy, weight)
    assert left_out(turned, weight) == pytest.approx(left_out(found, weight), rel=0, abs=resolution(weight))
    largest = math.sqrt(weight.shape[1]) * weight.abs().max().item()
    allowed = (1 + math.sqrt(weight.shape[1])) * tolerance(found, largest)
    np.testing.assert_allclose(turned.mean, found.mean.double().numpy() @ turn, rtol=0, atol=allowed)
    if is_determined(weight, rank):
        np.testing.assert_allclose(decoded(turned), decoded(found) @ turn, rtol=0, atol=allowed)


@given(ranked(), generator_seeds)
def test_units_turned_about_their_mean_keep_mean_and_energy(drawn, generator_seed):
    """Any rotation that leaves the vector of ones where it is; of others, the row mean would be another."""
    weight, rank = drawn[0].double(), drawn[1]
    units, generator = len(weight), np.random.default_rng(generator_seed)
    first = np.linalg.qr(np.column_stack([np.ones(units), generator.standard_normal((units, units - 1))]))[0]
    turn = np.ones((units, units)) / units
    if units > 1:
        other = first[:, 1:]  # a basis of all that sums to zero
        turn = turn + other @ rotation(units - 1, generator, "rotation") @ other.T
    found, turned = column_pca(weight, rank), column_pca(torch.from_numpy(turn) @ weight, rank)
    assert_same_share(turned.captured_energy, found.captured_energy, weight)
    allowed = (1 + math.sqrt(units)) * tolerance(found, math.sqrt(units) * weight.abs().max().item())
    np.testing.assert_allclose(turned.mean, found.mean, rtol=0, atol=allowed)
    if is_determined(weight, rank):
        np.testing.assert_allclose(decoded(turned), turn @ decoded(found), rtol=0, atol=allowed)


@given(weights(), st.sampled_from(("rotation", "permutation")), generator_seeds)
def test_singular_values_do_not_see_a_turn_of_either_side_or_a_transposition(weight, kind, generator_seed):
    """The values of U W V and of its transpose are those of W, as numbers and as parts of a seed."""
    generator, plain = np.random.default_rng(generator_seed), weight.double().numpy()
    left, right = (rotation(side, generator, kind) for side in plain.shape)
    turned = torch.from_numpy(left @ plain @ right)
    codec = SpectrumCodec(None, False)
    expected = codec.encode(weight)[0]["singular_values"]
    for other in (turned, turned.T):
        found = codec.encode(other)[0]["singular_values"]
        torch.testing.assert_close(found, expected, rtol=2.0**-23, atol=rounding(weight) + 2.0**-149)


@given(ranked())
def test_a_transpose_is_approximated_as_well_to_one_component_more_or_less(drawn):
    """What rank K and a mean leave lies between what K + 1 and what K singular values leave, for W and W.T alike."""
    weight, rank = drawn[0].double(), drawn[1]
    values = np.linalg.svd(weight.numpy(), compute_uv=False)  # of W itself, not centred
    lowest, highest = (np.linalg.norm(values[kept:]) for kept in (rank + 1, rank))
    for one in (weight, weight.T):
        left = left_out(column_pca(one, rank), weight)
        assert lowest - resolution(weight) <= left <= highest + resolution(weight)


@given(ranked(kinds=(*ORDINARY[:5], "two values")))
def test_a_doubly_centred_matrix_and_its_transpose_have_the_same_components(drawn):
    """Where rows and columns have no mean, both leave the same, and come back as each other's transposes."""
    weight, rank = drawn[0].double(), drawn[1]
    weight = weight - weight.mean(0)
    weight = weight - weight.mean(1, keepdim=True)
    found, turned = column_pca(weight, rank), column_pca(weight.T, rank)
    scale = drawn[0].double().abs().max().item()
    if weight.norm().item() > 1e-9 * scale:  # else centring has left nothing but rounding
        assert_same_share(turned.captured_energy, found.captured_energy, weight)
        if is_determined(weight, rank):
            allowed = tolerance(found, scale) + tolerance(turned, scale)
            np.testing.assert_allclose(decoded(turned).T, decoded(found), rtol=0, atol=allowed)


@example((torch.tensor([[1.0, 1.0], [3.0, 3.0]]), 1))
@given(ranked(kinds=("normal",)))
def test_a_transpose_has_another_mean_so_its_components_are_others(drawn):
    """The control of the two statements above: mean of units and mean of features are told apart."""
    weight, rank = drawn
    found, turned = column_pca(weight, rank), column_pca(weight.T, rank)
    assert found.mean.shape == (weight.shape[1],)
    assert turned.mean.shape == (weight.shape[0],)
    np.testing.assert_allclose(found.mean, weight.double().mean(0), rtol=2.0**-22, atol=tolerance(found, 0))
    np.testing.assert_allclose(turned.mean, weight.double().mean(1), rtol=2.0**-22, atol=tolerance(turned, 0))
