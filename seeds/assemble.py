"""Assembly: from a seed back to weights.

    subject -> extract -> Seed -> store -> [assemble] -> evaluate -> verdict

The same seed and rng_seed give the same bits in any process, under any thread count and CPU level. This module knows
nothing of tasks.
"""

import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from seeds import layout, memory
from seeds.codecs import REGISTRY, decode
from seeds.draw import Draw
from seeds.errors import SeedError, StoreError
from seeds.file import write_pieces
from seeds.seed import Entry, Seed

KIND = "format"  # of a .safetensors file's metadata, and what `transformers` wants to read there: "pt"


def assemble(seed: Seed, rng_seed: int = 0, into: nn.Module | None = None, limit_bytes: int | None = None) -> dict[str, Tensor]:
    """Weights rebuilt from a seed.

    Takes `Seed.declared_bytes` of memory, and for the tensor at work `Codec.working_bytes` for each of its values.

    Args:
        seed: from `extract` or `seeds.store.load`.
        rng_seed: number of the run, 0 to 2**63 - 1; codecs that draw nothing ignore it.
        into: a module that takes the weights. All names and shapes are checked before the first is written.
        limit_bytes: most that `Seed.declared_bytes` may be; by default, no limit but the machine's memory.

    Returns:
        The weights by name, tied names holding the same tensor: the module's own state dict if there is one.

    Raises:
        SeedError: the seed stands for more than is allowed or than there is memory for, parts do not make a tensor of their
            shape, the module's names or shapes are not those of the seed, or `rng_seed` is out of range.
    """
    if into is None:
        _require_room(seed, limit_bytes, seed.declared_bytes)
        weights = dict(_decoded(seed, rng_seed))
        return weights | {name: weights[target] for name, target in seed.ties.items()}
    state = into.state_dict()
    if meta := sorted(name for name, tensor in state.items() if tensor.is_meta):
        raise SeedError(f"the model is on the meta device and can hold no weights: {', '.join(meta[:4])} ({len(meta)})")
    _check(seed, state)
    _require_room(seed, limit_bytes, 0)
    Draw(rng_seed, "")  # refuses a bad rng_seed before the first write
    with torch.no_grad():
        for name, weight in _decoded(seed, rng_seed):
            state[name].copy_(weight)
        for name, target in seed.ties.items():
            state[name].copy_(state[target])
    return state


def assemble_to(seed: Seed, path: str | Path, rng_seed: int = 0, limit_bytes: int | None = None) -> int:
    """Writes the weights rebuilt from a seed as a `.safetensors` file, whole or not at all.

    Each tensor is written before the next is made, so that one of them has to fit into memory, not the model. Tied
    tensors are written once; the metadata gives their other names, and `format` "pt", which `transformers` asks for.
    No name in a seed is ever part of a path.

    Args:
        seed: from `extract` or `seeds.store.load`.
        path: the file, which is replaced if there is one.
        rng_seed: number of the run, 0 to 2**63 - 1; codecs that draw nothing ignore it.
        limit_bytes: most that `Seed.declared_bytes` may be; by default, no limit but the disk.

    Returns:
        The size of the file in bytes.

    Raises:
        SeedError: the seed stands for more than is allowed, a tensor of it for more than there is memory for, `rng_seed` is
            out of range, or parts do not make a tensor of their shape.
        StoreError: the folder is missing, cannot be written or has no room, or the file format lacks a tensor's dtype or
            keeps a name for itself.
    """
    _require_room(seed, limit_bytes, 0)
    Draw(rng_seed, "")  # refuses a bad rng_seed before a file is made
    forms = {entry.name: (getattr(torch, entry.dtype), entry.shape) for entry in seed.entries}
    if KIND in seed.ties:
        raise StoreError(f"no tie can be named {KIND!r} in a .safetensors file, which keeps that name for itself")
    header, order = layout.header(forms, {KIND: "pt"} | dict(seed.ties))
    entries = {entry.name: entry for entry in seed.entries}
    path = Path(path)
    if path.parent.is_dir() and len(header) + seed.declared_bytes > (free := shutil.disk_usage(path.parent).free):
        raise StoreError(f"{path} would have {len(header) + seed.declared_bytes:,} bytes; {free:,} are free there")
    return write_pieces(path, _pieces(header, [entries[name] for name in order], seed.shared, rng_seed))


def _require_room(seed: Seed, limit_bytes: int | None, kept_bytes: int) -> None:
    """Refuses a seed that stands for more than is wanted or than there is memory for, before any of it is taken.

    Args:
        kept_bytes: what will be in memory at the end, beside the tensor at work.
    """
    if limit_bytes is not None and seed.declared_bytes > limit_bytes:
        raise SeedError(f"the seed stands for {seed.declared_bytes:,} bytes of weights; allowed: {limit_bytes:,}")
    at_work = max((math.prod(e.shape) * REGISTRY[e.method].working_bytes for e in seed.entries), default=0)
    memory.require(kept_bytes + at_work, f"a seed that stands for {seed.declared_bytes:,} bytes of weights")


def _pieces(header: bytes, entries: list[Entry], shared: Mapping[str, Tensor], rng_seed: int) -> Iterator[bytes | memoryview]:
    yield header
    for entry in entries:
        yield layout.content(decode(entry, shared, Draw(rng_seed, entry.name)))


def _decoded(seed: Seed, rng_seed: int) -> Iterator[tuple[str, Tensor]]:
    for entry in seed.entries:
        yield entry.name, decode(entry, seed.shared, Draw(rng_seed, entry.name))


def _check(seed: Seed, state: dict[str, Tensor]) -> None:
    names = {entry.name for entry in seed.entries} | set(seed.ties)
    unknown = [_plain(name) for name in sorted(names - set(state))]
    addresses = {state[name].data_ptr() for name in names & set(state)}
    absent = sorted(n for n in set(state) - names if state[n].numel() and state[n].data_ptr() not in addresses)
    expected = {entry.name: entry.shape for entry in seed.entries}
    expected |= {name: expected[target] for name, target in seed.ties.items()}
    shapes = [
        f"{_plain(name)}: {shape} in the seed, {tuple(state[name].shape)} in the model"
        for name, shape in expected.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    if unknown or absent or shapes:
        found = {"not in the model": unknown, "not in the seed": absent, "other shapes": shapes}
        told = "; ".join(f"{what}: {', '.join(which[:4])} ({len(which)})" for what, which in found.items() if which)
        raise SeedError(f"the seed does not fit the model; {told}")


def _plain(name: str) -> str:
    """A name as it may be printed: a seed's could move the cursor of a terminal."""
    return name if name.isprintable() else repr(name)
