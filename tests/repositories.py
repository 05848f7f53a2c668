"""Tiny models, published in the layout of a hub's local cache, as the real ones are."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from seeds.hub import BERT_TINY, GPT2, WEIGHTS
from seeds.library.training import rng

MODELS = {"gpt2": GPT2, "bert-tiny": BERT_TINY}


def tiny(name: str, rng_seed: int = 0) -> nn.Module:
    """With the heads that the published files come with, GPT-2's tied one and BERT's of pre-training; no tensor is constant."""
    from transformers import BertForPreTraining, GPT2Config, GPT2LMHeadModel

    with rng(rng_seed):
        if name == "gpt2":
            config = GPT2Config(vocab_size=40, n_positions=16, n_embd=8, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=1)
            model = GPT2LMHeadModel(config)
        else:
            model = BertForPreTraining(small_bert())
        for weight in model.parameters():
            nn.init.normal_(weight, std=0.3)
    return model.eval()


def small_bert():
    from transformers import BertConfig

    return BertConfig(
        vocab_size=40, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12,
        max_position_embeddings=16,
    )  # fmt: skip


def body(model: nn.Module) -> nn.Module:
    return model.base_model  # pyright: ignore[reportReturnType]


def repository(folder: Path, hub_id: str, commit: str, main: bool = True) -> Path:
    """The snapshot folder of a commit, which `main` points to unless it is pinned only."""
    there = folder / f"models--{hub_id.replace('/', '--')}"
    snapshot = there / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (there / "refs").mkdir(exist_ok=True)
    if main:
        (there / "refs" / "main").write_text(commit)
    return snapshot


def published(model: nn.Module, snapshot: Path) -> nn.Module:
    """Saves a model as the real repositories hold theirs, and returns its body.

    GPT-2's file has bare names and the masks that are no weights; BERT's has heads, and a configuration without a type.
    """
    model.save_pretrained(snapshot)  # pyright: ignore[reportCallIssue]
    if type(model).__name__.startswith("GPT2"):
        masks = {f"h.{layer}.attn.bias": torch.ones(1, 1, 16, 16).tril() for layer in range(2)}
        save_file(body(model).state_dict() | masks, snapshot / WEIGHTS, {"format": "pt"})
    else:
        config = json.loads((snapshot / "config.json").read_text())
        del config["model_type"], config["architectures"]
        (snapshot / "config.json").write_text(json.dumps(config))
    return body(model)


def same(found, expected) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)
