"""Fine-tuning: from initial weights to quality along the way, for several runs of one arm.

    subject -> extract -> Seed -> store -> assemble -> [finetune] -> verdict

AdamW at a constant rate without warm-up or decay, gradients clipped, no dropout, no augmentation: the state after n steps is
what a budget of n steps would have given, so one run serves all step budgets. Small networks are bound by dispatch, not
by arithmetic; where `torch.func` can stack them, all runs take each step together. This module knows nothing of seeds, arms
and claims.
"""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

from seeds.budget import Budget, batches
from seeds.data import Examples
from seeds.errors import ProtocolError
from seeds.evaluate import Forward, mean_per_row, next_tokens, over_batches, shared
from seeds.task import Kind

CLIP = 1.0  # largest norm of a gradient
WEIGHT_DECAY = 0.01  # AdamW's default


@dataclass(frozen=True, slots=True)
class Plan:
    """How to fine-tune: the rate is constant; `looks` are the steps after which quality is measured, ascending, 0 allowed."""

    budget: Budget
    rate: float
    looks: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise ProtocolError(f"learning rate {self.rate} is out of range: between 0 and 1")
        in_range = self.looks and self.looks[0] >= 0 and self.looks[-1] <= self.budget.steps
        if not in_range or list(self.looks) != sorted(set(self.looks)):
            raise ProtocolError(f"looks {self.looks} are out of range: ascending, from 0 to {self.budget.steps} steps")


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Scores of several runs along the way.

    Args:
        looks: (looks,) steps after which the scores were taken.
        nats: (runs, looks, examples) cross-entropy, for language the mean over an example's real tokens; infinite where
            the run diverged.
        correct: (runs, looks, examples) 0 or 1; None for language.
        weights: (examples,) scored tokens, or ones.
        drawn: (runs, samples) rows of the pool that each run was trained on.
        elapsed_s: (looks,) seconds of training until each look, all runs together, scoring left out.
    """

    looks: tuple[int, ...]
    nats: np.ndarray
    correct: np.ndarray | None
    weights: np.ndarray
    drawn: np.ndarray
    elapsed_s: np.ndarray

    @property
    def runs(self) -> int:
        return len(self.nats)

    def quality(self) -> np.ndarray:
        """Accuracy, or minus the nats per real token: (runs, looks)."""
        if self.correct is not None:
            return self.correct.mean(2)
        return -np.average(self.nats, axis=2, weights=self.weights)


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What one run is taught and asked: samples in the order of `drawn`, and examples that are scored."""

    run: int
    drawn: np.ndarray
    labelled: Examples
    test: Examples

    def __post_init__(self) -> None:
        if count := shared(self.labelled, self.test):
            raise ProtocolError(f"{count} of the labelled samples are scored examples of {self.test.split}, too")


def finetune(
    models: Sequence[nn.Module], forward: Forward, kind: Kind, lessons: Sequence[Lesson], plan: Plan, together: bool = False
) -> Curves:
    """Trains every model on its lesson: in place one by one, as stacked copies together.

    Args:
        models: one per run, all of one architecture.
        lessons: one per model, all of the same size.
        together: whether all models take each step at once (`torch.func.vmap`); classification only.

    Raises:
        ProtocolError: a labelled sample is scored too, or the plan is out of range.
    """
    if len(models) != len(lessons) or not models:
        raise ProtocolError(f"{len(models)} models and {len(lessons)} lessons; as many are needed, at least one")
    for model in models:
        model.eval()  # no dropout
    if together:
        scored, elapsed_s = _train(_Stacked(models, forward, lessons), [lesson.run for lesson in lessons], plan)
    else:
        found = [_train(_Single(m, forward, kind, e), [e.run], plan) for m, e in zip(models, lessons, strict=True)]
        scored = [_joined([scores[look] for scores, _ in found]) for look in range(len(plan.looks))]
        elapsed_s = np.sum([elapsed for _, elapsed in found], 0)
    nats, correct = zip(*scored, strict=True)
    return Curves(
        looks=plan.looks,
        nats=np.stack(nats, 1),
        correct=None if correct[0] is None else np.stack(correct, 1),
        weights=_weights(lessons[0].test, kind),
        drawn=np.stack([lesson.drawn for lesson in lessons]),
        elapsed_s=elapsed_s,
    )


Scores = tuple[np.ndarray, np.ndarray | None]  # nats and correct of one look, each (runs, examples)


def _joined(parts: Sequence[Scores]) -> Scores:
    nats, correct = zip(*parts, strict=True)
    return np.concatenate(nats), None if correct[0] is None else np.concatenate(correct)


def _weights(test: Examples, kind: Kind) -> np.ndarray:
    if kind == "classification":
        return np.ones(len(test))
    assert test.mask is not None
    return test.mask[:, 1:].sum(1).double().numpy()


class _Learner(Protocol):
    """One model, or many stacked ones: parameters, gradients of a batch, and scores."""

    parameters: Sequence[Tensor]

    def backward(self, rows: Tensor) -> None:
        """Leaves the clipped gradients of the batch at `rows` (runs, batch) of the labelled samples."""

    def scores(self) -> Scores: ...


def _train(learner: _Learner, runs: Sequence[int], plan: Plan) -> tuple[list[Scores], np.ndarray]:
    """Scores at each look, and the seconds of training until then."""
    order = torch.from_numpy(np.stack([batches(plan.budget, run) for run in runs], 1))  # (steps, runs, batch)
    optimizer = torch.optim.AdamW(learner.parameters, lr=plan.rate, weight_decay=WEIGHT_DECAY, fused=True)
    scores, elapsed_s, spent_s = [], [], 0.0
    for step in range(plan.looks[-1] + 1):
        if step:
            start = time.perf_counter()
            optimizer.zero_grad()
            learner.backward(order[step - 1])
            optimizer.step()
            spent_s += time.perf_counter() - start
        if step in plan.looks:
            scores.append(learner.scores())
            elapsed_s.append(spent_s)
    return scores, np.array(elapsed_s)


class _Single:
    """One model, trained by itself."""

    def __init__(self, model: nn.Module, forward: Forward, kind: Kind, lesson: Lesson) -> None:
        self.model, self.forward, self.kind, self.lesson = model, forward, kind, lesson
        self.parameters: Sequence[Tensor] = list(model.parameters())

    def backward(self, rows: Tensor) -> None:
        self._loss(self.lesson.labelled[rows[0]].trimmed()).backward()
        nn.utils.clip_grad_norm_(self.parameters, CLIP)

    def _loss(self, batch: Examples) -> Tensor:
        if self.kind == "language":
            logits, targets, _ = next_tokens(self.model, self.forward, batch)
            return functional.cross_entropy(logits, targets)
        states, head = self.forward(self.model, batch.inputs, batch.mask)
        return functional.cross_entropy(head(states), _labels(batch))

    def scores(self) -> Scores:
        if self.kind == "language":
            return _finite(over_batches(self.lesson.test, self._nats_of)[None]), None
        logits = over_batches(self.lesson.test, self._logits_of)[None]
        return _classified(logits, _labels(self.lesson.test)[None])

    def _nats_of(self, batch: Examples) -> Tensor:
        logits, targets, rows = next_tokens(self.model, self.forward, batch)
        return mean_per_row(functional.cross_entropy(logits, targets, reduction="none"), rows)

    def _logits_of(self, batch: Examples) -> Tensor:
        states, head = self.forward(self.model, batch.inputs, batch.mask)
        return head(states)


class _Stacked:
    """Classifiers of one architecture with stacked weights (runs, ...): one step of all costs little more than one of one."""

    def __init__(self, models: Sequence[nn.Module], forward: Forward, lessons: Sequence[Lesson]) -> None:
        models = [_ready_to_stack(model) for model in models]
        weights, buffers = stack_module_state(models)
        self.weights = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
        self.parameters: Sequence[Tensor] = list(self.weights.values())
        whole = _Whole(models[0], forward)
        named = {"model." + name: value for name, value in {**self.weights, **buffers}.items()}
        self.logits = lambda inputs: vmap(lambda own, x: functional_call(whole, own, (x,)))(named, inputs)
        self.inputs = torch.stack([lesson.labelled.inputs for lesson in lessons])  # (runs, samples, ...)
        self.labels = torch.stack([_labels(lesson.labelled) for lesson in lessons])
        self.asked = torch.stack([lesson.test.inputs for lesson in lessons])
        self.truth = torch.stack([_labels(lesson.test) for lesson in lessons])

    def backward(self, rows: Tensor) -> None:
        run = torch.arange(len(rows))[:, None]
        logits, labels = self.logits(self.inputs[run, rows]), self.labels[run, rows]
        # the sum over runs of each run's mean: no run sees another's gradient
        (functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum") / rows.shape[1]).backward()
        self._clip()

    def _clip(self) -> None:
        """`clip_grad_norm_` of each run by itself."""
        gradients = [cast(Tensor, p.grad) for p in self.parameters if p.grad is not None]
        norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)  # (runs,)
        factor = (CLIP / (norms + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(factor.view(-1, *[1] * (gradient.ndim - 1)))

    def scores(self) -> Scores:
        with torch.inference_mode():
            return _classified(self.logits(self.asked), self.truth)


class _Affine(nn.Module):
    """A linear layer whose weight lies as (inputs, outputs): stacked, that spares a copy in every product."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(layer.weight.detach().t().contiguous())
        self.bias = nn.Parameter(layer.bias.detach()[None].clone())

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs @ self.weight + self.bias


def _ready_to_stack(model: nn.Module) -> nn.Module:
    """A copy with every linear layer in the layout that stacks well; AdamW and clipping do not see the difference."""
    ready = copy.deepcopy(model)
    for parent in list(ready.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear):
                setattr(parent, name, _Affine(child))
    return ready


class _Whole(nn.Module):
    """A model from inputs to logits, as `functional_call` wants it."""

    def __init__(self, model: nn.Module, forward: Forward) -> None:
        super().__init__()
        self.model, self._forward = model, forward

    def forward(self, inputs: Tensor) -> Tensor:
        states, head = self._forward(self.model, inputs, None)
        return head(states)


def _classified(logits: Tensor, labels: Tensor) -> Scores:
    """Scores of logits (runs, examples, classes); logits that are not finite count as wrong."""
    nats = functional.cross_entropy(logits.double().transpose(1, 2), labels, reduction="none")
    correct = (logits.argmax(2) == labels) & torch.isfinite(logits).all(2)
    return _finite(nats), correct.to(torch.uint8).numpy()


def _finite(nats: Tensor) -> np.ndarray:
    return torch.where(torch.isfinite(nats), nats, torch.inf).float().numpy()


def _labels(examples: Examples) -> Tensor:
    if examples.labels is None:
        raise ProtocolError(f"{examples.split} has no labels")
    return examples.labels
