"""Seed files: a `.safetensors` file whose metadata is one JSON header, closed by a checksum over every byte.

    subject -> extract -> Seed -> [store] -> assemble -> evaluate -> verdict

Numbers (a mean, a standard deviation) stand in the header; arrays are safetensors tensors named `TENSOR/PART`.
Nothing is ever unpickled. A checksum proves that a file is whole, not who wrote it: whatever a file says is checked, and
only the spelling that this module itself gives to a seed is read.
"""

import hashlib
import json
import os
import re
import stat
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seeds import layout, memory
from seeds.draw import GENERATOR
from seeds.errors import SeedError, StoreError
from seeds.file import write_pieces
from seeds.seed import Entry, Parts, Seed
from seeds.soundness import require_sound

FORMAT = "seed/1"
DECIMALS = 9  # of a captured energy
LARGEST = 3.4028235e38  # the shortest decimal of the largest float32
BLANK = "0" * 64  # stands where the SHA-256 will be while it is computed
KEYS = ["format", "sha256", "codec", "generator", "source", "shared", "ties", "tensors"]  # of the header, in this order
JSON = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False)
START = re.compile(rb'\{"__metadata__":\{"seed":"\{\\"format\\":\\"([^"\\]{1,32})\\",\\"sha256\\":\\"([0-9a-f]{64})\\"')
PARSED = 60  # times its own size, the memory that JSON may take: `[]` is 2 bytes, and a list of Python
PIECE_BYTES = 1 << 20
LARGEST_PIPE = 1 << 30  # bytes; the size of a pipe is not known before its end, which may never come


def to_bytes(seed: Seed) -> bytes:
    """The content of the seed's file; the same seed gives the same bytes."""
    return b"".join(_pieces(seed))


def _pieces(seed: Seed) -> list[bytes | memoryview]:
    """The header, then each array where it lies: the file is hashed and written without a copy of it."""
    require_sound(seed)
    arrays: dict[str, Tensor] = {}
    header = {
        "format": FORMAT,
        "sha256": BLANK,
        "codec": seed.codec,
        "generator": GENERATOR,
        "source": seed.source,
        "shared": _pack("", seed.shared, arrays),
        "ties": dict(sorted(seed.ties.items())),
        "tensors": [_row(entry, arrays) for entry in sorted(seed.entries, key=lambda entry: entry.name)],
    }
    forms = {name: (array.dtype, tuple(array.shape)) for name, array in arrays.items()}
    head, order = layout.header(forms, {"seed": JSON.encode(header)})
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
        SeedError: the seed is not sound: two tensors of one name, for example (`seeds.soundness`).
        StoreError: the folder is missing or cannot be written.
    """
    return write_pieces(Path(path), _pieces(seed))


def load(path: str | Path) -> Seed:
    """Reads a seed file, or a pipe of at most 1 GiB.

    Takes memory for the file once and, until it is parsed, up to 60 times the size of its header.

    Raises:
        StoreError: no such file, neither file nor pipe, not a seed file, another format version, any byte changed, larger
            than memory, or a header that says what cannot be.
    """
    try:
        with FileIO(path) as file:
            raw = _read(file, str(path))
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from None
    return from_bytes(raw, str(path))


def from_bytes(raw: bytes | bytearray, name: str = "the file") -> Seed:
    """The seed whose file has this content: the inverse of `to_bytes`.

    Args:
        raw: the whole file; the seed's arrays lie in it if it is a bytearray, and in a copy if it is not.
        name: what errors call it.

    Raises:
        StoreError: no seed file, another format version, any byte changed, or a header that says what cannot be.
    """
    raw = raw if isinstance(raw, bytearray) else bytearray(raw)  # tensors cannot lie in memory that is read-only
    head = _verified(raw, name)
    _require_memory(PARSED * len(head), name)
    try:
        described = json.loads(head.decode())
        (text,) = described[layout.METADATA].values()
        header = json.loads(text)
        if layout.spelled(described) != head or JSON.encode(header) != text or list(header) != KEYS:
            raise ValueError("it is not spelled as it would be written")  # a key is there twice, for example
        require_sound(seed := _seed(header, layout.tensors(raw, described)))
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise StoreError(f"{name} has a header that does not describe its content: {error!r:.400}") from None
    return seed


def _read(file: FileIO, name: str) -> bytearray:
    """The whole file, in memory that tensors can lie in: bytes would be read-only, and to copy them costs time.

    Of a large file, none is taken before its first bytes are those of a seed file: one of zeros may be larger than any disk.
    """
    about = os.fstat(file.fileno())
    is_file = stat.S_ISREG(about.st_mode)
    if not is_file and not stat.S_ISFIFO(about.st_mode):
        raise StoreError(f"{name} is neither a file nor a pipe")
    size_bytes = about.st_size if is_file else LARGEST_PIPE
    raw = bytearray(min(size_bytes, PIECE_BYTES))
    del raw[_fill(file, raw) :]
    if len(raw) < PIECE_BYTES:
        return raw
    _require_start(raw, size_bytes, name)
    if is_file:
        return _rest(file, raw, size_bytes, name)
    while piece := file.read(PIECE_BYTES):
        raw += piece
        if len(raw) > LARGEST_PIPE:
            raise StoreError(f"{name} is a pipe of more than {LARGEST_PIPE:,} bytes; save it as a file")
    return raw


def _rest(file: FileIO, first: bytearray, size_bytes: int, name: str) -> bytearray:
    """The whole file, of which the first piece is read."""
    _require_memory(size_bytes, name)
    whole = bytearray(size_bytes)
    whole[: len(first)] = first
    del whole[len(first) + _fill(file, memoryview(whole)[len(first) :]) :]  # where it has shrunk meanwhile
    return whole


def _require_memory(size_bytes: int, name: str) -> None:
    try:
        memory.require(size_bytes, name)
    except SeedError as error:
        raise StoreError(str(error)) from None


def _fill(file: FileIO, place: bytearray | memoryview) -> int:
    """Reads until a place is full or the file at its end; returns how many bytes that were."""
    filled, view = 0, memoryview(place)
    while filled < len(view) and (got := file.readinto(view[filled:])):  # Linux gives at most 2 GiB at once
        filled += got
    return filled


def _require_start(start: bytearray, size_bytes: int, name: str) -> re.Match[bytes]:
    """Refuses what does not begin as a seed file of this format and of at most `size_bytes`; finds its checksum."""
    size = int.from_bytes(start[:8], "little")
    if len(start) < 16 or size > size_bytes - 8:
        raise StoreError(f"{name} is no seed file or was cut short: {size_bytes} bytes, its header says {size}")
    if size > layout.LARGEST_HEADER:
        raise StoreError(f"{name} has a header of {size:,} bytes; allowed: at most {layout.LARGEST_HEADER:,}")
    found = START.match(start, 8, 8 + size)
    if not found:
        raise StoreError(f"{name} is no seed file: it has no seed header")
    if (version := found[1].decode(errors="replace")) != FORMAT:
        raise StoreError(f"{name} has format {version!r}; this version reads {FORMAT!r}")
    return found


def _verified(raw: bytearray, name: str) -> bytes:
    """The file's header, after the checksum over every byte was verified: nothing of a damaged file is parsed."""
    found = _require_start(raw, len(raw), name)
    start, stop = found.span(2)
    view, blanked = memoryview(raw), hashlib.sha256()
    for piece in (view[:start], BLANK.encode(), view[stop:]):
        blanked.update(piece)
    digest = found[2].decode()
    if digest != blanked.hexdigest():
        told = f"checksum {digest[:12]}, content {blanked.hexdigest()[:12]}"
        raise StoreError(f"{name} was changed after it was written: {told}")
    return bytes(view[8 : 8 + int.from_bytes(raw[:8], "little")])


def _seed(header: dict[str, Any], arrays: dict[str, Tensor]) -> Seed:
    if header["generator"] != GENERATOR:
        raise ValueError(f"its generator is {header['generator']!r}; allowed: {GENERATOR!r}")
    if type(header["tensors"]) is not list:
        raise ValueError("its tensors are no list")
    if not all(array.ndim for array in arrays.values()):
        raise ValueError("a number is among its arrays")
    for names in (list(header["ties"]), [row[0] for row in header["tensors"]]):
        if names != sorted(names):
            raise ValueError("its names are not sorted")
    shared = _unpack("", header["shared"], arrays)
    entries = tuple(_entry(row, arrays) for row in header["tensors"])
    if arrays:
        raise ValueError(f"its tensors do not need {next(iter(arrays))!r}")
    return Seed(header["codec"], entries, header["ties"], shared, header["source"])


def _row(entry: Entry, arrays: dict[str, Tensor]) -> list:
    captured = [] if entry.captured_energy is None else [round(entry.captured_energy, DECIMALS)]
    return [entry.name, list(entry.shape), entry.dtype, entry.method, _pack(entry.name, entry.parts, arrays), *captured]


def _entry(row: list, arrays: dict[str, Tensor]) -> Entry:
    name, shape, dtype, method, packed, *captured = row
    if type(shape) is not list or type(row) is not list:
        raise ValueError(f"tensor {name!r} has the shape {shape!r:.200}")
    if captured and captured != [round(captured[0], DECIMALS)]:
        raise ValueError(f"tensor {name!r} has captured energy {captured}")
    return Entry(name, tuple(shape), dtype, method, _unpack(name, packed, arrays), *captured)


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
    """Numbers and arrays, each of which is taken: none is left over or used twice."""
    return {part: _number(value) if value is not None else arrays.pop(f"{name}/{part}") for part, value in packed.items()}


def _number(value: Any) -> Tensor:
    """The float32 whose shortest decimal this is."""
    if type(value) is not float or abs(value) > LARGEST or float(str(single := np.float32(value))) != value:  # nor NaN
        raise ValueError(f"{value!r:.200} is no float32 number")
    return torch.from_numpy(np.array(single))
