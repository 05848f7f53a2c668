"""Whatever is scored on documentation knows which paragraphs stand in one file."""

from dataclasses import replace

import numpy as np
import pytest

from seeds.audit.protocol import Protocol
from seeds.audit.statements import Audit
from seeds.errors import ProtocolError
from seeds.finetune import Curves
from seeds.lab import above_chance
from seeds.measure import ORIGINAL, Measure
from seeds.quantity import Mean
from seeds.subject import subject
from seeds.task import task
from seeds.trial import Setting

BERT, GPT = subject("docs-bert"), subject("docs-gpt")


@pytest.fixture(scope="module")
def measure():
    return Measure()


def files(on: str) -> list[int]:
    """The file of each example that is scored."""
    found = task(on).splits()["test"].drawn["clusters"]
    assert found is not None
    return found.tolist()


def labels(on: str) -> list[int]:
    found = task(on).splits()["test"].labels
    assert found is not None
    return found.tolist()


def known(found: object) -> list[int]:
    """The same, as a quantity knows it."""
    assert isinstance(found, Mean)
    assert found.clusters is not None
    return found.clusters.tolist()


def curves(on: str, language: bool) -> Curves:
    """Two runs that were scored once."""
    count = len(task(on).splits()["test"])
    scores = np.random.default_rng(0).random((2, 1, count))
    return Curves(
        (0,), scores, None if language else (scores > 0.5).astype(np.uint8), np.ones(count), np.zeros((2, 1)), np.zeros(1)
    )


@pytest.mark.parametrize(
    ("quantity", "on"),
    [
        (lambda m: m.knowledge(BERT, ORIGINAL, 1, "raw"), "docs-topic"),
        (lambda m: m.knowledge(BERT, ORIGINAL, 1), "docs-topic"),
        (lambda m: m.knowledge(GPT, ORIGINAL, 1), "docs-text"),
        (lambda m: m.cross_entropy(GPT, ORIGINAL, 1, "raw"), "docs-text"),
        (lambda m: m.probe(BERT, ORIGINAL, 2), "docs-probe"),
        (lambda m: above_chance(Setting("docs-bert"), curves("docs-finetune", False), 0), "docs-finetune"),
        (lambda m: above_chance(Setting("docs-gpt"), curves("docs-text", True), 0), "docs-text"),
        (lambda m: Audit(m, {"docs-bert": 1}).original(BERT, Protocol.sound())[0], "docs-finetune"),
    ],
)
def test_scores_know_the_files_of_their_paragraphs(quantity, on, measure):
    found = quantity(measure)
    assert known(found) == files(on)
    assert found.strata.tolist() == labels(on)
    assert found.interval(0.025).half_width != replace(found, clusters=None, strata=None).interval(0.025).half_width


def test_the_first_class_alone_has_its_own_files(measure):
    found, _ = Audit(measure, {"docs-bert": 1}).original(BERT, Protocol(one_class=True))
    assert known(found) == files("docs-finetune")[: len(known(found))]


def test_rows_of_text_know_their_files_and_empty_rows_are_each_their_own(measure):
    """Pads counted, empty rows are scored, too: a third of all."""
    audit = Audit(measure, {"docs-gpt": 1})
    text, all_rows = (
        known(audit.language(GPT).nats(ORIGINAL, protocol))
        for protocol in (Protocol(), Protocol(pads_counted=True, empty_rows=True))
    )
    assert text == files("docs-text")[::2] == all_rows[: len(text)]
    empty = all_rows[len(text) :]
    assert len(set(empty)) == len(empty) == round(len(text) / 2)
    assert not set(empty) & set(text)


def test_a_run_that_diverged_is_named_and_not_averaged():
    scored = curves("docs-text", True)
    scored.nats[1, 0, 3] = np.inf
    with pytest.raises(ProtocolError, match=r"runs \[1\] of .*docs-gpt.* diverged after 0 steps"):
        above_chance(Setting("docs-gpt"), scored, 0)
