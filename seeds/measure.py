"""Measurement: subjects under an arm (original, fresh, or a codec), each score computed once and kept.

    subject -> extract -> Seed -> store -> assemble -> evaluate -> [measure] -> quantity -> verdict

Every assembled model goes the whole way: extracted, packed as a seed file, read back, assembled. Run r of any arm is
the same model in any process, so figures do not depend on which tests ran, or where.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import nn

from seeds import store
from seeds.codecs import parse
from seeds.data import Drawn
from seeds.errors import SubjectUnavailable
from seeds.evaluate import Evaluation, evaluate_language_model, features, token_nats
from seeds.extract import extract
from seeds.mimetic import mimetic
from seeds.probe import probe_scores
from seeds.quantity import Mean, Quantity, stack
from seeds.sample import sample
from seeds.seed import Seed
from seeds.subject import Subject, evaluate, one_thread
from seeds.task import Task, task

ORIGINAL, FRESH = "original", "fresh"
MIMETIC = "mimetic"  # fresh, with attention in closed form: an arm of zero bytes
PUBLISHED_ONLY = "moments"  # the one codec of subjects whose weights are not at hand; theirs even where a hub has them


@dataclass(slots=True)
class Measure:
    """Scores of arms, cached for one session.

    Args:
        folder: where seed files are written and read; None keeps them in memory.
        also: further tasks on which a subject's models are scored while they are in memory.
    """

    folder: Path | None = None
    also: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _seeds: dict[tuple[str, str], Seed] = field(default_factory=dict)
    _scores: dict[tuple, Evaluation | SubjectUnavailable] = field(default_factory=dict)
    _missing: dict[str, SubjectUnavailable] = field(default_factory=dict)
    _probes: dict[tuple, np.ndarray] = field(default_factory=dict)
    _kept: dict[tuple, dict[str, np.ndarray]] = field(default_factory=dict)
    _samples: dict[tuple, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_thread()

    # -- seeds ------------------------------------------------------------------------------------------------------

    def seed(self, one: Subject, codec: str) -> Seed:
        """The subject's seed, as read back from its file's content.

        Raises:
            SubjectUnavailable: the codec is another than the subject's published moments, and its weights are not to be had.
        """
        key = (one.name, codec)
        if key not in self._seeds:
            if one.weights_path is None and codec == PUBLISHED_ONLY:
                made = one.published_seed()
            else:
                made = extract(one.weights_path or one.original_body(), codec)
            self._seeds[key] = self._read_back(made, f"{one.name}.{codec.replace(':', '-')}.seed")
        return self._seeds[key]

    def _read_back(self, seed: Seed, name: str) -> Seed:
        if self.folder is None:
            return store.from_bytes(store.to_bytes(seed), name)
        store.save(seed, self.folder / name)
        return store.load(self.folder / name)

    def largest_pca(self, one: Subject, factor: int) -> str | None:
        """The PCA codec of highest rank whose seed file is at least `factor` times smaller than the weights, or None."""
        limit = 4 * self.seed(one, "moments").parameters / factor
        low, high = (
            0,
            max(min(e.shape[0], int(np.prod(e.shape[1:]))) for e in self.seed(one, "moments").entries if len(e.shape) > 1),
        )
        while low < high:
            rank = (low + high + 1) // 2
            fits = store.size_bytes(extract(one.weights_path, f"pca:{rank}+vectors")) <= limit  # pyright: ignore[reportArgumentType]
            low, high = (rank, high) if fits else (low, rank - 1)
        return f"pca:{low}+vectors" if low else None

    # -- scores -----------------------------------------------------------------------------------------------------

    def evaluations(self, one: Subject, arm: str, runs: int, data: str = "") -> list[Evaluation]:
        """Scores of an arm on a task (the subject's own by default), one per run; one if nothing is random."""
        data = data or one.task_name
        found = []
        for run in range(runs if _is_random(arm) else 1):
            if (one.name, arm, run, data) not in self._scores:
                self._score(one, arm, run, {data, *self.also.get(one.name, ())})
            score = self._scores[one.name, arm, run, data]
            if isinstance(score, SubjectUnavailable):
                raise score
            found.append(score)
        return found

    def model(self, one: Subject, arm: str, run: int) -> nn.Module:
        """The model of one arm in one run."""
        if arm == ORIGINAL:
            return one.original()
        if arm == FRESH:
            return one.fresh(run)
        if arm == MIMETIC:
            return mimetic(one.fresh(run), run)
        return one.assembled(self.seed(one, arm), run)

    def _score(self, one: Subject, arm: str, run: int, names: set[str]) -> None:
        ready = {}
        for name in names:
            try:
                if name in self._missing:
                    raise self._missing[name]
                task(name).splits()
                ready[name] = task(name)
            except SubjectUnavailable as missing:
                self._scores[one.name, arm, run, name] = self._missing[name] = missing
        if ready:
            model = self.model(one, arm, run)
            for name, on in ready.items():
                self._scores[one.name, arm, run, name] = evaluate(model, one.forward, on)

    # -- quantities ---------------------------------------------------------------------------------------------------

    def knowledge(self, one: Subject, arm: str, runs: int, view: str = "calibrated", data: str = "") -> Mean:
        """What an arm knows above chance.

        Args:
            view: "raw" is accuracy minus 1/classes for classification; everything else is nats below chance, which is a
                uniform guess for classification and a unigram for language.
        """
        on = task(data or one.task_name)
        if on.kind == "classification" and view == "raw":
            found = self.evaluations(one, arm, runs, data)
            scores = stack([e.correct for e in found if e.correct is not None])
            return Mean(scores, bounds=(0.0, 1.0), random=_is_random(arm), **_drawn(on)) - 1 / on.classes
        return -(self.cross_entropy(one, arm, runs, view, data) - _chance(on))

    def cross_entropy(self, one: Subject, arm: str, runs: int, view: str, data: str = "") -> Mean:
        """Nats per example, or per real token."""
        on, found = task(data or one.task_name), self.evaluations(one, arm, runs, data)
        scores = stack([e.nats if view == "raw" else e.calibrated_nats for e in found])
        return Mean(scores, found[0].weights, random=_is_random(arm), **_drawn(on))

    def nats_known(self, one: Subject, data: str = "") -> Quantity:
        """What the original knows, calibrated; from its published cross-entropy if its weights are not at hand."""
        if one.published_nats is not None:
            return Mean(unigram_nats(one.task)[None], scored_tokens(one.task), random=False) - one.published_nats
        return self.knowledge(one, ORIGINAL, 1, "calibrated", data)

    def probe(self, one: Subject, arm: str, runs: int) -> Mean:
        """Accuracy of a linear probe on the arm's features, with other labels in each run."""
        for run in range(runs):
            if (one.name, arm, run) not in self._probes:
                found = self._features(one, arm, run if _is_random(arm) else 0)
                self._probes[one.name, arm, run] = probe_scores(found, one.probe_task.splits(), one.probe_labels, run)
        scores = stack([self._probes[one.name, arm, run] for run in range(runs)])
        return Mean(scores, bounds=(0.0, 1.0), **_drawn(one.probe_task))

    def _features(self, one: Subject, arm: str, run: int) -> dict[str, np.ndarray]:
        """Features (examples, features) of the labelled splits; those of the original are kept."""
        if (one.name, arm, run) in self._kept:
            return self._kept[one.name, arm, run]
        model = self.model(one, arm, run)
        splits = one.probe_task.splits()
        found = {name: features(model, one.forward, splits[name]) for name in ("probe", "calibration", "test")}
        if not _is_random(arm):
            self._kept[one.name, arm, run] = found
        return found

    def sample_nats(self, one: Subject, arm: str, runs: int) -> Mean:
        """What the original makes of an arm's samples, in nats per token; "random" is uniformly random tokens."""
        for run in range(runs):
            if (one.name, arm, run) not in self._samples:
                writer = None if arm == "random" else self.model(one, arm, run)
                written = sample(writer, one.forward, one.task.classes, run)
                reader = evaluate_language_model(self.model(one, ORIGINAL, 0), one.forward, written, None)
                self._samples[one.name, arm, run] = reader.nats
        return Mean(stack([self._samples[one.name, arm, run] for run in range(runs)]), nested=True)

    def size_notes(self, one: Subject, codec: str, runs: int) -> dict[str, float | int]:
        """Bytes of the seed file, how many times smaller it is, and the calibrated retention that goes with them.

        No bytes are no number of times smaller.
        """
        told: dict[str, float | int] = {"size_bytes": 0}
        if codec != MIMETIC:
            seed = self.seed(one, codec)
            size = store.size_bytes(seed)
            told = {"size_bytes": size, "times_smaller": 4 * seed.parameters / size}
        if one.weights_path is not None:
            original = self.knowledge(one, ORIGINAL, 1).interval(0.025).value
            told["retention"] = self.knowledge(one, codec, runs).interval(0.025).value / original
        return told

    def notes(self, one: Subject, arm: str, runs: int, data: str = "") -> dict[str, float | int]:
        """Figures to print beside a verdict: means over runs."""
        found = self.evaluations(one, arm, runs, data)
        told: dict[str, float | int] = {
            "nats": float(np.mean([np.average(e.nats, weights=e.weights) for e in found])),
            "calibrated_nats": float(np.mean([np.average(e.calibrated_nats, weights=e.weights) for e in found])),
            "inverse_temperature": float(np.mean([e.inverse_temperature for e in found])),
        }
        if found[0].correct is not None:
            told |= {
                "accuracy": float(np.mean([e.correct.mean() for e in found if e.correct is not None])),
                "auc": float(np.mean([e.auc for e in found if e.auc is not None])),
                "constant_runs": sum(e.is_constant for e in found),
            }
        return told


def _is_random(arm: str) -> bool:
    return arm in (FRESH, MIMETIC) or (arm != ORIGINAL and parse(arm).draws)


def _chance(on: Task) -> float | Mean:
    """Nats of a guess: uniform over classes, or a unigram's on each example."""
    return on.uniform_nats if on.kind == "classification" else Mean(unigram_nats(on)[None], random=False)


def _drawn(on: Task) -> Drawn:
    """How the scored examples were drawn."""
    return on.splits()["test"].drawn


def unigram_nats(on: Task) -> np.ndarray:
    """Nats per token of the task's unigram on its scored examples: (examples,)."""
    return token_nats(on.unigram_log_probabilities(), on.splits()["test"])


def scored_tokens(on: Task) -> np.ndarray:
    """Tokens scored in each example: (examples,)."""
    mask = on.splits()["test"].mask
    assert mask is not None
    return mask[:, 1:].sum(1).double().numpy()
