"""Extraction: from a model's weights to its seed, one tensor at a time.

    subject -> [extract] -> Seed -> store -> assemble -> evaluate -> verdict

The source may be a module, a state dict, or a `.safetensors` file or sharded index on disk; from disk only the tensor
at hand is in memory, and only its file is open. This module knows nothing of tasks.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from seeds.codecs import Spec, parse
from seeds.errors import SeedError
from seeds.seed import Entry, Parts, Seed

SLAB_BYTES = 1 << 26  # beyond the 32 MiB from which on glibc never takes a request from the heap
SMALL_BYTES = 1 << 20  # arrays below this size are copied to slabs; to copy larger ones costs more time than it saves memory
ALIGNED_BYTES = 64  # where torch lets a tensor start

Weights = nn.Module | Mapping[str, Tensor] | str | Path


@dataclass(frozen=True, slots=True)
class _Place:
    """Tensors that are open together: a file, or a state dict. `opened` gives the function that reads one by name."""

    shapes: Mapping[str, tuple[int, ...]]
    opened: Callable[[], AbstractContextManager[Callable[[str], Tensor]]]


def extract(source: Weights, codec: str) -> Seed:
    """The seed of a model.

    Args:
        source: a module, a state dict, or the path of a `.safetensors` file, of a `*.safetensors.index.json`, or
            of a folder that holds one of them as `model.safetensors[.index.json]`.
        codec: a spec, see `seeds.codecs`.

    Returns:
        A seed with one entry per distinct tensor, sorted by name. Tensors of a module or state dict that share
        memory are stored once and tied.

        On one machine, under one number of threads, the same weights give the same file, from whichever source. On all
        machines they do with exact, float16, int8, int4, permuted, and with the moments of tensors of up to 65,536 values
        (float64 sums; one in some millions of them may round to a neighbour in float32). Of larger ones, and wherever a
        decomposition is at work (pca, signs, spectrum, covariance), the last digits depend on the threads and on the BLAS;
        zstd's frames depend on the version of zstandard. What is assembled from a seed never depends on any of that.

    Raises:
        SeedError: unknown codec, rank out of range, no tensors, NaN or infinite weights, or an unreadable source.
    """
    spec = parse(codec)
    places, ties = _places(source)
    shapes = [shape for place in places for shape in place.shapes.values()]
    if not shapes:
        raise SeedError(f"no tensors in {_describe(source)}; a seed needs at least one")
    spec.matrices.check(shapes)
    entries = sorted(_entries(places, spec), key=lambda entry: entry.name)
    shared: Parts = {}
    own = [entry.parts for entry in entries if entry.method == spec.matrices.name]
    if own and (common := spec.matrices.share(own)) is not None:
        shared = common
        entries = [_with_parts(e, {}) if e.method == spec.matrices.name else e for e in entries]
    return Seed(codec, tuple(entries), ties, shared)


def _entries(places: list[_Place], spec: Spec) -> list[Entry]:
    shelf = _Shelf()
    for place in places:
        with place.opened() as read:
            for name in sorted(place.shapes):
                shelf.put(_entry(name, read(name), spec))
    return list(shelf.emptied())


def _entry(name: str, tensor: Tensor, spec: Spec) -> Entry:
    codec = spec.for_tensor(tensor)
    try:
        parts, captured = codec.encode(tensor)
    except SeedError as error:
        raise SeedError(f"tensor {name!r}: {error}") from None
    return Entry(name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), codec.name, parts, captured)


def _with_parts(entry: Entry, parts: Parts) -> Entry:
    return Entry(entry.name, entry.shape, entry.dtype, entry.method, parts, entry.captured_energy)


class _Shelf:
    """Where entries wait until the last tensor is read: numbers as Python's, small arrays in slabs, apart from the heap.

    In the heap they would lie among the large buffers that codecs use for a moment, and pin the holes that those leave.
    With glibc 2.36, components of 4 GB of weights took from 1.6 to 4 GB in this way, by chance, for a seed of 0.1 GB.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Entry, dict[str, _Number | _Array | Tensor]]] = deque()
        self._slab = torch.empty(0, dtype=torch.uint8)
        self._used = 0

    def put(self, entry: Entry) -> None:
        self._waiting.append((_with_parts(entry, {}), {name: self._laid(part) for name, part in entry.parts.items()}))

    def emptied(self) -> Iterator[Entry]:
        """The entries in the order in which they came. A slab is freed with the last array that lies on it."""
        self._slab = torch.empty(0, dtype=torch.uint8)
        while self._waiting:
            entry, laid = self._waiting.popleft()
            yield _with_parts(entry, {name: p if isinstance(p, Tensor) else p.taken() for name, p in laid.items()})

    def _laid(self, part: Tensor) -> "_Number | _Array | Tensor":
        if part.ndim == 0:
            return _Number(part.item(), part.dtype)
        if part.nbytes >= SMALL_BYTES:
            return part
        raw = part.contiguous().reshape(-1).view(torch.uint8)
        if self._used + len(raw) > len(self._slab):
            self._slab, self._used = torch.empty(SLAB_BYTES, dtype=torch.uint8), 0
        start, stop = self._used, self._used + len(raw)
        self._slab[start:stop] = raw
        self._used += -(-len(raw) // ALIGNED_BYTES) * ALIGNED_BYTES
        return _Array(self._slab, start, stop, part.dtype, tuple(part.shape))


@dataclass(frozen=True, slots=True)
class _Number:
    value: float
    dtype: torch.dtype

    def taken(self) -> Tensor:
        return torch.tensor(self.value, dtype=self.dtype)


@dataclass(frozen=True, slots=True, eq=False)
class _Array:
    slab: Tensor
    start: int
    stop: int
    dtype: torch.dtype
    shape: tuple[int, ...]

    def taken(self) -> Tensor:
        return self.slab[self.start : self.stop].view(self.dtype).reshape(self.shape).clone()


def _places(source: Weights) -> tuple[list[_Place], dict[str, str]]:
    """Where the tensors are, and which names of a state dict are another one's."""
    if isinstance(source, nn.Module):
        return _distinct(source.state_dict())
    if isinstance(source, Mapping):
        return _distinct(source)
    if isinstance(source, str | Path):
        return [_file(path, names) for path, names in _shards(Path(source))], {}
    raise SeedError(f"cannot extract from {type(source).__name__}; allowed: a module, a state dict, a path")


def _distinct(state: Mapping[str, Tensor]) -> tuple[list[_Place], dict[str, str]]:
    """The tensors of a state dict, and which names share the memory of an earlier one."""
    first: dict[tuple, str] = {}
    distinct: dict[str, Tensor] = {}
    ties: dict[str, str] = {}
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise SeedError(f"{name!r} is a {type(tensor).__name__}; a state dict for extraction holds tensors only")
        if tensor.is_meta:
            raise SeedError(f"tensor {name!r} is on the meta device: it has a shape but no weights")
        memory = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
        if tensor.numel() and memory in first:
            ties[name] = first[memory]
        else:
            first[memory] = name
            distinct[name] = tensor
    shapes = {name: tuple(tensor.shape) for name, tensor in distinct.items()}
    return [_Place(shapes, lambda: nullcontext(lambda name: distinct[name].detach().cpu()))], ties


def _shards(path: Path) -> list[tuple[Path, list[str] | None]]:
    """The `.safetensors` files that a path stands for, and the tensors that its index places in each (None: all)."""
    if path.is_dir():
        names = ("model.safetensors", "model.safetensors.index.json")
        path = next((path / name for name in names if (path / name).is_file()), path / names[0])
    if not path.is_file():
        raise SeedError(f"no such file: {path}; allowed: a .safetensors file, its index, or a folder with one of them")
    if path.suffix != ".json":
        return [(path, None)]
    try:
        places = list(json.loads(path.read_text())["weight_map"].items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise SeedError(f"{path} is no safetensors index: it needs a 'weight_map' from tensor to file name") from None
    shards: dict[str, list[str]] = {}
    for tensor, name in places:
        if not isinstance(name, str) or not (name in shards or (Path(name).name == name and (path.parent / name).is_file())):
            raise SeedError(f"{path} names the shard {name!r}; allowed: a file beside the index")
        shards.setdefault(name, []).append(tensor)
    return [(path.parent / name, tensors) for name, tensors in sorted(shards.items())]


def _file(path: Path, names: list[str] | None) -> _Place:
    """A `.safetensors` file by its header: it is opened again when its tensors are read."""
    with _opened(path) as handle:
        held = list(handle.keys())
        if absent := sorted(set(names or ()) - set(held)):
            lacking = f"{', '.join(map(repr, absent[:4]))} ({len(absent)})"
            raise SeedError(f"{path} lacks tensors that its index places there: {lacking}")
        shapes = {name: tuple(handle.get_slice(name).get_shape()) for name in (held if names is None else names)}
    return _Place(shapes, lambda: _reading(path))


@contextmanager
def _reading(path: Path) -> Iterator[Callable[[str], Tensor]]:
    with _opened(path) as handle:
        yield handle.get_tensor


@contextmanager
def _opened(path: Path) -> Iterator:
    from safetensors import SafetensorError, safe_open

    try:
        opened = safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise SeedError(f"{path} is no readable .safetensors file: {error}") from None
    with opened as handle:
        yield handle


def _describe(source: Weights) -> str:
    return str(source) if isinstance(source, str | Path) else f"this {type(source).__name__}"
