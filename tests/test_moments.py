"""Moments: where the values lie in memory does not matter.

weights -> [extract] -> Seed

What moments are is checked in test_roundtrip.py.
"""

import pytest
import torch

from seeds.moments import CHUNK, tensor_moments

CACHE_LINE = 16  # float32 values; vectorised sums that look at addresses start over at these
SETS = 10  # of values; a sum that depends on the address shows it in about half of them


@pytest.mark.roundtrip
@pytest.mark.parametrize("mean", [0.01, 100.0], ids=["one pass", "two passes"])
def test_moments_are_the_same_at_every_address(mean):
    """A mapped file starts at any multiple of a value: to the bit, over one whole chunk and a part."""
    generator, count = torch.Generator().manual_seed(0), CHUNK + 12_345
    memory = torch.empty(count + CACHE_LINE)
    for _ in range(SETS):
        values = torch.randn(count, generator=generator) * 0.02 + mean
        found = {tensor_moments(memory[at : at + count].copy_(values)) for at in range(CACHE_LINE)}
        assert found == {tensor_moments(values)}
