"""Mimetic initialisation: what attention is set to, as the model itself computes it, and what is left alone.

fresh model -> [mimetic] -> model
"""

import math

import pytest
import torch
from torch import Tensor, nn

from seeds import mimetic as module
from seeds.draw import Draw
from seeds.errors import SeedError
from seeds.measure import MIMETIC, Measure
from seeds.mimetic import mimetic
from seeds.subject import subject
from tests.strategies import all_bits

WIDTH, HEADS, LAYERS = 64, 4, 2
SIDE = WIDTH // HEADS  # columns of one head


def bert(**options) -> nn.Module:
    from transformers import BertConfig, BertModel

    return BertModel(
        BertConfig(
            vocab_size=11, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=24,
            max_position_embeddings=8, **options,
        )
    )  # fmt: skip


def gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2Model

    return GPT2Model(
        GPT2Config(vocab_size=11, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_positions=8, bos_token_id=0, eos_token_id=0)
    )


ATTENTION = {bert: ("self.query.weight", "self.key.weight", "self.value.weight", "attention.output.dense.weight"),
             gpt2: ("attn.c_attn.weight", "attn.c_proj.weight")}  # fmt: skip


def maps(model: nn.Module, layer: int) -> list[Tensor]:
    """What query, key, value and output of a layer make of each unit vector: (inputs, outputs) by the layers' own forward."""
    unit = torch.eye(WIDTH)

    def of(*linears) -> Tensor:
        return torch.cat([linear(unit) - linear(unit * 0) for linear in linears], dim=1)

    with torch.no_grad():
        if hasattr(model, "encoder"):
            attention = model.encoder.layer[layer].attention  # pyright: ignore
            packed = of(attention.self.query, attention.self.key, attention.self.value)
            return [*packed.split(WIDTH, dim=1), of(attention.output.dense)]
        attention = model.h[layer].attn  # pyright: ignore
        return [*of(attention.c_attn).split(WIDTH, dim=1), of(attention.c_proj)]


def is_attention(build, name: str) -> bool:
    return name.endswith(ATTENTION[build])


@pytest.fixture(params=[bert, gpt2], ids=["bert", "gpt2"])
def build(request):
    return request.param


@pytest.mark.parametrize("layer", range(LAYERS))
def test_query_and_key_of_each_head_make_noise_and_an_identity(build, layer):
    """W_Q W_K^T is the best approximation of 0.7 Z + 0.7 I of its rank: its diagonal is clear of the noise beside it."""
    query, key, _, _ = maps(mimetic(build(), 0), layer)
    for head in range(HEADS):
        here = slice(head * SIDE, (head + 1) * SIDE)
        product = query[:, here] @ key[:, here].T
        diagonal, beside = product.diagonal(), product[~torch.eye(WIDTH, dtype=torch.bool)]
        assert diagonal.mean() > 3 * beside.std(), "clear of the noise in a single entry, and so of the mean of 64 by far"
        assert beside.mean().abs() < 5 * beside.std() / WIDTH
        assert torch.linalg.svdvals(product)[SIDE:].max() < 1e-5, "float32 rounding: no rank beyond the head's"


def test_query_and_key_are_the_leading_part_of_a_plain_decomposition(build):
    """A transcription of the formula, by numpy, gives the product of the first head."""
    import numpy as np

    model = mimetic(build(), 3)
    query, key, _, _ = maps(model, 1)
    name = next(name for name, part in model.named_modules() if hasattr(part, "c_attn") or hasattr(part, "self"))
    name = name.replace("0", "1")
    normal = Draw(3, f"{name}.query-key.0").normal((WIDTH, WIDTH), 0.0, 1.0)
    left, values, right = np.linalg.svd(0.7 * normal.astype(float) / math.sqrt(WIDTH) + 0.7 * np.eye(WIDTH))
    plain = left[:, :SIDE] * values[:SIDE] @ right[:SIDE]
    np.testing.assert_allclose((query[:, :SIDE] @ key[:, :SIDE].T).numpy(), plain, rtol=0, atol=1e-5)  # float32 sums


@pytest.mark.parametrize("layer", range(LAYERS))
def test_value_and_output_make_noise_and_a_negative_identity(build, layer):
    """W_V W_proj is 0.4 Z - 0.4 I: mean and spread on and off the diagonal within five standard errors."""
    _, _, value, output = maps(mimetic(build(), 0), layer)
    product = value @ output
    diagonal, beside = product.diagonal(), product[~torch.eye(WIDTH, dtype=torch.bool)]
    spread = 0.4 / math.sqrt(WIDTH)
    assert abs(diagonal.mean() + 0.4) < 5 * spread / math.sqrt(WIDTH)
    assert abs(beside.mean()) < 5 * spread / WIDTH
    assert abs(beside.std() / spread - 1) < 5 / math.sqrt(2) / WIDTH


def test_nothing_else_of_the_model_changes(build):
    """Biases, norms, embeddings and the feed-forward layers keep their bits; every attention matrix gets new ones."""
    model = build()
    before = all_bits(dict(model.state_dict()))
    assert mimetic(model, 0) is model
    after = all_bits(dict(model.state_dict()))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {name for name in before if is_attention(build, name)}
    assert len(changed) == LAYERS * len(ATTENTION[build])


def test_attention_to_another_model_is_left_alone():
    """Cross-attention has no reason to look for its own place."""
    model = bert(is_decoder=True, add_cross_attention=True)
    before = all_bits(dict(model.state_dict()))
    after = all_bits(dict(mimetic(model, 0).state_dict()))
    assert {name for name in before if before[name] != after[name] and "crossattention" in name} == set()


def test_the_same_run_is_the_same_model_and_another_run_another(build):
    """Attention comes from the rng_seed alone, layer by layer and head by head."""
    first, again, other = (mimetic(build(), run) for run in (0, 0, 1))
    for layer in range(LAYERS):
        for one, same, another in zip(*(maps(model, layer) for model in (first, again, other)), strict=True):
            assert torch.equal(one, same)
            assert not torch.isclose(one, another, rtol=1e-3).all()
    query = [maps(first, layer)[0][:, head * SIDE : (head + 1) * SIDE] for layer in range(LAYERS) for head in range(HEADS)]
    assert all(not torch.allclose(query[i], query[j]) for i in range(len(query)) for j in range(i))


def test_a_model_without_attention_is_refused():
    """The message names the model's class and what would do."""
    with pytest.raises(SeedError, match=r"no self-attention in this Sequential; allowed: BERT's or GPT-2's"):
        mimetic(nn.Sequential(nn.Linear(2, 2)), 0)


def test_a_bad_rng_seed_is_refused_before_anything_is_written(build):
    model = build()
    before = all_bits(dict(model.state_dict()))
    with pytest.raises(SeedError, match=r"rng_seed -1 is out of range"):
        mimetic(model, -1)
    assert all_bits(dict(model.state_dict())) == before


@pytest.mark.parametrize("subject_name", ["docs-bert", "docs-gpt"])
def test_the_arm_is_a_fresh_model_with_mimetic_attention(subject_name, tmp_path):
    """Run r of the arm is fresh run r in all but attention."""
    one = subject(subject_name)
    arm, fresh = Measure(tmp_path).model(one, MIMETIC, 5).state_dict(), one.fresh(5).state_dict()
    changed = {name for name in fresh if not torch.equal(arm[name], fresh[name])}
    endings = ATTENTION[bert if "bert" in subject_name else gpt2]
    assert changed == {name for name in fresh if name.endswith(endings)}
    assert changed


def test_the_constants_are_those_of_the_source():
    """Trockman and Kolter 2023: 0.7 and 0.7 for query and key, 0.4 and -0.4 for value and output."""
    assert (module.QUERY_KEY_NOISE, module.QUERY_KEY_IDENTITY) == (0.7, 0.7)
    assert (module.VALUE_OUTPUT_NOISE, module.VALUE_OUTPUT_IDENTITY) == (0.4, -0.4)
