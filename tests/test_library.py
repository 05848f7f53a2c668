"""The embedded library: every subject loads, is as good as its card says, and can be trained again."""

import json

import pytest
import torch
from safetensors.torch import load_file

from seeds import cli, store
from seeds.errors import SeedError, StoreError, SubjectUnavailable
from seeds.library import card as cards
from seeds.library import digits_cnn, digits_mlp
from seeds.library.__main__ import main
from seeds.library.published import seed_from_table
from seeds.measure import ORIGINAL
from seeds.quantity import Mean, stack
from seeds.subject import LIBRARY, SUBJECTS, subject

TRAINED = ["digits-mlp", "digits-cnn", "docs-bert", "docs-gpt"]
INDEPENDENT = ["digits-mlp", "digits-mlp-1", "digits-mlp-2", "digits-mlp-3", "digits-mlp-4"]  # one recipe, five originals
BODIES = ["digits-mlp-04", "digits-cnn-04"]
LEAST_ACCURACY = {"digits-mlp": 0.97, "digits-cnn": 0.98} | dict.fromkeys(INDEPENDENT[1:], 0.96) | dict.fromkeys(BODIES, 0.98)


@pytest.mark.parametrize("subject_name", [*TRAINED, *INDEPENDENT[1:], *BODIES])
def test_a_card_tells_the_quality_that_is_measured(subject_name, measure):
    """To three decimals for accuracy; for nats within 0.01, since other CPUs and versions round otherwise."""
    one = subject(subject_name)
    (found,) = measure.evaluations(one, ORIGINAL, 1)
    card = one.card
    drawn = one.task.splits()["test"].drawn
    if found.correct is not None:
        near = 1 / len(found.correct) + 1e-4
        quality = Mean(stack([found.correct]), bounds=(0.0, 1.0), random=False, **drawn).interval(0.025)
    else:
        near, quality = 0.01, Mean(stack([found.nats]), found.weights, random=False, **drawn).interval(0.025)
    assert [quality.value, quality.low, quality.high] == pytest.approx([card["value"], *card["interval_95"]], abs=near)
    assert one.weights_path is not None
    assert card["size_bytes"] == one.weights_path.stat().st_size
    assert card == cards.read(one.weights_path), "it is the card of these weights"
    assert card["subject"] == subject_name
    assert card["rng_seed"] == one.rng_seed
    assert (LIBRARY.parent.parent / card["recipe"]).samefile(one.module.__file__ or "")
    assert card["interval_95"][0] < card["value"] <= card["interval_95"][1]  # equal at 1 only
    assert card["interval_95"][1] > card["value"] or card["value"] == 1.0


@pytest.mark.parametrize(("subject_name", "least"), LEAST_ACCURACY.items())
def test_the_digits_are_read_well(subject_name, least, measure):
    (found,) = measure.evaluations(subject(subject_name), ORIGINAL, 1)
    assert found.correct.mean() >= least


def test_originals_of_one_recipe_are_trained_independently():
    """No two have the same weights, nor the same init: their first layers point in unrelated directions."""
    first = torch.stack([subject(name).original().state_dict()["0.weight"].flatten() for name in INDEPENDENT])
    alike = torch.corrcoef(first) - torch.eye(len(INDEPENDENT))
    assert alike.abs().max() < 0.1  # 8,192 weights: five times the deviation of chance is 0.055


@pytest.mark.parametrize(
    ("subject_name", "finetune", "transfer"),
    [
        ("digits-mlp", "digits", None),
        ("digits-mlp-3", "digits", None),
        ("digits-mlp-04", "digits-0-4", "digits-5-9"),
        ("digits-cnn-04", "digits-0-4", "digits-5-9"),
        ("docs-bert", "docs-finetune", None),
        ("docs-gpt", "docs-text", "docs-finetune"),
    ],
)
def test_a_subject_names_the_tasks_that_it_is_fine_tuned_for(subject_name, finetune, transfer):
    one = subject(subject_name)
    assert one.finetune_task.name == finetune
    if transfer is None:
        with pytest.raises(
            SubjectUnavailable, match=rf"{subject_name} has no task to transfer to; .*: docs-gpt, digits-mlp-04"
        ):
            _ = one.transfer_task
    else:
        assert one.transfer_task.name == transfer


@pytest.mark.parametrize("subject_name", [name for name, one in SUBJECTS.items() if one.vectorised])
def test_many_copies_of_a_vectorised_subject_run_at_once(subject_name):
    one = subject(subject_name)
    pixels = one.task.split("test").inputs[:5]
    models = [one.fresh(run) for run in range(3)]
    stacked, _ = torch.func.stack_module_state(models)
    together = torch.func.vmap(lambda state: torch.func.functional_call(models[0], state, (pixels,)))(stacked)
    assert together.shape == (3, 5, one.task.classes)
    for model, logits in zip(models, together, strict=True):
        states, head = one.forward(model, pixels, None)
        torch.testing.assert_close(head(states), logits)  # the kernels sum in other orders


def test_the_library_fits_in_eight_megabytes():
    assert sum(path.stat().st_size for path in LIBRARY.glob("*.safetensors")) <= 8_000_000


@pytest.mark.parametrize(("subject_name", "tensors", "parameters"), [("gpt2", 148, 124_439_808), ("bert-tiny", 39, 4_385_920)])
def test_published_moments_cover_the_published_model(subject_name, tensors, parameters, monkeypatch, tmp_path):
    seed = subject(subject_name).published_seed()
    assert (len(seed.entries), seed.parameters) == (tensors, parameters)
    assert "shanjiang7/GraphNet" in seed.source
    path = subject(subject_name).seed_path
    assert path is not None
    assert store.size_bytes(seed) == path.stat().st_size
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))  # whatever lies in the real one
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
    assert again["rng_seed"] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["digits_mlp.json", "digits_mlp.safetensors"]


@pytest.mark.parametrize("subject_name", ["digits-mlp-3", "digits-mlp-04", "digits-cnn-04"])
def test_a_subject_is_trained_by_its_own_recipe_and_rng_seed(subject_name, tmp_path, monkeypatch, capsys):
    """With two steps of rate 0 instead of thousands: what is saved is then the fresh network of that number."""
    one = subject(subject_name)
    for recipe in (digits_mlp, digits_cnn):
        monkeypatch.setattr(recipe, "STEPS", 2)
        monkeypatch.setattr(recipe, "RATE", 0.0)
    assert main(["train", subject_name, "--into", str(tmp_path)]) == 0
    trained, fresh = load_file(tmp_path / f"{one.stem}.safetensors"), one.fresh(one.rng_seed).state_dict()
    assert trained.keys() == fresh.keys()
    assert all(torch.equal(trained[name], fresh[name]) for name in fresh)
    assert json.loads((tmp_path / f"{one.stem}.json").read_text())["rng_seed"] == one.rng_seed


def test_a_table_that_is_none_is_refused(tmp_path):
    path = tmp_path / "table.json"
    path.write_text('{"tensors": {"w": {"shape": [2], "mean": 0.0, "std": -1.0}}}')
    with pytest.raises(SeedError, match=r"std -1\.0 is negative"):
        seed_from_table(path, "here")
    with pytest.raises(SeedError, match="no table of tensors"):
        seed_from_table(tmp_path / "missing.json", "here")


@pytest.mark.parametrize(
    ("raw", "told", "message"),
    [
        (b"weights", '{"sha256": "0"}', r"net\.json is of a file with SHA-256 0, .* has 9a129038d9a0"),
        (b"weights", "{}", r"has no card that can be read \(KeyError\('sha256'\)\); train it again"),
        (b"weights", "[1]", "has no card that can be read"),
        (b"weights", '{"sha2', "has no card that can be read"),
        (b"weights", None, "has no card that can be read"),
        (None, "{}", "has no card that can be read"),
    ],
    ids=["of other weights", "no digest", "no object", "cut", "missing", "no weights"],
)
def test_a_card_that_is_not_of_its_file_is_refused(tmp_path, raw, told, message):
    for name, content in (("net.safetensors", raw), ("net.json", told and told.encode())):
        if content is not None:
            (tmp_path / name).write_bytes(content)
    with pytest.raises(StoreError, match=message):
        cards.read(tmp_path / "net.safetensors")


def test_a_subject_has_no_card_of_other_weights(tmp_path, monkeypatch):
    """Weights of a build that was killed before it wrote their card; `python -m seeds list` says that there is none."""
    for name in ("digits_mlp.json", "digits_mlp.safetensors"):
        (tmp_path / name).write_bytes((LIBRARY / name).read_bytes())
    monkeypatch.setattr("seeds.subject.LIBRARY", tmp_path)
    one = subject("digits-mlp")
    assert one.card["value"] > 0.9
    (tmp_path / "digits_mlp.safetensors").write_bytes((LIBRARY / "digits_mlp_1.safetensors").read_bytes())
    with pytest.raises(StoreError, match=r"digits_mlp\.json is of a file with SHA-256"):
        _ = one.card
    assert cli._card_quality(one) == "no card"


def test_the_cards_of_published_moments_are_of_their_files():
    for name in ("gpt2", "bert-tiny"):
        one = subject(name)
        assert one.seed_path is not None
        assert cards.read(one.seed_path) == one.card


def test_an_unknown_subject_lists_the_choices():
    with pytest.raises(SubjectUnavailable, match=r"unknown subject 'gpt3'; allowed: digits-mlp, .*bert-tiny"):
        subject("gpt3")
    assert list(SUBJECTS)[:4] == TRAINED
