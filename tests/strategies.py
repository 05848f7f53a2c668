"""Hypothesis strategies for weights: what a trained network may hold, and what breaks naive arithmetic.

    [weights] -> extract -> Seed -> store -> assemble -> weights

Values are drawn from numpy with a drawn rng_seed, so an example of 576 entries costs one drawn integer. Nothing here
knows codecs or files.
"""

import math

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from torch import Tensor

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
ORDINARY = ("normal", "constant", "constant columns", "rank deficient", "duplicated columns", "huge mean", "two values")
KINDS = (*ORDINARY, "denormal", "any")
CODECS = (
    "exact", "zstd", "float16", "int8", "int4", "moments", "moments:global", "pca:1", "pca:2", "pca:2+noise", "permuted",
    "signs", "spectrum", "covariance",
)  # fmt: skip

FORMS = (
    "scalar", "vector", "1x1", "one row", "one column", "square", "tall", "wide",
    "kernel", "kernel of one place", "kernels of one channel", "one kernel", "signal",
)  # fmt: skip
LARGEST_FLOAT32 = torch.finfo(torch.float32).max  # also the largest value of a seed

rng_seeds: SearchStrategy[int] = st.integers(0, 2**63 - 1)


@st.composite
def weights(draw: DrawFn, smallest_side: int = 1, largest_side: int = 24, kinds: tuple[str, ...] = KINDS) -> Tensor:
    """Finite float32 matrices (units, features), 1 to 24 a side.

    Magnitudes: ordinary kinds up to 2**35; "huge mean" has a mean of up to 2**22 standard deviations; "denormal" has
    multiples of 2**-149 below 2**-126; "any" has up to 36 arbitrary values below 2**60, zeros of both signs included.
    """
    kind = draw(st.sampled_from(kinds))
    largest_side = 6 if kind == "any" else largest_side
    sides = st.integers(min(smallest_side, largest_side), largest_side)
    shape = draw(sides), draw(sides)
    if kind == "any":
        count = shape[0] * shape[1]
        values = draw(st.lists(st.floats(-(2.0**60), 2.0**60, width=32), min_size=count, max_size=count))
        return torch.tensor(values, dtype=torch.float32).reshape(shape)
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if kind == "denormal":
        return torch.from_numpy(generator.integers(-(2**22), 2**22, shape) * 2.0**-149).float()
    scale = 2.0 ** draw(st.integers(-30, 30))
    return torch.from_numpy(_ordinary(kind, shape, generator) * scale).float()


def _ordinary(kind: str, shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    values = generator.standard_normal(shape)
    units, features = shape
    match kind:
        case "constant":
            values[:] = values[0, 0]
        case "constant columns":
            values[:] = values[0]
        case "rank deficient":
            rank = int(generator.integers(1, min(shape) + 1))
            values = generator.standard_normal((units, rank)) @ generator.standard_normal((rank, features))
        case "duplicated columns":
            values = values[:, generator.integers(0, features, features)]
        case "huge mean":
            values = np.clip(values, -4, 4) * 2.0 ** -generator.integers(2, 23) + generator.choice([-1.0, 1.0], features)
        case "two values":
            values = np.sign(values)
    return values


@st.composite
def flat_weights(draw: DrawFn) -> Tensor:
    """Finite vectors of 1 to 96 values of any float dtype: also near overflow, denormal, with denormal
    squares, constant, huge in mean.

    float64 values stay within the range of float32, which is the range of a seed.
    """
    dtype = draw(st.sampled_from(FLOATS))
    kind = draw(
        st.sampled_from(("normal", "constant", "huge mean", "denormal", "denormal squares", "near overflow", "two values"))
    )
    count = draw(st.integers(1, 96))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    limits = torch.finfo(dtype)
    largest = min(limits.max, LARGEST_FLOAT32)
    values = generator.standard_normal(count)
    match kind:
        case "constant":
            values[:] = values[0]
        case "huge mean":
            values = np.clip(values, -4, 4) * 2.0 ** -draw(st.integers(2, 22)) + 1.0
        case "denormal":
            values = values * limits.smallest_normal / 4
        case "denormal squares":
            values = values * 2.0**-73  # float32 squares keep three bits; float16 has nothing but zeros here
        case "near overflow":
            values = generator.choice([-1.0, 1.0], count, p=(0.3, 0.7)) * largest * generator.uniform(0.5, 1.0, count)
        case "two values":
            values = np.sign(values)
    return torch.from_numpy(values).clamp(-largest, largest).to(dtype)


@st.composite
def shapes(draw: DrawFn, forms: tuple[str, ...] = FORMS) -> tuple[int, ...]:
    """Shapes of 0 to 4 sides and 1 to 384 values, sides of one among them."""
    n, m = draw(st.integers(2, 8)), draw(st.integers(2, 8))
    made = {
        "scalar": (), "vector": (n * m,), "1x1": (1, 1), "one row": (1, n * m), "one column": (n * m, 1),
        "square": (n, n), "tall": (4 * n, m), "wide": (m, 4 * n), "signal": (n, m, 3), "kernel": (n, m, 3, 2),
        "kernel of one place": (n * m, 1, 1, 1), "kernels of one channel": (n, 1, 3, 3), "one kernel": (1, n, 2, 2),
    }  # fmt: skip
    return made[draw(st.sampled_from(forms))]


@st.composite
def tensors(
    draw: DrawFn,
    kinds: tuple[str, ...] = (*ORDINARY, "denormal", "near overflow"),
    dtypes: tuple[torch.dtype, ...] = FLOATS,
    forms: tuple[str, ...] = FORMS,
) -> Tensor:
    """Finite tensors of any shape of `shapes`, any kind and any float dtype, within the range of float32.

    Ordinary kinds lie up to 2**35 (float16: 2**15), "denormal" is made of the smallest values of the dtype (float64: of
    float32), "near overflow" has values of both signs from half of its largest on. Constant, deficient and duplicated are
    the rows and columns of (first side, all the rest).
    """
    dtype, kind, shape = draw(st.sampled_from(dtypes)), draw(st.sampled_from(kinds)), draw(shapes(forms))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = (shape[0], math.prod(shape[1:])) if shape else (1, 1)
    limits = torch.finfo(torch.float32 if dtype == torch.float64 else dtype)
    if kind == "denormal":
        steps = round(1 / limits.eps)  # below the smallest normal value
        values = generator.integers(-steps, steps, rows) * (limits.smallest_normal * limits.eps)
    elif kind == "near overflow":
        values = generator.choice([-1.0, 1.0], rows, p=(0.3, 0.7)) * limits.max * generator.uniform(0.5, 1.0, rows)
    else:
        exponents = st.integers(-10, 10) if dtype == torch.float16 else st.integers(-30, 30)
        values = _ordinary(kind, rows, generator) * 2.0 ** draw(exponents)
    return torch.from_numpy(values).clamp(-limits.max, limits.max).to(dtype).reshape(shape)


@st.composite
def states(draw: DrawFn, ties: bool = True) -> dict[str, Tensor]:
    """State dicts of 2 to 8 tensors that every codec of `CODECS` takes: |w| below 6, all float dtypes.

    Always a float32 matrix of 2 to 8 a side and a vector; sometimes a convolution kernel, a scalar, integer and bool
    buffers, an empty vector, a matrix that is not contiguous and, if `ties`, a name that shares another one's memory.
    """
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def normal(*shape: int) -> Tensor:
        values = generator.standard_normal(shape).clip(-5, 5) if shape else generator.uniform(-5, 5)
        return torch.tensor(values).to(draw(st.sampled_from(FLOATS)))

    units, features = draw(st.integers(2, 8)), draw(st.integers(2, 8))
    state = {"body.weight": normal(units, features).float(), "body.bias": normal(units)}
    extra = {
        "kernel.weight": lambda: normal(units, 3, 2, 2),
        "strided.weight": lambda: normal(features, units).T,
        "scale": normal,
        "empty": lambda: torch.empty(0),
        "positions": lambda: torch.arange(units * 2).reshape(units, 2),
        "mask": lambda: torch.from_numpy(generator.integers(0, 2, (units, units)).astype(bool)),
    }
    for name in draw(st.lists(st.sampled_from(sorted(extra)), unique=True)):
        state[name] = extra[name]()
    if ties and draw(st.booleans()):
        state["head.weight"] = state["body.weight"]
    return state


@st.composite
def specs(draw: DrawFn, codecs: tuple[str, ...] = CODECS) -> str:
    """Codec specs that fit `states`, with and without `+vectors`."""
    return draw(st.sampled_from(codecs)) + draw(st.sampled_from(("", "+vectors")))


def bits(tensor: Tensor) -> tuple[torch.dtype, tuple[int, ...], bytes]:
    """All that makes a tensor the same: dtype, shape, and the bytes of its values (-0.0 is not 0.0)."""
    raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return tensor.dtype, tuple(tensor.shape), raw


def all_bits(state: dict[str, Tensor]) -> dict[str, tuple[torch.dtype, tuple[int, ...], bytes]]:
    """`bits` of each tensor by name."""
    return {name: bits(tensor) for name, tensor in state.items()}
