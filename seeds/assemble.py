"""Assembly: from a seed back to weights.

    subject -> extract -> Seed -> store -> [assemble] -> evaluate -> verdict

The same seed and rng_seed give the same bits in any process, under any thread count and CPU level. This module knows
nothing of tasks.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from seeds.codecs import decode
from seeds.draw import Draw
from seeds.errors import SeedError
from seeds.seed import Seed


def assemble(seed: Seed, rng_seed: int = 0, into: nn.Module | None = None) -> dict[str, Tensor]:
    """Weights rebuilt from a seed.

    Args:
        seed: from `extract` or `seeds.store.load`.
        rng_seed: number of the run, 0 to 2**63 - 1; codecs that draw nothing ignore it.
        into: a module that takes the weights. All names and shapes are checked before the first is written.

    Returns:
        The weights by name, tied names holding the same tensor: the module's own state dict if there is one.

    Raises:
        SeedError: the module's names or shapes are not those of the seed, or `rng_seed` is out of range.
    """
    if into is None:
        weights = dict(_decoded(seed, rng_seed))
        return weights | {name: weights[target] for name, target in seed.ties.items()}
    state = into.state_dict()
    if meta := sorted(name for name, tensor in state.items() if tensor.is_meta):
        raise SeedError(f"the model is on the meta device and can hold no weights: {', '.join(meta[:4])} ({len(meta)})")
    _check(seed, state)
    Draw(rng_seed, "")  # refuses a bad rng_seed before the first write
    with torch.no_grad():
        for name, weight in _decoded(seed, rng_seed):
            state[name].copy_(weight)
        for name, target in seed.ties.items():
            state[name].copy_(state[target])
    return state


def _decoded(seed: Seed, rng_seed: int) -> Iterator[tuple[str, Tensor]]:
    for entry in seed.entries:
        yield entry.name, decode(entry, seed.shared, Draw(rng_seed, entry.name))


def _check(seed: Seed, state: dict[str, Tensor]) -> None:
    names = {entry.name for entry in seed.entries} | set(seed.ties)
    unknown = sorted(names - set(state))
    memory = {state[name].data_ptr() for name in names & set(state)}
    absent = sorted(n for n in set(state) - names if state[n].numel() and state[n].data_ptr() not in memory)
    expected = {entry.name: entry.shape for entry in seed.entries}
    expected |= {name: expected[target] for name, target in seed.ties.items()}
    shapes = [
        f"{name}: {shape} in the seed, {tuple(state[name].shape)} in the model"
        for name, shape in expected.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    if unknown or absent or shapes:
        found = {"not in the model": unknown, "not in the seed": absent, "other shapes": shapes}
        told = "; ".join(f"{what}: {', '.join(which[:4])} ({len(which)})" for what, which in found.items() if which)
        raise SeedError(f"the seed does not fit the model; {told}")
