"""Mean and standard deviation of a tensor: one pass at memory speed, float64 totals, no cancellation.

subject -> [extract] -> Seed        (knows tensors, nothing of codecs or files)
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seeds.errors import SeedError

CHUNK = 1 << 18  # elements: 1 MiB of float32, so that the second reading of a chunk comes from cache
SMALL = 1 << 16  # elements up to which float64 costs no time worth having: 0.1 ms
CANCELLATION = 10.0  # mean**2 / variance above which E[x**2] - mean**2 has lost digits that float32 chunks cannot give
TINY = 2.0**-80  # below this mean square, float32 squares lose digits to underflow


@dataclass(frozen=True, slots=True)
class Moments:
    """Population mean and standard deviation (divisor n) of `count` values, in the weights' own unit."""

    mean: float
    std: float
    count: int


def tensor_moments(tensor: Tensor) -> Moments:
    """Moments over all entries of a tensor.

    Sums each chunk and its squares in float32 and the chunks in float64. Where that would lose digits
    (|mean| >> std, squares that under- or overflow), for float64 input and for tensors of up to 65,536 values, a second
    pass works on float64 deviations from the mean: what these round to in float32 is the same on every machine, whereas
    sums of float32 depend in their last digits on the threads and on the BLAS of numpy.

    Args:
        tensor: any shape, any float dtype, finite, at least one entry.

    Raises:
        SeedError: no entries, or NaN or infinite entries, or moments beyond the range of float32.

    Source: Chan, Golub and LeVeque 1983 (shifted data and pairwise combination).
    """
    flat = tensor.detach().reshape(-1)
    if not flat.is_floating_point() or flat.numel() == 0:
        raise SeedError(f"moments need at least one float value, got shape {tuple(tensor.shape)} of {tensor.dtype}")
    if flat.dtype == torch.float64 or flat.numel() <= SMALL:
        return _two_pass(flat)
    total = square = 0.0
    for chunk in flat.split(CHUNK):
        values = chunk.float()
        total += values.sum().item()
        array = values.numpy()
        # by numpy: its BLAS sums alike at every address, and a mapped file lies anywhere; MKL, behind torch's dot, does not
        square += float(np.vdot(array, array))  # not dot, which warns of an overflow; the second pass is for that
    mean = total / flat.numel()
    mean_square = square / flat.numel()
    variance = mean_square - mean * mean
    if not math.isfinite(square) or mean_square < TINY or mean * mean > CANCELLATION * variance:
        return _two_pass(flat)
    return Moments(mean, math.sqrt(variance), flat.numel())


def _two_pass(flat: Tensor) -> Moments:
    low, high = (value.item() for value in torch.aminmax(flat))
    if not (math.isfinite(low) and math.isfinite(high)):
        require_finite(flat)  # counts them
    limit = torch.finfo(torch.float32).max
    if (extreme := max(-low, high)) > limit:
        raise SeedError(f"weights must lie within +-3.4e38, the range of float32; found up to {extreme:g}")
    chunks = flat.split(CHUNK)
    mean = math.fsum(c.double().sum().item() for c in chunks) / flat.numel()
    largest = max(high - mean, mean - low)
    if largest == 0.0:
        return Moments(mean, 0.0, flat.numel())
    square = math.fsum((c.double() - mean).div_(largest).square_().sum().item() for c in chunks)
    return Moments(mean, largest * math.sqrt(square / flat.numel()), flat.numel())


def pooled(parts: Iterable[Moments]) -> Moments:
    """Moments of the union of disjoint sets of values, from the moments of the sets."""
    parts = list(parts)
    count = sum(p.count for p in parts)
    mean = math.fsum(p.mean * p.count for p in parts) / count
    square = math.fsum(p.count * (p.std**2 + (p.mean - mean) ** 2) for p in parts)
    return Moments(mean, math.sqrt(square / count), count)


def require_finite(tensor: Tensor) -> None:
    """Raises `SeedError` if a float tensor holds NaN or infinity."""
    if tensor.is_floating_point() and (bad := _not_finite(tensor)):
        raise SeedError(f"weights must be finite; {bad} of {tensor.numel()} values are NaN or infinite")


def _not_finite(tensor: Tensor) -> int:
    return sum(int((~torch.isfinite(c)).sum().item()) for c in tensor.reshape(-1).split(CHUNK))
