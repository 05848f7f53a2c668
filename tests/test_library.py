"""The embedded library: every subject loads, is as good as its card says, and can be trained again."""

import json

import pytest
import torch

from seeds import store
from seeds.errors import SeedError, SubjectUnavailable
from seeds.library.__main__ import main
from seeds.library.published import seed_from_table
from seeds.measure import ORIGINAL
from seeds.quantity import Mean, stack
from seeds.subject import LIBRARY, SUBJECTS, subject

TRAINED = ["digits-mlp", "digits-cnn", "docs-bert", "docs-gpt"]
LEAST_ACCURACY = {"digits-mlp": 0.97, "digits-cnn": 0.98}


@pytest.mark.parametrize("subject_name", TRAINED)
def test_a_card_tells_the_quality_that_is_measured(subject_name, measure):
    """To three decimals for accuracy; for nats within 0.01, since other CPUs and versions round otherwise."""
    one = subject(subject_name)
    (found,) = measure.evaluations(one, ORIGINAL, 1)
    card = one.card
    if found.correct is not None:
        assert found.correct.mean() == pytest.approx(card["value"], abs=1 / len(found.correct) + 1e-4)
    else:
        assert Mean(stack([found.nats]), found.weights, random=False).interval(0.025).value == pytest.approx(
            card["value"], abs=0.01
        )
    assert one.weights_path is not None
    assert card["size_bytes"] == one.weights_path.stat().st_size
    assert card["interval_95"][0] < card["value"] < card["interval_95"][1]


@pytest.mark.parametrize(("subject_name", "least"), LEAST_ACCURACY.items())
def test_the_digits_are_read_well(subject_name, least, measure):
    (found,) = measure.evaluations(subject(subject_name), ORIGINAL, 1)
    assert found.correct.mean() >= least


def test_the_library_fits_in_eight_megabytes():
    assert sum(path.stat().st_size for path in LIBRARY.glob("*.safetensors")) <= 8_000_000


@pytest.mark.parametrize(("subject_name", "tensors", "parameters"), [("gpt2", 148, 124_439_808), ("bert-tiny", 39, 4_385_920)])
def test_published_moments_cover_the_published_model(subject_name, tensors, parameters):
    seed = subject(subject_name).published_seed()
    assert (len(seed.entries), seed.parameters) == (tensors, parameters)
    assert "shanjiang7/GraphNet" in seed.source
    path = subject(subject_name).seed_path
    assert path is not None
    assert store.size_bytes(seed) == path.stat().st_size
    with pytest.raises(SubjectUnavailable, match="not part of this package"):
        subject(subject_name).original()


def test_bert_tiny_assembles_and_keeps_a_head_of_its_own_per_run():
    one = subject("bert-tiny")
    first, second = (one.assembled(one.published_seed(), run).state_dict() for run in (0, 1))
    assert not torch.equal(first["classifier.weight"], second["classifier.weight"])
    gains = first["bert.embeddings.LayerNorm.weight"]
    assert gains.mean().item() == pytest.approx(1.312, abs=5 * 0.133 / 128**0.5)  # the published moments of that tensor


def test_the_smallest_subject_trained_again_is_as_good(tmp_path, measure, capsys):
    """`python -m seeds.library train digits-mlp` from scratch: accuracy within the 95 % interval of the card."""
    assert main(["train", "digits-mlp", "--into", str(tmp_path), "--rng-seed", "1"]) == 0
    again = json.loads((tmp_path / "digits_mlp.json").read_text())
    low, high = subject("digits-mlp").card["interval_95"]
    assert low <= again["value"] <= high
    assert sorted(p.name for p in tmp_path.iterdir()) == ["digits_mlp.json", "digits_mlp.safetensors"]


def test_a_table_that_is_none_is_refused(tmp_path):
    path = tmp_path / "table.json"
    path.write_text('{"tensors": {"w": {"shape": [2], "mean": 0.0, "std": -1.0}}}')
    with pytest.raises(SeedError, match=r"std -1\.0 is negative"):
        seed_from_table(path, "here")
    with pytest.raises(SeedError, match="no table of tensors"):
        seed_from_table(tmp_path / "missing.json", "here")


def test_an_unknown_subject_lists_the_choices():
    with pytest.raises(SubjectUnavailable, match=r"unknown subject 'gpt3'; allowed: digits-mlp, .*bert-tiny"):
        subject("gpt3")
    assert list(SUBJECTS)[:4] == TRAINED
