"""Extraction: every source gives the same seed, and what cannot become one is refused by name.

[weights] -> extract -> Seed
"""

import itertools
import json
import math
import tempfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from seeds import moments, store
from seeds.assemble import assemble
from seeds.codecs import REGISTRY, Codec
from seeds.errors import SeedError
from seeds.extract import SLAB_BYTES, SMALL_BYTES, extract
from tests.strategies import CODECS, FLOATS, all_bits, bits, specs, states

INDEX = "model.safetensors.index.json"


def on_disk(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What safetensors accepts: contiguous, and no two names with the same memory."""
    return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}


def save_shards(state: dict[str, Tensor], folder: Path, count: int) -> Path:
    """A sharded model: every `count`-th tensor in the same file, and the index."""
    shards = [f"model-{i + 1:05}-of-{count:05}.safetensors" for i in range(count)]
    places = {name: shards[i % count] for i, name in enumerate(state)}
    for shard in set(places.values()):
        safetensors.torch.save_file({n: t for n, t in state.items() if places[n] == shard}, folder / shard)
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": places}))
    return folder / INDEX


@pytest.mark.roundtrip
@given(states(ties=False), specs(), st.integers(1, 3))
def test_a_file_and_shards_give_the_seed_of_the_state_dict(state, codec, count):
    """Streaming from disk changes no bit: file, index, and folder with either."""
    expected = store.to_bytes(extract(state, codec))
    stored = on_disk(state)
    with tempfile.TemporaryDirectory() as name:
        whole, sharded = Path(name) / "whole", Path(name) / "sharded"
        whole.mkdir()
        sharded.mkdir()
        safetensors.torch.save_file(stored, whole / "model.safetensors")
        index = save_shards(stored, sharded, count)
        for source in (whole / "model.safetensors", str(whole / "model.safetensors"), whole, index, sharded):
            assert store.to_bytes(extract(source, codec)) == expected, source


@pytest.mark.roundtrip
@pytest.mark.parametrize("codec", CODECS)
def test_the_seed_does_not_depend_on_where_the_weights_lie(codec):
    """A mapped file starts at any address, and vectorised sums where one is aligned; a transposed view has other strides."""
    shape = (211, 331)
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    memory = torch.empty(values.numel() + 16)
    expected = store.to_bytes(extract({"w": values, "b": values[0].clone()}, codec))
    assert store.to_bytes(extract({"w": values.T.contiguous().T, "b": values[0].clone()}, codec)) == expected
    for offset in (1, 2, 4, 8, 15):
        placed = memory[offset:][: values.numel()].view(shape).copy_(values)
        assert store.to_bytes(extract({"w": placed, "b": placed[0]}, codec)) == expected


@pytest.mark.roundtrip
@given(states(), specs())
def test_extraction_leaves_the_weights_as_they_were(state, codec):
    """No codec writes into the model that it reads, and the seed does not change when the model does."""
    before = all_bits(state)
    seed = extract(state, codec)
    assert all_bits(state) == before
    kept = store.to_bytes(seed)
    for tensor in state.values():
        tensor.zero_()
    assert store.to_bytes(seed) == kept


class Small(nn.Module):
    """A kernel, a vector, a tied pair, an integer buffer and a buffer that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 2)
        self.first = nn.Linear(5, 4, bias=False)
        self.second = nn.Linear(5, 4, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("steps", torch.tensor(7))
        self.register_buffer("cache", torch.zeros(3), persistent=False)


@pytest.mark.parametrize("codec", ["exact", "moments", "moments:global", "pca:2", "permuted+vectors"])
def test_a_module_gives_the_seed_of_its_state_dict(codec):
    """Same entries, same ties; buffers that the state dict leaves out stay out."""
    model = Small()
    seed = extract(model, codec)
    assert store.to_bytes(seed) == store.to_bytes(extract(model.state_dict(), codec))
    assert [entry.name for entry in seed.entries] == ["conv.bias", "conv.weight", "first.weight", "steps"]
    assert dict(seed.ties) == {"second.weight": "first.weight"}
    assert seed.parameters == 6 + 72 + 20 + 1


def test_only_tensors_that_are_one_are_tied():
    """Equal values, a part of the same memory, and another shape or stride of it are tensors of their own."""
    memory = torch.arange(9.0).reshape(3, 3)
    state = {"a": memory, "copy": memory.clone(), "part": memory[:2], "flat": memory.view(9), "turned": memory.T, "tie": memory}
    seed = extract(state | {"empty": torch.empty(0), "empty too": torch.empty(0)}, "exact")
    assert dict(seed.ties) == {"tie": "a"}
    made = assemble(seed)
    assert all(bits(made[name]) == bits(tensor) for name, tensor in state.items())


@pytest.mark.parametrize("codec", [*CODECS, "pca:2+vectors"])
def test_assembled_tensors_have_the_dtype_and_shape_of_the_source(codec):
    """All float dtypes, kernels, vectors and scalars, through every codec."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"kernel": (4, 3, 3, 3), "signal": (4, 3, 3), "weight": (5, 4), "bias": (5,), "scale": ()}
    state = {f"{n} {dtype}": torch.randn(s, generator=generator).to(dtype) for n, s in shapes.items() for dtype in FLOATS}
    made = assemble(extract(state, codec))
    assert {name: (t.shape, t.dtype) for name, t in made.items()} == {name: (t.shape, t.dtype) for name, t in state.items()}


@pytest.mark.roundtrip
@given(states(), specs(), st.sampled_from((8, 64, 500)))
def test_what_waits_on_the_shelf_comes_back_as_it_was(state, codec, slab_bytes):
    """Slabs for one array or for a few: not a byte of the seed is other than when every array is left where it was made."""
    made = []
    for slab, small in ((SLAB_BYTES, 0), (slab_bytes, slab_bytes), (SLAB_BYTES, SMALL_BYTES)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("seeds.extract.SLAB_BYTES", slab)
            patch.setattr("seeds.extract.SMALL_BYTES", small)
            made.append(extract(state, codec))
    assert store.to_bytes(made[0]) == store.to_bytes(made[1]) == store.to_bytes(made[2])
    parts = [part for seed in made for entry in seed.entries for part in entry.parts.values()]
    assert all(part.untyped_storage().nbytes() == part.nbytes for part in parts), "a part keeps a slab alive"


NUMBERS = {"half": torch.tensor(-0.0, dtype=torch.bfloat16), "double": torch.tensor(0.1, dtype=torch.float64)}
NUMBERS |= {"count": torch.tensor(3, dtype=torch.int32), "flag": torch.tensor(True)}


class NumbersCodec(Codec):
    name, forms = "numbers", "numbers"

    def encode(self, weight):
        return NUMBERS, None

    @staticmethod
    def decode(parts, shape, draw):
        return torch.zeros(shape)


def test_numbers_keep_their_dtype_on_the_shelf(monkeypatch):
    """A codec of one's own may keep numbers of any kind."""
    monkeypatch.setitem(REGISTRY, NumbersCodec.name, NumbersCodec)
    (entry,) = extract({"w": torch.ones(2, 2)}, "numbers").entries
    assert {name: bits(part) for name, part in entry.parts.items()} == {name: bits(part) for name, part in NUMBERS.items()}


@pytest.mark.parametrize("codec", CODECS)
def test_buffers_are_kept_exactly(codec):
    """Positions, masks and counters are no weights: every codec keeps each of their values."""
    dtypes = (torch.bool, torch.uint8, torch.int8, torch.int32, torch.int64, torch.complex64)
    buffers = {f"matrix {dtype}": torch.arange(12).reshape(3, 4).to(dtype) for dtype in dtypes}
    buffers |= {f"scalar {dtype}": torch.tensor(1).to(dtype) for dtype in dtypes}
    made = assemble(extract({"w": torch.rand(3, 3)} | buffers, codec))
    assert {name: bits(made[name]) for name in buffers} == all_bits(buffers)


@pytest.mark.parametrize("codec", CODECS)
def test_empty_tensors_come_back_empty(codec):
    """A tensor without values is no reason to refuse a model."""
    empty = {str(shape): torch.empty(shape) for shape in ((0,), (0, 3), (3, 0), (2, 0, 3))}
    made = assemble(extract({"w": torch.rand(3, 3)} | empty, codec))
    assert {name: made[name].shape for name in empty} == {name: tensor.shape for name, tensor in empty.items()}


def test_a_kernel_is_reduced_as_outputs_by_the_rest():
    """A convolution of rank 1 across its outputs is rebuilt by one component, whatever its other sides."""
    kernel = torch.outer(torch.arange(1.0, 5.0), torch.arange(12.0)).reshape(4, 3, 2, 2)
    (entry,) = extract({"kernel": kernel}, "pca:1").entries
    assert entry.parts["components"].shape == (1, 12)
    assert entry.captured_energy == pytest.approx(1.0, abs=1e-12)  # of float64: three roundings of an exact rank 1


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_values_that_are_not_finite_are_refused(codec, dtype):
    """The error names the tensor and counts them, in a matrix as in a vector."""
    for name, bad in itertools.product(("body.weight", "body.bias"), (math.nan, math.inf, -math.inf)):
        state = {"body.weight": torch.rand(3, 4).to(dtype), "body.bias": torch.rand(5).to(dtype)}
        state[name].view(-1)[2] = bad
        with pytest.raises(SeedError, match=f"'{name}': weights must be finite; 1 of .* are NaN or infinite"):
            extract(state, codec)


@pytest.mark.parametrize("codec", CODECS)
def test_infinities_of_both_signs_in_different_chunks_are_refused(codec, monkeypatch):
    """Their sum is no number, in float64 neither: the same error as for one."""
    monkeypatch.setattr(moments, "CHUNK", 4)
    weight = torch.ones(4, 4)
    weight[0, 0], weight[3, 3] = math.inf, -math.inf
    with pytest.raises(SeedError, match="2 of 16 values are NaN or infinite"):
        extract({"w": weight}, codec)


@pytest.mark.parametrize("codec", ["moments", "pca:1"])
def test_float64_weights_beyond_float32_are_refused(codec):
    """A seed holds float32: what does not fit is told, not stored as infinity."""
    ones = torch.ones(600, 600, dtype=torch.float64)  # more than one chunk, so that sums of the last value overflow float64
    for value in (1e39, 1e300, 1.7e308):
        with pytest.raises(SeedError, match="range of float32"):
            extract({"w": ones * value}, codec)


SOURCES = {
    "empty state dict": (dict, "no tensors in this dict"),
    "module without weights": (nn.ReLU, "no tensors in this ReLU"),
    "a number in it": (lambda: {"a": 5}, "'a' is a int; a state dict for extraction holds tensors only"),
    "meta tensor": (lambda: {"a": torch.empty(3, device="meta")}, "'a' is on the meta device"),
    "meta module": (lambda: nn.Linear(2, 2).to("meta"), "'weight' is on the meta device"),
    "list": (lambda: [torch.zeros(3)], "cannot extract from list; allowed: a module, a state dict, a path"),
    "nothing": (lambda: None, "cannot extract from NoneType"),
}


@pytest.mark.parametrize(("make", "told"), SOURCES.values(), ids=SOURCES)
def test_sources_without_weights_are_refused(make, told):
    """The message says what was given and what is allowed."""
    with pytest.raises(SeedError, match=told):
        extract(make(), "exact")


FILES = {
    "no file": ({}, "no such file: .*model.safetensors; allowed"),
    "not safetensors": ({"model.safetensors": b"\x80\x04pickle"}, "no readable .safetensors file"),
    "an empty file": ({"model.safetensors": b""}, "no readable .safetensors file"),
    "no tensors": ({"model.safetensors": safetensors.torch.save({})}, "no tensors in"),
    "index without shards": ({INDEX: b'{"weight_map": {}}'}, "no tensors in"),
    "index without map": ({INDEX: b"{}"}, "needs a 'weight_map'"),
    "index of a list": ({INDEX: b'{"weight_map": ["a"]}'}, "needs a 'weight_map'"),
    "index that is no JSON": ({INDEX: b"{"}, "needs a 'weight_map'"),
    "index that is no text": ({INDEX: b"\xff\xfe\xfd"}, "needs a 'weight_map'"),
    "index of deep JSON": ({INDEX: b"[" * 200_000}, "needs a 'weight_map'"),
    "index naming a number": ({INDEX: b'{"weight_map": {"a": 5}}'}, "index.json"),
    "index naming nothing": ({INDEX: b'{"weight_map": {"a": ""}}'}, "names the shard ''"),
    "index naming its folder": ({INDEX: b'{"weight_map": {"a": ".."}}'}, "names the shard '..'"),
    "index naming a file outside": (
        {INDEX: b'{"weight_map": {"a": "../x"}}'},
        "names the shard '../x'; allowed: a file beside",
    ),
    "index naming a missing shard": ({INDEX: b'{"weight_map": {"a": "b.safetensors"}}'}, "names the shard 'b.safetensors'"),
}


@pytest.mark.parametrize(("files", "told"), FILES.values(), ids=FILES)
def test_files_that_hold_no_model_are_refused(files, told, tmp_path):
    """Nothing but `SeedError` gets out, and it names the file; a shard outside the folder is not read."""
    safetensors.torch.save_file({"a": torch.ones(2)}, tmp_path / "x")
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with pytest.raises(SeedError, match=told):
        extract(folder, "exact")


def test_a_tensor_that_the_index_promises_is_missed(tmp_path):
    """A shard without the tensor that the index places there is an incomplete model, not a smaller one."""
    index = save_shards({"a": torch.ones(2), "b": torch.ones(3)}, tmp_path, 1)
    table = json.loads(index.read_text())
    table["weight_map"]["c"] = table["weight_map"]["a"]
    index.write_text(json.dumps(table))
    with pytest.raises(SeedError, match="'c'"):
        extract(index, "exact")


def test_the_index_decides_which_shard_a_tensor_comes_from(tmp_path):
    """A second copy of a tensor in another shard is not part of the model, and no tensor is there twice."""
    index = save_shards({"a": torch.ones(2), "b": torch.ones(3)}, tmp_path, 2)
    places = json.loads(index.read_text())["weight_map"]
    for name, other in (("a", places["b"]), ("b", places["a"])):
        held = safetensors.torch.load_file(tmp_path / other)
        safetensors.torch.save_file(held | {name: torch.zeros(9)}, tmp_path / other)
    entries = extract(index, "exact").entries
    assert [(entry.name, entry.shape) for entry in entries] == [("a", (2,)), ("b", (3,))]


@pytest.mark.parametrize("rank", ["0", "-1", "x", "", "1.5", "nan", "9" * 5000])
def test_a_rank_that_is_no_positive_number_is_refused(rank):
    """The message holds the spec and what is allowed."""
    with pytest.raises(SeedError, match=r"(?s)codec 'pca:.*out of range; allowed: exact, .*pca:K"):
        extract({"w": torch.rand(4, 4)}, f"pca:{rank}")


def test_a_rank_above_the_largest_side_is_refused_and_one_above_a_smaller_side_is_cut():
    """The limit is the smaller side of the largest matrix or kernel (outputs by the rest); smaller ones keep all they have."""
    state = {"small": torch.rand(2, 9), "kernel": torch.rand(7, 1, 5, 1), "bias": torch.rand(50)}
    with pytest.raises(SeedError, match="rank 6 is out of range: 1 to 5"):
        extract(state, "pca:6")
    ranks = {e.name: len(e.parts["components"]) for e in extract(state, "pca:5").entries if e.method == "pca"}
    assert ranks == {"kernel": 5, "small": 2}


@pytest.mark.roundtrip
@given(states(), st.booleans())
def test_global_moments_are_those_of_the_concatenation(state, keeps_vectors):
    """One mean and one standard deviation for all weights together; tied ones count once, buffers never."""
    seed = extract(state, "moments:global" + "+vectors" * keeps_vectors)
    drawn = [
        t for n, t in state.items() if n != "head.weight" and t.is_floating_point() and t.ndim >= (2 if keeps_vectors else 0)
    ]
    values = torch.cat([tensor.double().reshape(-1) for tensor in drawn])
    spread = values.std(correction=0).item()
    # float32 of each part's two moments, up to 6 here, then of the whole: 2**-24 of 6 three times, and as much in float32 sums
    allowed = 6 * 6 * 2.0**-24
    assert seed.shared["mean"].item() == pytest.approx(values.mean().item(), rel=0, abs=allowed)
    assert seed.shared["std"].item() == pytest.approx(spread, rel=0, abs=allowed * max(1.0, 6 / spread))
    assert all(not entry.parts for entry in seed.entries if entry.method == "moments")
