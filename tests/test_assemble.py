"""Assembly: what is drawn, what is drawn alike everywhere, and what a module gets.

Seed -> [assemble] -> weights
"""

import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import seeds
from seeds import store
from seeds.assemble import assemble
from seeds.codecs import moments_parts
from seeds.errors import SeedError
from seeds.extract import extract
from seeds.moments import Moments
from seeds.seed import Entry, Seed
from tests.strategies import all_bits, bits, rng_seeds, specs, states

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())
FRAME = (  # thirds of the grid in `by_hand` as planes, compressed by zstandard 0.25
    "28b52ffd243cf0000020150b00ebd5c0ab9580552b00ab2b002bab002b558095abc0d5eb"
    "000b15b4000070bfbfbfbfbebdbd003d3d3e3f3f3f020080140268010100007f71a9a8"
)
TAIL = 17.0  # exp(-17) = 4e-8 a side: two sides of two moments miss in fewer than 2e-7 of the examples
Z = 5.5  # normal quantile of the same 4e-8, two-sided


@pytest.mark.roundtrip
@given(
    shape=st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple),
    mean=st.floats(-1e4, 1e4, width=32),
    exponent=st.integers(-20, 20),
    dtype=st.sampled_from(("float32", "float64")),
    rng_seed=rng_seeds,
)
def test_drawn_moments_lie_within_their_sampling_error(shape, mean, exponent, dtype, rng_seed):
    """Mean and spread of assembled tensors are those of the seed, up to what their size allows."""
    std, count = 2.0**exponent, math.prod(shape)
    entry = Entry("w", shape, dtype, "moments", moments_parts(Moments(mean, std, count)))
    values = assemble(Seed("moments", (entry,)), rng_seed)["w"].double().numpy()
    # normal values of float32: product and sum are rounded once each, to 2**-24 of a magnitude of at most |mean| + 6 std
    rounding = 2.0**-23 * (abs(mean) + 6 * std)
    assert abs(values.mean() - mean) <= Z * std / math.sqrt(count) + rounding
    # sum of squares / std**2 is chi-squared with count - 1 degrees of freedom; tails by Laurent and Massart 2000, lemma 1
    free = count - 1
    low, high = free - 2 * math.sqrt(free * TAIL), free + 2 * math.sqrt(free * TAIL) + 2 * TAIL
    assert std * math.sqrt(max(0.0, low) / count) - rounding <= values.std() <= std * math.sqrt(high / count) + rounding


@pytest.mark.roundtrip
@given(states(), rng_seeds)
def test_permuted_tensors_hold_exactly_the_values_of_the_original(state, rng_seed):
    """Same multiset, to the bit: only the places differ."""
    made = assemble(extract(state, "permuted"), rng_seed)
    for name, tensor in state.items():
        width = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
        original, permuted = (t.contiguous().reshape(-1).view(width).sort().values for t in (tensor, made[name]))
        assert torch.equal(original, permuted), name
        assert made[name].shape == tensor.shape


@pytest.mark.roundtrip
@given(states(), specs(), rng_seeds)
def test_the_same_rng_seed_gives_the_same_bits(state, codec, rng_seed):
    """Assembly has no other source of randomness, and the order of the state dict means nothing."""
    made = assemble(extract(state, codec), rng_seed)
    mixed = {name: state[name] for name in sorted(state, reverse=True) if name != "head.weight"}
    again = assemble(extract(mixed, codec), rng_seed)
    assert all_bits(again) == {name: found for name, found in all_bits(made).items() if name != "head.weight"}


@pytest.mark.roundtrip
@given(
    state=states(ties=False),
    codec=specs(("exact", "moments", "pca:1", "pca:2+noise", "permuted")),  # moments:global pools all of them by design
    rng_seed=rng_seeds,
    data=st.data(),
)
def test_a_tensor_does_not_depend_on_the_others(state, codec, rng_seed, data):
    """Taking one tensor out of the model leaves the bits of all others as they were."""
    made = assemble(extract(state, codec), rng_seed)
    absent = data.draw(st.sampled_from(sorted(set(state) - {"body.weight"})))
    fewer = assemble(extract({name: tensor for name, tensor in state.items() if name != absent}, codec), rng_seed)
    assert all_bits(fewer) == {name: found for name, found in all_bits(made).items() if name != absent}


@pytest.mark.roundtrip
@pytest.mark.parametrize("codec", ["moments", "moments:global", "pca:2+noise", "permuted"])
@given(first=rng_seeds, second=rng_seeds)
def test_another_rng_seed_and_another_name_give_other_bits(codec, first, second):
    """Each (rng_seed, tensor name) has a stream of its own: 64 values agree in one of 10**80 cases."""
    weight = (torch.arange(64.0) ** 3 % 61).reshape(8, 8)  # of full rank, so that two components leave a residual
    seed = extract({"a": weight, "b": weight.clone()}, codec)
    one, other = assemble(seed, first), assemble(seed, second)
    assert not torch.equal(one["a"], one["b"])
    assert torch.equal(one["a"], other["a"]) == (first == second)


@pytest.mark.parametrize("rng_seed", [-1, 2**63, 1.0, True, None, "1", np.int64(3)], ids=repr)
def test_a_bad_rng_seed_is_refused_before_anything_is_written(rng_seed):
    """The message holds the value and the range; the module stays as it was."""
    model = nn.Linear(3, 2)
    before = all_bits(dict(model.state_dict()))
    with pytest.raises(SeedError, match=r"rng_seed .* is out of range: an integer from 0 to"):
        assemble(extract(nn.Linear(3, 2), "moments"), rng_seed, into=model)
    assert all_bits(dict(model.state_dict())) == before


def by_hand() -> dict[str, Seed]:
    """Small seeds whose parts are literals, so that no eigensolver has a say in the bits of their weights."""
    grid = torch.arange(-15.0, 15.0) / 8
    pca = {"mean": grid[:5] / 3, "components": grid[:10].reshape(2, 5) / 4, "scores": grid[10:22].reshape(6, 2)}
    noisy = pca | {"residual_std": torch.tensor(0.05)}
    vector = Entry("norm.bias", (7,), "bfloat16", "moments", moments_parts(Moments(-0.3, 0.7, 7)))
    matrix = Entry("body.weight", (33, 17), "float32", "moments", moments_parts(Moments(0.01, 0.02, 561)))
    kernel = Entry("conv.weight", (4, 3, 2, 2), "float16", "moments", moments_parts(Moments(1.5, 0.25, 48)))
    buffer = Entry("positions", (3,), "int64", "exact", {"values": torch.tensor([2, 0, 1])})
    sorted_values = Entry("body.weight", (6, 5), "float32", "permuted", {"sorted": grid})
    levels, thirds = (grid * 8).to(torch.int8), grid[20:26] / 3  # a product of both is rounded
    eighths = Entry("body.weight", (6, 5), "float32", "int8", {"levels": levels * 8, "scales": thirds})
    pairs = levels[15:].view(torch.uint8) * 17
    nibbles = Entry("conv.weight", (6, 5, 1), "float16", "int4", {"levels": pairs, "scales": thirds})
    halves = Entry("body.weight", (6, 5), "float64", "float16", {"halves": (grid / 3).half()})
    planes = torch.tensor(list(bytes.fromhex(FRAME)), dtype=torch.uint8)
    frame = Entry("body.weight", (6, 5), "bfloat16", "zstd", {"planes:bfloat16": planes})
    shared = tuple(Entry(e.name, e.shape, e.dtype, "moments", {}) for e in (matrix, kernel, vector))
    return {
        "moments": Seed("moments", (matrix, kernel, vector, buffer)),
        "moments:global": Seed("moments:global", shared, shared=moments_parts(Moments(0.125, 3.0, 616))),
        "pca:2": Seed("pca:2", (Entry("body.weight", (6, 5), "float32", "pca", pca, 0.5), vector)),
        "pca:2+noise": Seed("pca:2+noise", (Entry("body.weight", (6, 5), "float32", "pca", noisy, 0.5), vector)),
        "permuted": Seed("permuted", (sorted_values, vector)),
        "int8": Seed("int8", (eighths,)),
        "int4": Seed("int4", (nibbles,)),
        "float16": Seed("float16", (halves,)),
        "zstd": Seed("zstd", (frame,)),
    }


def fingerprint(state: dict[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        dtype, shape, raw = bits(state[name])
        digest.update(f"{name} {dtype} {shape} ".encode() + raw)
    return digest.hexdigest()


@pytest.mark.roundtrip
@pytest.mark.parametrize("codec", sorted(GOLDEN))
def test_assembled_bits_are_the_golden_ones(codec):
    """The weights of a seed file never change between versions of this package, of numpy or of torch."""
    assert fingerprint(assemble(by_hand()[codec], rng_seed=7)) == GOLDEN[codec]


@pytest.mark.roundtrip
def test_assembled_bits_do_not_depend_on_threads_or_cpu_level(tmp_path):
    """Another process with two threads and torch's oldest instruction set finds the golden bits too."""
    for number, codec in enumerate(sorted(GOLDEN)):
        store.save(by_hand()[codec], tmp_path / f"{number}.safetensors")
    script = (
        "import sys, pathlib, safetensors.torch\n"
        "from seeds.assemble import assemble\n"
        "from seeds.store import load\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).glob('?.safetensors')):\n"
        "    state = assemble(load(path), rng_seed=7)\n"
        "    safetensors.torch.save_file(state, path.with_suffix('.weights'))\n"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "2", "ATEN_CPU_CAPABILITY": "default"}
    environment["PYTHONPATH"] = str(Path(str(seeds.__file__)).parents[1])
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=environment, check=True, timeout=120)
    import safetensors.torch

    for number, codec in enumerate(sorted(GOLDEN)):
        assert fingerprint(safetensors.torch.load_file(tmp_path / f"{number}.weights")) == GOLDEN[codec], codec


def test_golden_seeds_cover_every_drawing_codec():
    """No golden hash without a seed, no seed by hand without a hash."""
    assert sorted(by_hand()) == sorted(GOLDEN)


class Tied(nn.Module):
    """An embedding and a head that share their weight, a norm, and an integer buffer."""

    def __init__(self, tied: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 4)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 11, bias=False)
        self.positions: Tensor
        self.register_buffer("positions", torch.arange(5))
        if tied:
            self.head.weight = self.embedding.weight


@pytest.mark.roundtrip
@pytest.mark.parametrize("codec", ["exact", "moments", "pca:2", "pca:2+noise+vectors", "permuted"])
def test_a_module_takes_the_assembled_weights_and_stays_tied(codec):
    """`into` gives the module the bits that assembly without a module returns, and returns its own state dict."""
    seed = extract(Tied(), codec)
    assert dict(seed.ties) == {"head.weight": "embedding.weight"}
    model = Tied()
    returned = assemble(seed, 3, into=model)
    assert all_bits(dict(model.state_dict())) == all_bits(assemble(seed, 3)) == all_bits(dict(returned))
    assert model.head.weight is model.embedding.weight
    assert returned["head.weight"].data_ptr() == model.head.weight.data_ptr()
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_module_without_the_tie_takes_both_copies():
    """Names that are tied in the seed get equal weights where the module keeps them apart."""
    model = Tied(tied=False)
    assemble(extract(Tied(), "moments"), into=model)
    assert torch.equal(model.head.weight, model.embedding.weight)
    assert model.head.weight is not model.embedding.weight


def test_tied_names_hold_the_same_tensor():
    """Without a module, the returned state dict has the ties of the source."""
    made = assemble(extract(Tied(), "moments"))
    assert made["head.weight"] is made["embedding.weight"]


def shape_differs() -> tuple[nn.Module, str]:
    model = Tied()
    model.norm = nn.LayerNorm(6)
    return model, r"norm\.bias: \(4,\) in the seed, \(6,\) in the model"


def name_is_missing() -> tuple[nn.Module, str]:
    model = Tied()
    del model.norm
    return model, r"not in the model: norm\.bias, norm\.weight \(2\)"


def name_is_new() -> tuple[nn.Module, str]:
    model = Tied()
    model.extra = nn.Linear(2, 3)
    return model, r"not in the seed: extra\.bias, extra\.weight \(2\)"


def tied_shape_differs() -> tuple[nn.Module, str]:
    model = Tied(tied=False)
    model.head = nn.Linear(4, 12, bias=False)
    return model, r"head\.weight: \(11, 4\) in the seed, \(12, 4\) in the model"


def tied_shape_can_be_broadcast() -> tuple[nn.Module, str]:
    model = Tied(tied=False)
    model.head.weight = nn.Parameter(torch.zeros(2, 11, 4))
    return model, r"head\.weight: \(11, 4\) in the seed, \(2, 11, 4\) in the model"


def without_memory() -> tuple[nn.Module, str]:
    return Tied().to("meta"), "meta"


@pytest.mark.parametrize(
    "misfit", [shape_differs, name_is_missing, name_is_new, tied_shape_differs, tied_shape_can_be_broadcast, without_memory]
)
def test_a_module_that_does_not_fit_is_left_as_it_was(misfit):
    """All or nothing: one wrong name or shape is named, and no tensor of the module changes."""
    model, told = misfit()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(SeedError, match=told):
        assemble(extract(Tied(), "moments"), into=model)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(tensor.is_meta or bits(after[name]) == bits(tensor) for name, tensor in before.items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("codec", ["moments", "pca:2+noise"])
def test_assembled_weights_stay_within_the_range_of_their_dtype(codec, dtype):
    """A normal value beyond the largest number of the dtype becomes that number, not infinity."""
    largest = min(torch.finfo(dtype).max, torch.finfo(torch.float32).max) * 0.9
    pattern = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(16, 16)  # rank 1, scores of 16 entries would leave float32
    weight = pattern * (largest / 32 if codec.startswith("pca") else largest)
    entry_std = 0.9 * largest  # noise that leaves the range in a third of the entries
    seed = extract({"body": weight.to(dtype)}, codec)
    if codec.startswith("pca"):
        (entry,) = seed.entries
        parts = dict(entry.parts) | {"residual_std": torch.tensor(entry_std)}
        seed = Seed(codec, (Entry(entry.name, entry.shape, entry.dtype, entry.method, parts, entry.captured_energy),))
    made = assemble(seed)["body"]
    assert made.dtype == dtype
    assert torch.isfinite(made).all()
