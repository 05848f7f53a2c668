"""Tasks: what is asked of a model, with which examples, and what a guess would score.

    [task] -> subject -> extract -> Seed -> store -> assemble -> evaluate -> verdict

A task names its splits but reads them only when asked. It knows nothing of models.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch

from seeds import data, hub
from seeds.data import Examples
from seeds.errors import SubjectUnavailable

Kind = Literal["classification", "language"]


@dataclass(frozen=True, slots=True)
class Task:
    """A question with examples.

    Args:
        name: how claims and the command line call it.
        kind: "classification" (one label per example) or "language" (the next token).
        classes: labels, or the size of the vocabulary.
        splits: reads the examples, by split name; cached by its source.
        unigram: for language, counts of every token in text that is not scored: (classes,); None where there
            is no such text.
        says: one line for people.
    """

    name: str
    kind: Kind
    classes: int
    splits: Callable[[], dict[str, Examples]]
    says: str
    unigram: Callable[[], np.ndarray] | None = None

    def split(self, name: str) -> Examples:
        """The examples of one split.

        Raises:
            SubjectUnavailable: the data on this machine have no such split.
        """
        splits = self.splits()
        if name not in splits:
            raise SubjectUnavailable(f"task {self.name!r} has no {name!r} split on this machine; it has {', '.join(splits)}")
        return splits[name]

    @property
    def uniform_nats(self) -> float:
        """Cross-entropy of a uniform guess."""
        return float(np.log(self.classes))

    def unigram_log_probabilities(self) -> np.ndarray:
        """Add-one unigram fitted on the counts: (classes,) nats, all negative."""
        if self.unigram is None:
            raise SubjectUnavailable(f"task {self.name!r} has no text to fit a unigram on")
        counts = self.unigram() + 1.0
        return np.log(counts / counts.sum())


@cache
def docs_unigram() -> np.ndarray:
    """Token counts of the training paragraphs of the documentation tasks, as shipped."""
    from safetensors.numpy import load_file

    return load_file(data.TRAINING_SHINGLES)["unigram"].astype(np.float64)


def random_ids(vocabulary: int, count: int = 12, tokens: int = 16) -> dict[str, Examples]:
    """Uniformly random token ids. Nothing can be known about them."""
    rng = np.random.Generator(np.random.Philox(key=7))
    ids = torch.from_numpy(rng.integers(vocabulary, size=(count, tokens)))
    return {"test": Examples(ids, None, torch.ones(count, tokens, dtype=torch.bool), "random-ids/test")}


GPT2_VOCABULARY, BERT_VOCABULARY = 50257, 30522

TASKS = {
    task.name: task
    for task in (
        Task("digits", "classification", 10, data.digits, "which digit is this 8x8 image?"),
        Task("digits-0-4", "classification", 5, lambda: data.digits_of(0, 4), "which digit, of 0 to 4?"),
        Task("digits-5-9", "classification", 5, lambda: data.digits_of(5, 9), "which digit, of 5 to 9?"),
        Task("docs-topic", "classification", 6, data.docs, "which of six libraries wrote this paragraph?"),
        Task("docs-probe", "classification", 6, data.docs_probe, "the same, on half the paragraphs, for probes"),
        Task("docs-finetune", "classification", 6, data.docs_labelled, "the same, on half the paragraphs, for fine-tuning"),
        Task("docs-text", "language", 2048, data.docs_text, "the next token of a documentation paragraph", docs_unigram),
        Task("wikitext-2", "language", GPT2_VOCABULARY, hub.wikitext, "the next token of WikiText-2", hub.wikitext_unigram),
        Task("imdb", "classification", 2, hub.imdb, "is this review positive?"),
        Task("random-ids", "language", GPT2_VOCABULARY, lambda: random_ids(GPT2_VOCABULARY), "the next of random GPT-2 ids"),
    )
}


def task(name: str) -> Task:
    """The task of that name, or `SubjectUnavailable` with the choices."""
    if name not in TASKS:
        raise SubjectUnavailable(f"unknown task {name!r}; allowed: {', '.join(TASKS)}")
    return TASKS[name]
