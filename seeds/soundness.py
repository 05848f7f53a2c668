"""Soundness: what holds for every seed that is written, and so for every seed that is read.

subject -> extract -> Seed -> [store] -> assemble -> evaluate -> verdict

Each tensor has one name and can exist: that is all that a seed is trusted with. Whether its parts make that tensor is found
when they are decoded. This module knows nothing of files.
"""

import torch

from seeds.codecs import EXACT, REGISTRY
from seeds.errors import SeedError
from seeds.seed import Entry, Seed

DTYPES = {
    name: dtype for name, dtype in vars(torch).items() if isinstance(dtype, torch.dtype) and str(dtype) == f"torch.{name}"
}
MOST_SIDES, LARGEST_TENSOR = 64, 1 << 63  # dimensions, bytes: what numpy and torch can hold and address


def require_sound(seed: Seed) -> None:
    """Refuses a seed with two tensors of one name, ties that lead nowhere, or tensors that no machine can hold.

    Raises:
        SeedError: says what does not hold.
    """
    names = [entry.name for entry in seed.entries]
    try:
        "".join([seed.codec, seed.source, *names, *seed.ties]).encode()
    except (TypeError, UnicodeEncodeError) as error:  # no text, or half a character
        raise SeedError(f"names, codec and source are text that UTF-8 can hold: {error!s:.200}") from None
    held = set(names)
    if "" in held or len(held) != len(names):
        raise SeedError("a tensor's name is empty, or that of another one")
    if "" in seed.ties or not held.isdisjoint(seed.ties) or not held.issuperset(seed.ties.values()):
        raise SeedError(f"ties to tensors that are not there, or of such as are: {dict(seed.ties)!r:.200}")
    for parts in (seed.shared, *(entry.parts for entry in seed.entries)):
        if any("/" in part for part in parts):
            raise SeedError(f"a part of {list(parts)} has a slash, which ends the name of a tensor")
    for entry in seed.entries:
        _require_tensor(entry)


def _require_tensor(entry: Entry) -> None:
    if entry.method not in REGISTRY:
        raise SeedError(f"tensor {entry.name!r} needs the codec {entry.method!r}; known: {', '.join(REGISTRY)}")
    if (dtype := DTYPES.get(entry.dtype)) is None:
        raise SeedError(f"tensor {entry.name!r} has dtype {entry.dtype!r}")
    if entry.method != EXACT.name and (not dtype.is_floating_point or 0 in entry.shape):
        told = f"{entry.dtype} {entry.shape!r:.200} by {entry.method}"
        raise SeedError(f"tensor {entry.name!r} is {told}; {EXACT.name} is for all but floats, and for nothing")
    extent = dtype.itemsize
    for side in entry.shape:
        if type(side) is not int or side < 0:
            raise SeedError(f"tensor {entry.name!r} has shape {entry.shape!r:.200}")
        extent *= side or 1
    if len(entry.shape) > MOST_SIDES or extent >= LARGEST_TENSOR:
        raise SeedError(f"tensor {entry.name!r} has shape {entry.shape!r:.200}, more than can be addressed")
    captured = entry.captured_energy
    if captured is not None and not (isinstance(captured, float) and 0 <= captured <= 1):
        raise SeedError(f"tensor {entry.name!r} has captured energy {captured!r:.200}; allowed: 0 to 1")
