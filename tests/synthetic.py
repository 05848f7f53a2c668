"""A `.safetensors` file with the shapes and moments of GPT-2's 148 tensors: the real size, none of the knowledge.

    [weights] -> extract -> Seed

The weights of GPT-2 are half a gigabyte that this project does not ship. Speed and memory of extraction depend on shapes
and dtypes alone, so normal values with the published moments stand for them. This module knows nothing of codecs.
"""

import json
import math
from pathlib import Path

import numpy as np

from seeds.subject import subject

BLOCK = (1 << 22) + 1  # values drawn once and read round and round; odd, so that no two rows of a matrix are alike
FLOAT32_BYTES = 4


def write_gpt2_shaped(path: Path) -> int:
    """Writes 124,439,808 float32 values tensor by tensor and returns the size of the file in bytes."""
    entries = subject("gpt2").published_seed().entries
    block = np.random.Generator(np.random.Philox(key=124)).standard_normal(BLOCK, dtype=np.float32)
    position = 0
    with path.open("wb") as file:
        file.write(_header({entry.name: entry.shape for entry in entries}))
        for entry in entries:
            std, mean = (np.float32(entry.parts[part].item()) for part in ("std", "mean"))
            left = math.prod(entry.shape)
            while left:
                piece = block[position : position + left]
                file.write((piece * std + mean).data)
                left -= len(piece)
                position = (position + len(piece)) % BLOCK
    return path.stat().st_size


def _header(shapes: dict[str, tuple[int, ...]]) -> bytes:
    """The head of a `.safetensors` file: its length as 8 bytes, then JSON padded so that the values start aligned."""
    described, start = {}, 0
    for name, shape in shapes.items():
        end = start + FLOAT32_BYTES * math.prod(shape)
        described[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(described).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
