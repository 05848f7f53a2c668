"""Protocols: how a claim is measured, with one switch for each fault of the report's measurement.

    [protocol] -> scores -> ledger, checks, statements -> page

`Protocol.published()` is the report's, `Protocol.sound()` ours; both are values of one type, and so is anything between.
Two of the report's ten faults are no switches: that all arms end at the ceiling follows from `one_class`, and slips of
arithmetic are none of measurement. Its third is two: `pads_counted` and `empty_rows`. This module knows no
networks and no figures.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations

RANK = 10  # components that the report stores


@dataclass(frozen=True, slots=True)
class Protocol:
    """Which faults a measurement has.

    Args:
        one_class: a classifier is scored on the first rows of a file that is sorted by label.
        untrained_head: the classification head of every arm, the original's too, is drawn and never trained.
        pads_counted: pads count as text: a language model is scored on them, a classifier reads them.
        empty_rows: rows without text are scored like others, as far as pads are: alone it changes no figure.
        norms_drawn: vectors (norms and biases) are drawn from their moments, where they could be kept for nothing.
        components_ignored: the components in the seed are not read when weights are assembled. Off, the seed is one that can
            be decoded, with scores and row means too, so it is larger.
        one_run: one draw of each.
        uncalibrated: scores as they come, so that a model that is too loud looks as if it knew less.
        no_fresh: the figure is held against nothing random: no guess, no unigram and no fresh model.
    """

    one_class: bool = False
    untrained_head: bool = False
    pads_counted: bool = False
    empty_rows: bool = False
    norms_drawn: bool = False
    components_ignored: bool = False
    one_run: bool = False
    uncalibrated: bool = False
    no_fresh: bool = False

    @classmethod
    def sound(cls) -> "Protocol":
        """Without any fault."""
        return cls()

    @classmethod
    def published(cls) -> "Protocol":
        """The report's: every fault on."""
        return cls(*(True for _ in fields(cls)))

    @classmethod
    def of(cls, faults: Collection[str]) -> "Protocol":
        """With these faults, and no others.

        Raises:
            ValueError: one of them is no fault.
        """
        if unknown := sorted(set(faults) - set(FAULTS)):
            raise ValueError(f"no such fault: {', '.join(unknown)}; allowed: {', '.join(FAULTS)}")
        return replace(cls(), **dict.fromkeys(faults, True))

    @property
    def faults(self) -> frozenset[str]:
        return frozenset(f.name for f in fields(self) if getattr(self, f.name))

    @property
    def codec(self) -> str:
        """What becomes of the report's seed (moments, and components of each matrix) under this protocol."""
        return ("moments" if self.components_ignored else f"pca:{RANK}") + ("" if self.norms_drawn else "+vectors")


FAULTS = tuple(f.name for f in fields(Protocol))


def combined(faults: Sequence[str]) -> Iterator[frozenset[str]]:
    """Every combination of these faults, the empty one first."""
    for count in range(len(faults) + 1):
        yield from map(frozenset, combinations(faults, count))
