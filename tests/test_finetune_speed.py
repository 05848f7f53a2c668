"""Speed of fine-tuning beside its peers: stacked runs against a plain loop, and one run against `transformers.Trainer`.

Every way takes the same steps on the same batches from the same weights, on one thread, and must end with the same loss.
Skipped unless asked for with `--benchmark`.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from seeds.budget import batches
from seeds.finetune import CLIP, WEIGHT_DECAY, Curves, finetune
from seeds.measure import FRESH
from seeds.subject import one_thread, subject
from seeds.trial import Prepared, Setting, Trial, prepare

STACKED_RUNS, STACKED_STEPS, STACKED_RATE = 32, 100, 3e-3
TEXT_STEPS, TEXT_RATE = 30, 3e-4
SAME_LOSS = 1e-3  # nats: other orders of float32 sums, added up over the steps


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a way of fine-tuning ends with: cross-entropy on the test examples, mean over runs."""

    nats: float

    @classmethod
    def of(cls, curves: Curves) -> "Outcome":
        return cls(float(curves.nats[:, -1].mean()))


def prepared(name: str, samples: int, runs: int, steps: int, rate: float) -> Prepared:
    one_thread()
    return prepare(Trial(Setting(name), FRESH, samples, rate, 0, runs, (steps,)))


def together(ready: Prepared) -> Outcome:
    return Outcome.of(finetune(ready.models, ready.forward, ready.kind, ready.lessons, ready.plan, together=True))


def in_turn(ready: Prepared) -> Outcome:
    return Outcome.of(finetune(ready.models, ready.forward, ready.kind, ready.lessons, ready.plan))


def plain_loop(ready: Prepared) -> Outcome:
    """What one would write for one run, for each run."""
    nats = []
    for model, lesson in zip(ready.models, ready.lessons, strict=True):
        optimizer = torch.optim.AdamW(model.parameters(), lr=ready.plan.rate, weight_decay=WEIGHT_DECAY, fused=True)
        for rows in torch.from_numpy(batches(ready.plan.budget, lesson.run)):
            batch = lesson.labelled[rows]
            assert batch.labels is not None
            optimizer.zero_grad()
            states, head = ready.forward(model, batch.inputs, batch.mask)
            functional.cross_entropy(head(states), batch.labels).backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
        nats.append(nats_of(ready, model, lesson.test))
    return Outcome(float(np.mean(nats)))


def nats_of(ready: Prepared, model: nn.Module, test) -> float:
    with torch.inference_mode():
        states, head = ready.forward(model.eval(), test.inputs, test.mask)
        return functional.cross_entropy(head(states), test.labels).item()


@pytest.mark.benchmark(group="finetune: 32 runs of digits-mlp, 100 steps")
@pytest.mark.parametrize("samples", [10, 500])
@pytest.mark.parametrize("way", [together, in_turn, plain_loop], ids=["stacked", "in-turn", "plain-loop"])
def test_the_speed_of_many_runs(benchmark, way, samples):
    def start():
        return (prepared("digits-mlp", samples, STACKED_RUNS, STACKED_STEPS, STACKED_RATE),), {}

    found = benchmark.pedantic(way, setup=start, rounds=3, warmup_rounds=1)

    tell(benchmark, STACKED_RUNS, found)
    expected = plain_loop(prepared("digits-mlp", samples, STACKED_RUNS, STACKED_STEPS, STACKED_RATE))
    assert found.nats == pytest.approx(expected.nats, abs=SAME_LOSS), "fast but wrong"


@pytest.mark.benchmark(group="finetune: one run of docs-bert, 30 steps")
@pytest.mark.parametrize("way", ["seeds", "plain-loop", "trainer"])
def test_the_speed_of_a_transformer(benchmark, way, tmp_path):
    if way == "trainer":
        pytest.importorskip("accelerate", reason="transformers.Trainer needs the package accelerate")
    ways = {"seeds": in_turn, "plain-loop": plain_loop, "trainer": lambda ready: by_trainer(ready, tmp_path)}

    def start():
        return (prepared("docs-bert", 99, 1, TEXT_STEPS, TEXT_RATE),), {}

    found = benchmark.pedantic(ways[way], setup=start, rounds=3, warmup_rounds=1)

    tell(benchmark, 1, found)
    expected = plain_loop(prepared("docs-bert", 99, 1, TEXT_STEPS, TEXT_RATE))
    assert found.nats == pytest.approx(expected.nats, abs=SAME_LOSS), "fast but wrong"


def by_trainer(ready: Prepared, folder) -> Outcome:
    """`transformers.Trainer` with everything off that it need not do: no logs, no checkpoints, no evaluation."""
    from torch.utils.data import DataLoader
    from transformers import Trainer, TrainingArguments

    (model,), (lesson,), budget = ready.models, ready.lessons, ready.plan.budget
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    order = batches(budget, lesson.run).ravel()
    data = lesson.labelled[torch.from_numpy(order)]
    assert data.labels is not None
    assert data.mask is not None
    rows = [
        {"input_ids": data.inputs[i], "attention_mask": data.mask[i], "labels": data.labels[i]} for i in range(len(data))
    ]  # already in the order of the steps

    class InOrder(Trainer):
        def get_train_dataloader(self):
            return DataLoader(rows, batch_size=budget.batch)  # pyright: ignore[reportArgumentType]

    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=budget.steps, per_device_train_batch_size=budget.batch, learning_rate=ready.plan.rate,
        weight_decay=WEIGHT_DECAY, max_grad_norm=CLIP, lr_scheduler_type="constant", optim="adamw_torch_fused", use_cpu=True,
        logging_strategy="no", save_strategy="no", report_to="none", disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    InOrder(model=model, args=arguments).train()
    return Outcome(nats_of(ready, model, lesson.test))


def tell(benchmark, runs: int, found: Outcome) -> None:
    """Runs per second of the best round, the loss that was reached, and the circumstances."""
    benchmark.extra_info |= {
        "runs_per_s": runs / benchmark.stats.stats.min,
        "nats": found.nats,
        "bytes": 4 * sum(p.numel() for p in subject("digits-mlp" if runs > 1 else "docs-bert").fresh(0).parameters()),
        "threads": torch.get_num_threads(),
        "device": "cpu",
    }
