"""Invariants of every codec, over every shape, kind and dtype of weights that `tests.strategies` knows.

    weights -> extract -> Seed -> store -> assemble -> weights

Statements about one codec, or about one stage, have modules of their own:

    the error of components is the discarded energy, falls with rank, no basis beats it;         test_roundtrip
    components are orthonormal; moments equal their definition, pooled ones the concatenation's
    the same for large matrices, which begin in float32                                          test_pca
    rotation, transposition and shift of matrices                                                test_algebra
    mean, spread, distribution and independence of what is drawn                                 test_sampling
    half a step, bits of a level, half precision                                                 test_quantized
    every bit comes back compressed                                                              test_lossless
    singular values, covariances in expectation, signs and norms                                 test_ladder
    files, shards, modules and memory give the same seed                                         test_extract, test_shards
    what was saved is loaded; any order of commands in a folder                                  test_store*
    the same bits in every process                                                               test_determinism
"""

import json
import math
import re
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, reject
from hypothesis import strategies as st
from torch import Tensor

from seeds import layout, store
from seeds.assemble import assemble, assemble_to
from seeds.codecs import parse
from seeds.errors import SeedError
from seeds.extract import extract
from seeds.pca import column_pca
from seeds.seed import Seed
from tests.strategies import CODECS, FLOATS, LARGEST_FLOAT32, ORDINARY, all_bits, bits, rng_seeds, specs, states, tensors
from tests.test_roundtrip import tolerance

pytestmark = pytest.mark.roundtrip

LARGEST_HALF = 65504.0
DENORMAL = 2.0**-149
BESIDE = torch.tensor([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0], [-0.125, 1.5, 2.0]])  # of rank 3: a model that every rank fits
KEPT = ("exact", "zstd", "float16", "int8", "int4")  # each value by itself, in more bits or fewer
WIDE = (torch.float32, torch.float64)  # dtypes that hold whatever a codec decodes to
CODES = {dtype: code for code, dtype in layout.DTYPES.items()}
MATRICES = ("1x1", "one row", "one column", "square", "tall", "wide")


def seed_of(weight: Tensor, codec: str, unit: float = 1.0) -> Seed | None:
    """The seed, or None where the codec cannot hold such numbers, which is then checked: it says so, and it is true."""
    try:
        return extract({"w": weight, "beside": BESIDE * unit}, codec)
    except SeedError as refused:
        largest, norm = weight.double().abs().max().item(), weight.double().norm().item()
        is_true = largest > LARGEST_HALF if codec.startswith("float16") else 2 * norm > LARGEST_FLOAT32
        if is_true and re.match("tensor 'w': .* leave the range of float(16|32), ", str(refused)):
            return None
        raise


def held(weight: Tensor, codec: str, unit: float = 1.0) -> Seed:
    """The seed; an example that the codec refuses is no example."""
    seed = seed_of(weight, codec, unit)
    return seed if seed is not None else reject()


def assembled(weight: Tensor, codec: str, rng_seed: int = 0, unit: float = 1.0) -> Tensor:
    return assemble(held(weight, codec, unit), rng_seed)["w"]


def parts_of(weight: Tensor, codec: str) -> dict[str, Tensor]:
    return dict(held(weight, codec).entries[1].parts)


# -- what comes back ------------------------------------------------------------------------------------------------------


@given(tensors(), specs(), rng_seeds)
def test_any_finite_tensor_comes_back_finite_in_its_dtype_and_shape(weight, codec, rng_seed):
    """Or it is refused by name, and then a number of the seed really leaves its range."""
    seed = seed_of(weight, codec)
    if seed is not None:
        made = assemble(seed, rng_seed)["w"]
        assert (made.dtype, made.shape) == (weight.dtype, weight.shape)
        assert torch.isfinite(made).all()


@given(st.data(), specs(KEPT))
def test_the_seed_of_what_was_assembled_is_the_same_file(data, codec):
    """Where nothing is drawn; of dtypes that hold what was decoded, since another rounding would come after it."""
    held_by = {"int8": WIDE, "int4": WIDE, "float16": (torch.float16, *WIDE)}
    seed = held(data.draw(tensors(dtypes=held_by.get(codec.partition("+")[0], FLOATS))), codec)
    assert store.to_bytes(extract(assemble(seed), codec)) == store.to_bytes(seed)


@given(tensors(dtypes=WIDE))
def test_the_signs_of_what_was_assembled_are_the_same_and_its_norms_nearly(weight):
    """A norm, spread over the row and rounded to float32 there, may come back as its neighbour: the only such codec."""
    found = parts_of(weight, "signs+vectors")
    again = parts_of(assembled(weight, "signs+vectors"), "signs+vectors")
    if weight.ndim < 2:
        assert bits(again["values"]) == bits(found["values"])
        return
    assert bits(again["signs"]) == bits(found["signs"])
    features = weight.numel() // len(weight)
    # half a unit of float32 in each magnitude (of denormal ones: absolute), and as much again in the norm
    torch.testing.assert_close(again["norms"], found["norms"], rtol=2.0**-23, atol=(1 + math.sqrt(features)) * DENORMAL)


@given(tensors(forms=(*MATRICES, "kernel", "kernel of one place", "kernels of one channel", "one kernel", "signal")))
def test_all_components_give_any_matrix_or_kernel_back(weight):
    """A kernel as outputs by the rest; up to the grid of the components and the rounding of the weight's own dtype."""
    rows = weight.reshape(len(weight), -1)
    made = assembled(weight, f"pca:{min(rows.shape)}").double()
    limits, largest = torch.finfo(weight.dtype), weight.abs().max().item()
    own = limits.eps * largest + limits.smallest_normal * limits.eps
    assert (made - weight.double()).abs().max() <= own + tolerance(column_pca(rows, min(rows.shape)), largest)


@given(tensors(), rng_seeds)
def test_permuted_tensors_have_the_histogram_of_the_original(weight, rng_seed):
    """To the bit, zeros of both signs among them."""
    as_integers = {2: torch.int16, 4: torch.int32, 8: torch.int64}[weight.element_size()]
    original, made = (t.reshape(-1).view(as_integers).sort().values for t in (weight, assembled(weight, "permuted", rng_seed)))
    assert torch.equal(original, made)


# -- where it comes from and goes to --------------------------------------------------------------------------------------


def file_of(state: dict[str, Tensor]) -> bytes:
    """A `.safetensors` file with the tensors one behind the other, bytes first, so that others begin at any address."""
    described, contents, start = {}, [], 0
    for name, tensor in sorted(state.items(), key=lambda item: item[1].element_size()):
        raw = bits(tensor)[2]
        described[name] = {"dtype": CODES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, start + len(raw)]}
        contents.append(raw)
        start += len(raw)
    text = json.dumps(described).encode()
    return b"".join([len(text).to_bytes(8, "little"), text, *contents])


@given(tensors(), specs(), st.integers(0, 9))
def test_streaming_from_any_address_of_a_file_changes_no_bit(weight, codec, gap):
    """Not even where values of four bytes begin at an odd one: the seed is that of the same tensors in memory."""
    state = {"gap": torch.zeros(gap, dtype=torch.uint8), "w": weight, "beside": BESIDE}
    held(weight, codec)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(file_of(state))
        assert store.to_bytes(extract(path, codec)) == store.to_bytes(extract(state, codec))


@given(tensors(), specs(), rng_seeds)
def test_a_file_gives_every_part_and_bit_back_and_has_the_size_that_is_told(weight, codec, rng_seed):
    """For the values that break naive arithmetic too, which `states` does not hold."""
    seed = held(weight, codec)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.seed"
        assert store.save(seed, path) == store.size_bytes(seed) == path.stat().st_size == len(store.to_bytes(seed))
        loaded = store.load(path)
    assert all_bits(dict(loaded.shared)) == all_bits(dict(seed.shared))
    for entry, found in zip(seed.entries, loaded.entries, strict=True):
        assert all_bits(dict(found.parts)) == all_bits(dict(entry.parts))
    assert all_bits(assemble(loaded, rng_seed)) == all_bits(assemble(seed, rng_seed))


# -- permutations ---------------------------------------------------------------------------------------------------------


@given(tensors(forms=MATRICES), st.sampled_from((*KEPT, "signs")), st.randoms(use_true_random=False))
def test_permuted_rows_come_back_permuted(weight, codec, random):
    """To the bit: a row means the same in every place."""
    order = random.sample(range(len(weight)), len(weight))
    assert bits(assembled(weight[order], codec)) == bits(assembled(weight, codec)[order])


@given(tensors(forms=MATRICES), st.sampled_from(KEPT), st.randoms(use_true_random=False))
def test_permuted_columns_come_back_permuted(weight, codec, random):
    """To the bit, since a scale of a row does not depend on their order."""
    order = random.sample(range(weight.shape[1]), weight.shape[1])
    assert bits(assembled(weight[:, order], codec)) == bits(assembled(weight, codec)[:, order])


@given(tensors(forms=MATRICES), st.randoms(use_true_random=False))
def test_codecs_that_forget_places_do_not_see_a_permutation_or_a_transposition(weight, random):
    """Sorted values and moments are those of any order; so are singular values, of turned rows and columns."""
    units, features = (random.sample(range(side), side) for side in weight.shape)
    for other in (weight[units][:, features], weight.T.contiguous()):
        assert torch.equal(parts_of(other, "permuted")["sorted"], parts_of(weight, "permuted")["sorted"])
        for part, value in parts_of(weight, "moments").items():  # float64 sums in another order, rounded to float32
            std = parts_of(weight, "moments")["std"].item()
            torch.testing.assert_close(parts_of(other, "moments")[part], value, rtol=2.0**-23, atol=1e-12 * std)
        values = parts_of(weight, "spectrum")["singular_values"]
        allowed = 1e-7 * values[0].item() + DENORMAL  # LAPACK's float64, rounded to float32
        torch.testing.assert_close(parts_of(other, "spectrum")["singular_values"], values, rtol=0, atol=allowed)


# -- scale and sign -------------------------------------------------------------------------------------------------------

SCALED = [codec for codec in CODECS if codec not in ("spectrum", "covariance")]  # those two rest on LAPACK, which may rescale


@given(tensors(kinds=ORDINARY, dtypes=WIDE), st.sampled_from(SCALED), st.integers(-20, 20), rng_seeds)
def test_powers_of_two_pass_through_every_codec_exactly(weight, codec, exponent, rng_seed):
    """To the bit, drawn or not: no threshold, no constant added, and every rounding is relative."""
    if codec == "float16":  # no value near the ends of its range
        weight, exponent = (weight / weight.abs().max() * 256).round(), exponent % 8
    factor = 2.0**exponent
    scaled = assembled(weight * factor, codec, rng_seed, unit=factor)
    assert torch.equal(scaled, assembled(weight, codec, rng_seed) * factor)


NUMBERS = (
    ("moments", "mean"), ("moments", "std"), ("spectrum", "singular_values"), ("covariance", "mean"), ("signs", "norms"),
    ("int8", "scales"), ("int4", "scales"),
)  # fmt: skip


@given(tensors(kinds=ORDINARY, dtypes=(torch.float64,)), st.floats(0.1, 10), st.booleans())
def test_any_factor_scales_the_numbers_of_a_seed(weight, factor, is_negative):
    """Up to the rounding of each number: 2**-24 of float32, 2**-16 of a step; a sign turns the mean alone."""
    weight, factor = weight.float().double(), -factor if is_negative else factor
    for codec, part in NUMBERS:
        found = parts_of(weight, codec).get(part)
        if found is not None:  # a vector has other parts
            relative = 2.0**-15 if part == "scales" else 2.0**-23
            scaled, times = parts_of(weight * factor, codec)[part], factor if part == "mean" else abs(factor)
            allowed = 1e-12 * weight.abs().max().item() * abs(factor) * math.sqrt(weight.numel())  # of float64 sums
            torch.testing.assert_close(scaled.double(), found.double() * times, rtol=relative, atol=allowed)


@given(tensors(forms=(*MATRICES, "kernel", "kernel of one place")), st.sampled_from((*KEPT, "pca:1", "pca:2")))
def test_minus_a_weight_comes_back_as_minus_what_it_was(weight, codec):
    """Every rounding of these codecs is symmetric."""
    assert torch.equal(assembled(-weight, codec), -assembled(weight, codec))


@given(tensors())
def test_minus_a_weight_has_minus_its_mean_and_the_same_spread(weight):
    """To the bit: also where the mean is huge, or the spread denormal."""
    found, turned = parts_of(weight, "moments"), parts_of(-weight, "moments")
    assert (turned["mean"], turned["std"]) == (-found["mean"], found["std"])


@given(tensors(kinds=("normal", "two values", "duplicated columns"), dtypes=(torch.float64,)), st.integers(-1000, 1000))
def test_a_constant_moves_the_mean_of_a_tensor_alone(weight, shift):
    """Sums of whole numbers are exact, and so is what is left of them."""
    weight = (weight / (weight.abs().max() or 1.0) * 256).round()
    found, moved = parts_of(weight, "moments"), parts_of(weight + shift, "moments")
    assert moved["mean"].item() == pytest.approx(found["mean"].item() + shift, rel=2.0**-23, abs=2.0**-24 * 1256)
    assert moved["std"].item() == pytest.approx(found["std"].item(), rel=2.0**-23)


# -- names and ties -------------------------------------------------------------------------------------------------------


@given(states(ties=False), specs(tuple(codec for codec in CODECS if codec != "moments:global")), rng_seeds, st.data())
def test_a_tensor_knows_nothing_of_the_others(state, codec, rng_seed, data):
    """Not when another one goes, comes, changes its name or its values; but for `moments:global`, by design."""
    made = all_bits(assemble(extract(state, codec), rng_seed))
    other = data.draw(st.sampled_from(sorted(set(state) - {"body.weight"})))
    rest = {name: tensor for name, tensor in state.items() if name != other}
    for changed in (rest, state | {"a": BESIDE}, rest | {"z": state[other]}, state | {other: BESIDE}):
        found = all_bits(assemble(extract(changed, codec), rng_seed))
        assert {name: found[name] for name in rest} == {name: made[name] for name in rest}


@given(specs(), rng_seeds, rng_seeds)
def test_the_rng_seed_and_the_name_decide_on_all_that_is_drawn_and_on_nothing_else(codec, first, second):
    """Each (rng_seed, tensor name) has a stream of its own: no two of them agree in all of 16 values."""
    matrix = (torch.arange(64.0) ** 3 % 61).reshape(8, 8)  # of full rank, so that two components leave a residual
    kinds = {"weight": matrix, "bias": matrix.reshape(-1)[:16].clone()}
    spec = parse(codec)
    seed = extract({f"{name}.{kind}": tensor.clone() for name in "ab" for kind, tensor in kinds.items()}, codec)
    one, other = assemble(seed, first), assemble(seed, second)
    drawn = {kind: spec.for_tensor(tensor).draws for kind, tensor in kinds.items()}
    for kind, is_drawn in drawn.items():
        assert torch.equal(one[f"a.{kind}"], one[f"b.{kind}"]) == (not is_drawn)
        assert torch.equal(one[f"a.{kind}"], other[f"a.{kind}"]) == (first == second or not is_drawn)
    assert spec.draws == any(drawn.values())


@given(states(), specs(), rng_seeds)
def test_ties_are_one_tensor_in_the_seed_in_memory_and_in_a_file(state, codec, rng_seed):
    """Stored once, assembled once, written once."""
    body = {name: tensor for name, tensor in state.items() if name != "head.weight"}
    tied = body | {"head.weight": state["body.weight"]}
    seed, alone = extract(tied, codec), extract(body, codec)
    assert dict(seed.ties) == {"head.weight": "body.weight"}
    assert [entry.name for entry in seed.entries] == [entry.name for entry in alone.entries]
    made = assemble(seed, rng_seed)
    assert made["head.weight"] is made["body.weight"]
    assert all_bits({name: made[name] for name in body}) == all_bits(assemble(alone, rng_seed))
    with tempfile.TemporaryDirectory() as folder:
        assemble_to(seed, Path(folder) / "tied", rng_seed)
        assemble_to(alone, Path(folder) / "alone", rng_seed)
        tied_bytes, alone_bytes = ((Path(folder) / name).read_bytes() for name in ("tied", "alone"))
    content = 8 + int.from_bytes(alone_bytes[:8], "little")
    assert tied_bytes.endswith(alone_bytes[content:])
    assert len(tied_bytes) - len(alone_bytes) < 100, "a second copy, not a name"
