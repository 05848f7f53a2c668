"""The spec: a codec by name and options, `NAME[:ARGUMENT][+noise][+vectors]`, and which rule it means for a tensor.

subject -> [extract] -> Seed -> store -> [assemble] -> evaluate -> verdict
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from seeds.codecs.codec import REGISTRY, Codec
from seeds.codecs.moments import MOMENTS
from seeds.codecs.values import EXACT
from seeds.draw import Draw
from seeds.errors import SeedError
from seeds.moments import require_finite
from seeds.seed import Entry, Parts


@dataclass(frozen=True, slots=True)
class Spec:
    """A parsed codec spec: the rule for matrices, and whether vectors are kept exactly."""

    text: str
    matrices: Codec
    keeps_vectors: bool

    @property
    def draws(self) -> bool:
        """Whether assembly depends on the rng_seed (of a model that has vectors)."""
        return self.matrices.draws or (self.matrices.vectors == "moments" and not self.keeps_vectors)

    def for_tensor(self, tensor: Tensor) -> Codec:
        """The codec that this spec uses for one tensor."""
        if not tensor.is_floating_point() or tensor.numel() == 0:
            return EXACT
        if tensor.ndim >= 2:
            return self.matrices
        if self.keeps_vectors:
            return EXACT
        return self.matrices if self.matrices.vectors == "own" else MOMENTS


def parse(text: str) -> Spec:
    """The codec that a spec names.

    Raises:
        SeedError: the name or an option is unknown, or the argument is out of range.
    """
    head, *options = text.split("+")
    name, _, argument = head.partition(":")
    allowed = f"allowed: {', '.join(c.forms for c in REGISTRY.values())}; each may end in +vectors"
    if name not in REGISTRY or len(set(options)) != len(options) or not set(options) <= {"noise", "vectors"}:
        raise SeedError(f"unknown codec {text!r}; {allowed}")
    try:
        matrices = REGISTRY[name](argument if ":" in head else None, "noise" in options)
    except ValueError:
        form = REGISTRY[name].forms
        raise SeedError(
            f"codec {text!r} needs the form {form}: its argument or option is missing or out of range; {allowed}"
        ) from None
    return Spec(text, matrices, "vectors" in options or matrices.vectors == "exact")


def decode(entry: Entry, shared: Parts, draw: Draw) -> Tensor:
    """The tensor that one entry of a seed stands for, in its own dtype and within that dtype's range.

    Raises:
        SeedError: the entry's parts do not make a tensor of its shape, or its codec needs a package that is missing.
    """
    parts = entry.parts or shared
    try:
        value = _cast(REGISTRY[entry.method].decode(parts, entry.shape, draw), getattr(torch, entry.dtype), parts)
    except SeedError as error:
        raise SeedError(f"tensor {entry.name!r}: {error}") from None
    except (LookupError, RuntimeError, ValueError) as error:
        sizes = {name: tuple(part.shape) for name, part in parts.items()} or "none"
        raise SeedError(f"tensor {entry.name!r}: parts {sizes} do not make {entry.method} {entry.shape}: {error}") from None
    if tuple(value.shape) != entry.shape:
        raise SeedError(f"tensor {entry.name!r}: {entry.method} made {tuple(value.shape)}, not {entry.shape}")
    return value


def _cast(value: Tensor, dtype: torch.dtype, parts: Parts) -> Tensor:
    """Floats to the nearest of `dtype` and within its range; other values are what they are."""
    if not dtype.is_floating_point or not value.is_floating_point():
        if value.dtype != dtype:
            raise ValueError(f"they are {value.dtype}, not {dtype}")
        return value
    largest = min(torch.finfo(dtype).max, torch.finfo(value.dtype).max)
    ends = [end.item() for end in torch.aminmax(value)] if value.numel() else [0.0]
    if not all(map(math.isfinite, ends)):
        for part in parts.values():
            require_finite(part)
        if any(map(math.isnan, ends)):
            raise ValueError("their values overflow to NaN")
    if not max(map(abs, ends)) <= largest:  # a clamp copies all
        value = value.clamp(-largest, largest)
    return value.to(dtype)
