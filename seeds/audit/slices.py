"""Slices: the examples of a subject as the report's protocol cuts them, and as a sound one does.

    protocol -> [slices] -> scores -> ledger

The report takes the first rows of a file, each padded to a fixed length. The rows here are the same kind of rows, with a mask
that tells pads from text, so that any protocol can be served from them. This module knows no models.
"""

from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from seeds import hub
from seeds.audit.protocol import Protocol
from seeds.data import Examples, docs_text, docs_tokenizer
from seeds.subject import Subject

TOKENS = 128  # the report's fixed length
EMPTY = 1 / 3  # share of rows without text in WikiText-2 (measured there: 0.337)


def labelled(one: Subject) -> tuple[Examples, Examples]:
    """Class-balanced examples of a classifier, to score and to calibrate on.

    Raises:
        SubjectUnavailable: the data are not at hand.
    """
    splits = hub.imdb(TOKENS) if one.task_name == "imdb" else one.finetune_task.splits()
    return splits["test"], splits["calibration"]


def first_class(examples: Examples) -> Tensor:
    """Which examples the first rows of the file are when it is sorted by label: (examples,) bool."""
    assert examples.labels is not None
    return examples.labels == examples.labels.min()


def counted(examples: Examples, protocol: Protocol) -> Examples:
    """The examples that a protocol scores, with a mask of the tokens that it reads or scores."""
    if protocol.one_class and examples.labels is not None:
        examples = examples[first_class(examples)]
    if examples.mask is None:
        return examples
    if examples.labels is None and not protocol.empty_rows:
        examples = examples[examples.mask.any(1)]
    assert examples.mask is not None
    return replace(examples, mask=torch.ones_like(examples.mask)) if protocol.pads_counted else examples


def rows(one: Subject) -> tuple[Examples, Examples]:
    """Rows of text, each padded to 128 with the end token, a third of them empty: to score, and to calibrate on.

    Raises:
        SubjectUnavailable: the data are not at hand.
    """
    return hub.wikitext_rows(TOKENS) if one.task_name == "wikitext-2" else _documentation_rows()


@cache
def _documentation_rows() -> tuple[Examples, Examples]:
    end = docs_tokenizer().token_to_id("<start>")
    assert end is not None
    splits = docs_text()
    return tuple(_padded(splits[name][::2], end) for name in ("test", "calibration"))  # pyright: ignore[reportReturnType]


def _padded(examples: Examples, end: int) -> Examples:
    """The examples at the fixed length, padded with the end token, and behind them empty rows as in WikiText-2."""
    assert examples.mask is not None
    count, empty = len(examples), round(len(examples) * EMPTY / (1 - EMPTY))
    ids = torch.full((count + empty, TOKENS), end)
    mask = torch.zeros(count + empty, TOKENS, dtype=torch.bool)
    width = examples.inputs.shape[1]
    ids[:count, :width] = examples.inputs.where(examples.mask, torch.tensor(end))
    mask[:count, :width] = examples.mask
    clusters = None
    if examples.clusters is not None:  # each empty row is one of its own
        clusters = torch.cat([examples.clusters, examples.clusters.max() + 1 + torch.arange(empty)])
    return Examples(ids, None, mask, f"{examples.split}, rows", clusters)
