"""The layout of a `.safetensors` file: its header, and its tensors as the bytes that follow, without a copy.

    subject -> extract -> Seed -> [store] -> [assemble] -> evaluate -> verdict

A file can so be hashed and written piece by piece, by whoever has one tensor at a time; the bytes are those of
`safetensors.torch.save`. This module knows nothing of seeds.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seeds.errors import StoreError

Form = tuple[torch.dtype, tuple[int, ...]]  # dtype and shape of a tensor
ALIGNED = 8  # bytes; the header is padded so that the content starts at a multiple
METADATA = "__metadata__"  # where the header keeps its text
LARGEST_HEADER = 100_000_000  # bytes, also of the package safetensors
KEYS = ["dtype", "shape", "data_offsets"]  # of a tensor in the header, in this order
JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False)
DTYPES = {
    "U64": torch.uint64, "I64": torch.int64, "F64": torch.float64, "C64": torch.complex64, "F32": torch.float32,
    "U32": torch.uint32, "I32": torch.int32, "BF16": torch.bfloat16, "F16": torch.float16, "U16": torch.uint16,
    "I16": torch.int16, "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool,
}  # fmt: skip  # by the format's names, in the order of its content: the largest first, so that all are aligned
BYTES = {torch.bfloat16: np.uint16, torch.float8_e4m3fn: np.uint8, torch.float8_e5m2: np.uint8}  # numpy lacks these
NUMPY = {dtype: BYTES.get(dtype) or np.dtype(str(dtype).removeprefix("torch.")) for dtype in DTYPES.values()}
CODES = {dtype: code for code, dtype in DTYPES.items()}
RANKS = {dtype: rank for rank, dtype in enumerate(CODES)}


def header(forms: Mapping[str, Form], metadata: Mapping[str, str]) -> tuple[bytes, list[str]]:
    """The bytes in front of the content, and the order in which the tensors follow.

    Args:
        forms: what each tensor will be, by name.
        metadata: text by name; its order is kept.

    Raises:
        StoreError: a dtype that the format does not have, a tensor that is named as the metadata, or a header too large.
    """
    if METADATA in forms:
        raise StoreError(f"no tensor of a .safetensors file can be named {METADATA!r}")
    if not RANKS.keys() >= {dtype for dtype, _ in forms.values()}:
        odd = sorted(name for name, (dtype, _) in forms.items() if dtype not in RANKS)
        allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in RANKS)
        raise StoreError(f"tensor {odd[0]!r} is {forms[odd[0]][0]}; a .safetensors file holds {allowed}")
    order = sorted(forms, key=lambda name: (RANKS[forms[name][0]], name))
    described: dict[str, Any] = {METADATA: dict(metadata)}
    start = 0
    for name in order:
        dtype, shape = forms[name]
        end = start + dtype.itemsize * math.prod(shape)
        described[name] = {"dtype": CODES[dtype], "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = spelled(described)
    if len(text) > LARGEST_HEADER:
        told = f"{len(text):,} bytes of names and shapes"
        raise StoreError(f"{told}; the header of a .safetensors file has at most {LARGEST_HEADER:,}")
    return len(text).to_bytes(8, "little") + text, order


def spelled(described: Mapping[str, Any]) -> bytes:
    """The one way in which a header is written."""
    text = JSON.encode(described).encode()
    return text + b" " * (-len(text) % ALIGNED)


def content(tensor: Tensor) -> memoryview:
    """The bytes of a tensor, which share its memory if it is contiguous."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data


def tensors(raw: bytearray, described: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a file, which share its memory.

    They have to follow each other without a gap from the start of the content to its end, so that every byte belongs to
    one of them and none to two.

    Args:
        raw: the whole file.
        described: its header.

    Raises:
        KeyError, TypeError, ValueError, RuntimeError: the header does not describe the content.
    """
    found, previous = {}, (-1, "")
    content_start = at = 8 + int.from_bytes(raw[:8], "little")
    for name, row in described.items():
        if name == METADATA:
            continue
        dtype, shape, (start, end) = DTYPES[row["dtype"]], row["shape"], row["data_offsets"]
        for number in (*shape, start, end):
            if type(number) is not int or number < 0:  # true is no side, and -1 is whatever fits in numpy
                raise ValueError(f"{name!r} has the shape {shape} and the bytes from {start} to {end}")
        array = np.ndarray(shape, NUMPY[dtype], raw, at)  # refuses what is not within the file
        stop = at + array.nbytes
        if (start, end) != (at - content_start, stop - content_start):
            raise ValueError(f"{name!r} is no {row['dtype']} {shape} from {start} to {end}")
        if list(row) != KEYS or previous >= (previous := (RANKS[dtype], name)):
            raise ValueError(f"{name!r} is not described as, or where, it would be")
        tensor = torch.from_numpy(array)
        found[name] = tensor if tensor.dtype is dtype else tensor.view(dtype)
        if dtype is torch.bool and array.view(np.uint8).max(initial=0) > 1:
            raise ValueError(f"{name!r} holds what is neither true nor false")
        at = stop
    if at != len(raw):
        raise ValueError(f"its tensors end at byte {at} of {len(raw)}")
    return found
