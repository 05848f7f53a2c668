"""Compression without loss: every bit comes back, the smaller order of bytes is kept, and no bad frame gets through.

subject -> [extract] -> Seed -> store -> [assemble] -> weights
"""

import contextlib
import math
import sys
import tracemalloc

import numpy as np
import pytest
import torch
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from seeds import store
from seeds.assemble import assemble
from seeds.codecs import ZstdCodec, parse
from seeds.errors import SeedError
from seeds.extract import extract
from seeds.seed import Entry, Seed
from tests.strategies import FLOATS, all_bits, bits, flat_weights, states, weights

pytestmark = pytest.mark.roundtrip

DAMAGED = r"tensor 'w': parts .* do not make zstd \(3, 4\): the frame"


def frame_of(weight: Tensor) -> tuple[str, bytes]:
    """The name of the one part of a tensor's seed, and its content."""
    ((name, frame),) = ZstdCodec(None, False).encode(weight)[0].items()
    return name, frame.numpy().tobytes()


def assembled(name: str, frame: bytes, shape: tuple[int, ...] = (3, 4)) -> Tensor:
    """The float32 tensor of a seed whose part was made by hand."""
    parts = {name: torch.from_numpy(np.frombuffer(frame, dtype=np.uint8).copy())}
    return assemble(Seed("zstd", (Entry("w", shape, "float32", "zstd", parts),)))["w"]


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


# -- there and back -------------------------------------------------------------------------------------------------------


@given(states(), st.sampled_from(("zstd", "zstd+vectors")))
def test_every_bit_of_a_model_comes_back(tmp_path_factory, state, codec):
    """Through a file: any dtype, kernels, scalars, strided and empty tensors, ties, integers and masks."""
    path = tmp_path_factory.getbasetemp() / "lossless.seed"
    store.save(extract(state, codec), path)
    assert all_bits(assemble(store.load(path))) == all_bits(state)


@given(st.one_of(weights(), flat_weights()))
@example(torch.tensor([[-0.0, 0.0, 1e-45, -1e-45], [3.4028235e38, -3.4028235e38, 2.0**-126, -(2.0**-127)]]))
def test_every_bit_of_a_tensor_comes_back(weight):
    """Also denormal values, zeros of both signs and the largest ones of each dtype."""
    assert bits(assemble(extract({"w": weight}, "zstd"))["w"]) == bits(weight)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_a_frame_holds_the_planes_of_bytes(dtype):
    """Read by the package alone: all first bytes, then all second ones, down to the exponents; the part's name says so."""
    weight = normal(64, 64).to(dtype)
    name, frame = frame_of(weight)
    assert name == f"planes:{str(dtype).removeprefix('torch.')}"
    raw = bits(weight)[2]
    assert zstandard.decompress(frame) == b"".join(
        raw[place :: weight.element_size()] for place in range(weight.element_size())
    )
    assert zstandard.get_frame_parameters(frame).has_checksum


def test_a_tensor_with_equal_rows_is_better_off_without_planes():
    """512 rows in random order, of which 64 are distinct, are found where their bytes lie together; the part's name says so."""
    order = torch.from_numpy(np.random.default_rng(0).integers(0, 64, 512))
    weight = normal(64, 256)[order]
    name, frame = frame_of(weight)
    assert name == "bytes:float32"
    assert zstandard.decompress(frame) == bits(weight)[2]
    assert len(frame) < weight.nbytes / 7  # an eighth is distinct
    assert bits(assemble(extract({"w": weight}, "zstd"))["w"]) == bits(weight)


# -- sizes ----------------------------------------------------------------------------------------------------------------


def entropy_share(weight: Tensor) -> float:
    """Bytes that an ideal code for each plane by its frequencies would take, over the bytes there are."""
    planes = np.frombuffer(bits(weight)[2], dtype=np.uint8).reshape(-1, weight.element_size()).T
    shares = [np.bincount(plane, minlength=256) / len(plane) for plane in planes]
    return float(np.mean([-(share[share > 0] * np.log2(share[share > 0])).sum() / 8 for share in shares]))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_a_seed_is_as_small_as_the_frequencies_of_its_bytes_allow(dtype):
    """Normal values: within 1 % of the entropy of their planes, and at least a seventh smaller than all of them."""
    weight = torch.from_numpy(np.random.default_rng(0).standard_normal((256, 1024))).to(dtype)
    seed = extract({"w": weight}, "zstd")
    share = (store.size_bytes(seed) - store.header_bytes(seed)) / weight.nbytes
    assert share <= entropy_share(weight) + 0.01
    assert share < {torch.float64: 0.93}.get(dtype, 6 / 7)


@pytest.mark.parametrize("count", [1, 12, 1 << 16])
def test_what_cannot_be_compressed_grows_by_next_to_nothing(count):
    """Random bits, all but one that keeps values finite: a header, a checksum, 3 bytes a block, one code."""
    raw = np.random.default_rng(0).integers(0, 2**32, count, dtype=np.uint32)
    weight = torch.from_numpy((raw & ~np.uint32(1 << 24)).view(np.float32))
    assert len(frame_of(weight)[1]) <= weight.nbytes - count // 8 + 128


# -- what is refused ------------------------------------------------------------------------------------------------------


def test_every_changed_bit_is_noticed():
    """A frame with one bit changed is refused; but for the one that decoders must not read (RFC 8878, Unused_Bit)."""
    weight = normal(3, 4)
    name, frame = frame_of(weight)
    passed = []
    for bit in range(8 * len(frame)):
        changed = bytearray(frame)
        changed[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(SeedError):
            assert bits(assembled(name, bytes(changed))) == bits(weight)
            passed.append(bit)
    assert passed == [8 * 4 + 4]


@given(weights(smallest_side=2, kinds=("normal", "two values")), st.data())
def test_a_changed_byte_of_any_frame_is_noticed(weight, data):
    """Refused by name, or one that changes nothing."""
    name, frame = frame_of(weight)
    changed = bytearray(frame)
    changed[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    made = None
    with contextlib.suppress(SeedError):
        made = assembled(name, bytes(changed), tuple(weight.shape))
    assert made is None or bits(made) == bits(weight)


@pytest.mark.parametrize("cut", [0, 1, 4, 5, 12, -5, -4, -1])
def test_a_frame_that_was_cut_short_is_refused(cut):
    """Within its header, its blocks or its checksum."""
    name, frame = frame_of(normal(3, 4))
    with pytest.raises(SeedError, match=DAMAGED):
        assembled(name, frame[:cut])


def test_bytes_behind_a_frame_are_refused():
    """Not read, and not ignored: a second frame neither."""
    name, frame = frame_of(normal(3, 4))
    for more in (b"\0", frame):
        with pytest.raises(SeedError, match=DAMAGED):
            assembled(name, frame + more)


def test_a_frame_of_another_size_is_refused_before_memory_is_taken():
    """256 MiB of zeros in 8 KB: the message holds what the frame says, and the peak of memory stays below 1 MiB."""
    bomb = zstandard.compress(bytes(1 << 28))
    tracemalloc.start()
    try:
        with pytest.raises(SeedError, match=rf"{DAMAGED} says that it holds {1 << 28} bytes .*, not 48"):
            assembled("planes:float32", bomb)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(bomb) < 1 << 14
    assert peak_bytes < 1 << 20


def test_a_frame_that_lies_about_its_size_is_refused():
    """It says 48 bytes, which is right, and holds 200."""
    frame = bytearray(zstandard.compress(bytes(200)))
    assert frame[5] == 200
    frame[5] = 48
    with pytest.raises(SeedError, match=f"{DAMAGED} is damaged"):
        assembled("bytes:float32", bytes(frame))


def test_a_frame_that_does_not_say_its_size_is_refused():
    """Its memory could not be bounded."""
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(48))
    with pytest.raises(SeedError, match=f"{DAMAGED} says that it holds -1 bytes"):
        assembled("bytes:float32", frame)


def test_memory_that_is_not_there_is_a_named_error(monkeypatch):
    """A shape and a frame may agree on more than the machine has."""

    class Full:
        def decompress(self, *_, **__):
            raise MemoryError

    monkeypatch.setattr(zstandard, "ZstdDecompressor", Full)
    with pytest.raises(SeedError, match=f"{DAMAGED} is damaged"):
        assembled(*frame_of(normal(3, 4)))


@pytest.mark.parametrize("name", ["planes", "planes:", "planes:int32", "bytes:Tensor", "rows:float32", "bytes:no_dtype"])
def test_a_part_of_another_name_is_refused(name):
    """The name says the order of the bytes, and a float dtype."""
    with pytest.raises(SeedError, match=rf"part '{name}' is neither planes:DTYPE nor bytes:DTYPE"):
        assembled(name, frame_of(normal(3, 4))[1])


NO_FRAME = {
    "none": {},
    "two": {"planes:float32": torch.zeros(3), "bytes:float32": torch.zeros(3)},
    "floats": {"planes:float32": torch.zeros(60)},
    "floats that numpy lacks": {"planes:float32": torch.zeros(60, dtype=torch.bfloat16)},
    "a number": {"planes:float32": torch.tensor(1.0)},
}


@pytest.mark.parametrize("parts", NO_FRAME.values(), ids=NO_FRAME)
def test_parts_that_are_no_frame_are_refused(parts):
    """The message holds the tensor, the sizes of its parts and what they should have made."""
    with pytest.raises(SeedError, match=r"tensor 'w': parts .* do not make zstd \(3, 4\)"):
        assemble(Seed("zstd", (Entry("w", (3, 4), "float32", "zstd", parts),)))


@pytest.mark.parametrize("value", [math.nan, math.inf], ids=str)
def test_weights_that_are_not_finite_are_refused(value):
    """As by every codec: a seed of them would not be a model."""
    with pytest.raises(SeedError, match="tensor 'w': weights must be finite; 1 of 2"):
        extract({"w": torch.tensor([1.0, value])}, "zstd")


def test_a_missing_package_is_named(monkeypatch):
    """On the way there and on the way back; all other codecs, and the spec itself, do without it."""
    seed = extract({"w": normal(3, 4)}, "zstd")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    says = r"^tensor 'w': codec zstd needs the package zstandard, which is not installed: pip install -e '\.\[zstd\]' in"
    with pytest.raises(SeedError, match=says):
        extract({"w": normal(3, 4)}, "zstd")
    with pytest.raises(SeedError, match=says):
        assemble(seed)
    assert not parse("zstd").draws
    assert bits(assemble(extract({"w": normal(3, 4)}, "exact"))["w"]) == bits(normal(3, 4))
