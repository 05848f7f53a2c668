"""The codec that loses nothing and is smaller than every value: bytes grouped by their place, then compressed.

    subject -> [extract] -> Seed -> store -> [assemble] -> evaluate -> verdict

Weights look random, but the exponents of one tensor are alike: grouped, they are what a compressor finds. It is a codec
for whoever must have the model itself, and says what a seed of a few kilobytes is to be compared with.
"""

import math
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from seeds.codecs.codec import Codec
from seeds.draw import Draw
from seeds.errors import SeedError
from seeds.moments import require_finite
from seeds.seed import Parts

GROUPED, PLAIN = "planes", "bytes"  # how the bytes in a frame are ordered


class ZstdCodec(Codec):
    """Keeps every value, compressed: each tensor's bytes by their place, by the package zstandard.

    Of the two ways to order the bytes, by place (all first bytes, all second bytes, ...) or as they lie, the smaller is
    kept. The part's name says which, and the dtype: "planes:float32" or "bytes:float32". The bytes of a file depend on the
    version of zstandard, the decoded ones do not.

    Source: grouping by byte as in Hershcovitch et al. 2024, "ZipNN: Lossless Compression for AI Models", which also moves
    the sign behind the exponent (not done here: 0.3 % of the size).
    """

    name, forms = "zstd", "zstd"
    draws, vectors = False, "own"

    def encode(self, weight: Tensor) -> tuple[Parts, float | None]:
        require_finite(weight)
        raw = weight.detach().reshape(-1, 1).contiguous().view(torch.uint8).numpy()  # (values, bytes of one)
        frames = {
            GROUPED: compressed(raw.T, 1, min_match=7, hash_log=6),  # hardly any search for repeats: frequencies count
            PLAIN: compressed(raw.reshape(1, -1), 1),  # repeats, such as equal rows
        }
        order = min(frames, key=lambda name: len(frames[name]))
        frame = torch.from_numpy(np.frombuffer(frames[order], dtype=np.uint8).copy())
        return {f"{order}:{str(weight.dtype).removeprefix('torch.')}": frame}, None

    @staticmethod
    def decode(parts: Parts, shape: tuple[int, ...], draw: Draw) -> Tensor:
        ((name, frame),) = parts.items()
        order, _, dtype_name = name.partition(":")
        dtype = getattr(torch, dtype_name, None)
        if order not in (GROUPED, PLAIN) or not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
            raise ValueError(f"part {name!r} is neither {GROUPED}:DTYPE nor {PLAIN}:DTYPE of a float dtype")
        raw = np.frombuffer(decompressed(frame, math.prod(shape) * dtype.itemsize), dtype=np.uint8)
        values = np.empty((math.prod(shape), dtype.itemsize), dtype=np.uint8)
        planes = raw.reshape(dtype.itemsize, -1) if order == GROUPED else raw.reshape(values.shape).T
        for place, plane in enumerate(planes):
            values[:, place] = plane
        return torch.from_numpy(values.reshape(-1)).view(dtype).reshape(shape)


def compressed(planes: np.ndarray, level: int, **options: int) -> bytes:
    """One frame, with its size and a checksum, in which each plane has frequencies of its own.

    Args:
        planes: uint8, shape (planes, bytes of one).
        level: of zstandard, 1 to 22; `options` replace single parameters of it.
    """
    zstandard = _zstandard()
    parameters = zstandard.ZstdCompressionParameters.from_level(level, write_checksum=True, **options)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj(size=planes.size)
    pieces = []
    for plane in planes:
        pieces.append(stream.compress(np.ascontiguousarray(plane)))
        pieces.append(stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))  # the next plane starts a block
    return b"".join([*pieces, stream.flush()])


def decompressed(frame: Tensor, size_bytes: int) -> bytes:
    """The bytes of a frame; a frame that says it holds more or fewer is refused before any memory is taken.

    Raises:
        ValueError: no frame, a damaged one, or one of another size.
    """
    zstandard = _zstandard()
    if frame.dtype != torch.uint8 or frame.ndim != 1:
        raise ValueError(f"a frame is a row of bytes, not {tuple(frame.shape)} of {frame.dtype}")
    try:
        stated = zstandard.frame_content_size(frame.numpy())
        if stated != size_bytes:
            raise ValueError(f"the frame says that it holds {stated} bytes (-1: it does not say), not {size_bytes}")
        return zstandard.ZstdDecompressor().decompress(frame.numpy(), max_output_size=size_bytes, allow_extra_data=False)
    except (zstandard.ZstdError, MemoryError) as error:
        raise ValueError(f"the frame is damaged: {error}") from None


def _zstandard() -> ModuleType:
    try:
        import zstandard
    except ImportError:
        told = "codec zstd needs the package zstandard, which is not installed: pip install -e '.[zstd]' in a clone"
        raise SeedError(told) from None
    return zstandard
