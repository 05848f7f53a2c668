"""Calibration: what this machine needs to fetch a file, to open a delivery and to take a step, measured once and kept.

    subject -> delivery -> [calibration: seconds] -> plan

Seconds are those of one thread. The file is this machine's own (`$SEEDS_CACHE`, or the user's cache folder); one that was
made on another machine, or with other versions, is measured again. Quality is the matter of `seeds.cost.expectation`.
"""

import hashlib
import itertools
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tqdm import tqdm

from seeds.cost.delivery import DELIVERIES, Delivery, lesson, opened, packed, tuned
from seeds.cost.timing import REPEATS, Timed
from seeds.errors import StoreError
from seeds.file import alone, write_whole
from seeds.subject import Subject, one_thread
from seeds.wire.download import HEADER_BYTES, download
from seeds.wire.link import Link
from seeds.wire.serve import serving

SAMPLE_STEPS = 20  # of fine-tuning that are timed at once
ANY_RATE = 1e-3  # a step takes the same time at any
REFERENCE = Link(1e9, 0.02)  # over which files are fetched: what a download takes beside its bits shows on a fast link
FORMAT = "calibration/1"
PACKAGES = ("seeds", "torch", "transformers", "numpy", "aiohttp", "httpx", "zstandard")  # whose versions seconds depend on


@dataclass(frozen=True, slots=True)
class Parts:
    """What one delivery of a subject takes on this machine.

    Args:
        size_bytes: of the file that is sent.
        fetch_s: of downloading that file, beyond latency and bits: client, server, relay and checksum.
        open_s: from the file to a model.
        step_s: one step of fine-tuning; None for deliveries that are used as they come.
    """

    size_bytes: int
    fetch_s: Timed
    open_s: Timed
    step_s: Timed | None


Calibration = dict[str, Parts]  # by delivery


def calibrated(one: Subject, samples: int, path: Path, again: bool = False) -> Calibration:
    """The calibration of a subject with so many labelled samples: from the file if it is of this machine, else measured.

    Seconds that the file does not take are told of on stderr, and are as good.

    Args:
        samples: labelled samples; 0 where nothing is fine-tuned.
        path: the file, which holds the calibrations of one machine: those of another one are replaced.
        again: whether to measure in any case.

    Raises:
        StoreError: the path is a folder.
    """
    if path.is_dir():
        raise StoreError(f"{path} is a folder; allowed: a JSON file, which is made if it is not there")
    key = f"{one.name}/{samples}/{_digest(one)}"
    stored = {} if again else read(path)
    if set(stored.get(key, ())) == set(DELIVERIES):
        return stored[key]
    found = measured(one, samples)
    try:
        write(path, {key: found})
    except StoreError as error:
        print(f"note: {error}; what was measured is used, and not kept", file=sys.stderr)
    return found


def measured(
    one: Subject, samples: int, deliveries: Iterable[Delivery] = DELIVERIES.values(), repeats: int = REPEATS
) -> Calibration:
    """Measures deliveries of a subject, on one thread: each repetition goes through all of them, so that a machine that is slow
    for a while is slow for one repetition of each. The first one warms up. A step is the same work from any start.

    Raises:
        SubjectUnavailable: the subject's weights are not at hand, or the packages of server and client are not installed.
    """
    one_thread()
    sent = list(deliveries)
    fetch_s: dict[str, list[float]] = {d.name: [] for d in sent}
    open_s: dict[str, list[float]] = {d.name: [] for d in sent}
    step_s: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        paths = {d.name: packed(one, d, Path(scratch)) for d in sent}
        sizes = {name: path.stat().st_size for name, path in paths.items()}
        with _fetching(Path(scratch)) as fetch:
            for repeat in tqdm(range(1 + repeats), desc=f"measuring {one.name}", unit="round", disable=None):
                for d in sent:
                    fetch_s[d.name].append(fetch(paths[d.name]))
                for d in sent:
                    open_s[d.name].append(_elapsed(lambda d=d, run=repeat: opened(one, d, paths[d.name], run)))
                if samples and (tuning := next((d for d in sent if d.tuned), None)):
                    step_s.append(_step(one, tuning, samples, paths[tuning.name], repeat))
    return {
        d.name: Parts(
            sizes[d.name], _timed(fetch_s[d.name]), _timed(open_s[d.name]), _timed(step_s) if d.tuned and samples else None
        )
        for d in sent
    }


def _digest(one: Subject) -> str:
    """Of the weights: those of another training have other files."""
    return hashlib.sha256(one.weights_path.read_bytes()).hexdigest()[:12] if one.weights_path else ""


def _timed(seconds: list[float]) -> Timed:
    """Without the first one, which warms up."""
    return Timed(tuple(seconds[1:]))


def _elapsed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _step(one: Subject, sent: Delivery, samples: int, path: Path, run: int) -> float:
    """Seconds of one step, from a burst of them."""
    burst = tuned(opened(one, sent, path, run), lesson(one, samples, ANY_RATE, (SAMPLE_STEPS,), run))
    return float(burst.elapsed_s[-1]) / SAMPLE_STEPS


@contextmanager
def _fetching(folder: Path) -> Iterator[Callable[[Path], float]]:
    """A function that downloads a file of the folder over `REFERENCE`: seconds beyond those that its bits take."""
    names = itertools.count()
    with serving(folder, [REFERENCE]) as served, tempfile.TemporaryDirectory() as arrived:

        def fetch(path: Path) -> float:
            found = download(served.urls[0] + path.name, Path(arrived) / str(next(names)), progress=False)
            return found.elapsed_s - REFERENCE.seconds(found.size_bytes, HEADER_BYTES)

        yield fetch


# -- the file -----------------------------------------------------------------------------------------------------------------


def default_path() -> Path:
    """Where this user's calibration is kept."""
    cache = os.environ.get("SEEDS_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seeds"
    return Path(cache) / "calibration.json"


def machine() -> dict[str, str]:
    """What seconds depend on."""
    import torch

    return {
        "node": platform.node(),
        "machine": platform.machine(),
        "cpus": str(os.cpu_count()),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # an extra
        return "none"


def read(path: Path) -> dict[str, Calibration]:
    """Calibrations of this machine by "subject/samples/weights"; none if the file is missing, damaged or of another machine."""
    try:
        held = json.loads(path.read_text())
        if held["format"] != FORMAT or held["machine"] != machine():
            return {}
        return {key: {name: from_row(row) for name, row in rows.items()} for key, rows in held["calibrations"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write(path: Path, found: dict[str, Calibration]) -> None:
    """Adds calibrations to the file; those of the same key are replaced, and so are all of another machine.

    Raises:
        StoreError: the file cannot be written.
    """
    with alone(path.parent):
        every = read(path) | found
        rows = {key: {name: to_row(parts) for name, parts in of.items()} for key, of in every.items()}
        content = {"format": FORMAT, "machine": machine(), "calibrations": rows}
        write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


def to_row(parts: Parts) -> dict:
    """Parts in plain JSON types."""
    times = {"fetch_s": parts.fetch_s, "open_s": parts.open_s, "step_s": parts.step_s}
    return {"size_bytes": parts.size_bytes} | {name: one and list(one.seconds) for name, one in times.items()}


def from_row(row: dict) -> Parts:
    """The parts that `to_row` wrote."""
    step_s = None if row["step_s"] is None else Timed(tuple(row["step_s"]))
    return Parts(int(row["size_bytes"]), Timed(tuple(row["fetch_s"])), Timed(tuple(row["open_s"])), step_s)
