"""Assembly: what a rng_seed decides, and what a module gets.

Seed -> [assemble] -> weights
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor, nn

from seeds.assemble import assemble
from seeds.errors import SeedError
from seeds.extract import extract
from seeds.seed import Entry, Seed
from tests.strategies import all_bits, bits, rng_seeds, specs, states


@pytest.mark.roundtrip
@given(states(), specs(), rng_seeds)
def test_the_same_rng_seed_gives_the_same_bits(state, codec, rng_seed):
    """Assembly has no other source of randomness, and the order of the state dict means nothing."""
    made = assemble(extract(state, codec), rng_seed)
    mixed = {name: state[name] for name in sorted(state, reverse=True) if name != "head.weight"}
    again = assemble(extract(mixed, codec), rng_seed)
    assert all_bits(again) == {name: found for name, found in all_bits(made).items() if name != "head.weight"}


@pytest.mark.parametrize("rng_seed", [-1, 2**63, 1.0, True, None, "1", np.int64(3)], ids=repr)
def test_a_bad_rng_seed_is_refused_before_anything_is_written(rng_seed):
    """The message holds the value and the range; the module stays as it was."""
    model = nn.Linear(3, 2)
    before = all_bits(dict(model.state_dict()))
    with pytest.raises(SeedError, match=r"rng_seed .* is out of range: an integer from 0 to"):
        assemble(extract(nn.Linear(3, 2), "moments"), rng_seed, into=model)
    assert all_bits(dict(model.state_dict())) == before


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
