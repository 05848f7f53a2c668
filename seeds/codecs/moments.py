"""Moments as a codec: two numbers for a tensor, or for the whole model, and normal values in their stead.

    subject -> [extract] -> Seed -> store -> [assemble] -> evaluate -> verdict

How moments are computed is the matter of `seeds.moments`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from seeds.codecs.codec import Codec, require
from seeds.draw import Draw
from seeds.moments import Moments, pooled, tensor_moments
from seeds.seed import Parts


class MomentsCodec(Codec):
    """Keeps mean and standard deviation, of each tensor or (`moments:global`) of the whole model."""

    name, forms = "moments", "moments, moments:global"
    vectors = "own"

    def __init__(self, argument: str | None = None, noise: bool = False) -> None:
        if argument not in (None, "global") or noise:
            raise ValueError
        self.is_global = argument == "global"

    def encode(self, weight: Tensor) -> tuple[Parts, float | None]:
        found = tensor_moments(weight)
        return moments_parts(found) | ({"count": torch.tensor(found.count)} if self.is_global else {}), None

    @staticmethod
    def decode(parts: Parts, shape: tuple[int, ...], draw: Draw) -> Tensor:
        require(parts, {"mean": (torch.float32, ()), "std": (torch.float32, ())})
        mean, std = parts["mean"].item(), parts["std"].item()
        if std < 0:
            raise ValueError(f"std {std:g} is negative")
        return torch.from_numpy(draw.normal(shape, mean, std))

    def share(self, parts: Sequence[Parts]) -> Parts | None:
        if not self.is_global:
            return None
        return moments_parts(pooled(Moments(p["mean"].item(), p["std"].item(), int(p["count"])) for p in parts))


def moments_parts(moments: Moments) -> dict[str, Tensor]:
    """Mean and std as the 0-d float32 tensors that a seed holds."""
    return {"mean": torch.tensor(moments.mean, dtype=torch.float32), "std": torch.tensor(moments.std, dtype=torch.float32)}


MOMENTS = MomentsCodec()
