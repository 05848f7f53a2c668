"""Data sets, tokenizers and original weights by their hub ids: from the local cache, and from the network only if allowed.

The environment decides: `HF_HUB_OFFLINE=1` (set by the test run unless `--hub` is given) keeps this off the network.
What is not in the cache then is a `SubjectUnavailable` that names it. `revision` tells which commit is read.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from seeds.data import Examples
from seeds.errors import SubjectUnavailable

GPT2, BERT_TINY = "openai-community/gpt2", "prajjwal1/bert-tiny"
WIKITEXT, IMDB = "Salesforce/wikitext", "stanfordnlp/imdb"
REVISIONS = {  # the commits that are read wherever the network is allowed
    GPT2: "607a30d783dfa663caf39e06633721c8d4cfcd7e",
    BERT_TINY: "6f75de8b60a9f8a2fdf7b69cbd86d9e64bcb3837",
    WIKITEXT: "b08601e04326c79dfdd32d625aee71d232d685c3",
    IMDB: "e6281661ce1c48d982bc483cf8a173c1bbeb5d31",
}
# The pinned commit has a pickle only. This one, an open pull request of the hub's conversion bot, adds the same weights as
# .safetensors. By a pinned commit transformers looks for no such request itself, nor asks for one to be made.
CONVERSIONS = {BERT_TINY: "e4fa86125e9c1266ff7ac860b794c76308c9bad3"}
CONFIGS = {WIKITEXT: "wikitext-2-raw-v1", IMDB: None}
# Classes of transformers for the body and its tokenizer. By name, for bert-tiny's config.json names no type of model.
CLASSES = {GPT2: ("GPT2Model", "GPT2TokenizerFast"), BERT_TINY: ("BertModel", "BertTokenizerFast")}
WEIGHTS, PICKLE = "model.safetensors", "pytorch_model.bin"
VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt")

CONTEXT = 1024  # tokens that GPT-2 sees at most
WINDOW, WINDOWS = 16, {"test": 12, "calibration": 6}  # tokens per example; examples: 35 nats against 10.8 need few
ROWS = {"test": 12, "calibration": 4}  # with text, and half as many without: nats to within one, of an effect of 25
REVIEWS, REVIEW_TOKENS = 100, 64  # per class


def offline() -> bool:
    """Whether the environment forbids the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}


def revision(hub_id: str, *files: str) -> str:
    """The commit of a repository that is read here and now.

    Where the network is allowed that is the pinned one. Offline it is the pinned one if the local cache has it, else what
    the cache holds as `main`; of a data set, the commit that its prepared tables are filed under.

    Args:
        hub_id: a key of `REVISIONS`.
        files: of a model, those of which the cache must have one; its configuration by default. Weights have a commit of
            their own where they were converted (`CONVERSIONS`).

    Returns:
        The commit's hash; "main" if the cache has no such file.

    Raises:
        SubjectUnavailable: a data set that the cache does not have.
    """
    pinned = [REVISIONS[hub_id]]
    if WEIGHTS in files and hub_id in CONVERSIONS:
        pinned.insert(0, CONVERSIONS[hub_id])
    if not offline():
        return pinned[0]
    if hub_id in CONFIGS:
        return Path(_rows(hub_id, CONFIGS[hub_id], "test").cache_files[0]["filename"]).parent.name
    held = (_cached(hub_id, file, commit) for commit in (*pinned, "main") for file in files or ("config.json",))
    return next((path.parent.name for path in held if path), "main")


def _cached(hub_id: str, file: str, commit: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(hub_id, file, cache_dir=_cache_folder(), revision=commit)
    return Path(path) if isinstance(path, str) else None  # a marker where the file is known not to exist


def _cache_folder() -> str:
    from huggingface_hub import constants

    return constants.HF_HUB_CACHE


@contextmanager
def _named(what: str, failure: str | None = None) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        absent = "is not in the local cache; --hub allows the network" if offline() else "is not to be had"
        if isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES, errno.ENOSPC):
            failure = f"cannot be read from a cache that cannot be written: {error.strerror}"  # locks lie beside the data
        raise SubjectUnavailable(f"{what} {failure or absent} ({type(error).__name__})") from error


def _rows(hub_id: str, config: str | None, split: str):
    with _named(f"data set {hub_id} ({split})"):
        import datasets

        datasets.disable_progress_bars()
        commit = None if offline() else revision(hub_id)  # the cache of prepared tables is not looked up by commit
        return datasets.load_dataset(hub_id, config, split=split, revision=commit)


def _tokenizer(hub_id: str):
    with _named(f"tokenizer {hub_id}"):
        return _from_pretrained(CLASSES[hub_id][1], hub_id, *VOCABULARIES)


def _from_pretrained(name: str, hub_id: str, *files: str, **options):
    """What the class of transformers of that name reads from a repository, off the network if that is forbidden."""
    import transformers

    return getattr(transformers, name).from_pretrained(
        hub_id, revision=revision(hub_id, *files), cache_dir=_cache_folder(), local_files_only=offline(), **options
    )


def original_weights(hub_id: str) -> dict[str, Tensor]:
    """The published tensors of a model's body by name, float32; from a `.safetensors` file, a pickle is never opened.

    Args:
        hub_id: "openai-community/gpt2" or "prajjwal1/bert-tiny"; `revision(hub_id, WEIGHTS)` tells the commit.

    Raises:
        SubjectUnavailable: they are not in the local cache and the network is not allowed, or they cannot be had or read,
            or are there as a pickle only, or some tensors are missing.
    """
    commit = revision(hub_id, WEIGHTS)
    if offline() and not _cached(hub_id, WEIGHTS, commit):
        if any(_cached(hub_id, PICKLE, held) for held in (REVISIONS[hub_id], "main")):
            raise SubjectUnavailable(
                f"weights of {hub_id} are in the local cache as a pickle only ({PICKLE}), which is never opened; "
                f"{WEIGHTS} is missing, --hub allows the network"
            )
        raise SubjectUnavailable(f"weights of {hub_id} are not in the local cache; --hub allows the network")
    with _named(f"weights of {hub_id}", f"cannot be read from {WEIGHTS} of commit {commit}"), _without_warnings():
        body, found = _from_pretrained(
            CLASSES[hub_id][0], hub_id, WEIGHTS, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    if missing := sorted(found["missing_keys"]):
        raise SubjectUnavailable(f"weights of {hub_id} lack tensors: {', '.join(missing[:4])} ({len(missing)})")
    return body.state_dict()


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keeps transformers from reporting tensors of heads that the body does not have."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


@cache
def _wikitext_tokens(split: str, between: str = "") -> Tensor:
    rows = _rows(WIKITEXT, CONFIGS[WIKITEXT], split)
    tokenizer = _tokenizer(GPT2)
    return torch.tensor(tokenizer(between.join(rows["text"]), verbose=False)["input_ids"])


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
def wikitext_rows(tokens: int) -> tuple[Examples, Examples]:
    """Rows of WikiText-2 as they lie in the file, empty ones too, cut and padded with the end token: to score, to fit on."""
    tokenizer = _tokenizer(GPT2)
    found = []
    for split, count in (("test", ROWS["test"]), ("validation", ROWS["calibration"])):
        texts = _rows(WIKITEXT, CONFIGS[WIKITEXT], split)["text"]
        full = [text for text in texts if text]
        picked = [tokenizer(full[int(i)])["input_ids"][:tokens] for i in np.linspace(0, len(full) - 1, count)]
        ids = torch.full((count + count // 2, tokens), tokenizer.eos_token_id)
        mask = torch.zeros_like(ids, dtype=torch.bool)
        for row, real in enumerate(picked):
            ids[row, : len(real)] = torch.tensor(real)
            mask[row, : len(real)] = True
        found.append(Examples(ids, None, mask, f"wikitext-2/{split}, rows"))
    return found[0], found[1]


@cache
def wikitext_unigram() -> np.ndarray:
    """Token counts of the whole validation text, which is never scored: (50257,)."""
    return np.bincount(_wikitext_tokens("validation").numpy(), minlength=50257).astype(np.float64)


def wikitext_perplexity(model: nn.Module, windows: int | None = None) -> float:
    """A GPT-2's perplexity on WikiText-2's test text, as it is usually published: rows joined by an empty line, in windows
    of 1,024 tokens that do not overlap.

    Args:
        model: called with `input_ids`, gives `logits`.
        windows: how many, from the start of the text; all 281 by default, a quarter of an hour for GPT-2 on one core.

    Raises:
        SubjectUnavailable: the text or the tokenizer is not at hand.
    """
    tokens = _wikitext_tokens("test", "\n\n")
    return perplexity(model, tokens if windows is None else tokens[: windows * CONTEXT])


def perplexity(model: nn.Module, tokens: Tensor, context: int = CONTEXT) -> float:
    """Perplexity of a text (tokens,) in windows that do not overlap; the first token of each is context only.

    Source: "Perplexity of fixed-length models" in transformers' documentation, with the stride of a window.
    """
    nats, scored = 0.0, 0
    for window in tokens.split(context):
        with torch.inference_mode():
            logits = model(input_ids=window[None]).logits[0, :-1]
        nats += functional.cross_entropy(logits, window[1:], reduction="sum").item()
        scored += len(window) - 1
    return float(np.exp(nats / scored))


@cache
def imdb(tokens: int = REVIEW_TOKENS) -> dict[str, Examples]:
    """Class-balanced IMDB reviews, cut and padded: test from the test split, calibration from the training split."""
    tokenizer = _tokenizer(BERT_TINY)
    found = {}
    for split, source in (("test", "test"), ("calibration", "train")):
        rows = _rows(IMDB, CONFIGS[IMDB], source)
        half = len(rows) // 2  # sorted by label in both splits; the labels below say whether it still is
        picked = rows.select([*range(REVIEWS), *range(half, half + REVIEWS)])
        batch = tokenizer(list(picked["text"]), truncation=True, max_length=tokens, padding="max_length")
        mask = torch.tensor(batch["attention_mask"]).bool()
        found[split] = Examples(torch.tensor(batch["input_ids"]), torch.tensor(picked["label"]), mask, f"imdb/{source}")
    return found
