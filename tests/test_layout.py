"""The layout of `.safetensors` files: ours to the byte, both ways.

Seed -> [store] -> Seed
"""

import json

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seeds import layout
from seeds.errors import StoreError
from tests.strategies import all_bits, bits, states

ODD_NAMES = ["", "a/b", 'quote"', "back\\slash", "line\nend", "\x01\x7f", "é", "\u2028", "\U0001f331", "\uffff"]


def written(weights: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    head, order = layout.header({name: (t.dtype, tuple(t.shape)) for name, t in weights.items()}, metadata)
    return b"".join([head, *(layout.content(weights[name]) for name in order)])


def read(raw: bytes) -> dict[str, Tensor]:
    size = int.from_bytes(raw[:8], "little")
    return layout.tensors(bytearray(raw), json.loads(raw[8 : 8 + size]))


def every_dtype() -> dict[str, Tensor]:
    """A matrix, a scalar and nothing at all of each dtype that the format has."""
    made = {}
    for code, dtype in layout.DTYPES.items():
        values = torch.arange(6.0).reshape(3, 2).to(dtype)
        made |= {f"{code}/matrix": values, f"{code}/scalar": values[1, 1].clone(), f"{code}/none": values[:0].clone()}
    return made


@pytest.mark.roundtrip
@given(states(ties=False), st.text())
def test_files_are_those_of_safetensors(state, text):
    """Byte by byte, and each reads what the other wrote."""
    contiguous = {name: tensor.contiguous() for name, tensor in state.items()}
    raw = written(state, {"seed": text})
    assert raw == safetensors.torch.save(contiguous, {"seed": text})
    assert all_bits(read(raw)) == all_bits(safetensors.torch.load(raw)) == all_bits(state)


@pytest.mark.roundtrip
def test_every_dtype_is_laid_out_as_by_safetensors():
    """Codes, order and padding do not depend on the version that is installed."""
    weights = every_dtype()
    raw = written(weights, {"format": "pt"})
    assert raw == safetensors.torch.save(weights, {"format": "pt"})
    assert all_bits(read(raw)) == all_bits(weights)


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_odd_names_are_written_as_by_safetensors(name):
    """Quotes, control characters and letters beyond ASCII, as names and as metadata."""
    weights = {name: torch.ones(2), "other": torch.zeros(3)}
    assert written(weights, {name: name}) == safetensors.torch.save(weights, {name: name})


def test_the_order_of_metadata_is_kept():
    """safetensors writes several entries in an order of its own making; ours is that of the caller."""
    head, _ = layout.header({}, {"b": "1", "a": "2", "c": "3"})
    assert list(json.loads(head[8:])[layout.METADATA]) == ["b", "a", "c"]


def test_content_shares_the_memory_of_a_contiguous_tensor():
    """Nothing is copied on the way to the disk, nor on the way back; a strided tensor is written in order."""
    weight = torch.zeros(2, 3)
    before = layout.content(weight)
    weight[0, 0] = 1.0
    assert bytes(before) == bits(weight)[2]
    assert bytes(layout.content(weight.T)) == bits(weight.T.contiguous())[2]
    raw = bytearray(written({"w": weight}, {"format": "pt"}))
    found = layout.tensors(raw, json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")]))["w"]
    raw[-4:] = bits(torch.tensor(5.0))[2]
    assert found[1, 2] == 5.0


def test_a_dtype_that_the_format_lacks_is_named():
    """The message holds the tensor, its dtype and what is allowed."""
    with pytest.raises(StoreError, match=r"tensor 'w' is torch\.complex128; a \.safetensors file holds uint64, int64, float64"):
        layout.header({"v": (torch.float32, (2,)), "w": (torch.complex128, (2,))}, {})


ROW = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
WRONG = {
    "beyond the end": ROW | {"shape": [3], "data_offsets": [0, 12]},
    "before the start": ROW | {"data_offsets": [-8, 0]},
    "backwards": ROW | {"data_offsets": [8, 0]},
    "too few bytes": ROW | {"data_offsets": [0, 4]},
    "an unknown dtype": ROW | {"dtype": "F33"},
    "no dtype": {"shape": [2], "data_offsets": [0, 8]},
    "a side below zero": ROW | {"shape": [-2, -1]},
    "a side that is no number": ROW | {"shape": ["2"]},
    "half a side": ROW | {"shape": [0.5, 4]},
    "more values than there are": ROW | {"shape": [2**62, 4]},
    "one offset": ROW | {"data_offsets": [0]},
    "offsets that are words": ROW | {"data_offsets": ["0", "8"]},
    "no row": 5,
    "a side that numpy reads as what fits": ROW | {"shape": [-1]},
    "a side that is true": {"dtype": "F32", "shape": [True, 2], "data_offsets": [0, 8]},
    "an offset that is false": ROW | {"data_offsets": [False, 8]},
    "keys in another order": dict(reversed(ROW.items())),
    "another key": ROW | {"more": 1},
    "bytes that no tensor has": ROW | {"shape": [1], "data_offsets": [0, 4]},
    "a gap before it": ROW | {"shape": [1], "data_offsets": [4, 8]},
    "too many sides": ROW | {"shape": [1] * 65 + [2]},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_header_that_does_not_describe_the_content_is_refused(wrong):
    """By an exception that `store.load` names after the file; never by memory that is not the file's."""
    raw = bytearray((8).to_bytes(8, "little") + b" " * 8 + bytes(8))
    assert layout.tensors(raw, {"w": ROW})["w"].tolist() == [0.0, 0.0]
    with pytest.raises((KeyError, TypeError, ValueError, RuntimeError)):
        layout.tensors(raw, {"w": wrong})


HALF = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
OTHER = HALF | {"data_offsets": [4, 8]}
SIXTEEN = {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "wrong", [{"b": HALF, "a": OTHER}, {"a": SIXTEEN, "b": OTHER}, {"a": HALF, "b": HALF}], ids=["names", "dtypes", "one place"]
)
def test_tensors_in_another_order_or_in_one_place_are_refused(wrong):
    """By dtype and then by name, each behind the one before; a file has one order."""
    raw = bytearray((8).to_bytes(8, "little") + b" " * 8 + bytes(8))
    assert set(layout.tensors(raw, {"a": HALF, "b": OTHER})) == {"a", "b"}
    with pytest.raises(ValueError, match=r"would be|from 0 to 4"):
        layout.tensors(raw, wrong)


def test_a_bool_is_true_or_false():
    """torch would take any byte for a bool, and tell different things of it."""
    row = {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]}
    raw = bytearray((8).to_bytes(8, "little") + b" " * 8 + b"\0\1")
    assert layout.tensors(raw, {"w": row})["w"].tolist() == [False, True]
    raw[-1] = 2
    with pytest.raises(ValueError, match="neither true nor false"):
        layout.tensors(raw, {"w": row})
