"""Evaluation: what a model scores on examples, raw and calibrated, one figure per example.

    subject -> extract -> Seed -> store -> assemble -> [evaluate] -> verdict

Only real tokens are scored, classes must be balanced, and the calibration split is never the scored one. This module
knows nothing of seeds or claims.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from seeds.data import Examples
from seeds.errors import ProtocolError

Head = Callable[[Tensor], Tensor]  # logits from hidden states
Forward = Callable[[nn.Module, Tensor, Tensor | None], tuple[Tensor, Head]]  # (model, inputs, mask) -> states, head

BATCH = 64  # examples per forward pass
FITTED_TOKENS = 8192  # that fit a temperature, at most: with a vocabulary of 50,257 their logits take 1.6 GB
CONSTANT = 0.99  # share of one predicted class from which a classifier is called constant
STEEPEST = 1e4  # largest inverse temperature tried, in units of the spread of the logits


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """One model on one split.

    Args:
        nats: (examples,) cross-entropy, for language the mean over an example's real tokens.
        calibrated_nats: (examples,) the same after an inverse temperature (and a bias per class).
        weights: (examples,) scored tokens, or ones.
        correct: (examples,) 0 or 1, and calibrated_correct; None for language.
        auc: one-against-rest area under the ROC curve, mean over classes; None for language.
        inverse_temperature: the fitted one, >= 0.
        is_constant: whether nearly all predictions are one class.
    """

    nats: np.ndarray
    calibrated_nats: np.ndarray
    weights: np.ndarray
    inverse_temperature: float
    correct: np.ndarray | None = None
    calibrated_correct: np.ndarray | None = None
    auc: float | None = None
    is_constant: bool = False


def evaluate_classifier(model: nn.Module, forward: Forward, test: Examples, calibration: Examples | None) -> Evaluation:
    """Scores a classifier on balanced examples.

    Args:
        calibration: examples that fit temperature and biases; None leaves the calibrated figures equal to the raw ones.

    Raises:
        ProtocolError: unbalanced classes, a scored calibration split, or logits that are not finite.
    """
    logits = class_logits(model, forward, test)
    labels = balanced(test, logits.shape[1])
    beta, bias = 1.0, torch.zeros(logits.shape[1], dtype=torch.float64)
    if calibration is not None:
        apart(test, calibration)
        known = balanced(calibration, logits.shape[1])
        beta, bias = fit_temperature_and_bias(class_logits(model, forward, calibration), known)
    tuned = beta * logits + bias
    predicted = logits.argmax(1)
    return Evaluation(
        nats=functional.cross_entropy(logits, labels, reduction="none").numpy(),
        calibrated_nats=functional.cross_entropy(tuned, labels, reduction="none").numpy(),
        weights=np.ones(len(test)),
        inverse_temperature=beta,
        correct=(predicted == labels).double().numpy(),
        calibrated_correct=(tuned.argmax(1) == labels).double().numpy(),
        auc=_auc(tuned, labels),
        is_constant=bool(predicted.bincount().max() >= CONSTANT * len(test)),
    )


def evaluate_language_model(model: nn.Module, forward: Forward, test: Examples, calibration: Examples | None) -> Evaluation:
    """Scores next-token prediction on the real tokens of each example; the first token is context only.

    Args:
        calibration: examples that fit the temperature, by all their tokens or by `FITTED_TOKENS` of them, evenly spaced,
            since more would take memory without bound. None leaves the calibrated figures equal to the raw ones.

    Raises:
        ProtocolError: no mask, an example without a scored token, a scored calibration split, or logits that are not finite.
    """
    if test.mask is None:
        raise ProtocolError(f"{test.split} has no mask; only real tokens may be scored")
    if (scored := test.mask[:, 1:].sum(1)).min() == 0:
        raise ProtocolError(f"{test.split} has {int((scored == 0).sum())} examples without a token to score")
    beta = 1.0
    if calibration is not None:
        apart(test, calibration)
        beta = fit_temperature(*fitted_tokens(model, forward, calibration))

    def nats_of(batch: Examples) -> Tensor:
        logits, targets, rows = next_tokens(model, forward, batch)
        raw = functional.cross_entropy(finite(logits), targets, reduction="none")
        tuned = functional.cross_entropy(logits.mul_(beta), targets, reduction="none")
        return torch.stack([mean_per_row(raw, rows), mean_per_row(tuned, rows)], 1)

    nats = over_batches(test, nats_of).numpy()
    return Evaluation(nats[:, 0], nats[:, 1], scored.double().numpy(), beta)


def features(model: nn.Module, forward: Forward, examples: Examples) -> np.ndarray:
    """Hidden states behind the last layer, averaged over real tokens where there are any: (examples, features)."""

    def states_of(batch: Examples) -> Tensor:
        return pooled(forward(model, batch.inputs, batch.mask)[0], batch.mask)

    return finite(over_batches(examples, states_of)).numpy()


def pooled(states: Tensor, mask: Tensor | None) -> Tensor:
    """States averaged over real tokens (examples, tokens, features) -> (examples, features); as they are without a mask."""
    if mask is None:
        return states
    real = mask[:, :, None]
    return (states * real).sum(1) / real.sum(1)


def token_nats(log_probabilities: np.ndarray, examples: Examples) -> np.ndarray:
    """Cross-entropy of fixed token probabilities, a unigram's for example, on each example's scored tokens: (examples,)."""
    assert examples.mask is not None
    nats = -torch.from_numpy(log_probabilities)[examples.inputs[:, 1:]]
    real = examples.mask[:, 1:]
    return ((nats * real).sum(1) / real.sum(1)).numpy()


def over_batches(examples: Examples, compute: Callable[[Examples], Tensor]) -> Tensor:
    """`compute` on batches of examples of similar length, pads beyond the longest cut off; rows in the examples' order."""
    lengths = torch.zeros(len(examples)) if examples.mask is None else examples.mask.sum(1)
    order = lengths.argsort(stable=True)
    found = []
    for rows in order.split(BATCH):
        with torch.inference_mode():
            found.append(compute(examples[rows].trimmed()))
    return torch.cat(found)[order.argsort()]


def class_logits(model: nn.Module, forward: Forward, examples: Examples) -> Tensor:
    """What a classifier says of each example: (examples, classes) float64."""

    def logits_of(batch: Examples) -> Tensor:
        states, head = forward(model, batch.inputs, batch.mask)
        return head(states)

    return finite(over_batches(examples, logits_of)).double()


def fitted_tokens(model: nn.Module, forward: Forward, calibration: Examples) -> tuple[Tensor, Tensor]:
    """Logits (tokens, vocabulary) and targets (tokens,) that fit a temperature; of no other token logits are computed."""
    assert calibration.mask is not None
    kept = torch.zeros_like(calibration.mask)
    places = calibration.mask[:, 1:].nonzero()
    if len(places) > FITTED_TOKENS:
        places = places[torch.arange(FITTED_TOKENS) * len(places) // FITTED_TOKENS]
    kept[places[:, 0], places[:, 1] + 1] = True
    found = []
    for rows in torch.arange(len(calibration)).split(BATCH):
        with torch.inference_mode():
            found.append(next_tokens(model, forward, calibration[rows], kept[rows])[:2])
    logits, targets = zip(*found, strict=True)
    return finite(torch.cat(logits)), torch.cat(targets)


def next_tokens(
    model: nn.Module, forward: Forward, batch: Examples, kept: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (tokens, vocabulary), targets (tokens,) and the row that each belongs to: real tokens behind the first.

    `kept` (examples, tokens) bool says which of them, by default all.
    """
    assert batch.mask is not None
    real = (batch.mask if kept is None else kept)[:, 1:]
    states, head = forward(model, batch.inputs, batch.mask)
    rows = torch.arange(len(batch))[:, None].expand_as(real)
    return head(states[:, :-1][real]), batch.inputs[:, 1:][real], rows[real]


def mean_per_row(values: Tensor, rows: Tensor) -> Tensor:
    """Mean of the values (tokens,) of each row: (rows,) float64."""
    return torch.bincount(rows, values.double()) / torch.bincount(rows)


def finite(logits: Tensor) -> Tensor:
    """The outputs of a model as they are; `ProtocolError` if one is NaN or infinite."""
    if logits.numel() and not all(end.isfinite() for end in logits.aminmax()):  # NaN is both ends; a twentieth of the time
        raise ProtocolError("the model's outputs are not finite: NaN or infinite logits cannot be scored")
    return logits


def balanced(examples: Examples, classes: int) -> Tensor:
    """The labels; `ProtocolError` if there are none or if classes differ in size."""
    if examples.labels is None:
        raise ProtocolError(f"{examples.split} has no labels")
    counts = examples.labels.bincount(minlength=classes)
    if len(counts) < 2 or counts.min() != counts.max():
        raise ProtocolError(f"{examples.split} is not class-balanced: {counts.tolist()} examples per class")
    return examples.labels


def apart(test: Examples, calibration: Examples) -> None:
    """`ProtocolError` if the split that fits is the one that is scored, or has examples of it, by their content."""
    if test.split == calibration.split:
        raise ProtocolError(f"{test.split} is scored and fits the calibration; use another split")
    if count := shared(test, calibration):
        raise ProtocolError(f"{count} examples of {test.split} are in {calibration.split}, too, which fits the calibration")


def shared(one: Examples, other: Examples) -> int:
    """How many different examples are in both, whatever their labels; of text, real tokens alone are compared.

    Rows without text are all alike, and leak nothing.
    """
    return len(_contents(one) & _contents(other))


def _contents(examples: Examples) -> set[bytes]:
    rows = examples.inputs.numpy().reshape(len(examples), -1)
    if examples.mask is None:
        return {row.tobytes() for row in rows}
    return {row[real].tobytes() for row, real in zip(rows, examples.mask.numpy(), strict=True) if real.any()}


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """The inverse temperature >= 0 of least cross-entropy (convex; a root of its slope)."""
    from scipy.optimize import root_scalar

    scale = logits.std().item() or 1.0
    z = logits / scale
    z -= z.amax(1, keepdim=True)
    truth = z.gather(1, targets[:, None]).mean(dtype=torch.float64).item()
    buffer = torch.empty_like(z)  # fresh memory at each step costs more than the arithmetic where the vocabulary is large

    def slope(beta: float) -> float:
        total = torch.mul(z, beta, out=buffer).exp_().sum(1)
        return (buffer.mul_(z).sum(1) / total).mean(dtype=torch.float64).item() - truth

    if slope(0.0) >= 0:
        return 0.0
    top = 1.0
    while slope(top) < 0 and top < STEEPEST:
        top = min(4 * top, STEEPEST)
    return root_scalar(slope, bracket=(0.0, top), xtol=1e-3).root / scale if top < STEEPEST else top / scale


def fit_temperature_and_bias(logits: Tensor, labels: Tensor) -> tuple[float, Tensor]:
    """Inverse temperature >= 0 and class biases (classes,) of least cross-entropy (convex)."""
    from scipy.optimize import minimize

    scale = logits.std().item() or 1.0
    z = logits / scale
    truth = functional.one_hot(labels, logits.shape[1]).double()

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        beta, bias = parameters[0], torch.from_numpy(parameters[1:])
        scores = beta * z + bias
        excess = (functional.softmax(scores, 1) - truth) / len(z)
        value = functional.cross_entropy(scores, labels).item()
        return value, np.concatenate([[(excess * z).sum().item()], excess.sum(0).numpy()])

    start = np.zeros(1 + logits.shape[1])
    bounds = [(0.0, STEEPEST)] + [(None, None)] * logits.shape[1]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(found[0]) / scale, torch.from_numpy(found[1:])


def _auc(scores: Tensor, labels: Tensor) -> float:
    from sklearn.metrics import roc_auc_score

    truth = functional.one_hot(labels, scores.shape[1]).numpy()
    return float(roc_auc_score(truth, functional.log_softmax(scores, 1).numpy(), average="macro"))
