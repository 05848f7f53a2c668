"""A PCA of one weight vector and noise: its components are those of the noise, whatever the vector."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy.stats import chi2, mannwhitneyu
from torch import Tensor

from seeds.audit import noise
from seeds.errors import SeedError
from seeds.pca import column_pca
from seeds.subject import subject
from tests.strategies import ORDINARY, bits, weights

pytestmark = pytest.mark.audit

HALF_ULP = 2.0**-24  # of float32, and of the grid that components lie on
FLOAT64 = 2.0**-53  # relative rounding error
LEVEL = 1e-4  # of a statistical test with a fixed generator: how rarely it would fail for other numbers
DRAWS, COPIES, RANK = 150, 8, 3  # pairs of PCAs that are compared, rows and components of each


@st.composite
def noisy(draw, kinds=(*ORDINARY, "any")):
    """A vector of 16 to 576 weights, 3 to 8 copies, a std of 2**-16 to 2**16 of the largest weight, a generator's seed."""
    vector = draw(weights(smallest_side=4, kinds=kinds)).reshape(-1)
    std = 2.0 ** draw(st.integers(-16, 16)) * (vector.abs().max().item() or 1.0)
    return vector, draw(st.integers(3, 8)), std, draw(st.integers(0, 2**32 - 1))


def rounding(noise_alone: Tensor, largest: float) -> np.ndarray:
    """How far float64 may turn each component, given the magnitude of the largest weight: grows with it. (copies - 1,)

    Adding, averaging and centring leave a few FLOAT64 of the largest value in each entry of both matrices. A component is
    rows.T @ left / s: the left vectors turn by the Gram matrix's change over the gap to the next eigenvalue (Davis and
    Kahan), the rows by their own change. The grid of float32 adds HALF_ULP in each entry.
    """
    rows = noise_alone.numpy()
    copies, values = rows.shape
    lengths = np.linalg.svd(rows - rows.mean(0), compute_uv=False)[: copies - 1]
    entries = 2 * (copies + 4) * FLOAT64 * (largest + np.abs(rows).max()) * math.sqrt(rows.size)
    squares = np.append(lengths, 0.0) ** 2
    gaps = np.array([np.abs(np.delete(squares, k) - squares[k]).min() for k in range(copies - 1)])
    gram = 2 * lengths[0] * entries + 64 * values * FLOAT64 * squares[0]
    return 4 * (gram / gaps * lengths[0] + entries) / lengths + 3 * math.sqrt(values) * HALF_ULP


@pytest.mark.roundtrip
@given(noisy())
def test_the_components_of_noisy_copies_are_those_of_the_noise(drawn):
    """Up to sign and the rounding of float64, whatever the vector: centring removed it."""
    vector, copies, std, seed = drawn
    rank = copies - 1
    rows = noise.noisy_copies(vector, copies, std, np.random.default_rng(seed))
    alone = noise.noise_rows(copies, len(vector), std, np.random.default_rng(seed))
    allowed = rounding(alone, vector.abs().max().item())
    assume(allowed.max() < 0.01)  # two directions of the noise that hold nearly the same variance are no two directions
    one, other = (column_pca(matrix, rank).components.double() for matrix in (rows, alone))
    signs = (one * other).sum(1, keepdim=True).sign()
    turned = (one - signs * other).norm(dim=1).numpy()
    assert (turned <= allowed).all(), f"turned by {turned}, allowed {allowed}"


@pytest.mark.roundtrip
@given(st.sampled_from((2, 4, 8)), st.integers(8, 64), st.integers(0, 2**32 - 1), st.integers(0, 40))
@example(2, 8, 0, 0)
def test_where_sums_are_exact_the_vector_leaves_no_trace_at_all(copies, values, seed, exponent):
    """Whole numbers, a power of two of copies: sums and means round nothing, and every bit of the components is the noise's."""
    generator = np.random.default_rng(seed)
    alone = torch.from_numpy(generator.integers(-(2**10), 2**10, (copies, values))).double()
    vector = torch.from_numpy(generator.integers(-(2**exponent), 2**exponent + 1, values)).double()
    found, expected = column_pca(alone + vector, copies - 1), column_pca(alone, copies - 1)
    assert bits(found.components) == bits(expected.components)
    assert bits(found.scores) == bits(expected.scores)


@pytest.mark.roundtrip
@given(noisy(kinds=ORDINARY))
def test_explained_variances_are_those_of_the_noise(drawn):
    """Twice the vector changes none of them, twice the noise makes each four times as large."""
    vector, copies, std, seed = drawn
    rank = copies - 1

    def variances(scale, std):
        rows = noise.noisy_copies(scale * vector.double(), copies, std, np.random.default_rng(seed))
        return noise.explained_variances(column_pca(rows, rank)).numpy()

    once = variances(1, std)
    # Weyl: a singular value moves by no more than the matrix does, here by a few FLOAT64 of the largest weight in each entry;
    # the scores lie on a grid of HALF_ULP of the largest of them; the Gram matrix mixes neighbours by rounding only
    largest = vector.abs().max().item() / std
    entries = 2 * (copies + 4) * FLOAT64 * (2 * largest + 6) * math.sqrt(copies * len(vector))
    allowed = 8 * (entries + math.sqrt(copies) * HALF_ULP) * once.max()
    np.testing.assert_allclose(variances(2, std), once, rtol=0, atol=allowed)
    np.testing.assert_allclose(variances(1, 2 * std), 4 * once, rtol=0, atol=4 * allowed)


def test_the_variance_in_all_components_is_the_variance_of_the_noise():
    """(copies - 1) * values deviations of std**2: the sum lies within the chi-squared interval, whatever the vector."""
    vector, copies, std, rng = network(), 8, 0.01, np.random.default_rng(0)
    found = column_pca(noise.noisy_copies(vector, copies, std, rng), copies - 1)
    free = (copies - 1) * len(vector)
    total = noise.explained_variances(found).sum().item() * (copies - 1) / std**2
    low, high = chi2.ppf([LEVEL / 2, 1 - LEVEL / 2], free)
    assert low <= total <= high


@given(noisy(kinds=ORDINARY))
def test_the_whole_vector_is_in_the_mean_and_the_mean_is_as_large(drawn):
    """The mean differs from the vector by the mean of the noise alone, and takes as many bytes as the weights."""
    vector, copies, std, seed = drawn
    found = column_pca(noise.noisy_copies(vector, copies, std, np.random.default_rng(seed)), 1)
    drawn_mean = noise.noise_rows(copies, len(vector), std, np.random.default_rng(seed)).mean(0)
    largest = vector.abs().max().item() + 6 * std
    # the mean is cast to float32; float64 leaves less than a millionth of that
    np.testing.assert_allclose(found.mean.double() - drawn_mean, vector.double(), rtol=0, atol=1.01 * HALF_ULP * largest)
    assert found.mean.nbytes == vector.float().nbytes


def network() -> Tensor:
    """All weights of a trained network in one vector: 26,122 values."""
    return noise.flattened(subject(noise.SUBJECT).original().state_dict().values())


def test_a_seed_of_noisy_copies_is_larger_than_the_weights():
    """The mean alone is as large as the weights; the components, which hold none of them, come on top."""
    found = noise.read(network(), 16, 0.01, 4, np.random.default_rng(0))
    assert found.mean_bytes == found.weights_bytes
    assert found.components_bytes > found.rank * found.weights_bytes
    assert found.noise_alignment > 1 - 1e-6  # components are float32
    assert found.variance_ratio == pytest.approx(1, abs=1e-6)
    # the mean of 16 draws of the noise, over the root mean square of the weights
    expected = 0.01 / 4 / network().square().mean().sqrt().item()
    assert found.mean_error == pytest.approx(expected, rel=4 / math.sqrt(2 * found.values))
    # a random subspace holds chi2(rank) / values of any vector
    assert found.vector_share < chi2.ppf(1 - LEVEL, found.rank) / found.values


def overlap(one: Tensor, other: Tensor) -> float:
    """Mean squared cosine of the principal angles: 1 for equal spans, rank / values on average for random ones."""
    return noise.principal_cosines(one, other).square().mean().item()


def random_components(rank: int, values: int, rng: np.random.Generator) -> Tensor:
    """Orthonormal rows whose span is uniformly distributed: (rank, values) float64."""
    return torch.from_numpy(np.linalg.qr(rng.standard_normal((values, rank)))[0].T.copy())


def overlaps(rows_of_a_draw, seed):
    """Overlap of the components of two independent draws, DRAWS times."""
    rng = np.random.default_rng(seed)
    one = [column_pca(rows_of_a_draw(rng), RANK).components for _ in range(2 * DRAWS)]
    return [overlap(a, b) for a, b in zip(one[::2], one[1::2], strict=True)]


def test_components_of_two_draws_are_no_more_aligned_than_random_ones():
    """The same weights twice, other noise: principal angles are those of random subspaces (rank sums at level 1e-4).

    The control, by the same test: a direction in which the rows really differ, and which holds no more variance than the
    noise does as a whole, is found in both draws.
    """
    vector = network()[::16]  # 1,633 of the weights: random subspaces of that size overlap in 0.0018 on average
    direction = torch.ones(len(vector), dtype=torch.float64) / math.sqrt(len(vector))
    std = 0.01

    def copies(rng):
        return noise.noisy_copies(vector, COPIES, std, rng)

    def planted(rng):
        away = torch.from_numpy(rng.standard_normal((COPIES, 1)))
        return copies(rng) + away * std * math.sqrt(len(vector)) * direction

    rng = np.random.default_rng(2)
    pairs = [[random_components(RANK, len(vector), rng) for _ in range(2)] for _ in range(DRAWS)]
    random = [overlap(a, b) for a, b in pairs]
    assert np.mean(random) == pytest.approx(RANK / len(vector), rel=0.15), "the reference itself"
    assert mannwhitneyu(overlaps(copies, 1), random, alternative="greater").pvalue > LEVEL
    assert mannwhitneyu(overlaps(planted, 1), random, alternative="greater").pvalue < LEVEL


@given(noisy(kinds=ORDINARY))
def test_a_direction_in_which_rows_really_differ_is_the_first_component(drawn):
    """The control: the method finds structure where there is some, and loses it only where all rows share it."""
    vector, copies, std, seed = drawn
    rows = noise.noisy_copies(vector, copies, std, np.random.default_rng(seed))
    direction = torch.from_numpy(np.random.default_rng([seed, 1]).standard_normal(len(vector)))
    direction /= direction.norm()
    away = torch.linspace(-1, 1, copies, dtype=torch.float64)[:, None]
    length = 100 * std * math.sqrt(len(vector))
    found = column_pca(rows + length * away * direction, 1).components[0].double()
    # the noise has length std * sqrt(values) a row, a hundredth of the planted step: it turns the component by about as much
    assert abs(found @ direction) > 0.999


def test_without_centring_the_first_direction_would_be_the_vector():
    """The control: it is the centring that removes it. And then one direction is the vector, with all its values."""
    vector = network()[::16]
    rows = noise.noisy_copies(vector, COPIES, 0.01, np.random.default_rng(0))
    first = torch.linalg.svd(rows, full_matrices=False).Vh[0]
    assert abs(first @ vector / vector.norm()) > 0.99
    assert abs(column_pca(rows, 1).components[0].double() @ vector / vector.norm()) < 0.1  # 4 of 1 / sqrt(1,633)


@pytest.mark.parametrize(("copies", "std"), [(1, 0.1), (4, 0.0), (4, -1.0), (4, math.nan)])
def test_copies_without_noise_or_company_are_refused(copies, std):
    with pytest.raises(SeedError, match="allowed: 2 or more of a vector, above 0"):
        noise.noisy_copies(torch.ones(3), copies, std, np.random.default_rng(0))
    with pytest.raises(SeedError, match="allowed: 1 to copies - 1"):
        noise.read(torch.ones(3), 3, 0.1, 3, np.random.default_rng(0))
