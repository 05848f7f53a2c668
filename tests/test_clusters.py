"""Examples that are drawn together: what is scored on documentation knows its files, and intervals cover the truth."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from seeds.audit.protocol import Protocol
from seeds.audit.statements import Audit
from seeds.errors import ProtocolError
from seeds.finetune import Curves
from seeds.lab import above_chance
from seeds.measure import ORIGINAL, Measure
from seeds.quantity import Mean, PairedRatio
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


# -- examples that are drawn together -------------------------------------------------------------------------------------


def clustered_sets(bounded: bool, sets=2000, files=40):
    """Simulated scores of two runs around 0.7 on 1 to 12 examples of each file, with the luck of the file in all of them."""
    rng = np.random.default_rng(4)
    for _ in range(sets):
        of = np.repeat(np.arange(files), rng.integers(1, 13, files))
        luck = rng.choice([-0.3, 0.3], files)[of]
        if bounded:
            yield (rng.random((2, len(of))) < 0.7 + luck).astype(float), of
        else:
            yield 0.7 + luck + 0.2 * rng.standard_normal((2, len(of))), of


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)], ids=["cross-entropy", "accuracy"])
def test_a_mean_over_clusters_covers_the_truth(bounds):
    """90 % intervals of 2,000 sets cover at least 88 %, three standard errors below; of examples one by one at most 70 %."""
    covered = np.zeros(2)
    for scores, of in clustered_sets(bounds is not None):
        means = [Mean(scores, bounds=bounds, random=False, clusters=clusters) for clusters in (of, None)]
        found = [mean.interval(0.05) for mean in means]
        covered += [i.low <= 0.7 <= i.high for i in found]
        assert found[0].value == pytest.approx(found[1].value, abs=1e-12)
    assert covered[0] / 2000 >= 0.88
    assert covered[1] / 2000 <= 0.70


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)], ids=["cross-entropy", "accuracy"])
def test_differences_between_classes_are_no_sampling_error(bounds):
    """Of three classes, 20 in each: 90 % intervals of 1,000 sets cover at least 87.2 %, three standard errors below, and are
    much narrower than those of clusters alone.
    """
    rng = np.random.default_rng(8)
    covered, width = 0, np.zeros(2)
    for _ in range(1000):
        files = np.arange(60).repeat(rng.multinomial(40, np.ones(20) / 20, 3).ravel() + 1)
        label = files // 20
        chance = np.array([0.2, 0.8, 0.9])[label] + rng.choice([-0.1, 0.1], 60)[files]
        scores = (rng.random((1, 180)) < chance).astype(float) if bounds else (chance + 0.1 * rng.standard_normal((1, 180)))
        mean = Mean(scores, bounds=bounds, random=False, clusters=files, strata=label)
        found, loose = mean.interval(0.05), replace(mean, strata=None).interval(0.05)
        covered += found.low <= 1.9 / 3 <= found.high
        width += [found.half_width, loose.half_width]
    assert covered / 1000 >= 0.872
    assert width[0] < 0.7 * width[1]


def test_a_constant_answer_is_right_for_one_class_of_three_whatever_the_files():
    """Its interval is that of as many answers, with the degrees of freedom of 30 files. Of several runs nothing is left."""
    label = np.arange(3).repeat(50)
    scores = np.stack([(label == run % 3).astype(float) for run in range(6)])
    mean = Mean(scores[:1], bounds=(0.0, 1.0), random=False, clusters=np.arange(150) // 5, strata=label)
    of_examples = replace(mean, clusters=None, strata=None).interval(0.025)
    fewer = stats.t.ppf(0.975, 29) / stats.t.ppf(0.975, 149)
    assert mean.interval(0.025).half_width == pytest.approx(fewer * of_examples.half_width, rel=0.005)
    free = replace(mean, scores=scores, bounds=None, random=True).interval(0.025)
    assert (free.low, free.high) == pytest.approx((1 / 3, 1 / 3), abs=2e-6)


def test_a_class_of_one_cluster_or_a_cluster_of_two_classes_makes_no_strata():
    """Then differences between classes widen the interval, as those between clusters do."""
    rng = np.random.default_rng(9)
    scores, of = rng.standard_normal((2, 60)), np.arange(60) // 5
    plain = Mean(scores, clusters=of)
    for strata in (np.arange(60) < 5, np.arange(60) % 2, np.zeros(60)):
        assert replace(plain, strata=strata).interval(0.025) == plain.interval(0.025)
    assert replace(plain, strata=np.arange(60) < 30).interval(0.025) != plain.interval(0.025)


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
@pytest.mark.parametrize("weighted", [False, True])
def test_clusters_of_one_are_examples(bounds, weighted):
    rng = np.random.default_rng(5)
    scores = (rng.random((3, 50)) < 0.8).astype(float)
    plain = Mean(scores, rng.integers(5, 60, 50).astype(float) if weighted else None, bounds)
    found, same = (replace(plain, clusters=of).interval(0.01) for of in (rng.permutation(50), None))
    assert (found.low, found.high) == pytest.approx((same.low, same.high), abs=1e-9)


@pytest.mark.parametrize("correct", [0, 3, 50])
def test_copies_of_examples_are_no_further_examples(correct):
    """Five of each, in clusters of five."""
    scores = (np.arange(50) < correct).astype(float)[None]
    few = Mean(scores, random=False).interval(0.025)
    many = Mean(scores.repeat(5, 1), random=False, clusters=np.arange(50).repeat(5)).interval(0.025)
    assert (many.low, many.high) == pytest.approx((few.low, few.high))


def test_one_cluster_says_nothing_of_others():
    for bounds, ends in ((None, (-math.inf, math.inf)), ((0.0, 1.0), (0.0, 1.0))):
        found = Mean(np.array([[0.0, 1.0, 1.0]]), bounds=bounds, random=False, clusters=np.zeros(3)).interval(0.025)
        assert (found.low, found.high) == pytest.approx(ends, abs=2e-6)


def test_a_difference_and_a_paired_ratio_keep_the_clusters():
    """The luck of a file that both arms have cancels; that of one arm does not."""
    of = np.repeat(np.arange(30), 8)
    rng = np.random.default_rng(6)
    shared, own = (rng.standard_normal((1, 30))[:, of] for _ in range(2))
    top, bottom = Mean(3 + shared + 0.5 * own, random=False, clusters=of), Mean(3 + shared, random=False, clusters=of)
    by_file = Mean((3 + shared + 0.5 * own)[:, ::8] - (3 + shared)[:, ::8], random=False)
    assert (top - bottom).interval(0.025).half_width == pytest.approx(by_file.interval(0.025).half_width)
    assert (-top).clusters is (top - 1.0).clusters is of
    assert PairedRatio(top, bottom).interval(0.025).half_width == pytest.approx(
        PairedRatio(replace(top, clusters=None, scores=top.scores[:, ::8]),
                    replace(bottom, clusters=None, scores=bottom.scores[:, ::8])).interval(0.025).half_width, rel=1e-6
    )  # fmt: skip
