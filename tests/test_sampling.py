"""What is drawn: mean, spread, distribution and independence, each within the sampling error that its size states.

    Seed -> [assemble] -> weights

Level: each comparison fails by chance in fewer than 1 of 5e8 cases (6 standard errors of a mean; for a variance the bound of
Laurent and Massart on chi-squared). A run of 10,000 examples with four comparisons raises a false alarm once in 10,000 runs.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import norm
from torch import Tensor

from seeds.assemble import assemble
from seeds.codecs import moments_parts
from seeds.draw import Draw
from seeds.extract import extract
from seeds.moments import Moments
from seeds.seed import Entry, Seed
from tests.strategies import ORDINARY, rng_seeds, tensors, weights

pytestmark = pytest.mark.roundtrip

Z = 6.0  # standard errors; normal theory gives 2e-9 for both sides
TAIL = 20.7  # exp(-20.7) = 1e-9 a side
LEVEL = 2e-9
DRAWN_VECTORS = ("pca:1", "signs", "spectrum", "covariance")  # codecs that draw 1-D tensors from their moments
MANY = (1000, 1000)


def assert_drawn_with(values: np.ndarray, mean: float, std: float, rounding: float) -> None:
    """Sample mean and spread are those that were asked for, up to sampling error and what rounding may add to each value."""
    count = values.size
    assert abs(values.mean() - mean) <= Z * std / math.sqrt(count) + rounding
    # sum of squares / std**2 is chi-squared with count - 1 degrees of freedom; tails by Laurent and Massart 2000, lemma 1
    free = count - 1
    low, high = free - 2 * math.sqrt(free * TAIL), free + 2 * math.sqrt(free * TAIL) + 2 * TAIL
    assert std * math.sqrt(max(0.0, low) / count) - rounding <= values.std() <= std * math.sqrt(high / count) + rounding


def rounding_of(dtype: torch.dtype, mean: float, std: float) -> float:
    """Half a unit in the last place of the dtype, and three of float32 (of the two moments and of the value)."""
    limits = torch.finfo(dtype)
    return (limits.eps / 2 + 3 * 2.0**-24) * (abs(mean) + 7 * std) + limits.smallest_normal * limits.eps + 2.0**-149


# -- normal values --------------------------------------------------------------------------------------------------------


@given(
    shape=st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple),
    mean=st.floats(-1e4, 1e4, width=32),
    exponent=st.integers(-20, 20),
    dtype=st.sampled_from(("float32", "float64")),
    rng_seed=rng_seeds,
)
@example(MANY, 0.3, 0, "float32", 0)
@example(MANY, -0.3, -6, "float64", 2**63 - 1)
def test_drawn_moments_lie_within_their_sampling_error(shape, mean, exponent, dtype, rng_seed):
    """Mean and spread of assembled tensors are those of the seed; of a million values, to 0.6 % of the spread."""
    std = 2.0**exponent
    entry = Entry("w", shape, dtype, "moments", moments_parts(Moments(mean, std, math.prod(shape))))
    values = assemble(Seed("moments", (entry,)), rng_seed)["w"].double().numpy()
    assert_drawn_with(values, mean, std, rounding_of(torch.float32, mean, std))


@given(tensors(kinds=(*ORDINARY, "denormal")), rng_seeds, st.sampled_from(("moments", *DRAWN_VECTORS)))
def test_a_tensor_that_is_drawn_has_the_moments_of_the_original(weight, rng_seed, codec):
    """All the way from weights of any shape, kind and dtype; constant ones come back constant."""
    state = {"w": weight if codec == "moments" else weight.reshape(-1), "beside": torch.eye(3)}
    made = assemble(extract(state, codec), rng_seed)["w"]
    plain = weight.double().numpy()
    scale = float(np.abs(plain).max()) or 1.0
    mean, std = float((plain / scale).mean()) * scale, float((plain / scale).std()) * scale
    assert_drawn_with(made.double().numpy(), mean, std, rounding_of(weight.dtype, mean, std))
    if std == 0.0:
        assert (made == made.reshape(-1)[0]).all()


@given(st.lists(weights(kinds=("normal", "huge mean", "constant")), min_size=1, max_size=6), rng_seeds)
def test_a_model_drawn_from_one_pair_of_moments_has_them(model, rng_seed):
    """`moments:global`: all tensors together, whatever each one's own were."""
    largest = max(weight.abs().max().item() for weight in model)
    state = {str(i): weight / largest for i, weight in enumerate(model)}  # float32 parts of the moments are then relative to 1
    whole = torch.cat([weight.reshape(-1).double() for weight in state.values()]).numpy()
    made = torch.cat([weight.reshape(-1).double() for weight in assemble(extract(state, "moments:global"), rng_seed).values()])
    stored = math.sqrt(whole.var() + 2.0**-22) - whole.std()  # each part's moments are float32, near 1: off by 2**-24
    assert_drawn_with(made.numpy(), whole.mean(), whole.std(), rounding_of(torch.float32, 1.0, 1.0) + stored)


def test_drawn_values_are_normal():
    """The largest gap between the distribution of 250,000 values and the normal one (Dvoretzky, Kiefer and Wolfowitz)."""
    values = np.sort(Draw(0, "w").normal((250_000,), 0.0, 1.0).astype(np.float64))
    steps = np.arange(values.size + 1) / values.size
    expected = norm.cdf(values)
    gap = max(np.abs(expected - steps[1:]).max(), np.abs(expected - steps[:-1]).max())
    assert gap <= math.sqrt(math.log(2 / LEVEL) / (2 * values.size))


# -- noise ----------------------------------------------------------------------------------------------------------------


def without_noise(seed: Seed) -> Seed:
    """The same components, decoded alone."""
    (entry,) = seed.entries
    parts = {name: part for name, part in entry.parts.items() if name != "residual_std"}
    return Seed(seed.codec, (Entry(entry.name, entry.shape, entry.dtype, entry.method, parts),))


def leftover(weight: Tensor, rank: int) -> float:
    """Root mean square of what `rank` components and the mean leave out, by LAPACK's SVD."""
    rows = weight.double().numpy()
    return float(np.linalg.norm(np.linalg.svd(rows - rows.mean(0), compute_uv=False)[rank:]) / math.sqrt(rows.size))


@given(weights(smallest_side=2), st.data(), rng_seeds)
@example(torch.randn(300, 200, generator=torch.Generator().manual_seed(0)), None, 0)
def test_noise_has_the_spread_of_what_the_components_leave_out(weight, data, rng_seed):
    """Mean 0 and the residual's standard deviation, on top of the components and nowhere else."""
    rank = 10 if data is None else data.draw(st.integers(1, min(weight.shape)))
    seed = extract({"w": weight}, f"pca:{rank}+noise")
    noise = (assemble(seed, rng_seed)["w"].double() - assemble(without_noise(seed))["w"].double()).numpy()
    std, largest = leftover(weight, rank), weight.abs().max().item()
    # the sum is rounded to float32; the Gram route knows energies to 2**-52 of the largest, so a spread to 2**-26
    assert_drawn_with(noise, 0.0, std, 2.0**-23 * (largest * math.sqrt(weight.numel()) + 7 * std) + 2.0**-148)


# -- places ---------------------------------------------------------------------------------------------------------------


def test_every_order_of_permuted_values_is_as_likely():
    """All 24 orders of four values over 6,000 runs: a chi-squared sum with 23 degrees of freedom."""
    runs, orders = 6_000, {order: i for i, order in enumerate(itertools.permutations(range(4)))}
    counts = np.bincount([orders[tuple(Draw(run, "w").permutation(4).tolist())] for run in range(runs)], minlength=24)
    expected = runs / 24
    assert ((counts - expected) ** 2 / expected).sum() <= 23 + 2 * math.sqrt(23 * TAIL) + 2 * TAIL


# -- streams --------------------------------------------------------------------------------------------------------------


def test_streams_of_names_and_rng_seeds_are_not_correlated():
    """64 names that differ in a number, and 64 neighbouring rng_seeds: no pair of 128 is alike, nor when shifted by one."""
    count = 4096
    streams = [Draw(0, f"layers.{i}.weight") for i in range(64)] + [Draw(1 + i, "layers.0.weight") for i in range(64)]
    values = np.stack([stream.normal((count + 1,), 0.0, 1.0) for stream in streams]).astype(np.float64)
    alike, shifted = values[:, :-1] @ values[:, :-1].T / count, values[:, :-1] @ values[:, 1:].T / count
    np.fill_diagonal(alike, 0.0)
    # given one stream, the mean of products is normal with the root mean square of the other, here at most 1.07, as its std
    assert max(np.abs(alike).max(), np.abs(shifted).max()) <= Z * 1.07 / math.sqrt(count)


@given(rng_seeds, rng_seeds, st.text(max_size=3), st.text(max_size=3))
@example(1, 12, "2w", "w")
@example(1, 12, "2/w", "w")
@example(1, 1, "", "/")
def test_no_two_pairs_of_rng_seed_and_name_share_a_stream(first, second, name, other):
    """Not even where a name looks like the end of a number."""
    draws = (Draw(first, name).normal((8,), 0.0, 1.0), Draw(second, other).normal((8,), 0.0, 1.0))
    assert np.array_equal(*draws) == ((first, name) == (second, other))
