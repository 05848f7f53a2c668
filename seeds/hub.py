"""Data sets and tokenizers by their hub ids: from the local cache, and from the network only if allowed.

The environment decides: `HF_HUB_OFFLINE=1` (set by the test run unless `--hub` is given) keeps this off the network.
What is not in the cache then is a `SubjectUnavailable` that names it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch

from seeds.data import Examples
from seeds.errors import SubjectUnavailable

WINDOW, WINDOWS = 16, {"test": 12, "calibration": 6}  # tokens per example; examples: 35 nats against 10.8 need few
REVIEWS, REVIEW_TOKENS = 100, 64  # per class


def offline() -> bool:
    """Whether the environment forbids the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}


@contextmanager
def _named(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        where = "in the local cache; --hub allows the network" if offline() else "to be had"
        raise SubjectUnavailable(f"{what} is not {where} ({type(error).__name__})") from error


def _rows(hub_id: str, config: str | None, split: str):
    with _named(f"data set {hub_id} ({split})"):
        import datasets

        datasets.disable_progress_bars()
        return datasets.load_dataset(hub_id, config, split=split)


def _tokenizer(hub_id: str):
    with _named(f"tokenizer {hub_id}"):
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(hub_id)


@cache
def _wikitext_tokens(split: str) -> torch.Tensor:
    rows = _rows("Salesforce/wikitext", "wikitext-2-raw-v1", split)
    tokenizer = _tokenizer("openai-community/gpt2")
    return torch.tensor(tokenizer("".join(rows["text"]), verbose=False)["input_ids"])


@cache
def wikitext() -> dict[str, Examples]:
    """Windows of WikiText-2, spread evenly over each text: test scored, validation for calibration.

    Empty rows vanish in the concatenation and every token is real: no padding.
    """
    found = {}
    for split, source in (("test", "test"), ("calibration", "validation")):
        tokens = _wikitext_tokens(source)
        starts = torch.linspace(0, len(tokens) - WINDOW, WINDOWS[split]).long()
        ids = tokens[starts[:, None] + torch.arange(WINDOW)]
        found[split] = Examples(ids, None, torch.ones_like(ids, dtype=torch.bool), f"wikitext-2/{source}")
    return found


@cache
def wikitext_unigram() -> np.ndarray:
    """Token counts of the whole validation text, which is never scored: (50257,)."""
    return np.bincount(_wikitext_tokens("validation").numpy(), minlength=50257).astype(np.float64)


@cache
def imdb() -> dict[str, Examples]:
    """Class-balanced IMDB reviews: test from the test split, calibration from the training split."""
    tokenizer = _tokenizer("prajjwal1/bert-tiny")
    found = {}
    for split, source in (("test", "test"), ("calibration", "train")):
        rows = _rows("stanfordnlp/imdb", None, source)
        half = len(rows) // 2  # sorted by label in both splits; the labels below say whether it still is
        picked = rows.select([*range(REVIEWS), *range(half, half + REVIEWS)])
        batch = tokenizer(list(picked["text"]), truncation=True, max_length=REVIEW_TOKENS, padding="max_length")
        mask = torch.tensor(batch["attention_mask"]).bool()
        found[split] = Examples(torch.tensor(batch["input_ids"]), torch.tensor(picked["label"]), mask, f"imdb/{source}")
    return found
