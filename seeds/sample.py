"""Sampling: text that a language model writes, token by token, reproducibly.

subject -> ... -> assemble -> [sample] -> evaluate -> verdict
"""

import numpy as np
import torch
from torch import nn

from seeds.data import Examples
from seeds.evaluate import Forward

SAMPLES, TOKENS = 24, 24
START = 1  # the start token of the documentation tokenizer


def sample(model: nn.Module | None, forward: Forward, vocabulary: int, rng_seed: int) -> Examples:
    """Ancestral samples at temperature 1 behind the start token; uniformly random tokens if there is no model.

    Returns:
        ids and an all-true mask of shape (24 samples, 24 tokens). Random numbers come from numpy, so the same
        model and `rng_seed` write the same text on any machine up to rounding of its logits.
    """
    draws = np.random.Generator(np.random.Philox(key=rng_seed)).random((TOKENS, SAMPLES))
    ids = torch.full((SAMPLES, 1), START)
    for step in range(1, TOKENS):
        if model is None:
            nexts = torch.from_numpy((draws[step] * vocabulary).astype(np.int64))
        else:
            with torch.inference_mode():
                states, head = forward(model, ids, None)
                logits = head(states[:, -1]).double()
            cumulative = torch.softmax(logits, 1).cumsum(1)
            below = torch.from_numpy(draws[step])[:, None] * cumulative[:, -1:]
            nexts = torch.searchsorted(cumulative, below, right=True)[:, 0].clamp_(max=vocabulary - 1)
        ids = torch.cat([ids, nexts[:, None]], 1)
    return Examples(ids, None, torch.ones_like(ids, dtype=torch.bool), f"samples/{rng_seed}")
