"""The rungs between every value and two moments: signs, singular values, covariances.

subject -> [extract] -> Seed -> store -> [assemble] -> weights
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from seeds import store
from seeds.assemble import assemble
from seeds.codecs import CovarianceCodec, SignsCodec, SpectrumCodec, factors
from seeds.codecs.factors import covariance_factors, exact_product, orthonormal
from seeds.draw import Draw
from seeds.errors import SeedError
from seeds.extract import extract
from seeds.seed import Entry, Seed
from tests.strategies import FLOATS, all_bits, bits, rng_seeds, states, weights

pytestmark = pytest.mark.roundtrip

LADDER = ("signs", "spectrum", "covariance")
DENORMAL = 2.0**-149  # spacing of float32 near zero, where rounding is absolute
Z = 5.5  # normal quantile that one comparison in 3e7 exceeds
shapes = st.integers(1, 24).flatmap(lambda rank: st.tuples(st.integers(rank, 24), st.just(rank)))


@given(states(), st.sampled_from(LADDER), st.sampled_from(("", "+vectors")), rng_seeds)
def test_a_seed_file_gives_the_same_bits_again(tmp_path_factory, state, codec, options, rng_seed):
    """Written, read back and assembled: the bits of the seed in memory, whichever dtypes and kernels it stands for."""
    seed = extract(state, codec + options)
    path = tmp_path_factory.getbasetemp() / "ladder.seed"
    store.save(seed, path)
    made = assemble(store.load(path), rng_seed)
    assert all_bits(made) == all_bits(assemble(seed, rng_seed))
    assert {name: (t.dtype, t.shape) for name, t in made.items()} == {name: (t.dtype, t.shape) for name, t in state.items()}
    assert all(torch.isfinite(tensor).all() for tensor in made.values() if tensor.is_floating_point())


@pytest.mark.parametrize("codec", LADDER)
@given(first=rng_seeds, second=rng_seeds)
def test_runs_differ_where_something_is_drawn(codec, first, second):
    """Each (rng_seed, tensor name) has a stream of its own; signs draw nothing."""
    weight = (torch.arange(64.0) ** 3 % 61).reshape(8, 8)
    seed = extract({"a": weight, "b": weight.clone()}, codec)
    one, other = assemble(seed, first), assemble(seed, second)
    assert torch.equal(one["a"], one["b"]) == (codec == "signs")
    assert torch.equal(one["a"], other["a"]) == (codec == "signs" or first == second)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("codec", LADDER)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (3, 2, 2, 2), (4, 5)], ids=str)
def test_zero_and_constant_matrices_have_a_seed(shape, codec, dtype):
    """Nothing divides by a norm, a variance or a singular value that is zero."""
    made = assemble(extract({"zero": torch.zeros(shape, dtype=dtype), "half": torch.full(shape, 0.5, dtype=dtype)}, codec))
    assert bits(made["zero"].abs()) == bits(torch.zeros(shape, dtype=dtype))
    length = made["half"].double().norm().item()
    # bfloat16 rounds each value to 2**-9 of it
    assert length == pytest.approx(0.5 * math.sqrt(math.prod(shape)), rel=2**-8)


@pytest.mark.parametrize("codec", LADDER)
@pytest.mark.parametrize(
    ("value", "says"),
    [
        (math.nan, "weights must be finite; 2 of 4"),
        (math.inf, "weights must be finite; 2 of 4"),
        (1e39, "range of float32"),
        (1e200, "up to (1|inf).* leave the range of float32"),  # whose square float64 cannot hold
    ],
    ids=str,
)
def test_weights_that_no_seed_can_hold_are_refused(codec, value, says):
    """Not finite, or beyond the range of float32; the message names the tensor."""
    with pytest.raises(SeedError, match=f"tensor 'body': .*{says}"):
        extract({"body": torch.tensor([[1.0, value], [2.0, -value]], dtype=torch.float64)}, codec)


BAD_PARTS = {
    "too few signs": ("signs", {"signs": torch.zeros(1, dtype=torch.uint8), "norms": torch.ones(3)}),
    "signs of another dtype": ("signs", {"signs": torch.zeros(2), "norms": torch.ones(3)}),
    "norms of other rows": ("signs", {"signs": torch.zeros(2, dtype=torch.uint8), "norms": torch.ones(2)}),
    "too many singular values": ("spectrum", {"singular_values": torch.ones(4)}),
    "factors of another shape": ("covariance", {"mean": torch.ones(4), "rows": torch.ones(3), "columns": torch.ones(5, 3)}),
}


@pytest.mark.parametrize(("method", "parts"), BAD_PARTS.values(), ids=BAD_PARTS)
def test_parts_that_make_no_such_tensor_are_refused(method, parts):
    """The message holds the tensor, the sizes of its parts and what they should have made."""
    with pytest.raises(SeedError, match=rf"tensor 'body': parts .* do not make {method} \(3, 4\)"):
        assemble(Seed(method, (Entry("body", (3, 4), "float32", method, parts),)))


# -- signs ----------------------------------------------------------------------------------------------------------------


@given(weights())
@example(torch.tensor([[-0.0, 0.0], [-1.0, 1e-45]]))
def test_signs_keep_every_sign_and_the_norm_of_every_row(weight):
    """Zero of either sign counts as plus; the norm is rounded to float32 when stored, the magnitude when decoded."""
    parts, energy = SignsCodec(None, False).encode(weight)
    made = SignsCodec.decode(parts, tuple(weight.shape), Draw(0, ""))
    assert energy is None
    assert torch.equal(made.signbit(), weight < 0)
    norms, features = weight.double().norm(dim=1), weight.shape[1]
    error = (made.double().norm(dim=1) - norms).abs()
    assert (error <= 2.0**-22 * norms + (1 + math.sqrt(features)) * DENORMAL).all()
    assert (made.abs() == made.abs()[:, :1]).all(), "one magnitude for each row"


def test_a_sign_takes_one_bit():
    """33 x 17 signs in 71 bytes, and a float32 for each row."""
    parts, _ = SignsCodec(None, False).encode(torch.randn(33, 17, generator=torch.Generator().manual_seed(0)))
    assert {name: (part.dtype, part.numel()) for name, part in parts.items()} == {
        "signs": (torch.uint8, 71),
        "norms": (torch.float32, 33),
    }


# -- singular values ------------------------------------------------------------------------------------------------------


@given(weights(), rng_seeds)
@example(torch.randn(96, 64, generator=torch.Generator().manual_seed(0)), 0)
def test_an_assembled_matrix_has_the_singular_values_of_the_original(weight, rng_seed):
    """LAPACK finds the original's in the seed and in what is made of it, to 1e-5 of the largest."""
    expected = np.linalg.svd(weight.double().numpy(), compute_uv=False)
    parts, _ = SpectrumCodec(None, False).encode(weight)
    made = SpectrumCodec.decode(parts, tuple(weight.shape), Draw(rng_seed, "w"))
    allowed = 1e-5 * expected[0] + math.sqrt(weight.numel()) * DENORMAL
    np.testing.assert_allclose(parts["singular_values"].numpy(), expected, rtol=0, atol=allowed)
    np.testing.assert_allclose(np.linalg.svd(made.double().numpy(), compute_uv=False), expected, rtol=0, atol=allowed)


def test_the_bases_of_an_assembled_matrix_are_new_in_every_run():
    """Neither the original's, nor another run's, nor each other: leading directions are no closer than random ones."""
    weight = torch.diag(torch.tensor([9.0] + [1.0] * 63))
    seed = extract({"w": weight}, "spectrum")
    found = [torch.linalg.svd(assemble(seed, run)["w"]) for run in range(20)]
    leading = torch.stack([direction for left, _, right in found for direction in (left[:, 0], right[0])])  # (2 * runs, 64)
    overlaps = (leading @ torch.cat([leading, torch.eye(64)[:1]]).T).abs().fill_diagonal_(0)
    assert overlaps.max() < Z / math.sqrt(64)


@given(shapes, rng_seeds)
def test_bases_are_the_q_of_a_qr_decomposition_with_positive_diagonal(shape, rng_seed):
    """The elementwise Gram-Schmidt agrees with LAPACK's Householder, after the sign fix that makes Q uniform."""
    normal = Draw(rng_seed, "basis").normal(shape, 0.0, 1.0)
    basis = orthonormal(normal)
    plain, upper = np.linalg.qr(normal.astype(np.float64) + factors.OFF_ZERO)
    allowed = 1e-14 * np.linalg.cond(normal)  # both lose float64 rounding times the condition
    np.testing.assert_allclose(basis, plain * np.sign(np.diag(upper)), rtol=0, atol=allowed)
    np.testing.assert_allclose(basis.T @ basis, np.eye(shape[1]), rtol=0, atol=allowed)


def test_bases_are_uniform():
    """Over 4,000 bases of three dimensions each entry has mean 0 and mean square 1/3, and half of them are reflections."""
    bases = np.stack([orthonormal(Draw(run, "basis").normal((3, 3), 0.0, 1.0)) for run in range(4000)])
    error = Z / math.sqrt(len(bases))
    assert np.abs(bases.mean(0)).max() < error * math.sqrt(1 / 3)
    assert np.abs(np.square(bases).mean(0) - 1 / 3).max() < error * math.sqrt(4 / 45)  # Var of cos**2 on a sphere
    assert abs(np.sign(np.linalg.det(bases)).mean()) < error


def test_a_normal_value_of_zero_still_makes_a_basis():
    """float32 draws 0.0 once in some millions; a direction it is not, so plus is chosen."""
    assert orthonormal(np.zeros((1, 1), dtype=np.float32)) == 1.0


# -- covariances ----------------------------------------------------------------------------------------------------------


@given(weights(kinds=("normal", "constant columns", "rank deficient", "duplicated columns", "two values")))
def test_factors_give_the_covariances_by_their_definition(weight):
    """Products of each factor with itself are the moment estimates, up to float64 rounding of squares."""
    centred = weight.double() - weight.double().mean(0)
    units, features = centred.shape
    between_rows, between_columns = covariance_factors(centred)
    square = centred.square().mean().item() or 1.0
    close = {"rtol": 0, "atol": 1e-12 * max(units, features) * square}
    np.testing.assert_allclose(between_rows @ between_rows.T, centred @ centred.T / features, **close)
    np.testing.assert_allclose(between_columns @ between_columns.T * square, centred.T @ centred / units, **close)
    assert between_rows.shape[1] == between_columns.shape[1] == min(units, features)


def test_a_long_side_keeps_its_variances_alone():
    """4,097 rows would have a covariance of 16.8 million values."""
    weight = torch.randn(4097, 3, generator=torch.Generator().manual_seed(0))
    seed = extract({"w": weight, "transposed": weight.T.contiguous()}, "covariance")
    sizes = {entry.name: {name: tuple(part.shape) for name, part in entry.parts.items()} for entry in seed.entries}
    assert sizes["w"] == {"mean": (3,), "rows": (4097,), "columns": (3, 3)}
    assert sizes["transposed"] == {"mean": (4097,), "rows": (3, 3), "columns": (4097,)}
    assert {name: tensor.shape for name, tensor in assemble(seed).items()} == {"w": (4097, 3), "transposed": (3, 4097)}


@pytest.mark.parametrize("longest", [2, 6, 9], ids=["diagonal", "rows in full", "both in full"])
def test_covariances_over_many_draws_are_those_of_the_original(longest, monkeypatch):
    """Means over 3,000 draws lie within their own sampling error; off the diagonal only where the side was kept in full."""
    monkeypatch.setattr(factors, "LONGEST_SIDE", longest)
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(6, 6, generator=generator), torch.randn(9, 9, generator=generator)
    weight = mixing[0] @ torch.randn(6, 9, generator=generator) @ mixing[1] + torch.arange(9.0)
    parts, _ = CovarianceCodec(None, False).encode(weight)
    draws = torch.stack([CovarianceCodec.decode(parts, (6, 9), Draw(run, "w")) for run in range(3000)]).double()
    mean = weight.double().mean(0)
    assert_within_sampling_error(draws, mean.expand(6, 9))
    centred, deviations = weight.double() - mean, draws - mean
    sides = [(deviations @ deviations.mT, centred @ centred.T), (deviations.mT @ deviations, centred.T @ centred)]
    for found, expected in sides:
        if len(expected) <= longest:
            assert_within_sampling_error(found, expected)
        else:
            assert_within_sampling_error(found.diagonal(dim1=1, dim2=2), expected.diagonal())


def assert_within_sampling_error(draws, expected):
    """The mean of (runs, ...) is `expected` up to Z standard errors, and float32 rounding."""
    error = Z * draws.std(0) / math.sqrt(len(draws)) + 1e-5 * expected.abs().max()
    assert ((draws.mean(0) - expected).abs() <= error).all()


def test_a_single_row_is_its_own_mean():
    """Nothing is left that could vary."""
    row = torch.tensor([[1.0, -2.0, 0.3]])
    assert bits(assemble(extract({"w": row}, "covariance"))["w"]) == bits(row)


# -- bits -----------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 24), st.integers(1, 24), st.integers(1, 24), st.randoms(use_true_random=False))
def test_products_do_not_depend_on_the_order_of_summation(units, inner, features, random):
    """Any order of the inner side gives the same bits."""
    generator = np.random.default_rng(random.randrange(2**32))
    left, right = (torch.from_numpy(generator.standard_normal(shape)) for shape in ((units, inner), (inner, features)))
    order = random.sample(range(inner), inner)
    summed = torch.zeros(units, features, dtype=torch.float64)
    grid = factors.grid_bits(inner)
    for k in order:
        summed += torch.outer(factors.on_grid(left, grid)[:, k], factors.on_grid(right, grid)[k])
    assert bits(exact_product(left, right)) == bits(summed)
    # both factors are off by half a step of the grid, 2**-23 of their largest value at 24 of them
    allowed = inner * 2.0**-21 * left.abs().max() * right.abs().max()
    assert ((summed - left @ right).abs() <= allowed).all()


@pytest.mark.parametrize(("name", "products"), [("signs", 0), ("spectrum", 1), ("covariance", 2)])
def test_every_product_of_assembly_is_such_a_product(name, products, monkeypatch):
    """Each is made by `exact_product`: summed backwards, the weights have the same bits."""
    calls = []

    def backwards(left, right):
        calls.append(left.shape)
        return exact_product(left.flip(1), right.flip(0))

    seed = Seed(name, tuple(entry for entry in by_hand().entries if entry.name == name))
    expected = assemble(seed)[name]
    monkeypatch.setattr(factors, "exact_product", backwards)
    assert bits(assemble(seed)[name]) == bits(expected)
    assert len(calls) == products


def by_hand() -> Seed:
    """A seed whose parts are literals, so that no decomposition has a say in the bits of its weights."""
    grid = torch.arange(-15.0, 15.0) / 7
    parts = {
        "signs": {"signs": torch.arange(103, dtype=torch.uint8), "norms": torch.arange(1.0, 42.0) / 3},
        "spectrum": {"singular_values": torch.arange(20.0, 0.0, -1) / 3},
        "covariance": {
            "mean": grid[:20],
            "rows": grid.repeat(28)[:820].reshape(41, 20),
            "columns": grid.repeat(14)[:400].reshape(20, 20) / 3,
        },
    }
    return Seed("signs", tuple(Entry(name, (41, 5, 4), "float32", name, parts[name]) for name in LADDER))
