"""Mimetic initialisation: self-attention that starts as pre-trained attention looks, from no weights at all.

    subject -> [fresh, then mimetic] -> evaluate -> verdict

An arm of zero bytes between fresh and assembled models: what of a trained network's attention is the same in all of them
costs nothing to send. For each head, W_Q W_K^T is 0.7 Z + 0.7 I as nearly as its rank allows, and W_V W_proj of all heads is
0.4 Z - 0.4 I, with Z normal of variance 1 / width. This module knows nothing of seeds, codecs or tasks.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seeds.draw import Draw
from seeds.errors import SeedError

QUERY_KEY_NOISE, QUERY_KEY_IDENTITY = 0.7, 0.7
VALUE_OUTPUT_NOISE, VALUE_OUTPUT_IDENTITY = 0.4, -0.4


@dataclass(frozen=True, slots=True)
class _Attention:
    """The matrices of one attention layer as views (inputs, outputs) of the model's weights, each (width, width)."""

    name: str
    heads: int
    query: Tensor
    key: Tensor
    value: Tensor
    output: Tensor


def mimetic(model: nn.Module, rng_seed: int) -> nn.Module:
    """Overwrites the self-attention matrices of a fresh model, in place; biases and all other weights stay as they are.

    The matrices are factors of singular value decompositions: their products are reproducible up to float64 rounding,
    their own bits only on the same CPU level.

    Args:
        model: a transformers model with BERT's attention (query, key, value and output.dense) or GPT-2's (c_attn, c_proj).
        rng_seed: number of the run, 0 to 2**63 - 1.

    Returns:
        The model.

    Raises:
        SeedError: no such attention in the model, or `rng_seed` is out of range.

    Source: Trockman and Kolter 2023, "Mimetic Initialization of Self-Attention Layers", signs and constants as for its vision
    transformers; the attention of pre-trained language models has weaker diagonals, some of the opposite sign.
    """
    layers = list(_attentions(model))
    if not layers:
        raise SeedError(f"no self-attention in this {type(model).__name__}; allowed: BERT's or GPT-2's layers of transformers")
    with torch.no_grad():
        for layer in layers:
            _overwrite(layer, rng_seed)
    return model


def _attentions(model: nn.Module) -> Iterator[_Attention]:
    for name, module in model.named_modules():
        if getattr(module, "is_cross_attention", False) or name.endswith("crossattention"):  # transformers 4 has the name only
            continue
        if hasattr(module, "c_attn") and hasattr(module, "c_proj"):
            yield _of_gpt2(name, module)
        elif hasattr(module, "self") and hasattr(module.self, "query") and hasattr(module, "output"):
            yield _of_bert(name, module)


def _of_gpt2(name: str, module: Any) -> _Attention:
    """Its Conv1D holds (inputs, outputs), and query, key and value side by side."""
    packed = module.c_attn.weight.detach()  # (width, 3 * width)
    query, key, value = packed.split(len(packed), dim=1)
    return _Attention(name, module.num_heads, query, key, value, module.c_proj.weight.detach())


def _of_bert(name: str, module: Any) -> _Attention:
    """Its Linear holds (outputs, inputs)."""
    linears = (module.self.query, module.self.key, module.self.value, module.output.dense)
    return _Attention(name, module.self.num_attention_heads, *(linear.weight.detach().T for linear in linears))


def _overwrite(layer: _Attention, rng_seed: int) -> None:
    width = len(layer.query)
    columns = width // layer.heads
    for head in range(layer.heads):
        draw = Draw(rng_seed, f"{layer.name}.query-key.{head}")
        left, right = _roots(_near_identity(draw, width, QUERY_KEY_NOISE, QUERY_KEY_IDENTITY))
        here = slice(head * columns, (head + 1) * columns)
        layer.query[:, here] = left[:, :columns]
        layer.key[:, here] = right[:, :columns]
    draw = Draw(rng_seed, f"{layer.name}.value-output")
    left, right = _roots(_near_identity(draw, width, VALUE_OUTPUT_NOISE, VALUE_OUTPUT_IDENTITY))
    layer.value.copy_(left)
    layer.output.copy_(right.T)


def _near_identity(draw: Draw, width: int, noise: float, identity: float) -> Tensor:
    """`noise` * Z + `identity` * I with Z normal of variance 1 / width: (width, width) float64."""
    values = torch.from_numpy(draw.normal((width, width), 0.0, 1.0)).double()
    return noise / math.sqrt(width) * values + identity * torch.eye(width, dtype=torch.float64)


def _roots(product: Tensor) -> tuple[Tensor, Tensor]:
    """Left and right singular vectors times the roots of the singular values, the largest first: left @ right.T = `product`."""
    left, values, right = torch.linalg.svd(product)
    roots = values.sqrt()
    return left * roots, right.T * roots
