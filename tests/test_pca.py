"""Components of large matrices: decomposed in float32 first, and still what algebra says of them.

weights -> [extract] -> Seed

The invariants of small matrices are in test_roundtrip.py. Most of them hold on this route too, and are run here again; not
that permuted rows give the same approximation to every digit, since float32 decides between energies that are nearly equal.
"""

import math

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from seeds import pca, store
from seeds.codecs import PcaCodec
from seeds.draw import Draw
from seeds.extract import extract
from seeds.pca import PCA, column_pca
from tests import test_roundtrip as small
from tests.strategies import bits

pytestmark = pytest.mark.roundtrip

SHAPES = {"tall": (900, 520), "wide": (520, 900), "square": (520, 520)}  # sides over FLOAT32_SIDE, in one chunk and in more
RANK = 10
SECOND_ORDER = 1e-9  # of the energy: float32 rounding over the gap behind the last component, squared
INVARIANTS = [
    small.test_a_full_rank_pca_seed_rebuilds_the_weight,
    small.test_components_come_from_any_float_dtype_and_leave_it_alone,
    small.test_the_error_of_a_pca_seed_is_the_discarded_energy,
    small.test_the_error_falls_with_every_further_component,
    small.test_no_other_basis_of_the_same_rank_beats_the_components,
    small.test_components_are_orthonormal,
    small.test_decoded_bits_do_not_depend_on_the_order_of_summation,
    small.test_scores_and_components_lie_on_the_grid,
    small.test_powers_of_two_scale_a_seed_exactly,
    small.test_a_shift_of_the_columns_moves_the_mean_alone,
]


@pytest.mark.parametrize("invariant", INVARIANTS, ids=[one.__name__.removeprefix("test_") for one in INVARIANTS])
def test_small_matrices_obey_on_this_route_too(invariant, monkeypatch):
    """Sizes where every direction that float32 may miss is among the components or has energy that is seen missing."""
    monkeypatch.setattr(pca, "FLOAT32_SIDE", 1)
    monkeypatch.setattr(pca, "FLOAT32_SHARE", 0)
    invariant()


def normal(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


def decaying(shape: tuple[int, int]) -> np.ndarray:
    """Singular values that fall as those of trained weights do, over more digits than float32 resolves energies to."""
    left, _, right = np.linalg.svd(normal(shape), full_matrices=False)
    return (left * np.arange(1.0, len(right) + 1) ** -2.0) @ right


KINDS = {
    "normal": normal,
    "decaying": decaying,
    "huge mean": lambda shape: normal(shape) * 2.0**-20 + 1.0,
    "huge values": lambda shape: normal(shape) * 2.0**120,
    "denormal values": lambda shape: np.round(normal(shape) * 2.0**20) * 2.0**-149,
    "two values": lambda shape: np.sign(normal(shape)),
}


def optimum(weight: Tensor, rank: int) -> float:
    """The largest share of the energy that `rank` components can hold, by LAPACK's SVD in float64."""
    energy = small.spectrum(weight.double() / weight.abs().max().item()) ** 2
    return energy[:rank].sum() / energy.sum()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_energy_that_float32_loses_is_of_second_order(kind, shape):
    """Captured energy is the optimum's, and is what the stored components and scores really hold."""
    weight = torch.from_numpy(KINDS[kind](shape)).float()
    found = column_pca(weight, RANK)
    assert found.captured_energy == pytest.approx(optimum(weight, RANK), rel=SECOND_ORDER)
    rows = weight.double().numpy()
    spread = float(np.linalg.norm(rows - rows.mean(0)))
    left = float(np.linalg.norm(approximation(found) - rows)) / spread
    # one rounding of the grid or of float32 in each entry, beside entries of the largest weight
    allowed = small.norm_tolerance(found, weight) / spread
    assert left == pytest.approx(math.sqrt(1 - found.captured_energy), abs=allowed)


def approximation(found: PCA) -> np.ndarray:
    parts = {"mean": found.mean, "components": found.components, "scores": found.scores}
    return PcaCodec.decode(parts, (len(found.scores), len(found.mean)), Draw(0, "")).double().numpy()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_matrix_of_low_rank_is_rebuilt_to_float64_rounding(shape):
    """Eight directions, the last with 10**-9 of the first one's energy, which float32 alone would not find."""
    generator = np.random.default_rng(1)
    left, right = generator.integers(-8, 9, (shape[0], 8)), generator.integers(-8, 9, (8, shape[1]))
    weight = torch.from_numpy((left * 2.0 ** -(2.0 * np.arange(8))) @ right)  # sums of float64 that are exact
    found = column_pca(weight, RANK)
    assert 1 - found.captured_energy < 1e-14


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("kind", [*KINDS, "constant columns"])
def test_components_of_large_matrices_are_orthonormal(kind, shape):
    """Also where no direction has any energy."""
    made = KINDS[kind](shape) if kind in KINDS else np.broadcast_to(normal(shape)[0], shape)
    components = column_pca(torch.from_numpy(made.copy()).float(), RANK).components.double()
    allowed = 2.1 * math.sqrt(shape[1]) * small.HALF_ULP  # as for small ones
    assert (components @ components.T - torch.eye(RANK)).abs().max().item() <= allowed


def test_energies_that_float32_cannot_hold_take_the_float64_route():
    """One constant column sets the scale, and the squares of all others are below the range of float32."""
    weight = torch.from_numpy(normal(SHAPES["tall"]) * 1e-25).float()
    weight[:, 0] = 1.0
    found = column_pca(weight, RANK)
    assert found.captured_energy == pytest.approx(optimum(weight[:, 1:], RANK), rel=1e-12)


@pytest.mark.parametrize(
    ("shape", "rank", "dtypes"),
    [
        ((512, 600), 64, [np.float32]),
        ((600, 512), 65, [np.float64]),
        ((511, 600), 10, [np.float64]),
        ((600, 511), 10, [np.float64]),
    ],
)
def test_the_smaller_side_and_the_rank_decide_on_the_route(shape, rank, dtypes, monkeypatch):
    """512, and 8 times the rank, are the smallest sides that begin in float32."""
    asked, gram = [], pca._gram

    def recorded(rows, dtype):
        asked.append(dtype)
        return gram(rows, dtype)

    monkeypatch.setattr(pca, "_gram", recorded)
    column_pca(torch.from_numpy(normal(shape)).float(), rank)
    assert asked == dtypes


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_large_matrices_give_the_same_seed_wherever_they_lie(shape, tmp_path):
    """At any address, in any stride, as float64, from a file: the same bytes."""
    weight = torch.from_numpy(normal(shape)).float()
    expected = store.to_bytes(extract({"w": weight}, f"pca:{RANK}+noise"))
    memory = torch.empty(weight.numel() + 3)
    memory[3:] = weight.reshape(-1)
    safetensors.torch.save_file({"w": weight}, tmp_path / "model.safetensors")
    for source in ({"w": memory[3:].view(shape)}, {"w": weight.T.contiguous().T}, tmp_path):
        assert store.to_bytes(extract(source, f"pca:{RANK}+noise")) == expected
    wider, found = column_pca(weight.double(), RANK), column_pca(weight, RANK)
    assert bits(wider.scores) == bits(found.scores)
    assert bits(wider.components) == bits(found.components)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_powers_of_two_scale_large_matrices_exactly(shape):
    """The route works in units of the largest weight."""
    weight = torch.from_numpy(normal(shape)).float()
    found, scaled = column_pca(weight, RANK), column_pca(weight * 2.0**90, RANK)
    assert bits(scaled.components) == bits(found.components)
    assert bits(scaled.scores) == bits(found.scores * 2.0**90)
    assert scaled.captured_energy == found.captured_energy


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_sides_too_long_for_a_gram_matrix_are_randomized(shape, monkeypatch):
    """Four power iterations find what falls as fast as trained weights do; the energy that is told is the one captured."""
    monkeypatch.setattr(pca, "EXACT_SIDE", min(shape) - 1)
    monkeypatch.setattr(pca, "_gram", None)  # not asked for
    weight = torch.from_numpy(decaying(shape)).float()
    found = column_pca(weight, RANK)
    assert found.captured_energy == pytest.approx(optimum(weight, RANK), rel=1e-6)
    rows = weight.double().numpy()
    left = np.linalg.norm(approximation(found) - rows) / np.linalg.norm(rows - rows.mean(0))
    assert float(left) ** 2 == pytest.approx(1 - found.captured_energy, rel=1e-4)  # float32 roundings, beside the rest
