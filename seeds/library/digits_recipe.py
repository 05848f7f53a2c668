"""Recipe of what the digits subjects share: the loss, the augmentation and the features."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from seeds.data import Examples
from seeds.evaluate import Head
from seeds.library.training import fit, rng

BATCH = 64


def forward(model: nn.Module, pixels: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Head]:
    """What the last layer reads (examples, features), and that layer, which gives logits (examples, classes)."""
    *body, head = model.children()
    return nn.Sequential(*body)(pixels), head


def train(architecture: Callable[[], nn.Module], split: Examples, steps: int, rate: float, rng_seed: int) -> nn.Module:
    """Cross-entropy on the digits of a train split, moved by up to one pixel."""
    assert split.labels is not None
    labels = split.labels
    with rng(rng_seed):
        model = architecture()

        def loss() -> Tensor:
            rows = torch.randint(len(split), (BATCH,))
            states, head = forward(model, shifted(split.inputs[rows]))
            return functional.cross_entropy(head(states), labels[rows])

        fit(model, loss, steps, rate, "digits")
    return model


def shifted(pixels: Tensor) -> Tensor:
    """Images (examples, 64) of 8x8 pixels, each moved by -1, 0 or 1 pixel in both directions, zeros moved in."""
    padded = nn.functional.pad(pixels.view(-1, 8, 8), (1, 1, 1, 1))
    dy, dx = torch.randint(3, (2, len(pixels)))
    rows = (dy[:, None] + torch.arange(8))[:, :, None]
    columns = (dx[:, None] + torch.arange(8))[:, None, :]
    return padded[torch.arange(len(pixels))[:, None, None], rows, columns].flatten(1)
