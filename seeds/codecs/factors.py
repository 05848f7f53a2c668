"""Codecs that decode by a product of factors: components, singular values under random bases, covariances.

    subject -> [extract] -> Seed -> store -> [assemble] -> evaluate -> verdict

No product here depends on the order of summation, so not on the BLAS, the thread count or the instruction set: factors
lie on binary grids so coarse that every partial sum is exact in float64 (see `seeds.pca`), and bases are made of
elementwise operations alone.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from seeds.codecs.codec import Codec, as_rows, float32, require, sides
from seeds.draw import Draw
from seeds.errors import SeedError
from seeds.moments import require_finite
from seeds.pca import column_pca, grid_bits, on_grid
from seeds.seed import Parts

LONGEST_SIDE = 4096  # of a covariance; of a longer side only the variances are kept
OFF_ZERO = 2.0**-30  # less than the smallest normal value that float32 draws: no column of them is zero, none is shifted


class PcaCodec(Codec):
    """Keeps row mean, the leading components and their scores; with noise, also the spread of the rest."""

    name, forms = "pca", "pca:K or pca:K+noise with K >= 1"
    working_bytes = 24

    def __init__(self, argument: str | None, noise: bool) -> None:
        self.rank = int(argument or "")
        self.draws = noise
        if self.rank < 1:
            raise ValueError

    def check(self, shapes: Sequence[tuple[int, ...]]) -> None:
        largest = max((min(s[0], math.prod(s[1:])) for s in shapes if len(s) >= 2), default=0)
        if self.rank > largest:
            raise SeedError(f"rank {self.rank} is out of range: 1 to {largest}, the smaller side of the largest matrix")

    def encode(self, weight: Tensor) -> tuple[Parts, float | None]:
        rows = as_rows(weight)
        pca = column_pca(rows, min(self.rank, *rows.shape))
        parts = {"mean": pca.mean, "components": pca.components, "scores": pca.scores}
        if self.draws:
            parts["residual_std"] = torch.tensor(pca.residual_std, dtype=torch.float32)
        return parts, pca.captured_energy

    @staticmethod
    def decode(parts: Parts, shape: tuple[int, ...], draw: Draw) -> Tensor:
        units, features = sides(shape)
        rank = len(parts["components"])
        if not 1 <= rank <= min(units, features):
            raise ValueError(f"{rank} components; allowed: 1 to {min(units, features)}")
        sizes = {"mean": (features,), "components": (rank, features), "scores": (units, rank)}
        sizes |= {"residual_std": ()} if "residual_std" in parts else {}
        require(parts, {name: (torch.float32, size) for name, size in sizes.items()})
        # exact in float64 whatever the order of summation: see seeds.pca
        value = (parts["scores"].double() @ parts["components"].double()).add_(parts["mean"].double()).float()
        if "residual_std" in parts:
            value += torch.from_numpy(draw.normal(tuple(value.shape), 0.0, parts["residual_std"].item()))
        return value.reshape(shape)


class SpectrumCodec(Codec):
    """Keeps the singular values of each matrix; assembly draws both of its bases.

    The bases are orthonormal and uniform (Haar), so what is kept is all that no rotation of inputs and outputs changes.
    """

    name, forms = "spectrum", "spectrum"
    working_bytes = 64

    def encode(self, weight: Tensor) -> tuple[Parts, float | None]:
        require_finite(weight)
        values = torch.linalg.svdvals(as_rows(weight).double())
        return {"singular_values": float32(values, "singular values")}, None

    @staticmethod
    def decode(parts: Parts, shape: tuple[int, ...], draw: Draw) -> Tensor:
        units, features = sides(shape)
        require(parts, {"singular_values": (torch.float32, (min(units, features),))})
        values = parts["singular_values"].double()  # (rank,)
        normal = draw.normal((units + features, len(values)), 0.0, 1.0)
        left, right = (torch.from_numpy(orthonormal(part)) for part in (normal[:units], normal[units:]))
        return exact_product(left * values, right.T).float().reshape(shape)


class CovarianceCodec(Codec):
    """Keeps row mean, and covariance of rows and of columns (the variances alone of a side over 4,096), as factors.

    Assembly draws a matrix-normal: normal values between the two factors, so that both covariances are those of the
    original in expectation. The factors of a matrix have more values than the matrix: this codec asks what second
    moments hold, not what is small.
    """

    name, forms = "covariance", "covariance"
    working_bytes = 64

    def encode(self, weight: Tensor) -> tuple[Parts, float | None]:
        require_finite(weight)
        rows = as_rows(weight).double()
        float32(rows, "weights")  # squares of larger ones would leave float64 too
        mean = rows.mean(0)
        between_rows, between_columns = covariance_factors(rows - mean)
        return {
            "mean": float32(mean, "weights"),
            "rows": float32(between_rows, "factors of covariances"),
            "columns": float32(between_columns, "factors of covariances"),
        }, None

    @staticmethod
    def decode(parts: Parts, shape: tuple[int, ...], draw: Draw) -> Tensor:
        units, features = sides(shape)
        sizes = {"mean": (features,), "rows": (units,), "columns": (features,)}
        sizes |= {name: (*sizes[name], min(units, features)) for name in ("rows", "columns") if parts[name].ndim == 2}
        require(parts, {name: (torch.float32, size) for name, size in sizes.items()})
        between_rows, between_columns = parts["rows"].double(), parts["columns"].double()
        inner = between_rows.shape[-1], between_columns.shape[-1]  # a factor (side,) stands for a diagonal (side, side)
        value = torch.from_numpy(draw.normal(inner, 0.0, 1.0)).double()
        value = between_rows[:, None] * value if between_rows.ndim == 1 else exact_product(between_rows, value)
        value = value * between_columns if between_columns.ndim == 1 else exact_product(value, between_columns.T)
        return value.add_(parts["mean"].double()).float().reshape(shape)


def covariance_factors(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Factors of the covariance between the rows of a centred matrix and of that between its columns.

    One matrix has no maximum-likelihood estimate of both (Dutilleul 1999: the flip-flop iteration needs at least
    max(units / features, features / units) + 1 samples), so these are the moment estimates, which one step of it gives
    from the identity.

    Args:
        centred: shape (units, features), float64.

    Returns:
        rows with rows @ rows.T = centred @ centred.T / features, and columns with columns @ columns.T =
        centred.T @ centred / units / the mean square of all values. Each is (side, rank), rank = min(units, features), or
        (side,), the roots of its diagonal, where the side is over `LONGEST_SIDE`.
    """
    units, features = centred.shape
    size = math.sqrt(units * features)
    scale = centred.norm().item() / size  # 0 where all rows are equal
    bases = _bases(centred) if min(units, features) <= LONGEST_SIDE else None
    sides = []
    for matrix, basis, other in ((centred, 0, features), (centred.T, 1, units)):
        if bases is None or len(matrix) > LONGEST_SIDE:
            sides.append(matrix.norm(dim=1) / math.sqrt(other))
        else:
            sides.append(bases[basis] / math.sqrt(other))
    return sides[0], sides[1] / (scale or 1.0)


def _bases(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Left and right singular vectors times singular values: (units, rank), (features, rank). From the smaller Gram matrix."""
    is_tall = len(centred) >= centred.shape[1]
    tall = centred if is_tall else centred.T
    energies, vectors = torch.linalg.eigh(tall.T @ tall)
    long, short = tall @ vectors, vectors * energies.clamp(min=0).sqrt()
    return (long, short) if is_tall else (short, long)


def orthonormal(normal: np.ndarray) -> np.ndarray:
    """A uniformly distributed orthonormal basis from normal values: the Q of their QR decomposition with R's diagonal positive.

    Modified Gram-Schmidt in elementwise float64 operations and sums of one row after the other, which every CPU rounds
    alike; a BLAS does not. The price is time: half a second for (768, 768), two minutes for (50257, 768).

    Orthogonality is lost to float64 rounding times the condition of `normal`, which is of the order of `rank`.

    Args:
        normal: shape (side, rank), rank <= side.

    Source: Mezzadri 2007, "How to generate random matrices from the classical compact groups".
    """
    basis = normal.astype(np.float64) + OFF_ZERO  # (side, rank)
    for k in range(basis.shape[1]):
        overlap = (basis[:, k, None] * basis[:, k:]).sum(0)  # with itself, then with every later column
        length = np.sqrt(overlap[0])
        basis[:, k] /= length
        basis[:, k + 1 :] -= basis[:, k, None] * (overlap[1:] / length)
    return basis


def exact_product(left: Tensor, right: Tensor) -> Tensor:
    """`left` @ `right` in float64, both rounded first to a grid on which every order of summation gives the same bits."""
    bits = grid_bits(left.shape[1])
    return on_grid(left, bits) @ on_grid(right, bits)
