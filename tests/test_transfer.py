"""Transfer: one new head for all arms of a run, unrelated to any of them, on a body whose own head is out of use.

subject -> extract -> Seed -> store -> assemble -> [transfer] -> finetune -> verdict
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seeds.budget import TUNING_RUNS
from seeds.evaluate import features, pooled
from seeds.finetune import finetune
from seeds.subject import subject
from seeds.transfer import NewHead, forward_of, with_new_head
from seeds.trial import Prepared, Setting, Trial, prepare, starts

MLP = Setting("digits-mlp-04", transfer=True)
ARMS = ("original", "fresh", "moments", "permuted", "pca:10")
RUNS = range(3)
OLD_HEAD = ("body.4.weight", "body.4.bias")


def heads(arm: str, runs: range = RUNS) -> list[nn.Linear]:
    models, _ = starts(MLP, arm, runs)
    return [model.get_submodule("head") for model in models]  # pyright: ignore[reportReturnType]


def flat(module: nn.Module) -> np.ndarray:
    return np.concatenate([weight.detach().flatten().numpy() for weight in module.parameters()])


@pytest.mark.parametrize("arm", ARMS[1:])
def test_every_arm_of_a_run_has_the_same_new_head(arm):
    """With the default init of a linear layer from the body's features to the other task's classes."""
    for mine, of_original in zip(heads(arm), heads("original"), strict=True):
        assert mine.weight.shape == (5, 128)
        assert torch.equal(mine.weight, of_original.weight)
        assert torch.equal(mine.bias, of_original.bias)
        assert mine.weight.abs().max() <= 128**-0.5
        assert mine.weight.std().item() == pytest.approx((3 * 128) ** -0.5, rel=0.1)  # uniform; 640 entries


def test_every_run_has_a_head_of_its_own():
    """Runs that are judged and runs of sweeps: no two heads are alike by more than chance, five deviations of 640 entries."""
    rows = np.stack([flat(head) for first in (0, TUNING_RUNS) for head in heads("original", range(first, first + 4))])
    alike = np.corrcoef(rows) - np.eye(len(rows))
    assert np.abs(alike).max() < 5 / np.sqrt(640)


@pytest.mark.parametrize("run", [0, 1, TUNING_RUNS])
def test_the_head_has_nothing_in_common_with_a_fresh_body(run):
    """Nowhere in the fresh weights lies a piece that the head is like: six deviations of 640 entries, at some 25,000 places."""
    body = np.concatenate([flat(layer) for layer in subject("digits-mlp-04").fresh(run).children() if flat_size(layer)])
    head = heads("fresh", range(run, run + 1))[0].weight.detach().flatten().numpy()
    pieces = np.lib.stride_tricks.sliding_window_view(body, len(head))
    alike = (pieces @ head) / (np.linalg.norm(pieces, axis=1) * np.linalg.norm(head))
    assert np.abs(alike).max() < 6 / np.sqrt(len(head))


def flat_size(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def test_the_number_of_the_run_decides_not_what_was_drawn_before():
    """Torch's global generator is where it was."""
    torch.rand(7)
    before = torch.get_rng_state()
    first = heads("original")
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(first, heads("original"), strict=True))


def test_the_new_head_reads_what_the_last_layer_read():
    """Its logits are a linear function of the body's features."""
    one = subject("digits-mlp-04")
    (model,), forward = starts(MLP, "original", range(1))
    test = MLP.task.splits()["test"]
    states, head = forward(model, test.inputs, None)
    np.testing.assert_allclose(
        states.detach().numpy(), features(one.original(), one.forward, test), rtol=0, atol=1e-5
    )  # float32
    assert torch.equal(head(states), states @ head.weight.T + head.bias)  # pyright: ignore


def test_tokens_are_averaged_under_the_new_head_and_pads_are_not():
    """A body that gives each token its own number as state: two real tokens out of three."""

    def forward(model: nn.Module, inputs: Tensor, mask: Tensor | None):
        return inputs[:, :, None].float(), nn.Identity()

    inputs, mask = torch.tensor([[2, 4, 9]]), torch.tensor([[True, True, False]])
    states, _ = forward_of(forward)(NewHead(nn.Identity(), 1, 2), inputs, mask)
    assert states.tolist() == [[3.0]]
    assert pooled(inputs[:, :, None].float(), mask).tolist() == [[3.0]]
    labelled = replace(MLP.task.splits()["test"][:1], inputs=inputs, mask=mask)
    assert with_new_head(nn.Identity(), forward, labelled, 2, 0).head.weight.shape == (2, 1)


def prepared(together: bool) -> Prepared:
    ready = prepare(Trial(MLP, "original", samples=10, rate=1e-2, first_run=0, runs=2, looks=(0, 5)))
    return replace(ready, together=together)


def nats(ready: Prepared) -> np.ndarray:
    return finetune(ready.models, ready.forward, ready.kind, ready.lessons, ready.plan, ready.together).nats


def test_the_old_head_stays_while_all_else_moves():
    """It has no gradient, and so no weight decay either."""
    ready = prepared(together=False)
    before = {name: weight.clone() for name, weight in ready.models[0].state_dict().items()}
    nats(ready)
    after = ready.models[0].state_dict()
    assert {name for name in before if torch.equal(before[name], after[name])} == set(OLD_HEAD)
    assert all(weight.grad is None for name, weight in ready.models[0].named_parameters() if name in OLD_HEAD)


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "together"])
def test_the_old_head_has_no_say(together):
    """Filled with NaN, it changes no bit of any score, nor of any gradient's length."""
    plain, poisoned = prepared(together), prepared(together)
    with torch.no_grad():
        for model in poisoned.models:
            for name in OLD_HEAD:
                model.get_parameter(name).fill_(torch.nan)
    np.testing.assert_array_equal(nats(poisoned), nats(plain))
