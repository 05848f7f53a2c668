"""What all recipes share: one optimizer loop, and random numbers that stay inside it."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from tqdm import tqdm


@contextmanager
def rng(rng_seed: int) -> Iterator[None]:
    """Torch's global generator, which default inits and dropout draw from, set to `rng_seed` and put back after."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(rng_seed)
        yield


def fit(model: nn.Module, loss: Callable[[], Tensor], steps: int, rate: float, name: str) -> None:
    """AdamW on `steps` losses: warm-up over a twentieth of them, cosine to zero, gradients clipped at 1."""
    warm = max(1, steps // 20)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.05, fused=True)
    shape = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: (s + 1) / warm if s < warm else 0.5 + 0.5 * math.cos(math.pi * (s - warm) / (steps - warm))
    )
    model.train()
    with tqdm(range(steps), desc=name, disable=None) as progress:
        for step in progress:
            optimizer.zero_grad()
            value = loss()
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            shape.step()
            if step % 50 == 0:
                progress.set_postfix(loss=f"{value.item():.3f}")
    model.eval()
