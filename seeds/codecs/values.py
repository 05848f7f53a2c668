"""Codecs that keep something of every value: all of it, its size without its place, or its sign without its size.

    subject -> [extract] -> Seed -> store -> [assemble] -> evaluate -> verdict

None of them describes a tensor in few numbers: they are the upper end and the controls of the ladder.
"""

import math

import numpy as np
import torch
from torch import Tensor

from seeds.codecs.codec import Codec, as_rows, float32, require, sides
from seeds.draw import Draw
from seeds.moments import require_finite
from seeds.seed import Parts


class Exact(Codec):
    """Keeps every value."""

    name, forms = "exact", "exact"
    draws, vectors = False, "exact"

    def encode(self, weight: Tensor) -> tuple[Parts, float | None]:
        require_finite(weight)
        return {"values": weight.detach().reshape(-1).clone()}, None

    @staticmethod
    def decode(parts: Parts, shape: tuple[int, ...], draw: Draw) -> Tensor:
        values = parts["values"]
        require(parts, {"values": (values.dtype, (math.prod(shape),))})
        return values.reshape(shape).clone()


class PermutedCodec(Codec):
    """Keeps every value but not its place: a control with the scale of the weights and none of their features."""

    name, forms = "permuted", "permuted"
    vectors = "own"

    def encode(self, weight: Tensor) -> tuple[Parts, float | None]:
        require_finite(weight)
        return {"sorted": weight.detach().reshape(-1).sort().values}, None

    @staticmethod
    def decode(parts: Parts, shape: tuple[int, ...], draw: Draw) -> Tensor:
        values = parts["sorted"]
        require(parts, {"sorted": (values.dtype, (math.prod(shape),))})
        return values[torch.from_numpy(draw.permutation(values.numel()))].reshape(shape)


class SignsCodec(Codec):
    """Keeps the sign of every value, one bit each, and the norm of each row.

    Assembly gives all values of a row the same magnitude, so that the row has its norm again. Zero counts as plus.

    Source: signs without magnitudes as in Zhou et al. 2019, "Deconstructing Lottery Tickets"; a scale for each row as in
    Rastegari et al. 2016, "XNOR-Net", which takes the mean magnitude (least squares) where this keeps the norm.
    """

    name, forms = "signs", "signs"
    draws = False

    def encode(self, weight: Tensor) -> tuple[Parts, float | None]:
        require_finite(weight)
        rows = as_rows(weight)
        signs = torch.from_numpy(np.packbits((rows >= 0).reshape(-1).numpy()))  # (values / 8, rounded up)
        norms = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
        return {"signs": signs, "norms": float32(norms, "row norms")}, None

    @staticmethod
    def decode(parts: Parts, shape: tuple[int, ...], draw: Draw) -> Tensor:
        units, features = sides(shape)
        count = units * features
        require(parts, {"signs": (torch.uint8, (-(-count // 8),)), "norms": (torch.float32, (units,))})
        plus = torch.from_numpy(np.unpackbits(parts["signs"].numpy(), count=count)).reshape(units, features)
        magnitudes = parts["norms"].double() / math.sqrt(features)  # (units,)
        return torch.where(plus.bool(), magnitudes[:, None], -magnitudes[:, None]).float().reshape(shape)


EXACT = Exact(None, False)
