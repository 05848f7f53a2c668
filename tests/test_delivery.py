"""Deliveries: what is sent is a real file, and what is opened is the model that it should be."""

import pytest
import torch

from seeds.cost.delivery import DELIVERIES, lesson, opened, packed, tuned
from seeds.extract import extract
from seeds.subject import subject

MLP = subject("digits-mlp")


@pytest.mark.parametrize("name", [name for name, d in DELIVERIES.items() if name != "recipe"])
def test_the_receiver_opens_what_was_sent(name, tmp_path):
    """The model of run 3 is the one that is assembled here from the same seed."""
    sent = DELIVERIES[name]
    found = opened(MLP, sent, packed(MLP, sent, tmp_path), 3).state_dict()
    exact = MLP.original() if name == "original" else MLP.assembled(extract(MLP.original(), name), 3)
    assert all(torch.equal(found[key], value) for key, value in exact.state_dict().items())


def test_lossless_deliveries_give_the_original(tmp_path):
    exact = MLP.original().state_dict()
    for name in ("original", "zstd"):
        found = opened(MLP, DELIVERIES[name], packed(MLP, DELIVERIES[name], tmp_path), 0).state_dict()
        assert all(torch.equal(found[key], value) for key, value in exact.items())


def test_a_recipe_is_its_source_and_starts_fresh(tmp_path):
    path = packed(MLP, DELIVERIES["recipe"], tmp_path)
    assert "def architecture" in path.read_text()
    found = opened(MLP, DELIVERIES["recipe"], path, 5).state_dict()
    assert all(torch.equal(found[key], value) for key, value in MLP.fresh(5).state_dict().items())


def test_smaller_deliveries_are_smaller(tmp_path):
    sizes = {name: packed(MLP, sent, tmp_path).stat().st_size for name, sent in DELIVERIES.items()}
    ordered = ["original", "zstd", "float16", "int8", "int4", "signs+vectors", "moments"]
    assert [sizes[name] for name in ordered] == sorted((sizes[name] for name in ordered), reverse=True)


def test_fine_tuning_changes_the_delivered_model_and_counts_its_steps_alone(tmp_path):
    sent = DELIVERIES["moments"]
    model = opened(MLP, sent, packed(MLP, sent, tmp_path), 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    curves = tuned(model, lesson(MLP, 99, 1e-2, (5, 10), 0))
    assert curves.looks == (5, 10)
    assert 0 < curves.elapsed_s[0] < curves.elapsed_s[1]
    assert not any(torch.equal(before[name], value) for name, value in model.state_dict().items())
