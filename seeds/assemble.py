"""Assembly: from a seed back to weights.

    subject -> extract -> Seed -> store -> [assemble] -> evaluate -> verdict

The same seed and rng_seed give the same bits in any process, under any thread count and CPU level. This module knows
nothing of tasks.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from seeds import layout
from seeds.codecs import decode
from seeds.draw import Draw
from seeds.errors import SeedError
from seeds.seed import Entry, Seed
from seeds.store import write_pieces


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


def assemble_to(seed: Seed, path: str | Path, rng_seed: int = 0) -> int:
    """Writes the weights rebuilt from a seed as a `.safetensors` file, whole or not at all.

    Each tensor is written before the next is made, so that one of them has to fit into memory, not the model. Tied
    tensors are written once; the metadata gives their other names, and `format` "pt", which `transformers` asks for.

    Args:
        seed: from `extract` or `seeds.store.load`.
        path: the file, which is replaced if there is one.
        rng_seed: number of the run, 0 to 2**63 - 1; codecs that draw nothing ignore it.

    Returns:
        The size of the file in bytes.

    Raises:
        SeedError: `rng_seed` is out of range, or parts do not make a tensor of their shape.
        StoreError: the folder is missing, cannot be written or is full, or the file format lacks a tensor's dtype.
    """
    Draw(rng_seed, "")  # refuses a bad rng_seed before a file is made
    forms = {entry.name: (getattr(torch, entry.dtype), entry.shape) for entry in seed.entries}
    header, order = layout.header(forms, {"format": "pt"} | dict(seed.ties))
    entries = {entry.name: entry for entry in seed.entries}
    return write_pieces(Path(path), _pieces(header, [entries[name] for name in order], seed.shared, rng_seed))


def _pieces(header: bytes, entries: list[Entry], shared: Mapping[str, Tensor], rng_seed: int) -> Iterator[bytes | memoryview]:
    yield header
    for entry in entries:
        yield _content(entry, decode(entry, shared, Draw(rng_seed, entry.name)))


def _content(entry: Entry, weight: Tensor) -> memoryview:
    if tuple(weight.shape) != entry.shape:
        raise SeedError(f"tensor {entry.name!r}: {entry.method} made {tuple(weight.shape)}, not {entry.shape}")
    return layout.content(weight)


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
