"""Models on disk with real shapes and none of the knowledge: GPT-2's 148 tensors, or layers up to any size, in shards.

    [weights] -> extract -> Seed

The weights of GPT-2 are half a gigabyte that this project does not ship. Speed and memory of extraction depend on shapes
and dtypes alone, so normal values with the published moments stand for them. Growth over model size needs one family
of shapes, of which a larger model has more. This module knows nothing of codecs.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from seeds.subject import subject

BLOCK = (1 << 22) + 1  # values drawn once and read round and round; odd, so that no two rows of a matrix are alike
FLOAT32_BYTES = 4
LAYER = {"weight": (512, 2048), "bias": (512,)}
LAYER_PARAMETERS = sum(math.prod(shape) for shape in LAYER.values())
LAYER_STD = 0.02
SHARD_PARAMETERS = 100_000_000
INDEX = "model.safetensors.index.json"

Shapes = Mapping[str, tuple[int, ...]]


def write_gpt2_shaped(path: Path) -> int:
    """Writes 124,439,808 float32 values tensor by tensor and returns the size of the file in bytes."""
    entries = subject("gpt2").published_seed().entries
    wheel = _Wheel()
    with path.open("wb") as file:
        file.write(_header({entry.name: entry.shape for entry in entries}))
        for entry in entries:
            std, mean = (np.float32(entry.parts[part].item()) for part in ("std", "mean"))
            for piece in wheel.next(math.prod(entry.shape)):
                file.write((piece * std + mean).data)
    return path.stat().st_size


def layered(parameters: int) -> dict[str, tuple[int, ...]]:
    """Shapes of so many equal layers that they have nearest to `parameters` values; at least one."""
    layers = max(1, round(parameters / LAYER_PARAMETERS))
    return {f"model.layers.{i}.{name}": shape for i in range(layers) for name, shape in LAYER.items()}


def write_sharded(folder: Path, shapes: Shapes, shard_parameters: int = SHARD_PARAMETERS) -> int:
    """Writes shards and their index as `save_pretrained` does, normal values of mean 0, and returns the bytes of all values."""
    shards = _shards(shapes, shard_parameters)
    names = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    wheel = _Wheel(LAYER_STD)
    for name, shard in zip(names, shards, strict=True):
        with (folder / name).open("wb") as file:
            file.write(_header(shard, {"format": "pt"}))
            for shape in shard.values():
                for piece in wheel.next(math.prod(shape)):
                    file.write(piece.data)
    size_bytes = FLOAT32_BYTES * sum(math.prod(shape) for shape in shapes.values())
    places = {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": size_bytes}, "weight_map": places}))
    return size_bytes


class _Wheel:
    """A block of normal values that goes round and round: each `next` begins where the last one ended."""

    def __init__(self, std: float = 1.0) -> None:
        self._block = np.float32(std) * np.random.Generator(np.random.Philox(key=124)).standard_normal(BLOCK, dtype=np.float32)
        self._position = 0

    def next(self, count: int) -> Iterator[np.ndarray]:
        while count:
            piece = self._block[self._position : self._position + count]
            yield piece
            count -= len(piece)
            self._position = (self._position + len(piece)) % BLOCK


def _shards(shapes: Shapes, shard_parameters: int) -> list[dict[str, tuple[int, ...]]]:
    """In their order, as many tensors in each shard as fit; one that is too large has a shard of its own."""
    shards: list[dict[str, tuple[int, ...]]] = []
    left = 0
    for name, shape in shapes.items():
        if not shards or math.prod(shape) > left:
            shards.append({})
            left = shard_parameters
        shards[-1][name] = shape
        left -= math.prod(shape)
    return shards


def _header(shapes: Shapes, about: Mapping[str, str] | None = None) -> bytes:
    """The head of a `.safetensors` file: its length as 8 bytes, then JSON padded so that the values start aligned."""
    described: dict[str, object] = {"__metadata__": about} if about else {}
    start = 0
    for name, shape in shapes.items():
        end = start + FLOAT32_BYTES * math.prod(shape)
        described[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(described).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
