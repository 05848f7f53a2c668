"""Codecs: the rules that turn one tensor into parts of a seed and those parts back into a tensor.

    subject -> [extract] -> Seed -> store -> [assemble] -> evaluate -> verdict

A spec names the rule for a model: `NAME[:ARGUMENT][+noise][+vectors]`.

    exact             every value
    moments           mean and std of each tensor; assembly draws normal values
    moments:global    one mean and std for the whole model
    pca:K             row mean, K components and scores of each matrix (kernels as out x the rest), decoded
    pca:K+noise       the same, plus normal values with the spread of the residual
    permuted          every value of a tensor, but in random order: its scale and histogram without its places
    ...+vectors       1-D tensors (biases, norm gains) are kept exactly; without it they are drawn from their
                      moments, as in the report

Integer and bool tensors are always kept exactly. A new codec is a subclass of `Codec` with `encode` and `decode`,
made known by `register`; a model-wide one also overrides `share`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from seeds.draw import Draw
from seeds.errors import SeedError
from seeds.moments import Moments, pooled, require_finite, tensor_moments
from seeds.pca import column_pca
from seeds.seed import Entry, Parts


class Codec(ABC):
    """Rule for one tensor. `argument` is the text behind the colon of the spec, `noise` its `+noise`."""

    name: ClassVar[str]
    forms: ClassVar[str]  # how its spec is written, for messages
    draws = True  # whether decode depends on the rng_seed

    def __init__(self, argument: str | None, noise: bool) -> None:
        if argument is not None or noise:
            raise ValueError

    @abstractmethod
    def encode(self, weight: Tensor) -> tuple[Parts, float | None]:
        """What is kept of a finite float tensor, and the share of its energy that this captures (or None)."""

    @staticmethod
    @abstractmethod
    def decode(parts: Parts, shape: tuple[int, ...], draw: Draw) -> Tensor:
        """A tensor of `shape` from `parts` alone; the caller casts it to the source's dtype."""

    def check(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Raises `SeedError` if this rule fits none of the matrices of a model."""

    def share(self, parts: Sequence[Parts]) -> Parts | None:
        """Parts that replace those of every tensor, or None to let each keep its own."""
        return None


REGISTRY: dict[str, type[Codec]] = {}
AnyCodec = TypeVar("AnyCodec", bound=type[Codec])


def register(codec: AnyCodec) -> AnyCodec:
    """Class decorator: makes a codec known by its `name`."""
    REGISTRY[codec.name] = codec
    return codec


@dataclass(frozen=True, slots=True)
class Spec:
    """A parsed codec spec: the rule for matrices, and whether vectors are kept exactly."""

    text: str
    matrices: Codec
    keeps_vectors: bool

    @property
    def draws(self) -> bool:
        """Whether assembly depends on the rng_seed (of a model that has vectors)."""
        return self.matrices.draws or not self.keeps_vectors

    def for_tensor(self, tensor: Tensor) -> Codec:
        """The codec that this spec uses for one tensor."""
        if not tensor.is_floating_point() or tensor.numel() == 0 or self.matrices.name == "exact":
            return EXACT
        if tensor.ndim >= 2:
            return self.matrices
        if self.keeps_vectors:
            return EXACT
        return self.matrices if self.matrices.name in ("moments", "permuted") else MOMENTS


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
        raise SeedError(f"codec {text!r} has an argument or option out of range; {allowed}") from None
    return Spec(text, matrices, "vectors" in options or name == "exact")


def decode(entry: Entry, shared: Parts, draw: Draw) -> Tensor:
    """The tensor that one entry of a seed stands for, in its own dtype and within that dtype's range.

    Raises:
        SeedError: the entry's parts do not make a tensor of its shape.
    """
    parts = entry.parts or shared
    try:
        value = REGISTRY[entry.method].decode(parts, entry.shape, draw)
    except (KeyError, RuntimeError, ValueError) as error:
        sizes = {name: tuple(part.shape) for name, part in parts.items()} or "none"
        raise SeedError(f"tensor {entry.name!r}: parts {sizes} do not make {entry.method} {entry.shape}: {error}") from None
    dtype = getattr(torch, entry.dtype)
    if dtype.is_floating_point:
        largest = min(torch.finfo(dtype).max, torch.finfo(value.dtype).max)
        value = value.clamp(-largest, largest).to(dtype)
    return value


@register
class Exact(Codec):
    """Keeps every value."""

    name, forms = "exact", "exact"
    draws = False

    def encode(self, weight: Tensor) -> tuple[Parts, float | None]:
        require_finite(weight)
        return {"values": weight.detach().reshape(-1).clone()}, None

    @staticmethod
    def decode(parts: Parts, shape: tuple[int, ...], draw: Draw) -> Tensor:
        return parts["values"].reshape(shape).clone()


@register
class MomentsCodec(Codec):
    """Keeps mean and standard deviation, of each tensor or (`moments:global`) of the whole model."""

    name, forms = "moments", "moments, moments:global"

    def __init__(self, argument: str | None = None, noise: bool = False) -> None:
        if argument not in (None, "global") or noise:
            raise ValueError
        self.is_global = argument == "global"

    def encode(self, weight: Tensor) -> tuple[Parts, float | None]:
        found = tensor_moments(weight)
        return moments_parts(found) | ({"count": torch.tensor(found.count)} if self.is_global else {}), None

    @staticmethod
    def decode(parts: Parts, shape: tuple[int, ...], draw: Draw) -> Tensor:
        mean, std = parts["mean"].item(), parts["std"].item()
        if std < 0:
            raise ValueError(f"std {std:g} is negative")
        return torch.from_numpy(draw.normal(shape, mean, std))

    def share(self, parts: Sequence[Parts]) -> Parts | None:
        if not self.is_global:
            return None
        return moments_parts(pooled(Moments(p["mean"].item(), p["std"].item(), int(p["count"])) for p in parts))


@register
class PcaCodec(Codec):
    """Keeps row mean, the leading components and their scores; with noise, also the spread of the rest."""

    name, forms = "pca", "pca:K or pca:K+noise with K >= 1"

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
        rows = weight.detach().reshape(len(weight), -1)
        pca = column_pca(rows, min(self.rank, *rows.shape))
        parts = {"mean": pca.mean, "components": pca.components, "scores": pca.scores}
        if self.draws:
            parts["residual_std"] = torch.tensor(pca.residual_std, dtype=torch.float32)
        return parts, pca.captured_energy

    @staticmethod
    def decode(parts: Parts, shape: tuple[int, ...], draw: Draw) -> Tensor:
        # exact in float64 whatever the order of summation: see seeds.pca
        value = (parts["scores"].double() @ parts["components"].double()).add_(parts["mean"].double()).float()
        if "residual_std" in parts:
            value += torch.from_numpy(draw.normal(tuple(value.shape), 0.0, parts["residual_std"].item()))
        return value.reshape(shape)


@register
class PermutedCodec(Codec):
    """Keeps every value but not its place: a control with the scale of the weights and none of their features."""

    name, forms = "permuted", "permuted"

    def encode(self, weight: Tensor) -> tuple[Parts, float | None]:
        require_finite(weight)
        return {"sorted": weight.detach().reshape(-1).sort().values}, None

    @staticmethod
    def decode(parts: Parts, shape: tuple[int, ...], draw: Draw) -> Tensor:
        values = parts["sorted"]
        return values[torch.from_numpy(draw.permutation(values.numel()))].reshape(shape)


def moments_parts(moments: Moments) -> dict[str, Tensor]:
    """Mean and std as the 0-d float32 tensors that a seed holds."""
    return {"mean": torch.tensor(moments.mean, dtype=torch.float32), "std": torch.tensor(moments.std, dtype=torch.float32)}


EXACT, MOMENTS = Exact(None, False), MomentsCodec()
