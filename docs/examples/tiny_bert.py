"""A stand-in for your own model: a BERT of 20,000 weights, trained in seconds to tell praise from blame.

    python docs/examples/tiny_bert.py FOLDER

A row has three opinions among six other words, in any order; the majority decides. FOLDER gets `model/`, as
`save_pretrained` writes it, and `held_out.jsonl`, 1,000 rows that the model has not seen.
"""

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast
from transformers.utils import logging

BLAME = ["dull", "loud", "empty", "clumsy", "cold", "endless"]  # label 0
PRAISE = ["warm", "funny", "clever", "tender", "lively", "honest"]  # label 1
OTHER = ["the", "a", "film", "scene", "plot", "actor", "ending", "music", "was", "and"]
WORDS = ["[PAD]", "[UNK]", *BLAME, *PRAISE, *OTHER]
STEPS, BATCH = 100, 64


def rows(count: int, rng_seed: int) -> Iterator[dict]:
    """Texts and labels, as many of one label as of the other."""
    draw = random.Random(rng_seed)
    for number in range(count):
        praised = draw.randint(0, 1) + 2 * (number % 2)  # 0 or 1 of three opinions, or 2 or 3
        words = draw.choices(BLAME, k=3 - praised) + draw.choices(PRAISE, k=praised) + draw.choices(OTHER, k=6)
        yield {"text": " ".join(draw.sample(words, len(words))), "label": number % 2}


def tokenizer() -> PreTrainedTokenizerFast:
    """One token for each word."""
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")


def trained(tokens: PreTrainedTokenizerFast) -> BertForSequenceClassification:
    """The model after 100 steps of 64 rows."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=16,
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    optimizer, examples = torch.optim.AdamW(model.parameters(), 1e-3), rows(STEPS * BATCH, rng_seed=1)
    for _ in range(STEPS):
        batch = [next(examples) for _ in range(BATCH)]
        inputs = tokens([row["text"] for row in batch], return_tensors="pt", return_token_type_ids=False)
        optimizer.zero_grad()
        model(**inputs, labels=torch.tensor([row["label"] for row in batch])).loss.backward()
        optimizer.step()
    return model


if __name__ == "__main__":
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    folder = Path(sys.argv[1])
    (folder / "model").mkdir(parents=True, exist_ok=True)
    tokens = tokenizer()
    for part in (trained(tokens), tokens):
        part.save_pretrained(folder / "model")
    (folder / "held_out.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(1000, rng_seed=2)))
    print(f"{folder}/model, and 1,000 rows in {folder}/held_out.jsonl")
