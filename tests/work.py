"""Work on a whole model, timed from within a process of its own, so that neither the start of Python nor other work counts.

    [weights] -> extract -> Seed -> assemble -> [weights]

`main` gets from the command line: which work, the model's folder, a small model to warm up on, and where to write what
it found. A piece of work is prepared, which is not timed, and then done in rounds. This module knows nothing of pytest,
which would weigh on the memory of the process.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from torch import Tensor

from seeds.assemble import assemble, assemble_to
from seeds.extract import extract
from seeds.moments import tensor_moments
from seeds.seed import Seed

PROGRAM = "from tests.work import main; main()"
RANK = 10
ENOUGH_S = 1.0  # of the processor: rounds are begun until so much has been spent
MOST_ROUNDS = 20

Figures = dict[str, list[float]]  # by tensor


@dataclass(frozen=True, slots=True)
class Done:
    """What a piece of work took in each round, by the clock and by the processor, and the figures that it found."""

    elapsed_s: list[float]
    processor_s: list[float]
    tensors: int
    figures: Figures


@dataclass(frozen=True, slots=True)
class Work:
    """`prepare` makes of a model's folder what `do` takes; `figures` tells what came out, so that it can be checked."""

    do: Callable[[Any], Any]
    figures: Callable[[Any], Figures]
    prepare: Callable[[Path], Any] = lambda folder: folder


def main() -> None:
    name, folder, warm, found = sys.argv[1:]
    work = WORK[name]
    work.do(work.prepare(Path(warm)))
    Path(found).write_text(json.dumps(asdict(done(work, Path(folder)))))


def done(work: Work, folder: Path) -> Done:
    """Rounds of a piece of work on one model, the last result let go before the next round."""
    source, result = work.prepare(folder), None
    elapsed_s, processor_s = [], []
    while not elapsed_s or (sum(processor_s) < ENOUGH_S and len(elapsed_s) < MOST_ROUNDS):
        result = None
        start_s, processor_start_s = time.perf_counter(), time.process_time()
        result = work.do(source)
        elapsed_s.append(time.perf_counter() - start_s)
        processor_s.append(time.process_time() - processor_start_s)
    figures = work.figures(result)
    return Done(elapsed_s, processor_s, len(figures), figures)


def moments_of_seed(seed: Seed) -> Figures:
    return {entry.name: [entry.parts["mean"].item(), entry.parts["std"].item()] for entry in seed.entries}


def energies_of_seed(seed: Seed) -> Figures:
    return {entry.name: [] if entry.captured_energy is None else [entry.captured_energy] for entry in seed.entries}


def moments_of_weights(weights: dict[str, Tensor]) -> Figures:
    found = {name: tensor_moments(weight) for name, weight in weights.items()}
    return {name: [moments.mean, moments.std] for name, moments in found.items()}


def moments_of_file(path: Path) -> Figures:
    """Of all tensors the names, of a few the moments: to read the others would map them into memory that is watched."""
    weights = dict(mapped(path))
    few = moments_of_weights({name: weights[name] for name in sampled(weights)})
    path.unlink()
    return {name: few.get(name, []) for name in weights}


def sampled(names: Iterable[str]) -> list[str]:
    """The tensors of the first layer and of the last."""
    layer = {name: int(name.split(".")[2]) for name in names}
    return [name for name in layer if layer[name] in (min(layer.values()), max(layer.values()))]


def mapped(place: Path) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a file or of a folder of shards, as the file's own pages."""
    for path in sorted(place.glob("*.safetensors")) if place.is_dir() else [place]:
        with safetensors.safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (a handle is no mapping)
                yield name, file.get_tensor(name)


def sums(folder: Path) -> Figures:
    """Reads every value once and does next to nothing with it: the roof for moments."""
    return {name: [weight.sum().item()] for name, weight in mapped(folder)}


def full_svds(folder: Path) -> Figures:
    """The report's way: the whole model in memory, and every singular vector of each matrix, of which ten are used."""
    state = {name: weight.numpy().copy() for name, weight in mapped(folder)}
    found: Figures = {}
    for name, weight in state.items():
        if weight.ndim == 2:
            singular = np.linalg.svd(weight - weight.mean(0), full_matrices=False)[1].astype(np.float64)
            found[name] = [(singular[:RANK] ** 2).sum() / (singular**2).sum()]
        else:
            found[name] = []
    return found


def written(seed_and_path: tuple[Seed, Path]) -> Path:
    """Weights rebuilt into a file, one at a time."""
    assemble_to(*seed_and_path)
    return seed_and_path[1]


def given(figures: Figures) -> Figures:
    return figures


WORK = {
    "nothing": Work(lambda folder: {}, given),
    "sum": Work(sums, given),
    "moments": Work(lambda folder: extract(folder, "moments"), moments_of_seed),
    "pca": Work(lambda folder: extract(folder, f"pca:{RANK}"), energies_of_seed),
    "svd": Work(full_svds, given),
    "assemble": Work(assemble, moments_of_weights, lambda folder: extract(folder, "moments")),
    "write": Work(written, moments_of_file, lambda folder: (extract(folder, "moments"), folder / "written")),
}
