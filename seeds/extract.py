"""Extraction: from a model's weights to its seed, one tensor at a time.

    subject -> [extract] -> Seed -> store -> assemble -> evaluate -> verdict

The source may be a module, a state dict, or a `.safetensors` file or sharded index on disk; from disk only the tensor
at hand is in memory. This module knows nothing of tasks.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from seeds.codecs import parse
from seeds.errors import SeedError
from seeds.seed import Entry, Parts, Seed

Weights = nn.Module | Mapping[str, Tensor] | str | Path


@dataclass(frozen=True, slots=True)
class _Stored:
    """A tensor that can be read when its turn comes."""

    name: str
    shape: tuple[int, ...]
    read: Callable[[], Tensor]


def extract(source: Weights, codec: str) -> Seed:
    """The seed of a model.

    Args:
        source: a module, a state dict, or the path of a `.safetensors` file, of a `*.safetensors.index.json`, or
            of a folder that holds one of them as `model.safetensors[.index.json]`.
        codec: a spec, see `seeds.codecs`.

    Returns:
        A seed with one entry per distinct tensor, sorted by name. Tensors of a module or state dict that share
        memory are stored once and tied.

    Raises:
        SeedError: unknown codec, rank out of range, no tensors, NaN or infinite weights, or an unreadable source.
    """
    spec = parse(codec)
    with _open(source) as (stored, ties):
        if not stored:
            raise SeedError(f"no tensors in {_describe(source)}; a seed needs at least one")
        spec.matrices.check([tensor.shape for tensor in stored])
        entries = [_entry(tensor, spec.for_tensor) for tensor in sorted(stored, key=lambda t: t.name)]
    shared: Parts = {}
    own = [entry.parts for entry in entries if entry.method == spec.matrices.name]
    if own and (common := spec.matrices.share(own)) is not None:
        shared = common
        entries = [_without_parts(e) if e.method == spec.matrices.name else e for e in entries]
    return Seed(codec, tuple(entries), ties, shared)


def _entry(stored: _Stored, codec_for) -> Entry:
    tensor = stored.read()
    codec = codec_for(tensor)
    try:
        parts, captured = codec.encode(tensor)
    except SeedError as error:
        raise SeedError(f"tensor {stored.name!r}: {error}") from None
    return Entry(stored.name, stored.shape, str(tensor.dtype).removeprefix("torch."), codec.name, parts, captured)


def _without_parts(entry: Entry) -> Entry:
    return Entry(entry.name, entry.shape, entry.dtype, entry.method, {}, entry.captured_energy)


@contextmanager
def _open(source: Weights) -> Iterator[tuple[list[_Stored], dict[str, str]]]:
    if isinstance(source, nn.Module):
        yield _distinct(source.state_dict())
    elif isinstance(source, Mapping):
        yield _distinct(source)
    elif isinstance(source, str | Path):
        with ExitStack() as files:
            yield [tensor for file, names in _shards(Path(source)) for tensor in _lazily(file, names, files)], {}
    else:
        raise SeedError(f"cannot extract from {type(source).__name__}; allowed: a module, a state dict, a path")


def _distinct(state: Mapping[str, Tensor]) -> tuple[list[_Stored], dict[str, str]]:
    """The tensors of a state dict, and which names share the memory of an earlier one."""
    first: dict[tuple, str] = {}
    stored, ties = [], {}
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
            stored.append(_Stored(name, tuple(tensor.shape), lambda t=tensor: t.detach().cpu()))
    return stored, ties


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
        if not isinstance(name, str) or Path(name).name != name or not (path.parent / name).is_file():
            raise SeedError(f"{path} names the shard {name!r}; allowed: a file beside the index")
        shards.setdefault(name, []).append(tensor)
    return [(path.parent / name, tensors) for name, tensors in sorted(shards.items())]


def _lazily(path: Path, names: list[str] | None, files: ExitStack) -> list[_Stored]:
    from safetensors import SafetensorError, safe_open

    try:
        handle = files.enter_context(safe_open(path, framework="pt"))
    except (SafetensorError, OSError) as error:
        raise SeedError(f"{path} is no readable .safetensors file: {error}") from None
    held = list(handle.keys())
    if absent := sorted(set(names or ()) - set(held)):
        raise SeedError(f"{path} lacks tensors that its index places there: {', '.join(map(repr, absent[:4]))} ({len(absent)})")
    return [
        _Stored(name, tuple(handle.get_slice(name).get_shape()), lambda name=name: handle.get_tensor(name))
        for name in (held if names is None else names)
    ]


def _describe(source: Weights) -> str:
    return str(source) if isinstance(source, str | Path) else f"this {type(source).__name__}"
