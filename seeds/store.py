"""Seed files: a `.safetensors` file whose metadata is one JSON header, closed by a checksum over every byte.

    subject -> extract -> Seed -> [store] -> assemble -> evaluate -> verdict

Numbers (a mean, a standard deviation) stand in the header; arrays are safetensors tensors named `TENSOR/PART`.
Nothing is ever unpickled.
"""

import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from seeds.codecs import REGISTRY
from seeds.draw import GENERATOR
from seeds.errors import StoreError
from seeds.seed import Entry, Parts, Seed

FORMAT = "seed/1"
BLANK = "0" * 64  # stands where the SHA-256 will be while it is computed


def to_bytes(seed: Seed) -> bytes:
    """The content of the seed's file; the same seed gives the same bytes."""
    arrays: dict[str, Tensor] = {}
    header = {
        "format": FORMAT,
        "sha256": BLANK,
        "codec": seed.codec,
        "generator": GENERATOR,
        "source": seed.source,
        "shared": _pack("", seed.shared, arrays),
        "ties": dict(sorted(seed.ties.items())),
        "tensors": [_row(entry, arrays) for entry in seed.entries],
    }
    text = json.dumps(header, separators=(",", ":"), allow_nan=False)
    raw = safetensors.torch.save(arrays, {"seed": text})
    return raw.replace(BLANK.encode(), hashlib.sha256(raw).hexdigest().encode(), 1)


def size_bytes(seed: Seed) -> int:
    """Size of the seed's file on disk, header included."""
    return len(to_bytes(seed))


def header_bytes(seed: Seed) -> int:
    """Size of the header alone: names, shapes, numbers and checksum."""
    return 8 + int.from_bytes(to_bytes(seed)[:8], "little")


def save(seed: Seed, path: str | Path) -> int:
    """Writes a seed file, whole or not at all, and returns its size in bytes.

    Raises:
        StoreError: the folder is missing or cannot be written.
    """
    path = Path(path)
    raw = to_bytes(seed)
    write_whole(path, raw)
    return len(raw)


def write_whole(path: Path, raw: bytes) -> None:
    """Writes to a temporary name in the same folder and renames, so that no reader sees half a file."""
    try:
        handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
        Path(scratch).chmod(0o644)
        Path(scratch).replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from None
    finally:
        Path(scratch).unlink(missing_ok=True)  # gone already where the rename was made


def load(path: str | Path) -> Seed:
    """Reads a seed file.

    Raises:
        StoreError: no such file, not a seed file, another format version, or any byte changed.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from None
    header = _header(raw, path)
    try:
        arrays = safetensors.torch.load(raw)
        shared = _unpack("", header["shared"], arrays)
        entries = tuple(_entry(row, arrays) for row in header["tensors"])
        ties = header["ties"]
        if not set(ties.values()) <= {entry.name for entry in entries}:
            raise ValueError(f"ties to tensors that are not there: {ties}")
        return Seed(header["codec"], entries, ties, shared, header["source"])
    except (KeyError, TypeError, ValueError, AttributeError, safetensors.SafetensorError) as error:
        raise StoreError(f"{path} has a header that does not describe its content: {error!r}") from None


def _header(raw: bytes, path: Path) -> dict:
    """The JSON header, after its checksum over every byte of the file was verified."""
    size = int.from_bytes(raw[:8], "little")
    if len(raw) < 16 or size > len(raw) - 8:
        raise StoreError(f"{path} is no seed file or was cut short: {len(raw)} bytes, its header says {size}")
    try:
        header = json.loads(json.loads(raw[8 : 8 + size])["__metadata__"]["seed"])
        version, digest = header["format"], header["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise StoreError(f"{path} is no seed file: it has no seed header") from None
    if version != FORMAT:
        raise StoreError(f"{path} has format {version!r}; this version reads {FORMAT!r}")
    at = raw.find(str(digest).encode(errors="replace"), 8, 8 + size)
    blanked = hashlib.sha256(raw[:at] + BLANK.encode() + raw[at + len(BLANK) :]).hexdigest()
    if digest != blanked:
        raise StoreError(f"{path} was changed after it was written: checksum {str(digest)[:12]}, content {blanked[:12]}")
    return header


def _row(entry: Entry, arrays: dict[str, Tensor]) -> list:
    captured = None if entry.captured_energy is None else round(entry.captured_energy, 9)
    packed = _pack(entry.name, entry.parts, arrays)
    return [entry.name, list(entry.shape), entry.dtype, entry.method, packed, *([] if captured is None else [captured])]


def _entry(row: list, arrays: dict[str, Tensor]) -> Entry:
    name, shape, dtype, method, packed, *captured = row
    if method not in REGISTRY:
        raise ValueError(f"tensor {name!r} needs the codec {method!r}; known: {', '.join(REGISTRY)}")
    if not isinstance(getattr(torch, dtype, None), torch.dtype):
        raise ValueError(f"tensor {name!r} has dtype {dtype!r}")
    if not all(isinstance(side, int) and side >= 0 for side in shape):
        raise ValueError(f"tensor {name!r} has shape {shape!r}")
    return Entry(name, tuple(shape), dtype, method, _unpack(name, packed, arrays), captured[0] if captured else None)


def _pack(name: str, parts: Parts, arrays: dict[str, Tensor]) -> dict[str, float | None]:
    """Numbers as numbers (the shortest decimal that gives the float32 back), arrays by reference."""
    packed: dict[str, float | None] = {}
    for part, value in parts.items():
        if value.ndim == 0:
            packed[part] = float(str(np.float32(value.item())))
        else:
            packed[part] = None
            arrays[f"{name}/{part}"] = value.contiguous()
    return packed


def _unpack(name: str, packed: dict[str, float | None], arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        part: arrays[f"{name}/{part}"] if value is None else torch.tensor(value, dtype=torch.float32)
        for part, value in packed.items()
    }
