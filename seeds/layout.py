"""The layout of a `.safetensors` file: its header, and its tensors as the bytes that follow, without a copy.

    subject -> extract -> Seed -> [store] -> [assemble] -> evaluate -> verdict

A file can so be hashed and written piece by piece, by whoever has one tensor at a time; the bytes are those of
`safetensors.torch.save`. This module knows nothing of seeds.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from seeds.errors import StoreError

Form = tuple[torch.dtype, tuple[int, ...]]  # dtype and shape of a tensor
ALIGNED = 8  # bytes; the header is padded so that the content starts at a multiple
METADATA = "__metadata__"  # where the header keeps its text
DTYPES = {
    "U64": torch.uint64, "I64": torch.int64, "F64": torch.float64, "C64": torch.complex64, "F32": torch.float32,
    "U32": torch.uint32, "I32": torch.int32, "BF16": torch.bfloat16, "F16": torch.float16, "U16": torch.uint16,
    "I16": torch.int16, "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool,
}  # fmt: skip  # by the format's names, in the order of its content: the largest first, so that all are aligned
RANKS = {dtype: (rank, name) for rank, (name, dtype) in enumerate(DTYPES.items())}


def header(forms: Mapping[str, Form], metadata: Mapping[str, str]) -> tuple[bytes, list[str]]:
    """The bytes in front of the content, and the order in which the tensors follow.

    Args:
        forms: what each tensor will be, by name.
        metadata: text by name; its order is kept.

    Raises:
        StoreError: a dtype that the format does not have.
    """
    if odd := sorted(name for name, (dtype, _) in forms.items() if dtype not in RANKS):
        allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in RANKS)
        raise StoreError(f"tensor {odd[0]!r} is {forms[odd[0]][0]}; a .safetensors file holds {allowed}")
    order = sorted(forms, key=lambda name: (RANKS[forms[name][0]][0], name))
    described: dict[str, Any] = {METADATA: dict(metadata)}
    start = 0
    for name in order:
        dtype, shape = forms[name]
        end = start + dtype.itemsize * math.prod(shape)
        described[name] = {"dtype": RANKS[dtype][1], "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(described, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % ALIGNED)
    return len(text).to_bytes(8, "little") + text, order


def content(tensor: Tensor) -> memoryview:
    """The bytes of a tensor, which share its memory if it is contiguous."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data


def tensors(raw: bytearray, described: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a file, which share its memory.

    Args:
        raw: the whole file.
        described: its header.

    Raises:
        KeyError, TypeError, ValueError, RuntimeError: the header does not describe the content.
    """
    found = {}
    content_start = 8 + int.from_bytes(raw[:8], "little")
    for name, row in described.items():
        if name == METADATA:
            continue
        dtype, shape, (start, end) = DTYPES[row["dtype"]], row["shape"], row["data_offsets"]
        count = math.prod(shape)
        if not 0 <= start <= end <= len(raw) - content_start or end - start != dtype.itemsize * count:
            raise ValueError(f"{name!r} is no {row['dtype']} {shape} from {start} to {end}")
        if count:
            found[name] = torch.frombuffer(raw, dtype=dtype, count=count, offset=content_start + start).view(shape)
        else:
            found[name] = torch.empty(shape, dtype=dtype)
    return found
