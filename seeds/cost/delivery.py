"""Deliveries: what is sent instead of a model, and how the receiver makes a model of it.

    subject -> [delivery: a file] -> link -> [delivery: a model] -> fine-tune -> quality

Every delivery is one real file. The receiver has this package, so the code of the architecture, and its own labelled
samples; it has nothing of the weights. This module knows nothing of links, time and quality.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from seeds import store
from seeds.errors import SubjectUnavailable
from seeds.extract import extract
from seeds.finetune import Curves
from seeds.measure import FRESH, ORIGINAL
from seeds.subject import Subject
from seeds.trial import Prepared, Setting, Trial, prepare, run_prepared


@dataclass(frozen=True, slots=True)
class Delivery:
    """One way to hand a model on.

    Args:
        name: how it is called: "original", a codec, or "recipe".
        arm: what the receiver starts from, as trials name it: "original", a codec, or "fresh".
        tuned: whether the receiver fine-tunes it; otherwise it is used as it comes.
        says: one line for people.
    """

    name: str
    arm: str
    tuned: bool
    says: str


DELIVERIES = {
    one.name: one
    for one in (
        Delivery("original", ORIGINAL, False, "the weights as they are, float32"),
        Delivery("zstd", "zstd", False, "the weights without loss, byte planes compressed by Zstandard"),
        Delivery("float16", "float16", False, "every value in half precision"),
        Delivery("int8", "int8", False, "every value of a matrix in 8 bits, a scale for each row"),
        Delivery("int4", "int4", False, "every value of a matrix in 4 bits, a scale for each row"),
        Delivery("signs+vectors", "signs+vectors", True, "one bit for every value of a matrix, vectors as they are"),
        Delivery("pca:10", "pca:10", True, "ten components and scores of each matrix"),
        Delivery("moments", "moments", True, "mean and standard deviation of each tensor"),
        Delivery("recipe", FRESH, True, "the source of the recipe, no weights"),
    )
}


def packed(one: Subject, sent: Delivery, folder: Path) -> Path:
    """Writes the file that is sent into a folder.

    Raises:
        SubjectUnavailable: the subject's weights are not in this package.
    """
    if one.weights_path is None:
        raise SubjectUnavailable(f"the weights of {one.name} are not part of this package, so nothing can be made of them")
    path = folder / f"{one.name}.{sent.name.replace(':', '-')}"
    if sent.arm == ORIGINAL:
        shutil.copyfile(one.weights_path, path)
    elif sent.arm == FRESH:
        shutil.copyfile(str(one.module.__file__), path)
    else:
        store.save(extract(one.weights_path, sent.arm), path)
    return path


def opened(one: Subject, sent: Delivery, path: Path, run: int) -> nn.Module:
    """The model that the receiver starts from.

    Args:
        run: number of the run, for what is drawn: the values of some codecs, or fresh weights.
    """
    if sent.arm == ORIGINAL:
        return one.loaded(path)
    if sent.arm == FRESH:
        return one.fresh(run)
    return one.assembled(store.load(path), run)


def lesson(one: Subject, samples: int, rate: float, looks: tuple[int, ...], run: int) -> Prepared:
    """The receiver's labelled samples and fine-tuning up to the last look, ready for any model of the architecture."""
    return prepare(Trial(Setting(one.name), FRESH, samples, rate, run, 1, looks))


def tuned(model: nn.Module, ready: Prepared) -> Curves:
    """Fine-tunes the model in place; scored at the looks, and the seconds are those of the steps alone."""
    return run_prepared(replace(ready, models=[model], together=False))
