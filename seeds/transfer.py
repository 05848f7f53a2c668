"""Transfer: a trained or assembled body under a new head.

    subject -> extract -> Seed -> store -> assemble -> [transfer] -> finetune -> verdict

The head is one linear layer with torch's default init on what the last layer reads, averaged over real tokens where there
are any. It depends on the run alone, so every arm of a run starts with the same head.
"""

import torch
from torch import Tensor, nn

from seeds.data import Examples
from seeds.evaluate import Forward, Head, pooled
from seeds.library.training import rng

HEADS = 2**31  # plus the run: no fresh body is initialised with these, and torch tells only the low 32 bits apart


class NewHead(nn.Module):
    """A body and the layer on top of it; the body's own head stays and gets no gradient."""

    def __init__(self, body: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(features, classes)


def with_new_head(body: nn.Module, forward: Forward, one: Examples, classes: int, run: int) -> NewHead:
    """The body under the new head of this run; `one` example tells the number of features."""
    with torch.inference_mode():
        features = pooled(forward(body, one.inputs, one.mask)[0], one.mask).shape[1]
    with rng(HEADS + run):
        return NewHead(body, features, classes)


def forward_of(forward: Forward) -> Forward:
    """The forward pass of a `NewHead`, from that of its body."""

    def whole(model: nn.Module, inputs: Tensor, mask: Tensor | None) -> tuple[Tensor, Head]:
        assert isinstance(model, NewHead)
        return pooled(forward(model.body, inputs, mask)[0], mask), model.head

    return whole
