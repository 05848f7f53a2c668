"""docs-gpt: a GPT-2 language model of scientific documentation (0.67M parameters), trained from random init."""

import torch
from torch import Tensor, nn

from seeds.data import docs_tokenizer, docs_training_texts
from seeds.evaluate import Head
from seeds.library.docs_corpus import VOCABULARY
from seeds.library.training import fit, rng

POSITIONS = 128
GELU = "gelu_pytorch_tanh"  # the function that GPT-2 calls "gelu_new", in one kernel instead of eight
STEPS, BATCH, RATE = 6400, 16, 4e-3


def architecture() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    start = docs_tokenizer().token_to_id("<start>")
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY, n_positions=POSITIONS, n_embd=128, n_layer=2, n_head=4,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=start, eos_token_id=start, use_cache=False,
            activation_function=GELU,
        )
    )  # fmt: skip


def forward(model: nn.Module, ids: Tensor, mask: Tensor | None) -> tuple[Tensor, Head]:
    """Last hidden states (examples, tokens, features), and the head that gives logits (..., vocabulary) from them."""
    return model.transformer(input_ids=ids, attention_mask=mask).last_hidden_state, model.lm_head  # pyright: ignore


def train() -> nn.Module:
    """Next-token loss on windows of the shuffled training paragraphs; about half an hour on one core."""
    tokenizer = docs_tokenizer()
    start = tokenizer.token_to_id("<start>")
    texts = [text for of_one in docs_training_texts() for text in of_one]
    with rng(0):
        model = architecture()
        order = torch.randperm(len(texts)).tolist()
        stream = torch.tensor([i for k in order for i in (start, *tokenizer.encode(texts[k]).ids)])

        def loss() -> Tensor:
            at = torch.randint(len(stream) - POSITIONS, (BATCH,))
            window = stream[at[:, None] + torch.arange(POSITIONS)]
            return model(input_ids=window, labels=window).loss

        fit(model, loss, STEPS, RATE, "docs-gpt")
    return model
