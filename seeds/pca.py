"""Principal components of a weight matrix: the best affine approximation of its rows, and what it leaves out.

    subject -> [extract] -> Seed        (knows matrices, nothing of codecs or files)

Scores and components are stored on a binary grid coarse enough that every product and every partial sum of
`scores @ components` is exact in float64. The decoded bits then do not depend on the order of summation, so not on
the BLAS, the thread count or the instruction set.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seeds.errors import SeedError
from seeds.moments import require_finite

EXACT_SIDE = 2048  # largest Gram matrix; beyond it the decomposition is randomized
POWER_ITERATIONS = 4  # of the randomized route; the energy it misses is measured, not assumed
CHUNK = 1 << 19  # values converted to float64 at a time: 4 MiB, which stay in cache


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


def column_pca(weight: Tensor, rank: int) -> PCA:
    """Best rank-`rank` affine approximation of the rows of a weight matrix.

    Centres the rows and keeps the leading eigenvectors of the smaller Gram matrix: exact up to float64
    rounding while the smaller side is at most 2,048, randomized with four power iterations beyond.

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
    require_finite(weight)
    weight = weight.contiguous()  # matrix products round differently for other strides
    largest = max(weight.max().item(), -weight.min().item())
    scale = math.ldexp(1.0, math.frexp(largest)[1] - 1)  # squares of values near the ends of the range would leave it
    mean = torch.zeros(weight.shape[1], dtype=torch.float64)
    for part in _chunks(weight):
        mean += part.double().div(scale).sum(0)
    mean /= len(weight)
    basis, energy = _leading_directions(weight, mean, scale, rank)
    scores = torch.empty(len(weight), rank, dtype=torch.float64)
    for start, part in zip(range(0, len(weight), _rows(weight)), _chunks(weight), strict=True):
        # written in place: small results kept between large chunks would pin the memory of every chunk
        torch.mm(_centred(part, mean, scale), basis, out=scores[start : start + len(part)])
    captured = min(1.0, scores.square().sum().item() / energy) if energy else 1.0
    bits = grid_bits(rank)
    return PCA(
        mean=_float32(mean * scale),
        components=_float32(on_grid(basis.T.contiguous(), bits)),
        scores=_float32(on_grid(scores * scale, bits)),
        captured_energy=captured,
        residual_std=scale * math.sqrt(energy * (1 - captured) / weight.numel()),
    )


def _rows(weight: Tensor) -> int:
    return max(1, CHUNK // weight.shape[1])


def _chunks(weight: Tensor) -> tuple[Tensor, ...]:
    return weight.split(_rows(weight))


def _centred(rows: Tensor, mean: Tensor, scale: float) -> Tensor:
    return rows.double().div(scale).sub_(mean)  # not div_: of float64 rows, double() is the weights themselves


def _leading_directions(weight: Tensor, mean: Tensor, scale: float, rank: int) -> tuple[Tensor, float]:
    """An orthonormal basis (features, rank), and the squared length of the centred, scaled rows."""
    units, features = weight.shape
    if min(units, features) > EXACT_SIDE:
        from sklearn.utils.extmath import randomized_svd

        rows = _centred(weight, mean, scale).numpy()
        right = randomized_svd(rows, rank, n_iter=POWER_ITERATIONS, random_state=0)[2]  # pyright: ignore[reportArgumentType]
        return torch.from_numpy(np.ascontiguousarray(right.T)), float(np.vdot(rows, rows))
    # Gram matrices by numpy, which sees that both factors are one matrix and computes half: twice as fast as torch
    if features <= units:
        gram = np.zeros((features, features))
        for part in _chunks(weight):
            rows = _centred(part, mean, scale).numpy()
            gram += rows.T @ rows
        energy = float(np.trace(gram))
        return torch.from_numpy(_top(gram, rank)), energy
    rows = _centred(weight, mean, scale)
    gram = rows.numpy() @ rows.numpy().T
    energy = float(np.trace(gram))
    left = torch.from_numpy(_top(gram, rank))
    return torch.linalg.qr(rows.T @ left).Q, energy  # QR also completes the basis of a rank-deficient matrix


def _top(gram: np.ndarray, rank: int) -> np.ndarray:
    """The eigenvectors of the `rank` largest eigenvalues, largest first: (side, rank). Overwrites `gram`."""
    from scipy.linalg import eigh

    side = len(gram)
    vectors = eigh(gram, subset_by_index=(side - rank, side - 1), overwrite_a=True, check_finite=False)[1]
    return np.flip(vectors, axis=1).copy()  # torch refuses the negative stride that ascontiguousarray keeps at rank 1


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
