"""Principal components of a weight matrix: the best affine approximation of its rows, and what it leaves out.

    subject -> [extract] -> Seed        (knows matrices, nothing of codecs or files)

Scores and components are stored on a binary grid coarse enough that every product and every partial sum of
`scores @ components` is exact in float64. The decoded bits then do not depend on the order of summation, so not on
the BLAS, the thread count or the instruction set.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seeds.errors import SeedError
from seeds.moments import require_finite

EXACT_SIDE = 2048  # largest Gram matrix; beyond it the decomposition is randomized
FLOAT32_SIDE = 512  # smallest Gram matrix that is summed and decomposed in float32 first: twice as fast
FLOAT32_SHARE = 8  # smallest side per component: each one costs a step in float64, and many would cost more than is saved
FLOAT32_ENERGY = 2.0**-10  # relative; float32 has lost more than rounding where the two energies differ by as much
SMALLEST_EXPONENT = -1022  # of a scale whose reciprocal float64 holds
POWER_ITERATIONS = 4  # of the randomized route; the energy it misses is measured, not assumed
CHUNK = 1 << 19  # values converted to float64 at a time: 4 MiB, which stay in cache
GRAM_CHUNK = 1 << 21  # for matrices of products, where each chunk also costs a pass over the side squared


@dataclass(frozen=True, slots=True, eq=False)
class PCA:
    """An affine approximation of rows: `scores @ components + mean`.

    Args:
        mean: (features,) float32.
        components: (rank, features) float32, orthonormal rows up to the grid.
        scores: (units, rank) float32.
        captured_energy: share of the squared distance to the mean that the components hold, in [0, 1].
        residual_std: root mean square of what they leave out, in the weights' unit.
    """

    mean: Tensor
    components: Tensor
    scores: Tensor
    captured_energy: float
    residual_std: float


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Rows minus their mean, in units of `scale`, as float64: made chunk by chunk, as all of them would be a second model."""

    weight: Tensor  # (units, features)
    scale: float
    mean: Tensor  # (features,)

    @property
    def are_wide(self) -> bool:
        return self.weight.shape[1] > self.weight.shape[0]

    def by_units(self, size: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Which rows, and their values, which the next chunk overwrites."""
        return self._chunks(0, max(1, size // self.weight.shape[1]))

    def by_features(self, size: int) -> Iterator[tuple[slice, np.ndarray]]:
        """The same for columns."""
        return self._chunks(1, max(1, size // self.weight.shape[0]))

    def _chunks(self, axis: int, step: int) -> Iterator[tuple[slice, np.ndarray]]:
        length, other = self.weight.shape[axis], self.weight.shape[1 - axis]
        buffer = torch.empty(min(step, length) * other, dtype=torch.float64)  # fresh memory costs more than the arithmetic
        for start in range(0, length, step):
            part = self.weight.narrow(axis, start, min(step, length - start))
            values = buffer[: part.numel()].view(part.shape)
            values.copy_(part).mul_(1 / self.scale).sub_(self.mean if axis == 0 else self.mean[start : start + step])
            yield slice(start, start + step), values.numpy()


def column_pca(weight: Tensor, rank: int) -> PCA:
    """Best rank-`rank` affine approximation of the rows of a weight matrix.

    Centres the rows and keeps the leading eigenvectors of the smaller Gram matrix: exact up to float64 rounding while the
    smaller side is under 512 or under 8 times the rank. Larger ones are decomposed in float32 and corrected by one step of
    subspace iteration in float64: the basis is off by float32 rounding over the gap between the energies that it separates,
    and the energy that this loses by the square of that. Where the smaller side is beyond 2,048, randomized with four power
    iterations.

    Args:
        weight: shape (units, features), any float dtype, finite.
        rank: components kept, 1 <= rank <= min(units, features).

    Raises:
        SeedError: `weight` is not a finite matrix, or `rank` is out of range.

    Source: Eckart and Young 1936; Gram route and randomized route as in Halko et al. 2011.
    """
    if weight.ndim != 2 or not weight.is_floating_point() or weight.numel() == 0:
        raise SeedError(f"PCA needs a float matrix, got shape {tuple(weight.shape)} of {weight.dtype}")
    if not 1 <= rank <= min(weight.shape):
        raise SeedError(f"rank {rank} is out of range: 1 to {min(weight.shape)} for shape {tuple(weight.shape)}")
    rows = _centred(weight)
    components, energy = _leading_directions(rows, rank)
    scores = np.empty((len(weight), rank))
    for at, part in rows.by_units(CHUNK):
        scores[at] = (components @ part.T).T  # this way round BLAS is faster
    captured = min(1.0, float(np.vdot(scores, scores)) / energy) if energy else 1.0
    bits = grid_bits(rank)
    return PCA(
        mean=_float32(rows.mean * rows.scale),
        components=_float32(on_grid(torch.from_numpy(components), bits)),
        scores=_float32(on_grid(torch.from_numpy(scores * rows.scale), bits)),
        captured_energy=captured,
        residual_std=rows.scale * math.sqrt(energy * (1 - captured) / weight.numel()),
    )


def _centred(weight: Tensor) -> _Rows:
    largest = max(abs(value.item()) for value in torch.aminmax(weight))
    if not math.isfinite(largest):
        require_finite(weight)  # counts them
    exponent = max(math.frexp(largest)[1] - 1, SMALLEST_EXPONENT)
    scale = math.ldexp(1.0, exponent)  # squares of values near the ends of the range would leave it
    mean = np.zeros(weight.shape[1])
    for _, part in _Rows(weight, scale, torch.zeros(weight.shape[1], dtype=torch.float64)).by_units(CHUNK):
        mean += part.sum(0)
    return _Rows(weight, scale, torch.from_numpy(mean / len(weight)))


def _leading_directions(rows: _Rows, rank: int) -> tuple[np.ndarray, float]:
    """Orthonormal rows (rank, features), and the squared length of the centred, scaled rows."""
    side = min(rows.weight.shape)
    if side > EXACT_SIDE:
        return _randomized(rows, rank)
    if side >= max(FLOAT32_SIDE, FLOAT32_SHARE * rank):
        gram, energy = _gram(rows, np.float32)
        if abs(np.trace(gram) - energy) <= FLOAT32_ENERGY * energy:
            leading = _top(gram.astype(np.float32), rank).astype(np.float64)
            return _orthonormal(_carried(leading, rows) if rows.are_wide else _stepped(leading, rows)), energy
    gram, energy = _gram(rows, np.float64)
    leading = _top(gram, rank)
    return (_orthonormal(_carried(leading, rows)) if rows.are_wide else leading), energy


def _randomized(rows: _Rows, rank: int) -> tuple[np.ndarray, float]:
    from sklearn.utils.extmath import randomized_svd

    whole = next(rows.by_units(rows.weight.numel()))[1]
    right = randomized_svd(whole, rank, n_iter=POWER_ITERATIONS, random_state=0)[2]  # pyright: ignore[reportArgumentType]
    return np.ascontiguousarray(right), float(np.vdot(whole, whole))


def _gram(rows: _Rows, dtype: type) -> tuple[np.ndarray, float]:
    """Products between the columns, or between wide rows, each chunk summed in `dtype`; and the energy, in float64."""
    side, energy = min(rows.weight.shape), 0.0
    gram = np.zeros((side, side))
    for _, part in rows.by_features(GRAM_CHUNK) if rows.are_wide else rows.by_units(GRAM_CHUNK):
        energy += float(np.vdot(part, part))
        cast = part.astype(dtype, copy=False)
        # by numpy, which sees that both factors are one matrix and computes half: twice as fast as torch
        gram += cast @ cast.T if rows.are_wide else cast.T @ cast
    return gram, energy


def _top(gram: np.ndarray, rank: int) -> np.ndarray:
    """The eigenvectors of the `rank` largest eigenvalues, largest first: (rank, side). Overwrites `gram`."""
    from scipy.linalg import eigh

    side, from_below = len(gram), gram.dtype == np.float64  # each dtype from the triangle that OpenBLAS is faster on
    leading = (side - rank, side - 1)
    vectors = eigh(gram.T, lower=from_below, subset_by_index=leading, overwrite_a=True, check_finite=False)[1]
    return vectors.T[::-1].copy()


def _carried(leading: np.ndarray, rows: _Rows) -> np.ndarray:
    """From directions among units to those among features: (rank, units) -> (rank, features)."""
    return np.concatenate([leading @ part for _, part in rows.by_features(CHUNK)], 1)


def _stepped(leading: np.ndarray, rows: _Rows) -> np.ndarray:
    """One step of subspace iteration: (rank, features), each direction times its energy."""
    stepped = np.zeros_like(leading)
    for _, part in rows.by_units(CHUNK):
        stepped += (leading @ part.T) @ part
    return stepped


def _orthonormal(directions: np.ndarray) -> np.ndarray:
    """Of the same span, as rows; where that is smaller than their number, QR completes the basis."""
    return np.linalg.qr(directions.T)[0].T.copy()


def grid_bits(rank: int) -> int:
    """Significant bits of scores and components that keep a sum of `rank` products within float64's 53."""
    return min(24, (53 - math.ceil(math.log2(rank))) // 2)


def on_grid(values: Tensor, bits: int) -> Tensor:
    """Rounded to multiples of 2**(exponent of the largest magnitude - bits)."""
    largest = values.abs().max().item()
    step = 2.0 ** (math.frexp(largest)[1] - bits)
    return values.div(step).round_().mul_(step) if largest else values


def _float32(values: Tensor) -> Tensor:
    cast = values.float()  # the one cast from the float64 of the statistics to the float32 of the seed
    if not torch.isfinite(cast).all():
        raise SeedError(f"the components of weights up to {values.abs().max():g} leave the range of float32, +-3.4e38")
    return cast
