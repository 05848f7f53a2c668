"""Examples and splits: what a subject is asked, as tensors.

    [examples] -> subject -> extract -> Seed -> ... -> evaluate -> verdict

Splits: `train` made the original; `calibration` fits temperatures, biases and unigrams and is never scored; `probe` gives
labels to linear probes; `labelled` gives labels to fine-tuning; `test` is scored. What trains, fits or gives labels is never
mixed with what is scored. All splits of the documentation are class-balanced, and those of the digits but for `train` and
`labelled`, which are one and the same there.
This module knows nothing of weights, seeds or verdicts.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from seeds.corpus import PACKAGES, held_out_paragraphs, training_paragraphs
from seeds.duplicates import Shingles
from seeds.errors import ProtocolError, SubjectUnavailable

LIBRARY = Path(__file__).parent / "library"
TOKENIZER = LIBRARY / "docs_tokenizer.json"
TRAINING_SHINGLES = LIBRARY / "docs_shingles.safetensors"
DOCS_PER_CLASS = {"test": 100, "calibration": 50, "probe": 30}
DOCS_LABELLED = 84  # paragraphs per class: 500 over six classes, rounded up; scikit-learn has some 90
DIGITS_PER_CLASS = {"test": 45, "calibration": 20, "probe": 30}
MAX_TOKENS = 64


class Drawn(TypedDict):
    """Arguments of `seeds.quantity.Mean`: (examples,) each."""

    clusters: np.ndarray | None
    strata: np.ndarray | None


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Inputs of one split, in a fixed order.

    Args:
        inputs: (examples, ...): pixels as float32, or token ids as int64 of shape (examples, tokens).
        labels: (examples,) int64 class numbers, or None where there are none.
        mask: (examples, tokens) bool, True for real tokens; None for inputs that are not text.
        split: where they come from, for example "docs/test".
        clusters: (examples,) int64, equal for examples that are drawn together, as paragraphs of one file are; None where
            each is drawn by itself.
    """

    inputs: Tensor
    labels: Tensor | None
    mask: Tensor | None
    split: str
    clusters: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, rows: Tensor | slice) -> "Examples":
        labels = None if self.labels is None else self.labels[rows]
        mask = None if self.mask is None else self.mask[rows]
        clusters = None if self.clusters is None else self.clusters[rows]
        return Examples(self.inputs[rows], labels, mask, self.split, clusters)

    @property
    def drawn(self) -> Drawn:
        """How they were drawn, as `seeds.quantity.Mean` takes it: so many of each class, if they come in clusters."""
        if self.clusters is None:
            return {"clusters": None, "strata": None}
        return {"clusters": self.clusters.numpy(), "strata": None if self.labels is None else self.labels.numpy()}

    def trimmed(self) -> "Examples":
        """Without the columns that are padding in every example."""
        if self.mask is None:
            return self
        end = int(self.mask.any(0).nonzero().max()) + 1
        return replace(self, inputs=self.inputs[:, :end], mask=self.mask[:, :end])


@cache
def digits() -> dict[str, Examples]:
    """scikit-learn's 1,797 handwritten digits, 8x8 pixels scaled to [0, 1], split by a fixed permutation per class.

    There are too few for a pool of their own, so `labelled` is `train`: the originals were trained on these very examples.
    """
    from sklearn.datasets import load_digits

    values, targets = load_digits(return_X_y=True)
    pixels = torch.from_numpy(np.asarray(values, np.float32)) / 16.0
    labels = torch.from_numpy(np.asarray(targets, np.int64))
    order = np.random.default_rng(0).permutation(len(labels))
    rows: dict[str, list[int]] = {split: [] for split in (*DIGITS_PER_CLASS, "train")}
    for digit in range(10):
        mine = [i for i in order if labels[i] == digit]
        for split, count in DIGITS_PER_CLASS.items():
            rows[split] += mine[:count]
            mine = mine[count:]
        rows["train"] += mine
    found = {s: Examples(pixels[r], labels[r], None, f"digits/{s}") for s, r in ((s, sorted(r)) for s, r in rows.items())}
    return found | {"labelled": replace(found["train"], split="digits/labelled")}


@cache
def digits_of(first: int, last: int) -> dict[str, Examples]:
    """The splits of `digits`, only the digits from `first` to `last`, relabelled from 0.

    Raises:
        ProtocolError: they are not at least two of the ten digits.
    """
    if not 0 <= first < last <= 9:
        raise ProtocolError(f"digits {first} to {last} make no task; allowed: 0 <= first < last <= 9")
    found = {}
    for split, examples in digits().items():
        assert examples.labels is not None
        asked = (examples.labels >= first) & (examples.labels <= last)
        name = f"digits-{first}-{last}/{split}"
        found[split] = Examples(examples.inputs[asked], examples.labels[asked] - first, None, name)
    return found | {"labelled": replace(found["train"], split=found["labelled"].split)}


@cache
def docs() -> dict[str, Examples]:
    """Held-out documentation paragraphs, labelled with the package that they come from; no train split is kept.

    No original has seen any of them. The `labelled` ones come from the files of `probe` and begin, class by class, with its
    paragraphs; they are read last, so the other splits do not depend on how many they are. Where an older package has too few
    (scikit-learn before 1.8), that split alone is missing.

    Raises:
        SubjectUnavailable: one of the six packages is missing.
    """
    seen = Shingles.load(TRAINING_SHINGLES)
    texts = held_out_paragraphs(DOCS_PER_CLASS, seen)
    with suppress(SubjectUnavailable):
        further = held_out_paragraphs({"probe": DOCS_LABELLED - DOCS_PER_CLASS["probe"]}, seen)
        texts["labelled"] = [first + then for first, then in zip(texts["probe"], further["probe"], strict=True)]
    found = {}
    for split, per_class in texts.items():
        every = [paragraph for of_one in per_class for paragraph in of_one]
        ids, mask = encode([paragraph.text for paragraph in every])
        files = {file: number for number, file in enumerate(dict.fromkeys(p.file for p in every))}
        clusters = torch.tensor([files[paragraph.file] for paragraph in every])
        labels = torch.arange(len(PACKAGES)).repeat_interleave(len(per_class[0]))
        found[split] = Examples(ids, labels, mask, f"docs/{split}", clusters)
    return found


@cache
def docs_text() -> dict[str, Examples]:
    """The documentation paragraphs for language modelling: every fifth of the test and every twelfth of the calibration ones.

    A paragraph gives some 45 scored tokens, so fewer are needed than for classification. All the labelled ones are there.
    """
    return _every({"labelled": 1, "test": 5, "calibration": 12})


@cache
def docs_probe() -> dict[str, Examples]:
    """The documentation paragraphs for linear probes: every second of the test and calibration ones."""
    return _every({"probe": 1, "test": 2, "calibration": 2})


@cache
def docs_labelled() -> dict[str, Examples]:
    """The documentation paragraphs for fine-tuning: every labelled one, every second of the test and calibration ones."""
    return _every({"labelled": 1, "test": 2, "calibration": 2})


def _every(steps: dict[str, int]) -> dict[str, Examples]:
    """Splits of `docs`, as far as there are, one paragraph in so many."""
    return {split: docs()[split][slice(None, None, step)] for split, step in steps.items() if split in docs()}


def docs_training_texts() -> list[list[str]]:
    """Training paragraphs per package, in the order of `PACKAGES`. Reads every source file: about 12 s."""
    return [list(training_paragraphs(package)) for package in PACKAGES]


@cache
def docs_tokenizer():
    """The byte-level BPE tokenizer trained on the training paragraphs (`tokenizers.Tokenizer`)."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(TOKENIZER))


def encode(texts: list[str], max_tokens: int = MAX_TOKENS) -> tuple[Tensor, Tensor]:
    """Token ids, each text opened by the start token, cut and padded to `max_tokens`; and the mask of real tokens."""
    tokenizer = docs_tokenizer()
    start, pad = tokenizer.token_to_id("<start>"), tokenizer.token_to_id("<pad>")
    assert start is not None
    assert pad is not None
    ids = torch.full((len(texts), max_tokens), pad)
    mask = torch.zeros(len(texts), max_tokens, dtype=torch.bool)
    for row, encoding in enumerate(tokenizer.encode_batch(texts)):
        tokens = [start, *encoding.ids][:max_tokens]
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = True
    return ids, mask
