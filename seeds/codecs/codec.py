"""The codec: what a rule for one tensor has to offer, and the names by which rules are known.

    subject -> [extract] -> Seed -> store -> [assemble] -> evaluate -> verdict

This module knows no rule of its own, and nothing of models or files.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, TypeVar

import torch
from torch import Tensor

from seeds.draw import Draw
from seeds.errors import SeedError
from seeds.seed import Parts


class Codec(ABC):
    """Rule for one tensor. `argument` is the text behind the colon of the spec, `noise` its `+noise`.

    A rule is made for matrices. Vectors and scalars follow it too ("own"), or are kept ("exact") or drawn ("moments").
    """

    name: ClassVar[str]
    forms: ClassVar[str]  # how its spec is written, for messages
    draws = True  # whether decode depends on the rng_seed
    working_bytes: ClassVar[int] = 16  # for each value, that decode holds at its peak, the tensor and its cast included
    vectors: ClassVar[Literal["own", "exact", "moments"]] = "moments"  # whose rule 1-D tensors follow without +vectors

    def __init__(self, argument: str | None, noise: bool) -> None:
        if argument is not None or noise:
            raise ValueError

    @abstractmethod
    def encode(self, weight: Tensor) -> tuple[Parts, float | None]:
        """What is kept of a finite float tensor, and the share of its energy that this captures (or None)."""

    @staticmethod
    @abstractmethod
    def decode(parts: Parts, shape: tuple[int, ...], draw: Draw) -> Tensor:
        """A tensor of `shape` from `parts` alone; the caller casts it to the source's dtype.

        Parts come from a file that anyone may have written: `require` refuses those of another form than `encode` gives
        to a tensor of `shape`, before any product or draw of them can take more memory than the tensor itself would.

        Raises:
            LookupError, RuntimeError, ValueError: `parts` do not make such a tensor; the caller names it.
        """

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


def as_rows(weight: Tensor) -> Tensor:
    """A matrix as it is, a kernel as (units, all the rest)."""
    return weight.detach().reshape(len(weight), -1).contiguous()  # products round differently for other strides


def sides(shape: tuple[int, ...]) -> tuple[int, int]:
    """Units and features of the matrix that `as_rows` makes of a tensor of this shape.

    Raises:
        ValueError: it makes none, of a scalar or of nothing.
    """
    if not math.prod(shape) or not shape:
        raise ValueError("it has no rows")
    return shape[0], math.prod(shape[1:])


def require(parts: Parts, forms: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]) -> None:
    """Refuses parts other than those named, or of another dtype or shape.

    Raises:
        ValueError: says what is allowed; the caller says what was found.
    """
    if {name: (part.dtype, tuple(part.shape)) for name, part in parts.items()} != forms:
        told = (f"{name} {shape} {str(dtype).removeprefix('torch.')}" for name, (dtype, shape) in forms.items())
        raise ValueError(f"allowed: {', '.join(told)}")


def float32(values: Tensor, what: str) -> Tensor:
    """The one cast from the float64 of the statistics to the float32 of the seed.

    Raises:
        SeedError: a value lies beyond the range of float32.
    """
    cast = values.float()
    if not torch.isfinite(cast).all():
        raise SeedError(f"{what} up to {values.abs().max():g} leave the range of float32, +-3.4e38")
    return cast
