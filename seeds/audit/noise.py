"""Noise: what a PCA of one weight vector finds, when its rows are copies of that vector with random noise added.

    one weight vector -> copies with noise -> PCA -> [noise] -> page

A PCA centres its rows first, and what all rows share is their mean: the vector leaves before the first component is
computed, whatever it is. The components are those of the noise, and the mean that is left has as many values as the weights.
This module knows no tasks and no files.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seeds.audit.findings import Figure
from seeds.errors import SeedError
from seeds.pca import PCA, column_pca
from seeds.subject import subject

SUBJECT = "digits-mlp"  # of the page's lines; it, and the three numbers below, are ours: the report gives none
COPIES, RANK, STD = 16, 4, 0.01


@dataclass(frozen=True, slots=True)
class Reading:
    """What components of noisy copies of one vector hold.

    Args:
        values: length of the vector.
        noise_alignment: least cosine of the principal angles between the components and those of the noise alone; 1 if
            they are the same.
        vector_share: share of the vector's squared length that lies in the span of the components.
        random_share: what a random subspace of that size holds on average.
        variance_ratio: variance explained by the components over that explained for the noise alone.
        mean_error: distance of the mean from the vector over the vector's length.
        weights_bytes: of the vector, float32.
        mean_bytes: of the mean that a PCA seed keeps.
        components_bytes: of its components and scores.
    """

    values: int
    copies: int
    rank: int
    std: float
    noise_alignment: float
    vector_share: float
    random_share: float
    variance_ratio: float
    mean_error: float
    weights_bytes: int
    mean_bytes: int
    components_bytes: int


def flattened(tensors: Iterable[Tensor]) -> Tensor:
    """All values of a model's tensors in a row: (values,) float64."""
    return torch.cat([tensor.detach().reshape(-1).double() for tensor in tensors])


def noise_rows(copies: int, values: int, std: float, rng: np.random.Generator) -> Tensor:
    """Independent normal values: (copies, values) float64."""
    return torch.from_numpy(std * rng.standard_normal((copies, values)))


def noisy_copies(vector: Tensor, copies: int, std: float, rng: np.random.Generator) -> Tensor:
    """Copies of one weight vector, each with its own noise: (copies, values) float64.

    Args:
        vector: shape (values,), any float dtype.
        copies: rows, at least 2.
        std: of the noise, above 0.

    Raises:
        SeedError: `vector` is no vector, or `copies` or `std` is out of range.
    """
    if vector.ndim != 1 or not vector.numel() or copies < 2 or not std > 0:
        raise SeedError(f"{copies} copies of shape {tuple(vector.shape)}, noise {std}; allowed: 2 or more of a vector, above 0")
    return vector.double() + noise_rows(copies, len(vector), std, rng)


def explained_variances(found: PCA) -> Tensor:
    """Variance of the rows along each component: (rank,) float64."""
    return found.scores.double().square().sum(0) / (len(found.scores) - 1)


def principal_cosines(one: Tensor, other: Tensor) -> Tensor:
    """Cosines of the principal angles between the spans of two sets of orthonormal rows, largest first: (rank,) float64."""
    return torch.linalg.svdvals(one.double() @ other.double().T).clamp(max=1.0)


def read(vector: Tensor, copies: int, std: float, rank: int, rng: np.random.Generator) -> Reading:
    """Forms the PCA of noisy copies of a vector and looks for the vector in it.

    Args:
        vector: shape (values,), any float dtype, not all zero.
        copies: rows of the PCA, at least 2.
        std: of the noise, above 0.
        rank: components, fewer than `copies`: centred rows have no more.

    Raises:
        SeedError: an argument is out of range.
    """
    if not 1 <= rank < min(copies, len(vector) + 1) or not vector.any():
        raise SeedError(f"rank {rank} for {copies} copies of {len(vector)} values; allowed: 1 to copies - 1, not all zero")
    state = rng.bit_generator.state
    found = column_pca(noisy_copies(vector, copies, std, rng), rank)
    rng.bit_generator.state = state
    alone = column_pca(noise_rows(copies, len(vector), std, rng), rank)  # the same noise again
    length = vector.double().norm()
    return Reading(
        values=len(vector),
        copies=copies,
        rank=rank,
        std=std,
        noise_alignment=principal_cosines(found.components, alone.components).min().item(),
        vector_share=(found.components.double() @ (vector.double() / length)).square().sum().item(),
        random_share=rank / len(vector),
        variance_ratio=(explained_variances(found).sum() / explained_variances(alone).sum()).item(),
        mean_error=((found.mean.double() - vector.double()).norm() / length).item(),
        weights_bytes=4 * len(vector),
        mean_bytes=found.mean.nbytes,
        components_bytes=found.components.nbytes + found.scores.nbytes,
    )


def figures() -> list[Figure]:
    """The page's lines, for all weights of one trained network; the report gives no figure of its own here."""
    weights = flattened(subject(SUBJECT).original().state_dict().values())
    found = read(weights, COPIES, STD, RANK, np.random.default_rng(0))
    mean, seed = found.mean_bytes, found.mean_bytes + found.components_bytes
    return [
        Figure("noise: components", "least cosine with the components of the noise", None, found.noise_alignment, "cosine"),
        Figure("noise: weights", "share of the weights that the components hold", None, found.vector_share, "share"),
        Figure("noise: random", "share that random directions hold on average", None, found.random_share, "share"),
        Figure("noise: mean", "distance of the mean from the weights, over their length", None, found.mean_error, "share"),
        Figure("noise: mean's size", "of the mean, over that of the weights", None, mean / found.weights_bytes, "times"),
        Figure("noise: seed's size", "with components and scores", None, seed / found.weights_bytes, "times"),
    ]
