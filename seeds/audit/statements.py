"""Statements: what the report's headlines measure, as quantities under any protocol.

    protocol -> classifier, language, tiny -> [statements] -> verdict -> page

Each takes the protocol as an argument, so that the published and the sound figure are one definition with other switches.
The report names no interval and has one run: `figures` gives those of single runs, for `seeds.verdict.judge_singly`.
"""

from dataclasses import dataclass, field

import numpy as np

from seeds.audit import slices
from seeds.audit.arms import ASSEMBLED, codec_of, draws
from seeds.audit.checks import GUESS, UNIGRAM, Exhibit
from seeds.audit.classifier import Classifier
from seeds.audit.language import Language
from seeds.audit.ledger import Values
from seeds.audit.protocol import Protocol, combined
from seeds.audit.tiny import accuracy_after
from seeds.measure import FRESH, ORIGINAL, Measure
from seeds.quantity import Mean, Quantity, Ratio
from seeds.subject import Subject

ON_TEXT = ("pads_counted",)
OF_CLASSIFIERS = ("one_class", "untrained_head", *ON_TEXT, "norms_drawn", "components_ignored", "uncalibrated")
OF_LANGUAGE = (*ON_TEXT, "empty_rows", "norms_drawn", "components_ignored", "uncalibrated")
NEED_WEIGHTS = ("untrained_head", "norms_drawn", "components_ignored")

Stated = tuple[Quantity | None, Quantity | None]  # what is judged, and the control of claims that have one


def served(one: Subject) -> tuple[str, ...]:
    """The faults that change a figure of this subject and can be turned on and off with what is published of it.

    `one_run` is the spread of every figure, and `no_fresh` changes what a model's figure is held against, not that figure.
    """
    faults = OF_CLASSIFIERS if one.task.kind == "classification" else OF_LANGUAGE
    without = (NEED_WEIGHTS if one.body else ()) + (ON_TEXT if one.name.startswith("digits") else ())
    return tuple(f for f in faults if f not in without)


@dataclass(slots=True)
class Audit:
    """Figures of the audit's subjects under any protocol, each computed once.

    Args:
        measure: models of every arm.
        runs: draws by the name of the subject.
        stated_nats: cross-entropy that the report states for an original, by the name of the subject, with its pads counted.
    """

    measure: Measure
    runs: dict[str, int]
    stated_nats: dict[str, float] = field(default_factory=dict)
    _classifiers: dict[str, Classifier] = field(default_factory=dict)
    _languages: dict[str, Language] = field(default_factory=dict)

    def classifier(self, one: Subject) -> Classifier:
        return self._classifiers.setdefault(one.name, Classifier(one, self.measure, self.runs[one.name]))

    def language(self, one: Subject) -> Language:
        return self._languages.setdefault(one.name, Language(one, self.measure, self.runs[one.name]))

    # -- the ledger's figures ---------------------------------------------------------------------------------------

    def off_chance(self, one: Subject, protocol: Protocol) -> Mean:
        """What the ledger explains: how far accuracy is from a guess, either side, or nats per counted token."""
        if one.task.kind == "language":
            return self.language(one).nats(ASSEMBLED, protocol)
        above = self.classifier(one).correct(ASSEMBLED, protocol) - 1 / one.task.classes
        if above.random:
            return Mean(np.abs(above.per_run())[:, None], nested=True)
        return above if above.per_run()[0] >= 0 else -above

    def values(self, one: Subject) -> Values:
        """The same of every run under every combination of the faults that can be served."""
        runs = self.runs[one.name]
        found = {faults: self.off_chance(one, Protocol.of(faults)).per_run() for faults in combined(served(one))}
        return {faults: np.broadcast_to(figures, (runs,)) for faults, figures in found.items()}

    # -- what a check looks at --------------------------------------------------------------------------------------

    def exhibit(self, one: Subject, protocol: Protocol) -> Exhibit:
        """What a measurement of this subject under this protocol shows of itself."""
        codec = codec_of(one, ASSEMBLED, protocol)
        language = one.task.kind == "language"
        test, calibration = slices.rows(one) if language else slices.labelled(one)
        arm = ORIGINAL if one.body is None else ASSEMBLED
        head = Protocol(untrained_head=protocol.untrained_head)
        original = None if language else self._above_chance(one, head, arm)
        return Exhibit(
            counted=slices.counted(test, protocol),
            calibration=None if protocol.uncalibrated else calibration,
            original=original,
            classes=one.task.classes,
            seed=None if one.body else self.measure.seed(one, Protocol.sound().codec),
            weights={} if one.body else one.original().state_dict(),
            assembled={} if one.body else self.measure.model(one, codec, 0).state_dict(),
            arms=(codec,) if protocol.no_fresh else (codec, UNIGRAM, FRESH) if language else (codec, GUESS),
            runs=(1 if protocol.one_run else self.runs[one.name]) if draws(codec) else None,
        )

    # -- the headlines ----------------------------------------------------------------------------------------------

    def accuracy(self, one: Subject, protocol: Protocol) -> Stated:
        """What an assembled classifier keeps: its accuracy as it is, or its share of the original's above a guess."""
        assembled = self.classifier(one).correct(ASSEMBLED, protocol)
        original = self._above_chance(one, protocol) if one.body is None else None
        if protocol.no_fresh:
            return assembled, original
        return ((assembled - 1 / one.task.classes) / original if original else assembled - 1 / one.task.classes), original

    def original(self, one: Subject, protocol: Protocol) -> Stated:
        """What the original scores above a guess."""
        return self._above_chance(one, protocol), None

    def _above_chance(self, one: Subject, protocol: Protocol, arm: str = ORIGINAL) -> Mean:
        return self.classifier(one).correct(arm, protocol) - 1 / one.task.classes

    def before_training(self, one: Subject, protocol: Protocol) -> Stated:
        """Accuracy of fresh weights."""
        return self.classifier(one).correct(FRESH, protocol), None

    def tiny_budget(self, one: Subject, protocol: Protocol, arm: str) -> Stated:
        """Accuracy of an arm after ten samples and ten steps."""
        return accuracy_after(one, arm, protocol, self.runs[one.name], self.measure), None

    def perplexity(self, one: Subject, protocol: Protocol) -> Stated:
        """What an assembled language model keeps: of the original's lead over a unigram, or of its perplexity.

        Where nothing random is measured, that is the original's perplexity over the assembled model's: the report has 1e-13.
        """
        language = self.language(one)
        original = self.original_nats(one, protocol)
        assembled, unigram = language.nats(ASSEMBLED, protocol), language.unigram(protocol)
        if protocol.no_fresh:
            return Mean(
                np.exp(-(assembled - original).per_run())[:, None], random=assembled.random, nested=True
            ), unigram - original
        return (unigram - assembled) / (unigram - original), unigram - original

    def original_nats(self, one: Subject, protocol: Protocol) -> Mean | float:
        """Of the original, as published where its weights are not at hand: with pads counted, by the report itself."""
        if one.published_nats is None:
            return self.language(one).nats(ORIGINAL, protocol)
        return self.stated_nats[one.name] if protocol.pads_counted else one.published_nats

    def worse_than_random(self, one: Subject, protocol: Protocol) -> Stated:
        """Nats of the assembled model over those of a fresh one, or over a uniform guess.

        Calibrated, a model that knows nothing is a uniform guess, and can hardly be worse than a fresh one.
        """
        language = self.language(one)
        random = language.uniform(protocol) if protocol.no_fresh else language.nats(FRESH, protocol)
        return language.nats(ASSEMBLED, protocol) - random, None


def figures(quantity: Quantity) -> np.ndarray:
    """The figure of each single run: (runs,).

    Raises:
        TypeError: the quantity has no runs.
    """
    if isinstance(quantity, Ratio):
        return figures(quantity.top) / figures(quantity.bottom)
    if not isinstance(quantity, Mean):
        raise TypeError(f"{type(quantity).__name__} has no single runs")
    return quantity.per_run()
