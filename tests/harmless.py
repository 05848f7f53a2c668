"""Harmless: what may come of a hostile seed file, and nothing else may.

    bytes -> store -> Seed -> assemble -> weights -> [harmless]

Refused: by a named error. Nothing else may come of an accident. Who computes the checksum anew can also write a file that is
as this library would have written it: of the same weights, to the bit (identical), or of other ones (another seed), finite and
of the shapes and dtypes that it declares. That is no more than anyone can do who writes a seed honestly.
"""

import contextlib
import io
import pickle
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum

import pytest
import torch

from seeds import store
from seeds.__main__ import main
from seeds.assemble import assemble
from seeds.errors import SeedError, StoreError
from seeds.seed import Seed
from tests.strategies import all_bits

Bits = tuple[torch.dtype, tuple[int, ...], bytes]  # of a tensor: `tests.strategies.bits`
LIMIT_BYTES = 1 << 20  # of weights, which a mutant of a few kB hardly needs; more is refused by `assemble`, as told
NO_MACHINE_BYTES = 1 << 46  # more than any memory
PARSED = 60  # times its own size, the memory that a header takes while it is parsed
LOADED = 1.2  # times its size, the memory that a file takes
SPARE_BYTES = 1 << 16  # frames, errors, and what Python keeps for later


class Outcome(StrEnum):
    """What came of a file."""

    REFUSED = "refused"
    IDENTICAL = "identical"
    ANOTHER = "another seed"


def outcome(raw: bytes, original: Mapping[str, Bits], is_sealed: bool) -> Outcome:
    """What comes of a file, read as a user would.

    Args:
        original: bits of the weights of the file that it was made of.
        is_sealed: whether somebody computed its checksum anew.

    Raises:
        AssertionError: harm was done.
        Exception: any but the named errors.
    """
    try:
        seed = store.from_bytes(raw, "mutant")
    except StoreError:
        return Outcome.REFUSED
    assert is_sealed, "an accident went unnoticed"
    assert store.to_bytes(seed) == raw, "one seed has two files"
    limit_bytes = LIMIT_BYTES if seed.declared_bytes < NO_MACHINE_BYTES else None  # then memory itself is the limit
    try:
        weights = assemble(seed, limit_bytes=limit_bytes)
    except SeedError as error:
        if "allocate" in str(error):
            raise AssertionError("memory was asked for that is not there") from error
        return Outcome.REFUSED
    if all_bits(weights) == original:
        return Outcome.IDENTICAL
    _require_consistent(seed, weights)
    return Outcome.ANOTHER


def _require_consistent(seed: Seed, weights: Mapping[str, torch.Tensor]) -> None:
    declared = {entry.name: (entry.shape, f"torch.{entry.dtype}") for entry in seed.entries}
    declared |= {name: declared[target] for name, target in seed.ties.items()}
    assert {name: (tuple(weight.shape), str(weight.dtype)) for name, weight in weights.items()} == declared
    assert sum(weights[entry.name].nbytes for entry in seed.entries) == seed.declared_bytes <= LIMIT_BYTES
    for name, weight in weights.items():
        assert not weight.is_floating_point() or torch.isfinite(weight.double()).all(), f"{name} is not finite"


def allowed_bytes(raw: bytes) -> float:
    """Memory that loading a file may take at its peak."""
    header = min(int.from_bytes(raw[:8], "little"), len(raw))
    return LOADED * len(raw) + PARSED * header + SPARE_BYTES


def peak_bytes(read: Callable[[], object]) -> int:
    """Peak of the memory that Python takes while a file is read or refused."""
    tracemalloc.start()
    try:
        with contextlib.suppress(StoreError):
            read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def inspected(path: str) -> str:
    """What `python -m seeds inspect` prints of a file; every character of it can be shown."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        status = main(["inspect", "--all", path])
    assert status in (0, 1)
    assert told.getvalue().replace("\n", "").isprintable()
    return told.getvalue()


@contextlib.contextmanager
def without_pickle() -> Iterator[None]:
    """Any use of pickle, by itself or through torch or numpy, is an error here."""

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("pickle was used")

    with pytest.MonkeyPatch.context() as patch:
        for module, names in ((pickle, ("Unpickler", "load", "loads", "_Unpickler", "_load", "_loads")), (torch, ("load",))):
            for name in names:
                patch.setattr(module, name, refuse)
        yield
