"""Fewer bits for every value: half precision, and whole steps of a scale for each row.

subject -> [extract] -> Seed -> store -> [assemble] -> weights
"""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from seeds import store
from seeds.assemble import assemble
from seeds.codecs import Float16Codec, Int4Codec, Int8Codec, quantized
from seeds.codecs.quantized import packed, row_levels, unpacked
from seeds.errors import SeedError
from seeds.extract import extract
from seeds.seed import Entry, Seed
from tests.strategies import FLOATS, bits, flat_weights, states, weights

pytestmark = pytest.mark.roundtrip

QUANTIZED = ("float16", "int8", "int4")
ROWS = {"int8": Int8Codec(None, False), "int4": Int4Codec(None, False)}
DENORMAL = (
    torch.tensor([[3.0, -1.0, 127.0], [-1.0, 0.0, 0.0], [0.0, -0.0, 0.0], [2.0**16, 7.0, -130.0], [890.0, 1.0, 4.0]])
    * 2.0**-149
)
EDGES = torch.tensor([[3.4028235e38, -3.4028235e38, 1e36], [2.0**-126, 2.0**-133, -(2.0**-140)]])
by_rows = pytest.mark.parametrize("codec", ROWS.values(), ids=ROWS)


def decoded(codec: Int8Codec | Int4Codec, weight: Tensor) -> tuple[Tensor, Tensor]:
    """What comes back of a matrix, and the scale of each row as a column."""
    seed = extract({"w": weight}, codec.name)
    return assemble(seed)["w"], seed.entries[0].parts["scales"][:, None]


# -- whole steps of a scale for each row ----------------------------------------------------------------------------------


@by_rows
@given(weights())
@example(DENORMAL)
@example(EDGES)
def test_every_value_comes_back_within_half_a_step(codec, weight):
    """Exactly: the difference is rounded by float64, half a step is not, and rounding keeps the order."""
    made, scales = decoded(codec, weight)
    assert ((made.double() - weight.double()).abs() <= scales.double() / 2).all()


@by_rows
@given(weights(), st.sampled_from(FLOATS))
def test_every_dtype_comes_back_within_half_a_step_and_its_own_rounding(codec, weight, dtype):
    """The seed of a bfloat16 matrix decodes to bfloat16, whose 8 bits add half a unit in the last place of the value."""
    weight = (weight / (weight.abs().max() or 1.0)).to(dtype)
    made, scales = decoded(codec, weight)
    assert made.dtype == dtype
    own = made.double().abs() * torch.finfo(dtype).eps / 2 + torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
    assert ((made.double() - weight.double()).abs() <= scales.double() / 2 + own).all()


@by_rows
@given(weights())
@example(DENORMAL)
@example(EDGES)
def test_a_step_is_hardly_larger_than_the_row_needs(codec, weight):
    """The largest magnitude over the number of levels, rounded up to 17 bits; to a power of two under 2**-133."""
    _, scales = decoded(codec, weight)
    needed = weight.double().abs().amax(1, keepdim=True) / codec.largest
    assert (scales >= needed).all()
    assert (scales[needed >= 2.0**-133] <= needed[needed >= 2.0**-133] * (1 + 2.0**-16)).all()
    assert (scales[needed >= 2.0**-149] < 2 * needed[needed >= 2.0**-149]).all()
    assert (scales[needed < 2.0**-149] <= 2.0**-149).all()
    assert torch.equal(scales == 0, needed == 0)


@by_rows
@given(weights())
@example(DENORMAL)
def test_levels_are_the_nearest_whole_numbers_of_steps(codec, weight):
    """The plain transcription in exact arithmetic, ties to even, and the range that the codec states."""
    levels, scales = row_levels(weight, codec.largest)
    for row, scale, found in zip(weight.tolist(), scales.tolist(), levels.tolist(), strict=True):
        assert found == [round(Fraction(value) / Fraction(scale)) if scale else 0 for value in row]
    assert levels.abs().max() <= codec.largest


@by_rows
@given(weights())
@example(DENORMAL)
def test_decoding_rounds_nothing(codec, weight):
    """A level times a scale has at most 24 bits: float32 holds the product that exact arithmetic gives."""
    levels, scales = row_levels(weight, codec.largest)
    made, _ = decoded(codec, weight)
    assert torch.equal(made.double(), levels.double() * scales.double()[:, None])


@by_rows
@given(states())
@example({"w": DENORMAL})
@example({"w": EDGES})
def test_a_seed_of_an_assembled_seed_is_the_same_seed(codec, state):
    """The largest value of a row comes back as its highest level, so the scale does too. Half precisions round once more."""
    state = {
        name: tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor for name, tensor in state.items()
    }
    seed = extract(state, codec.name)
    again = extract(assemble(seed), codec.name)
    assert store.to_bytes(again) == store.to_bytes(seed)


@by_rows
@given(weights(), st.integers(1, 30))
def test_rows_know_nothing_of_each_other(codec, weight, together):
    """Nor of how many are converted at once; minus a matrix is minus its values."""
    levels, scales = row_levels(weight, codec.largest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantized, "CHUNK", together)
        found = row_levels(-weight.flip(0), codec.largest)
    assert torch.equal(found[0], -levels.flip(0))
    assert torch.equal(found[1], scales.flip(0))


@given(st.lists(st.integers(-8, 7), min_size=1, max_size=33))
def test_two_levels_lie_in_a_byte(levels):
    """Any sixteen levels, of any number, come back."""
    bytes_ = packed(torch.tensor(levels, dtype=torch.int8))
    assert bytes_.shape == ((len(levels) + 1) // 2,)
    assert unpacked(bytes_, len(levels)).tolist() == levels


def test_the_first_of_two_levels_lies_in_the_lower_half():
    """The order is part of the file format; a half that is left over is zero."""
    assert packed(torch.tensor([1, -1, 7, -7, -8], dtype=torch.int8)).tolist() == [0xF1, 0x97, 0x08]


@pytest.mark.parametrize(("codec", "levels", "times"), [("int8", 256 * 1024, 3.97), ("int4", 256 * 512, 7.9)])
def test_seeds_are_as_small_as_their_bits_say(codec, levels, times):
    """256 x 1024 values, a float32 for each row, and the header: four times and eight times smaller, nearly."""
    seed = extract({"w": torch.randn(256, 1024, generator=torch.Generator().manual_seed(0))}, codec)
    assert store.size_bytes(seed) == store.header_bytes(seed) + levels + 4 * 256
    assert 4 * seed.parameters / store.size_bytes(seed) > times


@by_rows
@given(weights(smallest_side=2, kinds=("normal", "two values", "duplicated columns")))
def test_torch_rounds_to_the_same_steps(codec, weight):
    """`torch.fake_quantize_per_channel_affine` with the same scales gives the same bits, except beside a tie.

    It multiplies by the float32 inverse of a scale and rounds twice, so a quotient within 127 * 2**-23 of a tie may go the
    other way: by one step, and then half a step (and as little more) off.
    """
    made, scales = decoded(codec, weight)
    zeros = torch.zeros(len(weight), dtype=torch.int32)
    theirs = torch.fake_quantize_per_channel_affine(weight, scales[:, 0], zeros, 0, -codec.largest, codec.largest)
    quotients = weight.double() / scales.double()
    beside_tie = ((quotients.abs() % 1) - 0.5).abs() <= codec.largest * 2.0**-23
    assert torch.equal(made[~beside_tie], theirs[~beside_tie] + 0.0)  # they keep the sign of a zero
    apart = (made - theirs).abs()
    assert ((apart == 0) | (apart <= scales * (1 + 2.0**-16))).all()


def test_torch_goes_the_other_way_at_a_tie():
    """A finding, not a fault: 2.5 steps of 15 * 2**-9 are a tie, and 1 / 15 in float32 is a little too large."""
    scale = 15 * 2.0**-9
    row = torch.tensor([[127 * scale, 2.5 * scale, 0.5 * scale, 1.5 * scale]])
    made, scales = decoded(ROWS["int8"], row)
    theirs = torch.fake_quantize_per_channel_affine(row, scales[:, 0], torch.zeros(1, dtype=torch.int32), 0, -127, 127)
    assert (made / scale).tolist() == [[127, 2, 0, 2]]
    assert (theirs / scale).tolist() == [[127, 3, 0, 2]]


# -- half precision -------------------------------------------------------------------------------------------------------


@given(flat_weights())
@example(torch.tensor(1 + 2.0**-11 + 2.0**-40, dtype=torch.float64))  # float32 would round it to a tie, and then down
@example(torch.tensor([65504.0, -65504.0, 2.0**-14, 2.0**-25, -0.0]))
def test_half_precision_is_off_by_half_a_unit_in_the_last_place(values):
    """Relative 2**-11, and 2**-25 where float16 is denormal; the bits that numpy finds."""
    largest = 65280 if values.dtype == torch.bfloat16 else 65504  # bfloat16 has nothing between 65280 and 65536
    values = values.clamp(-largest, largest)
    made = assemble(extract({"w": values}, "float16"))["w"]
    wide = values.double()
    assert ((made.double() - wide).abs() <= (wide.abs() * 2.0**-11).clamp(min=2.0**-25)).all()
    assert made.dtype == values.dtype
    if values.dtype in (torch.float32, torch.float64):
        plain = torch.from_numpy(np.asarray(wide.numpy()).astype(np.float16)).to(values.dtype)
        assert bits(made) == bits(plain)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("value", [65536.0, -1e30])
def test_half_precision_refuses_what_it_would_make_infinite(value, dtype):
    """The message holds the tensor, the value and the range."""
    weight = torch.tensor([1.0, value], dtype=dtype)
    told = f"{weight.abs().max().item():.9g}".replace("+", r"\+")
    with pytest.raises(SeedError, match=rf"tensor 'b': weights up to {told} leave the range of float16, \+-65504$"):
        extract({"b": weight}, "float16")


def test_half_precision_of_half_precision_is_a_copy():
    """Training the model afterwards leaves what was kept as it was."""
    weight = torch.tensor([[1.0, -2.0]], dtype=torch.float16)
    parts, _ = Float16Codec(None, False).encode(weight)
    weight.zero_()
    assert parts["halves"].tolist() == [1.0, -2.0]


def test_half_precision_takes_half_the_bytes():
    """Two bytes a value, whatever the tensor's shape."""
    seed = extract({"w": torch.rand(7, 3, 2), "bias": torch.rand(5), "scale": torch.tensor(0.5)}, "float16")
    assert store.size_bytes(seed) == store.header_bytes(seed) + 2 * (7 * 3 * 2 + 5 + 1)
    assert {entry.method for entry in seed.entries} == {"float16"}


# -- all of them ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", QUANTIZED)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (3, 2, 2, 2)], ids=str)
def test_zero_and_constant_matrices_come_back(shape, codec):
    """Nothing divides by a scale of zero; a row of 0.5 is its own highest level, to 17 bits."""
    for dtype in FLOATS:
        made = assemble(extract({"zero": -torch.zeros(shape, dtype=dtype), "half": torch.full(shape, 0.5, dtype=dtype)}, codec))
        assert torch.equal(made["zero"], torch.zeros(shape, dtype=dtype))
        assert ((made["half"].double() - 0.5).abs() <= 2.0**-17).all()


@pytest.mark.parametrize("codec", QUANTIZED)
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e39], ids=str)
def test_weights_that_no_seed_can_hold_are_refused(codec, value):
    """Not finite, or beyond the range of the seed; the message names the tensor."""
    says = "range of float" if math.isfinite(value) else "weights must be finite; 2 of 4"
    with pytest.raises(SeedError, match=f"tensor 'body': .*{says}"):
        extract({"body": torch.tensor([[1.0, value], [2.0, -value]], dtype=torch.float64)}, codec)


LEVELS, SCALES = torch.zeros(3, 4, dtype=torch.int8), torch.ones(3)
BAD_PARTS = {
    "too few levels": ("int8", {"levels": LEVELS[:2], "scales": SCALES}),
    "levels of another dtype": ("int8", {"levels": LEVELS.float(), "scales": SCALES}),
    "one scale for all": ("int8", {"levels": LEVELS, "scales": SCALES[:1]}),
    "no scales": ("int8", {"levels": LEVELS}),
    "too many pairs": ("int4", {"levels": torch.zeros(7, dtype=torch.uint8), "scales": SCALES}),
    "pairs of another dtype": ("int4", {"levels": torch.zeros(6, dtype=torch.int8), "scales": SCALES}),
    "too many halves": ("float16", {"halves": torch.zeros(13).half()}),
}


@pytest.mark.parametrize(("method", "parts"), BAD_PARTS.values(), ids=BAD_PARTS)
def test_parts_that_make_no_such_tensor_are_refused(method, parts):
    """The message holds the tensor, the sizes of its parts and what they should have made."""
    with pytest.raises(SeedError, match=rf"tensor 'body': parts .* do not make {method} \(3, 4\)"):
        assemble(Seed(method, (Entry("body", (3, 4), "float32", method, parts),)))
