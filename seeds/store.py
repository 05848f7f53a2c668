"""Seed files: a `.safetensors` file whose metadata is one JSON header, closed by a checksum over every byte.

    subject -> extract -> Seed -> [store] -> assemble -> evaluate -> verdict

Numbers (a mean, a standard deviation) stand in the header; arrays are safetensors tensors named `TENSOR/PART`.
Nothing is ever unpickled.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seeds import layout
from seeds.codecs import REGISTRY
from seeds.draw import GENERATOR
from seeds.errors import StoreError
from seeds.seed import Entry, Parts, Seed

FORMAT = "seed/1"
LARGEST = 3.4028235e38  # the shortest decimal of the largest float32
BLANK = "0" * 64  # stands where the SHA-256 will be while it is computed


def to_bytes(seed: Seed) -> bytes:
    """The content of the seed's file; the same seed gives the same bytes."""
    return b"".join(_pieces(seed))


def _pieces(seed: Seed) -> list[bytes | memoryview]:
    """The header, then each array where it lies: the file is hashed and written without a copy of it."""
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
    forms = {name: (array.dtype, tuple(array.shape)) for name, array in arrays.items()}
    head, order = layout.header(forms, {"seed": text})
    contents = [layout.content(arrays[name]) for name in order]
    digest = hashlib.sha256(head)
    for content in contents:
        digest.update(content)
    return [head.replace(BLANK.encode(), digest.hexdigest().encode(), 1), *contents]


def size_bytes(seed: Seed) -> int:
    """Size of the seed's file on disk, header included."""
    return sum(map(len, _pieces(seed)))


def header_bytes(seed: Seed) -> int:
    """Size of the header alone: names, shapes, numbers and checksum."""
    return len(_pieces(seed)[0])


def save(seed: Seed, path: str | Path) -> int:
    """Writes a seed file, whole or not at all, and returns its size in bytes.

    Raises:
        StoreError: the folder is missing or cannot be written.
    """
    return write_pieces(Path(path), _pieces(seed))


def write_whole(path: Path, raw: bytes) -> None:
    """Writes to a temporary name in the same folder and renames, so that no reader sees half a file."""
    write_pieces(path, [raw])


def write_pieces(path: Path, pieces: Iterable[bytes | memoryview]) -> int:
    """The same for content that is made piece by piece; returns its size in bytes.

    Raises:
        StoreError: the folder is missing, cannot be written, or is full; whatever was there before still is.
    """
    try:
        handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from None
    written = 0
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                written += file.write(piece)
                del piece  # before the next one is made: a tensor may be as large as memory allows
        Path(scratch).chmod(0o644)
        Path(scratch).replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from None
    finally:
        Path(scratch).unlink(missing_ok=True)  # gone already where the rename was made
    return written


def load(path: str | Path) -> Seed:
    """Reads a seed file.

    Raises:
        StoreError: no such file, not a seed file, another format version, or any byte changed.
    """
    path = Path(path)
    try:
        raw = _read(path)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from None
    header, described = _headers(raw, path)
    try:
        arrays = layout.tensors(raw, described)
        shared = _unpack("", header["shared"], arrays)
        entries = tuple(_entry(row, arrays) for row in header["tensors"])
        ties = header["ties"]
        if not set(ties.values()) <= {entry.name for entry in entries}:
            raise ValueError(f"ties to tensors that are not there: {ties}")
        return Seed(header["codec"], entries, ties, shared, header["source"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise StoreError(f"{path} has a header that does not describe its content: {error!r}") from None


def _read(path: Path) -> bytearray:
    """The whole file, in memory that tensors can lie in: bytes would be read-only, and to copy them costs time."""
    with path.open("rb", buffering=0) as file:
        raw = bytearray(os.fstat(file.fileno()).st_size)
        del raw[file.readinto(raw) :]
        raw += file.read()  # nothing, unless it grew or has no size
        return raw


def _headers(raw: bytearray, path: Path) -> tuple[dict, dict]:
    """The seed's header and the file's, after the checksum over every byte of the file was verified."""
    size = int.from_bytes(raw[:8], "little")
    if len(raw) < 16 or size > len(raw) - 8:
        raise StoreError(f"{path} is no seed file or was cut short: {len(raw)} bytes, its header says {size}")
    try:
        described = json.loads(raw[8 : 8 + size].decode())
        header = json.loads(described[layout.METADATA]["seed"])
        version, digest = header["format"], header["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise StoreError(f"{path} is no seed file: it has no seed header") from None
    if version != FORMAT:
        raise StoreError(f"{path} has format {version!r}; this version reads {FORMAT!r}")
    at = raw.find(str(digest).encode(errors="replace"), 8, 8 + size)
    view, blanked = memoryview(raw), hashlib.sha256()
    for piece in (view[:at], BLANK.encode(), view[at + len(BLANK) :]):
        blanked.update(piece)
    if digest != blanked.hexdigest():
        found = blanked.hexdigest()[:12]
        raise StoreError(f"{path} was changed after it was written: checksum {str(digest)[:12]}, content {found}")
    return header, described


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
    return {part: arrays[f"{name}/{part}"] if value is None else _number(value) for part, value in packed.items()}


def _number(value: float) -> Tensor:
    if not isinstance(value, int | float) or abs(value) > LARGEST:
        raise ValueError(f"{value!r} is no float32 number")
    return torch.from_numpy(np.array(value, np.float32))
