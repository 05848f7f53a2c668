"""Codecs that keep every value in fewer bits: half precision, or whole steps of a scale for each row.

    subject -> [extract] -> Seed -> store -> [assemble] -> evaluate -> verdict

These are what a seed competes with: four times (int8) or eight times (int4) smaller, and most of the model still there.
A scale has so few bits that its products with the levels are exact in float32: decoded bits depend neither on the CPU nor
on the thread count, and a seed of an assembled model is the same seed again.
"""

import math

import numpy as np
import torch
from torch import Tensor

from seeds.codecs.codec import Codec, as_rows, float32, require, sides
from seeds.draw import Draw
from seeds.errors import SeedError
from seeds.moments import CHUNK, require_finite
from seeds.seed import Parts

LARGEST_HALF = 65504.0  # of float16
SCALE_BITS = 17  # 24 of float32 less 7 of a level: products are exact
SMALLEST_EXPONENT = -149  # of a power of two that float32 can hold


class Float16Codec(Codec):
    """Keeps every value in half precision, to 2**-11 of it (to 2**-25 where it is under 2**-14)."""

    name, forms = "float16", "float16"
    draws, vectors = False, "own"

    def encode(self, weight: Tensor) -> tuple[Parts, float | None]:
        flat = weight.detach().reshape(-1)
        if not (largest := flat.abs().max().item()) <= LARGEST_HALF:  # of NaN too
            require_finite(flat)
            raise SeedError(f"weights up to {largest:.9g} leave the range of float16, +-{LARGEST_HALF:g}")
        if flat.dtype == torch.float64:  # torch rounds twice, to float32 first; numpy once
            return {"halves": torch.from_numpy(flat.numpy().astype(np.float16))}, None
        return {"halves": flat.to(torch.float16, copy=True)}, None

    @staticmethod
    def decode(parts: Parts, shape: tuple[int, ...], draw: Draw) -> Tensor:
        require(parts, {"halves": (torch.float16, (math.prod(shape),))})
        return parts["halves"].float().reshape(shape)


class Int8Codec(Codec):
    """Keeps every value of a matrix in 8 bits, and a scale for each row; 1-D tensors exactly."""

    name, forms = "int8", "int8"
    draws, vectors = False, "exact"
    largest = 127  # -128 stays unused: minus a level is a level

    def encode(self, weight: Tensor) -> tuple[Parts, float | None]:
        levels, scales = row_levels(weight, self.largest)
        return {"levels": levels, "scales": scales}, None

    @staticmethod
    def decode(parts: Parts, shape: tuple[int, ...], draw: Draw) -> Tensor:
        units, features = sides(shape)
        require(parts, {"levels": (torch.int8, (units, features)), "scales": (torch.float32, (units,))})
        return from_levels(parts["levels"], parts["scales"], shape)


class Int4Codec(Codec):
    """Keeps every value of a matrix in 4 bits, two to a byte, and a scale for each row; 1-D tensors exactly.

    Levels are -7 to 7. A sixteenth one, -8, would make steps 7 % smaller, but then the largest value of a row would lie
    between two levels, minus a row would not decode to minus its values, and a seed of an assembled model would be another.
    """

    name, forms = "int4", "int4"
    draws, vectors = False, "exact"
    largest = 7

    def encode(self, weight: Tensor) -> tuple[Parts, float | None]:
        levels, scales = row_levels(weight, self.largest)
        return {"levels": packed(levels), "scales": scales}, None

    @staticmethod
    def decode(parts: Parts, shape: tuple[int, ...], draw: Draw) -> Tensor:
        units, features = sides(shape)
        count = units * features
        require(parts, {"levels": (torch.uint8, (-(-count // 2),)), "scales": (torch.float32, (units,))})
        return from_levels(unpacked(parts["levels"], count), parts["scales"], shape)


def row_levels(weight: Tensor, largest: int) -> tuple[Tensor, Tensor]:
    """Whole numbers and a step for each row, whose products are nearest to the values.

    A value is off by at most half the step of its row (by 2**-46 of a step more for float64 values). The step is the
    largest magnitude of the row over `largest`, rounded up: by at most 2**-16 of it, or to a power of two where it is
    under 2**-133. A row of zeros has a step of zero.

    Args:
        weight: a matrix, or a kernel as (units, all the rest); finite, any float dtype, within the range of float32.
        largest: level of the largest magnitude, odd, at most 127.

    Returns:
        levels (units, features) int8, ties to even, and scales (units,) float32.

    Raises:
        SeedError: NaN or infinite values, or values beyond the range of float32.
    """
    rows = as_rows(weight)
    levels, scales = torch.empty(rows.shape, dtype=torch.int8), torch.empty(len(rows))
    together = max(1, CHUNK // rows.shape[1])
    for start in range(0, len(rows), together):
        here = slice(start, start + together)
        values = rows[here].double()  # quotients of float32 would be rounded onto ties
        magnitudes = values.abs().amax(1)  # NaN, if one of the values is
        if not torch.isfinite(magnitudes).all():
            require_finite(weight)
        float32(magnitudes, "weights")
        steps = rounded_up(magnitudes / largest)
        scales[here] = steps.float()
        levels[here] = (values / torch.where(steps > 0, steps, 1.0)[:, None]).round_().to(torch.int8)
    return levels, scales


def rounded_up(steps: Tensor) -> Tensor:
    """The next value of `SCALE_BITS` bits that float32 can hold, or of one bit where float32 has not so many."""
    _, exponents = np.frexp(steps.numpy())
    coarse = np.maximum(exponents - 1, SMALLEST_EXPONENT)
    fine = exponents - SCALE_BITS
    grid = np.ldexp(1.0, np.where(fine >= SMALLEST_EXPONENT, fine, coarse))
    return torch.from_numpy(np.ceil(steps.numpy() / grid) * grid)


def from_levels(levels: Tensor, scales: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Levels times the scale of their row, in float32."""
    return levels.reshape(shape[0], -1).float().mul_(scales[:, None]).reshape(shape)


def packed(levels: Tensor) -> Tensor:
    """Levels of -8 to 7, two to a byte, the first one in the lower half: (values / 2, rounded up) uint8."""
    halves = levels.reshape(-1).view(torch.uint8) & 15
    even, odd = halves[::2].clone(), halves[1::2]
    even[: len(odd)] |= odd << 4
    return even


def unpacked(pairs: Tensor, count: int) -> Tensor:
    """The levels that `packed` made bytes of: (count,) int8."""
    halves = torch.stack((pairs & 15, pairs >> 4), 1).reshape(-1)[:count]
    return (halves ^ 8).view(torch.int8) - 8  # the sign lies in the highest of four bits
