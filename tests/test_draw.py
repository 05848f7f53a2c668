"""Draws: values made a chunk at a time are those of one plain call.

Seed -> [assemble] -> weights
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeds import draw
from seeds.draw import Draw

SHAPES = [(), (1,), (0,), (0, 3), (draw.CHUNK,), (draw.CHUNK + 1,), (3, draw.CHUNK - 1), (7, 5, 11)]


def plainly_drawn(one: Draw, shape: tuple[int, ...], mean: float, std: float) -> np.ndarray:
    """All values at once, then one multiplication and one addition over all of them."""
    values = one._generator().standard_normal(shape, dtype=np.float32)
    return values * np.float32(std) + np.float32(mean)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)) or "scalar")
def test_chunks_hold_the_values_of_one_plain_call(shape):
    """Bit by bit, at and around the border of a chunk; the generator keeps no half-used number back."""
    found, expected = Draw(7, "w").normal(shape, 0.3, 0.02), plainly_drawn(Draw(7, "w"), shape, 0.3, 0.02)
    assert found.shape == expected.shape == shape
    assert found.dtype == np.float32
    assert found.tobytes() == expected.tobytes()


@given(st.integers(1, 9), st.integers(0, 40), st.floats(-8, 8, width=32), st.floats(0, 8, width=32))
def test_the_size_of_a_chunk_changes_nothing(chunk, count, mean, std):
    """Any border, any moments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draw, "CHUNK", chunk)
        found = Draw(3, "w").normal((count,), mean, std)
    assert found.tobytes() == plainly_drawn(Draw(3, "w"), (count,), mean, std).tobytes()


def test_a_value_beyond_float32_is_infinite_and_nothing_is_said():
    """`decode` brings it back into the range of the tensor; a warning here would be one for every model of huge weights."""
    assert math.isinf(np.abs(Draw(0, "w").normal((64,), 0.0, 3.4e38)).max())
