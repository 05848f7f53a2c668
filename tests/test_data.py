"""Splits: balanced, apart, and free of near duplicates of what the originals were trained on."""

import hashlib
import os
from dataclasses import replace
from importlib.metadata import version
from itertools import combinations, pairwise
from pathlib import Path

import pytest
import torch

from seeds import corpus, data
from seeds.corpus import HELD_OUT, PACKAGES, TRAIN, _files, held_out_paragraphs, paragraphs
from seeds.duplicates import CONTAINMENT, Shingles
from seeds.errors import ProtocolError, SubjectUnavailable
from seeds.subject import subject
from seeds.task import TASKS, task

LABELLED = ["digits", "digits-0-4", "digits-5-9", "docs-topic", "docs-text", "docs-finetune"]
# SHA-256 of the token ids of the test, calibration and probe paragraphs behind the figures in reports/
SCORED_TEXT = "8ee8a8427ba52e0da72bfc28f4864662f40a1dccb2e77fc7155b0eda5dceef2e"


def contents(examples):
    return {tuple(row.tolist()) for row in examples.inputs}


@pytest.mark.parametrize("name", LABELLED)
def test_held_out_splits_are_balanced_and_apart(name):
    """No class is missing either: half of the classes, evenly, would be no balance."""
    splits = {split: examples for split, examples in task(name).splits().items() if split not in ("train", "labelled")}
    labels = task(name).split("labelled").labels
    assert labels is not None
    for examples in splits.values():
        assert examples.labels is not None
        counts = examples.labels.bincount(minlength=int(labels.max()) + 1)
        assert counts.max() - counts.min() <= 1  # every second paragraph of an odd number leaves one over
        assert len(contents(examples)) == len(examples)
    assert all(contents(a).isdisjoint(contents(b)) for a, b in combinations(splits.values(), 2))


@pytest.mark.parametrize("name", LABELLED)
def test_no_labelled_example_is_scored_or_calibrates(name):
    on = task(name)
    labelled = contents(on.split("labelled"))
    assert len(labelled) == len(on.split("labelled"))
    assert labelled.isdisjoint(contents(on.split("test")))
    assert labelled.isdisjoint(contents(on.split("calibration")))


def test_no_digit_is_in_two_splits():
    splits = {split: examples for split, examples in data.digits().items() if split != "labelled"}
    assert sum(len(s) for s in splits.values()) == 1797
    assert contents(splits["train"]).isdisjoint(contents(splits["test"]))
    assert data.digits()["labelled"].inputs is splits["train"].inputs  # what the original was trained on, kept once


def test_some_of_the_digits_are_a_task_of_their_own():
    """Digits 5 to 9 are the rows of `digits` with those labels, in its order, relabelled from 0."""
    for split, examples in data.digits_of(5, 9).items():
        every = data.digits()[split]
        assert examples.labels is not None
        assert every.labels is not None
        assert torch.equal(examples.inputs, every.inputs[every.labels >= 5])
        assert torch.equal(examples.labels, every.labels[every.labels >= 5] - 5)
        assert examples.split == f"digits-5-9/{split}"
    test = data.digits_of(5, 9)["test"]
    assert test.labels is not None
    assert test.labels.bincount().tolist() == [45] * 5
    assert contents(test).isdisjoint(contents(data.digits_of(0, 4)["test"]))
    with pytest.raises(ProtocolError, match=r"digits 5 to 10 make no task; allowed: 0 <= first < last <= 9"):
        data.digits_of(5, 10)


@pytest.mark.parametrize("name", ["docs-topic", "docs-text", "docs-finetune"])
def test_the_labelled_paragraphs_begin_with_those_of_the_probes(name):
    labelled, probe = task(name).split("labelled"), data.docs()["probe"]
    assert labelled.labels is not None
    assert labelled.labels.bincount().tolist() == [84] * 6
    for label in range(6):
        assert torch.equal(labelled.inputs[labelled.labels == label][:30], probe.inputs[probe.labels == label])


def test_fine_tuning_is_scored_on_half_the_paragraphs():
    splits = data.docs_labelled()
    assert {split: len(examples) for split, examples in splits.items()} == {"labelled": 504, "test": 300, "calibration": 150}
    assert torch.equal(splits["test"].inputs, data.docs()["test"].inputs[::2])
    assert torch.equal(splits["calibration"].inputs, data.docs()["calibration"].inputs[::2])


def test_the_scored_paragraphs_are_those_of_the_reports():
    """To the bit, with the package versions that the originals were trained with; they must be what SEEDS_CORPUS names."""
    versions = subject("docs-bert").card["versions"]
    for package in ("numpy", "scipy", "scikit-learn", "pandas", "networkx", "sympy"):
        if version(package) != versions[package] and not os.environ.get(corpus.FOLDER):
            pytest.skip(f"{package} {versions[package]}, whose documentation the reports are about")
    ids = torch.cat([data.docs()[split].inputs for split in ("test", "calibration", "probe")])
    assert hashlib.sha256(ids.numpy().tobytes()).hexdigest() == SCORED_TEXT


@pytest.fixture
def two_packages(monkeypatch):
    """Documentation of two packages in made-up words, where the third probe paragraph of one is the first of the other."""

    def text(package, split, number):
        if (package, split, number) == ("b", 0.22, 0):
            package, number = "a", 2
        words = hashlib.shake_128(f"{package} {split} {number}".encode()).hexdigest(60)
        return " ".join("".join(chr(ord("a") + int(c, 16)) for c in words[i : i + 6]) for i in range(0, 120, 6))

    monkeypatch.setattr(corpus, "PACKAGES", ("a", "b"))
    monkeypatch.setattr(data, "PACKAGES", ("a", "b"))
    monkeypatch.setattr(corpus, "_files", lambda package, low, high: [Path(f"{package}/{low}")])
    monkeypatch.setattr(corpus, "paragraphs", lambda path: (text(path.parts[0], float(path.name), n) for n in range(6)))
    monkeypatch.setattr(data, "DOCS_PER_CLASS", {"test": 2, "calibration": 2, "probe": 2})


def test_other_splits_do_not_depend_on_the_labelled_ones(two_packages, monkeypatch):
    """Though a labelled paragraph of the first package is a duplicate of a probe paragraph of the second."""
    found = {}
    for count in (2, 5, 6):
        monkeypatch.setattr(data, "DOCS_LABELLED", count)
        found[count] = data.docs.__wrapped__()
    for split in ("test", "calibration", "probe"):
        assert all(torch.equal(found[2][split].inputs, found[count][split].inputs) for count in (5, 6))
    assert [len(found[count].get("labelled", ())) for count in (2, 5, 6)] == [4, 10, 0]  # of six, one is a duplicate


def test_too_few_paragraphs_to_label_leave_the_other_splits(two_packages, monkeypatch):
    monkeypatch.setattr(data, "DOCS_LABELLED", 7)
    splits = data.docs.__wrapped__()
    assert list(splits) == ["test", "calibration", "probe"]
    monkeypatch.setattr(data, "docs", lambda: splits)
    monkeypatch.setattr(data, "docs_labelled", data.docs_labelled.__wrapped__)
    on = replace(task("docs-finetune"), splits=data.docs_labelled)
    with pytest.raises(SubjectUnavailable, match="'docs-finetune' has no 'labelled' split on this machine; it has test, cal"):
        on.split("labelled")


def test_no_held_out_paragraph_is_a_near_duplicate_of_training_text():
    seen = Shingles.load(data.TRAINING_SHINGLES)
    texts = held_out_paragraphs({"test": 30, "calibration": 10}, Shingles.load(data.TRAINING_SHINGLES))
    assert max(seen.containment(p.text) for split in texts.values() for of_one in split for p in of_one) < CONTAINMENT


def test_paragraphs_of_one_file_are_drawn_together():
    """Each split of the documentation names the files of its paragraphs, whichever of them are taken; others name none."""
    paragraphs_of = held_out_paragraphs(data.DOCS_PER_CLASS, Shingles.load(data.TRAINING_SHINGLES))
    for split in data.DOCS_PER_CLASS:
        files = [p.file for of_one in paragraphs_of[split] for p in of_one]
        clusters = files_of(data.docs()[split])
        assert len(set(zip(files, clusters, strict=True))) == len(set(files)) == len(set(clusters)) < len(files)
    test = data.docs()["test"]
    some = test[torch.arange(len(test)) % 5 == 0]
    assert files_of(some) == files_of(some.trimmed()) == files_of(data.docs_text()["test"]) == files_of(test)[::5]
    assert data.digits()["test"].drawn == {"clusters": None, "strata": None}


def files_of(examples: data.Examples) -> list[int]:
    found = examples.drawn
    assert found["clusters"] is not None
    assert examples.labels is not None
    assert found["strata"] is not None
    assert found["strata"].tolist() == examples.labels.tolist()
    return found["clusters"].tolist()


def test_the_filter_knows_the_training_text():
    """Had it been filled from other files, leaks would pass unseen."""
    seen = Shingles.load(data.TRAINING_SHINGLES)
    texts = [text for package in PACKAGES for path in _files(package, *TRAIN)[:3] for text in paragraphs(path)]
    known = sum(seen.knows(text) for text in texts) / len(texts)
    assert known > 0.9  # all, with the package versions of the recipe; other versions bring some new text


def test_every_file_belongs_to_one_split():
    ends = [*HELD_OUT.values(), TRAIN]
    assert ends[0][0] == 0.0
    assert ends[-1][1] == 1.0
    assert all(a[1] == b[0] for a, b in pairwise(ends))
    files = [path for low, high in ends for path in _files("networkx", low, high)]
    assert len(files) == len(set(files)) == len(_files("networkx", 0.0, 1.0))


def test_encoding_opens_each_text_and_masks_its_pads():
    ids, mask = data.encode(["linear algebra", "a " * 200])
    assert ids.shape == (2, data.MAX_TOKENS)
    assert (ids[:, 0] == data.docs_tokenizer().token_to_id("<start>")).all()
    assert mask[1].all()
    assert not mask[0].all()
    assert (ids[~mask] == data.docs_tokenizer().token_to_id("<pad>")).all()
    assert torch.equal(mask[0].sort(descending=True).values, mask[0])


def test_an_unknown_task_lists_the_choices():
    with pytest.raises(SubjectUnavailable, match=r"unknown task 'digit'; allowed: digits, .*docs-topic"):
        task("digit")
    assert set(TASKS) >= {"digits", "docs-topic", "docs-text", "wikitext-2", "imdb"}


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.delenv(corpus.FOLDER, raising=False)
    monkeypatch.setattr("seeds.corpus.PACKAGES", ("nowhere",))
    with pytest.raises(SubjectUnavailable, match="package 'nowhere' is not installed"):
        held_out_paragraphs({"test": 1}, Shingles())


def test_the_text_of_other_versions_is_read_from_a_folder(monkeypatch, tmp_path):
    """And from nowhere else: a package that is not in it is named, even if it is installed."""
    words = "a paragraph of prose that only this folder has and that is long enough to be kept"
    (tmp_path / "sympy").mkdir()
    for i in range(40):
        (tmp_path / "sympy" / f"file{i}.py").write_text(f'"""{words}."""')
    monkeypatch.setenv(corpus.FOLDER, str(tmp_path))
    assert set(corpus.training_paragraphs("sympy")) == {f"{words}."}
    with pytest.raises(SubjectUnavailable, match="there is no 'numpy'; it needs numpy, scipy, sklearn"):
        next(corpus.training_paragraphs("numpy"))
