"""Codec specs, and codecs that a user brings.

weights -> extract -> Seed -> store -> assemble -> weights        [one codec all the way]
"""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from seeds import store
from seeds.assemble import assemble
from seeds.codecs import REGISTRY, Codec, parse, register
from seeds.errors import SeedError, StoreError
from seeds.extract import extract
from seeds.seed import Entry, Seed
from tests.strategies import bits


@pytest.mark.parametrize(
    ("text", "name", "keeps_vectors", "draws"),
    [
        ("exact", "exact", True, False),
        ("exact+vectors", "exact", True, False),
        ("zstd", "zstd", False, False),  # its vectors are compressed
        ("zstd+vectors", "zstd", True, False),
        ("float16", "float16", False, False),  # its vectors are halved
        ("float16+vectors", "float16", True, False),
        ("int8", "int8", True, False),
        ("int8+vectors", "int8", True, False),
        ("int4", "int4", True, False),
        ("int4+vectors", "int4", True, False),
        ("moments", "moments", False, True),
        ("moments+vectors", "moments", True, True),
        ("moments:global", "moments", False, True),
        ("moments:global+vectors", "moments", True, True),
        ("pca:3", "pca", False, True),  # its vectors are drawn
        ("pca:3+vectors", "pca", True, False),
        ("pca:3+noise", "pca", False, True),
        ("pca:3+noise+vectors", "pca", True, True),
        ("pca:3+vectors+noise", "pca", True, True),
        ("permuted", "permuted", False, True),
        ("permuted+vectors", "permuted", True, True),
        ("signs", "signs", False, True),  # its vectors are drawn
        ("signs+vectors", "signs", True, False),
        ("spectrum", "spectrum", False, True),
        ("spectrum+vectors", "spectrum", True, True),
        ("covariance", "covariance", False, True),
        ("covariance+vectors", "covariance", True, True),
    ],
)
def test_a_spec_says_its_codec_and_options(text, name, keeps_vectors, draws):
    """Name, whether vectors are kept, and whether assembly depends on the rng_seed."""
    spec = parse(text)
    assert (spec.text, spec.matrices.name, spec.keeps_vectors, spec.draws) == (text, name, keeps_vectors, draws)


def test_arguments_reach_the_codec():
    """Rank and noise of `pca`, the scope of `moments`."""
    noisy, plain, pooling, single = (parse(text).matrices for text in ("pca:12+noise", "pca:7", "moments:global", "moments"))
    assert vars(noisy) == {"rank": 12, "draws": True}
    assert vars(plain) == {"rank": 7, "draws": False}
    assert vars(pooling) == {"is_global": True}
    assert vars(single) == {"is_global": False}


UNKNOWN = ["", "+", ":", "svd", "Moments", "moments ", " moments", "moment", "moments+", "moments+bias", "vectors", "+vectors"]
REPEATED = ["moments+vectors+vectors", "pca:2+noise+noise", "pca:2+noise+vectors+noise"]
MISPLACED = ["noise+pca:2", "pca:2 + noise", "pca:2+8", "pca8"]
BAD_RANKS = ["pca", "pca:", "pca:0", "pca:-3", "pca:two", "pca:2.0", "pca:2:3", "pca+noise"]
BAD_ARGUMENTS = ["moments:", "moments:layer", "exact:", "exact:1", "permuted:", "permuted:3", "signs:1", "spectrum:"]
BAD_ARGUMENTS += ["zstd:3", "float16:", "int8:64", "int4:32"]
BAD_OPTIONS = ["moments+noise", "moments:global+noise", "exact+noise", "permuted+noise", "spectrum+noise", "covariance+noise"]
BAD_OPTIONS += ["zstd+noise", "float16+noise", "int8+noise", "int4+noise+vectors"]


@pytest.mark.parametrize("text", UNKNOWN + REPEATED + MISPLACED)
def test_an_unknown_codec_or_option_is_refused(text):
    """The message holds the spec and every codec that is allowed."""
    with pytest.raises(SeedError) as caught:
        parse(text)
    told = str(caught.value)
    assert f"unknown codec {text!r}" in told
    assert all(codec.forms in told for codec in REGISTRY.values())


@pytest.mark.parametrize("text", BAD_RANKS + BAD_ARGUMENTS + BAD_OPTIONS)
def test_an_argument_out_of_range_is_refused(text):
    """A codec takes its own arguments and options only; the message says how its spec is written."""
    with pytest.raises(SeedError, match="argument or option is missing or out of range; allowed: exact, ") as caught:
        parse(text)
    form = REGISTRY[text.partition("+")[0].partition(":")[0]].forms
    assert str(caught.value).startswith(f"codec {text!r} needs the form {form}: ")


@pytest.mark.parametrize(
    ("codec", "methods"),
    [
        ("exact", {"kernel": "exact", "bias": "exact", "scale": "exact", "steps": "exact"}),
        ("zstd", {"kernel": "zstd", "bias": "zstd", "scale": "zstd", "steps": "exact"}),
        ("zstd+vectors", {"kernel": "zstd", "bias": "exact", "scale": "exact", "steps": "exact"}),
        ("float16", {"kernel": "float16", "bias": "float16", "scale": "float16", "steps": "exact"}),
        ("float16+vectors", {"kernel": "float16", "bias": "exact", "scale": "exact", "steps": "exact"}),
        ("int8", {"kernel": "int8", "bias": "exact", "scale": "exact", "steps": "exact"}),
        ("int4+vectors", {"kernel": "int4", "bias": "exact", "scale": "exact", "steps": "exact"}),
        ("moments", {"kernel": "moments", "bias": "moments", "scale": "moments", "steps": "exact"}),
        ("moments:global+vectors", {"kernel": "moments", "bias": "exact", "scale": "exact", "steps": "exact"}),
        ("pca:1", {"kernel": "pca", "bias": "moments", "scale": "moments", "steps": "exact"}),
        ("pca:1+noise+vectors", {"kernel": "pca", "bias": "exact", "scale": "exact", "steps": "exact"}),
        ("permuted", {"kernel": "permuted", "bias": "permuted", "scale": "permuted", "steps": "exact"}),
        ("signs", {"kernel": "signs", "bias": "moments", "scale": "moments", "steps": "exact"}),
        ("spectrum+vectors", {"kernel": "spectrum", "bias": "exact", "scale": "exact", "steps": "exact"}),
        ("covariance", {"kernel": "covariance", "bias": "moments", "scale": "moments", "steps": "exact"}),
    ],
)
def test_each_tensor_gets_the_codec_that_its_spec_means(codec, methods):
    """Matrices and kernels by the spec, vectors and scalars by their option, integers always exactly."""
    state = {"kernel": torch.rand(3, 2, 2), "bias": torch.rand(3), "scale": torch.tensor(2.0), "steps": torch.arange(4)}
    assert {entry.name: entry.method for entry in extract(state, codec).entries} == methods


ROWS = {
    "int8": {"levels": torch.ones(1, dtype=torch.int8), "scales": torch.ones(1)},
    "signs": {"signs": torch.ones(1, dtype=torch.uint8), "norms": torch.ones(1)},
    "spectrum": {"singular_values": torch.ones(1)},
}


@pytest.mark.parametrize("method", ROWS)
def test_rows_of_a_scalar_are_refused(method):
    """A file by hand may say that a scalar was made by a rule for matrices; the message is that of other wrong parts."""
    with pytest.raises(SeedError, match=rf"tensor 'scale': parts .* do not make {method} \(\)"):
        assemble(Seed(method, (Entry("scale", (), "float32", method, ROWS[method]),)))


class SignCodec(Codec):
    """Keeps the sign of every value, and one magnitude: of the tensor, or (`sign:shared`) of the whole model."""

    name, forms = "sign", "sign, sign:shared"
    draws = False

    def __init__(self, argument: str | None, noise: bool) -> None:
        if argument not in (None, "shared") or noise:
            raise ValueError
        self.is_shared = argument == "shared"

    def encode(self, weight: Tensor):
        magnitude = weight.double().abs().mean().float()
        return {"positive": weight.reshape(-1) >= 0, "magnitude": magnitude}, 0.25

    @staticmethod
    def decode(parts, shape, draw):
        return (parts["positive"].float() * 2 - 1).reshape(shape) * parts["magnitude"]

    def check(self, shapes):
        if len(shapes) > 5:
            raise SeedError(f"{len(shapes)} tensors are too many: 1 to 5")


class HalfCodec(Codec):
    """Keeps nothing of its own: one number for the whole model."""

    name, forms = "half", "half"
    draws = False

    def encode(self, weight: Tensor):
        return {"largest": weight.abs().max().float()}, None

    @staticmethod
    def decode(parts, shape, draw):
        return torch.full(shape, parts["largest"].item() / 2)

    def share(self, parts):
        return {"largest": torch.stack([part["largest"] for part in parts]).max()}


@pytest.fixture
def own_codecs() -> Iterator[None]:
    """Two codecs of a user, known for one test only."""
    known = dict(REGISTRY)
    register(SignCodec)
    register(HalfCodec)
    yield
    REGISTRY.clear()
    REGISTRY.update(known)


@pytest.mark.parametrize(
    ("vectors", "method", "draws"), [("own", "sign", False), ("exact", "exact", False), ("moments", "moments", True)]
)
def test_a_codec_says_what_becomes_of_vectors(own_codecs, monkeypatch, vectors, method, draws):
    """Its own rule, kept, or drawn; `+vectors` keeps them in any case. Drawn ones make assembly random."""
    assert SignCodec.vectors == "moments", "the default, as of all codecs that say nothing"
    monkeypatch.setattr(SignCodec, "vectors", vectors)
    methods = {
        spec: extract({"w": torch.ones(2, 2), "b": torch.ones(2)}, spec).entries[0].method for spec in ("sign", "sign+vectors")
    }
    assert methods == {"sign": method, "sign+vectors": "exact"}
    assert (parse("sign").draws, parse("sign+vectors").draws) == (draws, False)
    assert (parse("sign").keeps_vectors, parse("sign+vectors").keeps_vectors) == (vectors == "exact", True)


@pytest.mark.roundtrip
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_a_codec_of_ones_own_works_end_to_end(own_codecs, tmp_path, dtype):
    """Registered once, it is parsed, extracted, stored, loaded and assembled like the others."""
    weight = torch.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, -3.0]], dtype=dtype)
    seed = extract({"w": weight, "bias": torch.ones(3)}, "sign+vectors")
    store.save(seed, tmp_path / "a.safetensors")
    loaded = store.load(tmp_path / "a.safetensors")
    assert store.to_bytes(loaded) == store.to_bytes(seed)
    made = assemble(loaded)
    assert bits(made["w"]) == bits(weight.sign() * 3)
    assert bits(made["bias"]) == bits(torch.ones(3))
    assert [entry.captured_energy for entry in loaded.entries] == [None, 0.25]
    with pytest.raises(SeedError, match=r"allowed: exact, .*, sign, sign:shared, half; each"):
        parse("nothing")
    with pytest.raises(SeedError, match="'sign:other' needs the form sign, sign:shared: "):
        parse("sign:other")


@pytest.mark.roundtrip
def test_a_model_wide_codec_of_ones_own_shares_its_parts(own_codecs, tmp_path):
    """Parts that `share` returns are stored once, and every tensor without parts of its own is decoded from them."""
    seed = extract({"a": torch.tensor([[1.0, -3.0]]), "b": torch.tensor([[8.0], [2.0]]), "bias": torch.ones(2)}, "half+vectors")
    store.save(seed, tmp_path / "a.safetensors")
    loaded = store.load(tmp_path / "a.safetensors")
    assert [dict(entry.parts) for entry in loaded.entries if entry.method == "half"] == [{}, {}]
    made = assemble(loaded)
    assert torch.equal(made["a"], torch.full((1, 2), 4.0))
    assert torch.equal(made["b"], torch.full((2, 1), 4.0))


def test_a_codec_of_ones_own_may_refuse_a_model(own_codecs):
    """`check` sees the shapes of all tensors before anything is encoded."""
    with pytest.raises(SeedError, match="6 tensors are too many"):
        extract({str(i): torch.ones(2, 2) for i in range(6)}, "sign")


def test_a_seed_of_an_unknown_codec_is_refused_by_name(own_codecs, tmp_path):
    """Where the codec is not registered, the file says which one it needs."""
    store.save(extract({"w": torch.ones(2, 2)}, "sign"), tmp_path / "a.safetensors")
    del REGISTRY["sign"]
    with pytest.raises(StoreError, match=r"needs the codec 'sign'; known: exact, zstd, float16, int8, int4, moments"):
        store.load(tmp_path / "a.safetensors")
