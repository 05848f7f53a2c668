"""Checks: each fault of a measurement, found by its evidence.

    protocol -> scores -> [checks]: a named `ProtocolError`

What is looked at is what a reader of a measurement could look at: the examples as they were counted, the models, the seed,
and what the measurement says of its arms, its runs and its calibration. No check is told which protocol was used.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from seeds.audit.protocol import FAULTS
from seeds.codecs.codec import as_rows
from seeds.data import Examples
from seeds.errors import ProtocolError
from seeds.evaluate import apart, balanced
from seeds.measure import FRESH
from seeds.quantity import Mean
from seeds.seed import Seed
from seeds.verdict import MIN_RUNS

GUESS, UNIGRAM = "guess", "unigram"
RANDOM = (GUESS, UNIGRAM, FRESH)  # what a figure can be held against so that it says something
LEVEL = 0.025
ABOVE = 0.1  # accuracy above chance that a trained head's lower limit exceeds
REPEATS = 3  # of one token at the end of a row, from which they are pads and not text
CAPTURED = 0.5  # least share of a matrix that lies in the components it was assembled from; of a drawn one, rank / features do


@dataclass(frozen=True, slots=True, eq=False)
class Exhibit:
    """What a measurement shows of itself.

    Args:
        counted: the scored examples; the mask is True where a token was read or scored, None for all of them.
        calibration: what temperatures and biases were fitted on; None where scores are as they come.
        original: its accuracy above chance on balanced examples, with the head that the arms have; None for language.
        classes: labels, or the size of the vocabulary.
        seed: what was stored; None where only published moments exist.
        weights, assembled: the original's and the assembled model's tensors by name; empty in the same case.
        arms: what was measured, and what that was held against.
        runs: draws of each arm; None where nothing is drawn.
    """

    counted: Examples
    calibration: Examples | None
    original: Mean | None
    classes: int
    seed: Seed | None
    weights: Mapping[str, Tensor]
    assembled: Mapping[str, Tensor]
    arms: tuple[str, ...]
    runs: int | None


def require_sound(exhibit: Exhibit) -> None:
    """Passes a measurement without faults.

    Raises:
        ProtocolError: it has some; the message names each with its evidence.
    """
    if found := found_faults(exhibit):
        raise ProtocolError("; ".join(f"{fault}: {evidence}" for fault, evidence in found.items()))


def found_faults(exhibit: Exhibit) -> dict[str, str]:
    """The faults of a measurement, in the order of `FAULTS`, each with its evidence."""
    found = {fault: CHECKS[fault](exhibit) for fault in FAULTS}
    return {fault: evidence for fault, evidence in found.items() if evidence}


def one_class(exhibit: Exhibit) -> str | None:
    """Classes of the scored examples differ in size."""
    if exhibit.counted.labels is None:
        return None
    try:
        balanced(exhibit.counted, exhibit.classes)
    except ProtocolError as error:
        return str(error)
    return None


def untrained_head(exhibit: Exhibit) -> str | None:
    """The original is not clearly above chance on balanced examples."""
    if exhibit.original is None:
        return None
    found = exhibit.original.interval(LEVEL)
    if found.low > ABOVE:
        return None
    return f"the original is {found.value:.3f} [{found.low:.3f}, {found.high:.3f}] above chance; a trained head is over {ABOVE}"


def pads_counted(exhibit: Exhibit) -> str | None:
    """One token is repeated at the end of rows, and the repetitions are read or scored."""
    if exhibit.counted.inputs.is_floating_point():
        return None
    counted = _mask(exhibit.counted)
    text = counted.any(1) & ~_constant(exhibit.counted)
    pads = _pads(exhibit.counted) & counted
    repeated = int(pads[text & (pads.sum(1) > 1)].sum())  # one alone ends the text, and the mask hides those behind it
    return f"{repeated} of {int(counted[text].sum())} counted tokens repeat one token at the end of a row" if repeated else None


def empty_rows(exhibit: Exhibit) -> str | None:
    """Rows hold nothing but one token."""
    if exhibit.counted.inputs.is_floating_point():
        return None
    empty = int(_constant(exhibit.counted).sum())
    return f"{empty} of {len(exhibit.counted)} rows have no text" if empty else None


def norms_drawn(exhibit: Exhibit) -> str | None:
    """Vectors differ from the original's."""
    vectors = [name for name, weight in exhibit.weights.items() if weight.ndim == 1]
    drawn = [name for name in vectors if not _equal(exhibit.weights[name], exhibit.assembled.get(name))]
    return f"{len(drawn)} of {len(vectors)} vectors are not the original's, {drawn[0]} for one" if drawn else None


def components_ignored(exhibit: Exhibit) -> str | None:
    """Matrices do not lie in the components that are stored for them."""
    if exhibit.seed is None:
        return None
    shares = {}
    for entry in exhibit.seed.entries:
        if "components" in entry.parts and min(as_rows(exhibit.assembled[entry.name]).shape) > len(entry.parts["components"]):
            rows = as_rows(exhibit.assembled[entry.name]).double()
            rows = rows - rows.mean(0)
            within = rows @ entry.parts["components"].double().T
            shares[entry.name] = float(within.square().sum() / rows.square().sum())
    ignored = [name for name, share in shares.items() if not share >= CAPTURED]  # a constant matrix has no share: ignored, too
    if not ignored:
        return None
    return f"{len(ignored)} of {len(shares)} matrices do not lie in their components, {ignored[0]} to {shares[ignored[0]]:.0%}"


def one_run(exhibit: Exhibit) -> str | None:
    """Too few draws to tell their spread."""
    if exhibit.runs is None or exhibit.runs >= MIN_RUNS:
        return None
    return f"{exhibit.runs} runs; at least {MIN_RUNS} are needed"


def uncalibrated(exhibit: Exhibit) -> str | None:
    """Nothing was calibrated, or on what is scored."""
    if exhibit.calibration is None:
        return "scores are as they come; no split calibrates them"
    try:
        apart(exhibit.counted, exhibit.calibration)
    except ProtocolError as error:
        return str(error)
    return None


def no_fresh(exhibit: Exhibit) -> str | None:
    """Nothing random is there to hold the figure against."""
    return None if set(exhibit.arms) & set(RANDOM) else f"there is {', '.join(exhibit.arms)}, and none of {', '.join(RANDOM)}"


CHECKS: Mapping[str, Callable[[Exhibit], str | None]] = {
    check.__name__: check
    for check in (
        one_class, untrained_head, pads_counted, empty_rows, norms_drawn, components_ignored, one_run, uncalibrated, no_fresh,
    )
}  # fmt: skip


def _equal(one: Tensor, other: Tensor | None) -> bool:
    return other is not None and torch.equal(one, other)


def _mask(examples: Examples) -> Tensor:
    return torch.ones_like(examples.inputs, dtype=torch.bool) if examples.mask is None else examples.mask


def _constant(examples: Examples) -> Tensor:
    """Which rows are one token throughout: (rows,) bool."""
    return (examples.inputs == examples.inputs[:, :1]).all(1)


def _pads(examples: Examples) -> Tensor:
    """Positions of tokens that a row ends with `REPEATS` times or more: (rows, tokens) bool."""
    same = (examples.inputs == examples.inputs[:, -1:]).flip(1).cumprod(1).flip(1).bool()
    return same & (same.sum(1, keepdim=True) >= REPEATS)
