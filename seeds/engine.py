"""The engine: many trials, on the cores of this machine or on a cluster, each finished one kept on disk if there is a folder.

    subject -> ... -> [engine: trials] -> lab -> quantity -> verdict

joblib hands the trials out: "loky" to processes here, "dask" to a `distributed` cluster. A trial gives the same figures
wherever it runs. A stored one is read back only if its fingerprint (initial weights, examples, plan, trainer, versions)
is still the one it was made with; so a killed run resumes without repeating, and never with a stale figure. A folder that is
full or cannot be written costs no figure: the run goes on, and says that it keeps nothing.
"""

import ast
import atexit
import hashlib
import inspect
import platform
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
from tqdm import tqdm

from seeds import budget, data, evaluate, finetune
from seeds.codecs import REGISTRY, Codec, register
from seeds.errors import StoreError, SubjectUnavailable
from seeds.file import write_whole
from seeds.finetune import Curves
from seeds.trial import Prepared, Trial, prepare, run_prepared

ENDING = ".safetensors"
FIGURES = {"looks", "nats", "weights", "drawn", "elapsed_s"}  # in every stored trial; "correct" where there are classes


@dataclass(slots=True)
class Engine:
    """Where trials run. Processes and the connection to a cluster stay until `close` or the end of the program.

    Args:
        jobs: processes at a time, each with one thread; 1 stays in this process.
        backend: "loky" (this machine), "dask" (a local cluster of `jobs` workers), or the address of a dask scheduler.
        folder: where finished trials are kept; None keeps nothing.
    """

    jobs: int = 1
    backend: str = "loky"
    folder: Path | None = None
    _client: Any = field(default=None, init=False, repr=False)
    _scratch: tempfile.TemporaryDirectory | None = field(default=None, init=False, repr=False)

    def run(self, trials: Iterable[Trial]) -> Iterator[tuple[Trial, Curves]]:
        """Each trial with its scores, in the order in which they finish; progress and remaining time on a terminal.

        What the folder does not take is told on stderr, once.

        Raises:
            SubjectUnavailable: the backend's package is not installed.
        """
        from joblib import Parallel, delayed

        todo = list(trials)
        own = [codec for codec in REGISTRY.values() if not codec.__module__.startswith("seeds.")]
        work = [delayed(computed)(trial, self.folder, own) for trial in todo]
        with self._chosen(), tqdm(total=len(todo), desc="fine-tuning", unit="trial", disable=None) as progress:
            jobs = self.jobs if self.backend == "loky" else -1  # a cluster has as many as it has
            found = Parallel(n_jobs=jobs, return_as="generator_unordered")(work)
            told = False
            for trial, curves, refused in cast(Iterator[tuple[Trial, Curves, str]], found):
                progress.update()
                if refused and not told:
                    told = True
                    tqdm.write(f"note: {refused}; trials are computed all the same, and not kept", file=sys.stderr)
                yield trial, curves

    def close(self) -> None:
        """Leaves the cluster; a local one stops."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def _chosen(self) -> AbstractContextManager:
        from joblib import parallel_config

        if self.backend == "loky":
            return parallel_config("loky", inner_max_num_threads=1)
        if self._client is None:
            self._client = self._connected()
        return parallel_config("dask")

    def _connected(self) -> Any:
        try:
            from distributed import Client
        except ImportError:
            raise SubjectUnavailable(f"engine {self.backend!r} needs the package distributed: seeds[dask]") from None
        atexit.register(self.close)
        if self.backend != "dask":
            return Client(self.backend)
        import dask.config

        self._scratch = tempfile.TemporaryDirectory(prefix="seeds-")  # each part of the cluster leaves a folder there
        with dask.config.set({"temporary-directory": self._scratch.name}):
            return Client(n_workers=self.jobs, threads_per_worker=1, dashboard_address=None)


def computed(trial: Trial, folder: Path | None, own: Sequence[type[Codec]] = ()) -> tuple[Trial, Curves, str]:
    """The scores of a trial, read from the folder if they are there and still true, and why they were not kept there, if so.

    `own` are a user's codecs, which another process does not know.
    """
    for codec in own:
        register(codec)
    ready = prepare(trial)
    if folder is None:
        return trial, run_prepared(ready), ""
    path, key = folder / f"{trial.name}{ENDING}", fingerprint(ready)
    curves = read(path, key)
    if curves is not None:
        return trial, curves, ""
    curves = run_prepared(ready)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, _packed(curves, key))
    except (OSError, StoreError) as error:
        return trial, curves, str(error)
    return trial, curves, ""


def read(path: Path, key: str) -> Curves | None:
    """The stored scores; None if there are none, or if they are damaged or of another fingerprint."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None  # a pipe of that name would keep us waiting
    try:
        with safe_open(path, framework="numpy") as file:
            marks = file.metadata() or {}
            held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a handle is no mapping)
    except (OSError, SafetensorError, TypeError, AttributeError):  # the latter two: a type that numpy does not have
        return None
    if (marks.get("fingerprint"), marks.get("content")) != (key, _content(held)):
        return None
    if not held.keys() >= FIGURES:
        return None
    return Curves(
        looks=tuple(held["looks"].tolist()),
        nats=held["nats"],
        correct=held.get("correct"),
        weights=held["weights"],
        drawn=held["drawn"],
        elapsed_s=held["elapsed_s"],
    )


def _packed(curves: Curves, key: str) -> bytes:
    from safetensors.numpy import save

    held = {"looks": np.array(curves.looks), "nats": curves.nats, "weights": curves.weights}
    held |= {"drawn": curves.drawn, "elapsed_s": curves.elapsed_s}
    if curves.correct is not None:
        held["correct"] = curves.correct
    return save(held, metadata={"fingerprint": key, "content": _content(held)})


def _content(held: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of stored figures: a damaged file is computed again."""
    digest = hashlib.sha256()
    for name in sorted(held):
        digest.update(f"{name} {held[name].dtype} {held[name].shape}".encode())
        digest.update(np.ascontiguousarray(held[name]).tobytes())
    return digest.hexdigest()


def fingerprint(ready: Prepared) -> str:
    """SHA-256 of everything that the scores depend on."""
    roots = (budget.__name__, data.__name__, evaluate.__name__, finetune.__name__, *ready.modules)
    code = [_code(name) for name in _reachable(roots)]
    digest = hashlib.sha256(f"{code} {_versions()} {ready.plan} {ready.kind} {ready.together}".encode())
    for model in ready.models:
        for name, tensor in model.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.numpy().tobytes())
    for lesson in ready.lessons:
        digest.update(f"run {lesson.run}".encode())
        digest.update(lesson.drawn.tobytes())
        for part in (lesson.labelled, lesson.test):
            for tensor in (part.inputs, part.labels, part.mask):
                digest.update(b"none" if tensor is None else tensor.numpy().tobytes())
    return digest.hexdigest()


@cache
def _reachable(roots: tuple[str, ...]) -> tuple[str, ...]:
    """These modules, those of this project that they name or have functions and classes of, and so on; sorted."""
    found: set[str] = set()
    left = list(roots)
    while left:
        if (name := left.pop()) in found:
            continue
        found.add(name)
        for value in vars(sys.modules[name]).values():
            there = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(there, str) and there.startswith("seeds."):
                left.append(there)
    return tuple(sorted(found))


@cache
def _code(module_name: str) -> str:
    """The code of a module that trains, scores or runs the model, comments and docstrings aside."""
    tree = ast.parse(inspect.getsource(sys.modules[module_name]))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@cache
def _versions() -> tuple[str, ...]:
    """Versions and CPU level that figures depend on."""
    import torch

    return (*map(version, ("torch", "transformers", "numpy")), torch.backends.cpu.get_cpu_capability(), platform.machine())
