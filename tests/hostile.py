"""Hostile seed files: what a bad disk, a bad line or a bad person makes of sound ones.

    Seed -> bytes -> [hostile] -> bytes -> store -> Seed ...        what may come of them: tests/harmless.py

Each kind of change is either raw, as an accident would leave it, or sealed: the checksum is computed anew, and it is what the
file says that has to be refused. A number always gives the same file.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from random import Random

import torch
from torch import Tensor

from seeds import store
from seeds.extract import extract
from seeds.seed import Seed
from tests import lies
from tests.opened import Opened, framed, opened, sealed
from tests.strategies import CODECS

NOTHING = "nothing"
NAMES = (*(codec + more for codec in CODECS for more in ("", "+vectors")), NOTHING)  # of the sound files
DEEP = 100_000  # brackets; Python's parser gives up at a thousand or so


# -- sound files ----------------------------------------------------------------------------------------------------------


@cache
def sound() -> dict[str, bytes]:
    """One small file for each codec, with and without `+vectors`, and one that holds nothing."""
    seeds = {name: Seed("exact", ()) if name == NOTHING else extract(_state(), name) for name in NAMES}
    return {name: store.to_bytes(seed) for name, seed in seeds.items()}


def _state() -> dict[str, Tensor]:
    """Every kind of tensor that a seed tells apart: float dtypes, integers, a tie, a kernel, a scalar, nothing."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    matrix = normal(5, 4)
    return {
        "body.weight": matrix, "head.weight": matrix, "body.bias": normal(5).half(),
        "kernel.weight": normal(3, 2, 2).bfloat16(), "wide.weight": normal(2, 7).double(), "scale": normal(),
        "nothing": torch.empty(0), "steps": torch.arange(4), "mask": torch.tensor([True, False, True]),
    }  # fmt: skip


# -- raw changes ----------------------------------------------------------------------------------------------------------


def flip_bits(random: Random, raw: bytes) -> bytes:
    changed = bytearray(raw)
    for _ in range(random.choice((1, 1, 1, 2, 8, 64))):
        changed[random.randrange(len(raw))] ^= 1 << random.randrange(8)
    return bytes(changed)


def cut(random: Random, raw: bytes) -> bytes:
    return raw[: random.randrange(len(raw))]


def insert(random: Random, raw: bytes) -> bytes:
    at = random.randrange(len(raw) + 1)
    return raw[:at] + random.randbytes(random.choice((1, 2, 8, 100))) + raw[at:]


def remove(random: Random, raw: bytes) -> bytes:
    at = random.randrange(len(raw))
    return raw[:at] + raw[at + random.choice((1, 2, 8, 100)) :]


def overwrite(random: Random, raw: bytes) -> bytes:
    at, size = random.randrange(len(raw)), random.choice((1, 4, 8, 64, 512))
    piece = random.choice((b"\0" * size, b"\xff" * size, random.randbytes(size), b"[" * size, b'"' * size))
    return (raw[:at] + piece + raw[at + size :])[: len(raw)]


def move(random: Random, raw: bytes) -> bytes:
    """A piece from another place of the file."""
    at, source, size = random.randrange(len(raw)), random.randrange(len(raw)), random.choice((8, 32, 256))
    return raw[:at] + raw[source : source + size] + raw[at + size :]


def splice(random: Random, raw: bytes) -> bytes:
    """The beginning of this file and the end of another one."""
    other = sound()[random.choice(NAMES)]
    return raw[: random.randrange(len(raw))] + other[random.randrange(len(other)) :]


def lie_about_the_header(random: Random, raw: bytes) -> bytes:
    size = int.from_bytes(raw[:8], "little")
    lies = (0, 1, 7, size - 1, size + 1, size + 8, len(raw) - 8, len(raw), 2**27, 2**31, 2**63, 2**64 - 1)
    return random.choice(lies).to_bytes(8, "little") + raw[8:]


def replace_by_anything(random: Random, raw: bytes) -> bytes:
    """Random bytes, with or without a plausible beginning."""
    content = random.randbytes(random.randrange(400))
    return random.choice((b"", max(0, len(content) - 8).to_bytes(8, "little"), raw[: random.randrange(300)])) + content


# -- how it is spelled ----------------------------------------------------------------------------------------------------


def respell(random: Random, raw: bytes) -> bytes:
    """The same or nearly the same JSON in other letters: spaces, keys that are there twice, numbers, escapes, depth."""
    size = int.from_bytes(raw[:8], "little")
    head, content = raw[8 : 8 + size].rstrip().decode(), raw[8 + size :]
    places = [found.start() for found in re.finditer(random.choice((",", ":", r"\[", r"\{", r"\]")), head)] or [0]
    at = random.choice(places)
    match random.randrange(9):
        case 0:
            head = head[:at] + random.choice((" ", "\n", "\t")) + head[at:]
        case 1:
            head += random.choice((" " * 8, "\n" * 8, "{}", "\0" * 8, " " * 80))
        case 2:
            head = _doubled(random, head)
        case 3:
            numbers = list(re.finditer(r"(?<=[:\[,])-?\d+\.?\d*", head))
            if numbers:
                number = random.choice(numbers)
                other = random.choice(
                    (f"{number[0]}0", f"{number[0]}.0", f"{number[0]}e0", f"-{number[0]}", "NaN", "1e999", "01")
                )
                head = head[: number.start()] + other + head[number.end() :]
        case 4:
            letter = random.randrange(len(head))
            head = (
                head[:letter]
                + random.choice((f"\\u{ord(head[letter]):04x}", f"\\\\u{ord(head[letter]):04X}"))
                + head[letter + 1 :]
            )
        case 5:
            head = head[:at] + "[" * DEEP + head[at:]
        case 6:
            head = head[: at + 1] + "[" * 500 + "]" * 500 + "," + head[at + 1 :]
        case 7:
            head = head[: at + 1] + "1" * random.choice((400, 5_000)) + head[at + 1 :]
        case _:
            head = "\ufeff" + head if random.random() < 0.5 else head + '{"'
    return framed(head, content)


def _doubled(random: Random, head: str) -> str:
    """A key of an object twice, with the same or another value."""
    found = random.choice(list(re.finditer(r'\\*"[a-z_0-9]+\\*":', head)))
    quote = re.match(r'\\*"', found[0])[0]  # pyright: ignore
    return (
        head[: found.start()]
        + found[0]
        + random.choice(("1", "null", "[]", f"{quote}x{quote}", "{}"))
        + ","
        + head[found.start() :]
    )


# -- all of them ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mutator:
    """A kind of change. `is_sealed`: the checksum is right again afterwards."""

    name: str
    weight: int
    is_sealed: bool
    change: Callable[[Random, bytes], bytes]


RAW = {
    flip_bits: 6, cut: 3, insert: 2, remove: 2, overwrite: 3, move: 2, splice: 3, lie_about_the_header: 2,
    replace_by_anything: 2,
}  # fmt: skip
OPENED = {
    lies.lie_about_an_array: 12, lies.overlap_arrays: 4, lies.move_arrays: 3, lies.add_bytes_of_nobody: 4,
    lies.rename_an_array: 3, lies.change_values: 6, lies.lie_about_a_tensor: 14, lies.lie_about_parts: 10,
    lies.lie_about_names: 10, lies.lie_about_the_seed: 5, lies.blow_up: 4,
}  # fmt: skip


def _mutators() -> Iterator[Mutator]:
    for change, weight in RAW.items():
        yield Mutator(change.__name__, weight, False, change)
        yield Mutator(
            f"{change.__name__}, sealed", weight, True, lambda random, raw, change=change: sealed(change(random, raw))
        )
    for change, weight in OPENED.items():
        yield Mutator(change.__name__, weight, True, lambda random, raw, change=change: _reclosed(random, raw, change))
    yield Mutator(respell.__name__, 10, True, respell)


def _reclosed(random: Random, raw: bytes, change: Callable[[Random, Opened], None]) -> bytes:
    file = opened(raw)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        with suppress(TypeError, AttributeError, IndexError, ValueError, KeyError):  # of what the lie before has left
            change(random, file)
    return file.closed()


MUTATORS = tuple(_mutators())
WEIGHTS = [mutator.weight for mutator in MUTATORS]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One hostile file, which file it was, and what was done to it."""

    base: str
    mutator: Mutator
    raw: bytes


def mutant(rng_seed: int, number: int) -> Mutant:
    """The mutant of a number, the same whenever and in whatever order it is asked for; never the file it was made of."""
    random = Random(f"{rng_seed}/{number}")
    while True:
        base, (mutator,) = random.choice(NAMES), random.choices(MUTATORS, WEIGHTS)
        raw = mutator.change(random, sound()[base])
        if raw != sound()[base]:
            return Mutant(base, mutator, raw)
