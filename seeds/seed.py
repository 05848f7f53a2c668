"""The seed: what is left of a model's weights, in memory.

subject -> extract -> [Seed] -> store -> assemble -> evaluate -> verdict
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

Parts = Mapping[str, Tensor]  # what a codec keeps of one tensor: 0-d tensors are written as numbers, others as arrays


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """What is kept of one tensor.

    Args:
        name: the tensor's name in the model's state dict.
        shape: its shape.
        dtype: its torch dtype by name, "float32" for example; assembly gives it back.
        method: registered name of the codec that can decode `parts`.
        parts: what that codec kept; empty where the whole model shares one set (`Seed.shared`).
        captured_energy: share of the squared distance to the row mean that was kept, in [0, 1]; None for
            methods that keep no components.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    method: str
    parts: Parts
    captured_energy: float | None = None

    @property
    def declared_bytes(self) -> int:
        """Size of the tensor that this stands for, which may be any number of times that of its parts."""
        return math.prod(self.shape) * getattr(torch, self.dtype).itemsize


@dataclass(frozen=True, slots=True, eq=False)
class Seed:
    """The compact summary of a model's weights.

    Args:
        codec: the spec that made it, "pca:8+vectors" for example.
        entries: one per stored tensor, sorted by name.
        ties: names of tensors that are another one, and that one's name.
        shared: parts that all entries without parts of their own use.
        source: where the figures come from, in words; empty if extracted from weights at hand.
    """

    codec: str
    entries: tuple[Entry, ...]
    ties: Mapping[str, str] = field(default_factory=dict)
    shared: Parts = field(default_factory=dict)
    source: str = ""

    @property
    def parameters(self) -> int:
        """Values in the tensors that the seed stands for, tied ones once."""
        return sum(math.prod(entry.shape) for entry in self.entries)

    @property
    def declared_bytes(self) -> int:
        """Size of those tensors: what `assemble` makes. It is the file that says so; look before you assemble a stranger's."""
        return sum(entry.declared_bytes for entry in self.entries)
