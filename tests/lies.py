"""Lies: what the headers of a seed file may say that is not so, under a checksum that is right.

    Seed -> bytes -> opened -> [lies] -> closed -> store -> Seed ...

Each function changes an opened file in place. Bytes and checksums are the matter of tests/hostile.py and tests/opened.py.
"""

import json
import math
import re
import struct
from random import Random
from typing import Any

from seeds import layout, store
from tests.opened import Opened
from tests.strategies import CODECS

NUMBERS = (-1, 0, 1, 2, 3, 7, 255, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30, 10**400)
FLOATS = (0.0, -0.0, 0.5, 1.5, 1e-46, 3.5e38, 1e308, math.nan, math.inf, -math.inf)
WORDS = (
    "", "w", "bias", "__metadata__", "../../etc/passwd", "/tmp/seed", "a/b", "nul\0", "\ud800", "\x1b[2J", "\u202eevil", "é",
    "exact", "moments", "pca", "zstd", "spectrum", "covariance", "torch", "float32", "int64", "bool", "complex64", "quint8",
    "float8_e4m3fn", "Tensor", "F32", "I64", "BOOL", "F8_E4M3", "os.system",
)  # fmt: skip
HUGE = (2**20, 2**31, 2**40, 2**62)  # sides of a shape


# -- what the header of safetensors says ----------------------------------------------------------------------------------


def lie_about_an_array(random: Random, file: Opened) -> None:
    row = random.choice(list(file.described.values()) or [{"dtype": "F32", "shape": [], "data_offsets": [0, 0]}])
    sides, offsets = row["shape"], row["data_offsets"]
    match random.randrange(8):
        case 0:
            row["dtype"] = random.choice((*layout.DTYPES, "F4", "f32", "", None, 5))
        case 1:
            sides.insert(random.randrange(len(sides) + 1), random.choice((0, 1, 1, -1, *HUGE)))
        case 2:
            row["shape"] = random.choice(
                (sides[::-1], [math.prod(sides)], [1] * 70, [*sides, 1], [], [True] * len(sides), None)
            )
        case 3 if sides:
            sides[random.randrange(len(sides))] = odd(random)
        case 4:
            offsets[random.randrange(2)] += random.choice((-8, -4, -1, 1, 4, 8, 2**31, 2**62))
        case 5:
            offsets[random.randrange(2)] = odd(random)
        case 6:
            row["data_offsets"] = random.choice((offsets[::-1], offsets[:1], [*offsets, 0], {}, [0, 0]))
        case _:
            row[random.choice(("dtype", "data_type", "shape", "extra"))] = odd(random)


def overlap_arrays(random: Random, file: Opened) -> None:
    """Two arrays on the same bytes, or a hole between two."""
    rows = [row for row in file.described.values() if row["data_offsets"][1]]
    if len(rows) < 2:
        return
    first, second = random.sample(rows, 2)
    size = second["data_offsets"][1] - second["data_offsets"][0]
    start = random.choice((first["data_offsets"][0], max(0, first["data_offsets"][1] - 4), first["data_offsets"][1] + 8))
    second["data_offsets"] = [start, start + size]
    if random.random() < 0.5:
        file.content += bytes(max(0, start + size - len(file.content)))


def move_arrays(random: Random, file: Opened) -> None:
    """Another order of the same arrays, their bytes with or without them."""
    names = list(file.described)
    random.shuffle(names)
    content = bytearray()
    for name in names:
        start, stop = file.described[name]["data_offsets"]
        file.described[name]["data_offsets"] = [len(content), len(content) + stop - start]
        content += file.content[start:stop]
    if random.random() < 0.5:
        file.described = {name: file.described[name] for name in names}
    file.content = content


def add_bytes_of_nobody(random: Random, file: Opened) -> None:
    size = random.choice((1, 4, 8, 64))
    file.content += random.randbytes(size)
    if random.random() < 0.6:  # of an array that no tensor needs
        end = len(file.content)
        file.described[odd_name(random)] = {"dtype": "U8", "shape": [size], "data_offsets": [end - size, end]}


def rename_an_array(random: Random, file: Opened) -> None:
    if file.described:
        name = random.choice(list(file.described))
        file.described = {(odd_name(random) if n == name else n): row for n, row in file.described.items()}


def change_values(random: Random, file: Opened) -> None:
    """Values that no weight has, or that no codec writes, where only values are expected."""
    pieces = (b"\xff", b"\0", b"\x80", b"\x7f", *(struct.pack("<f", value) for value in (math.nan, math.inf, 3.4e38, -1.0)))
    for _ in range(random.choice((1, 1, 4))):
        if file.content:
            at, piece = random.randrange(len(file.content)), random.choice(pieces)
            at -= at % len(piece)
            file.content[at : at + len(piece)] = piece[: len(file.content) - at]


# -- what the seed's header says ------------------------------------------------------------------------------------------


def lie_about_a_tensor(random: Random, file: Opened) -> None:
    rows = file.header["tensors"]
    if not rows:
        return
    row, other = random.choice(rows), random.choice(rows)
    at = random.randrange(5)
    match random.randrange(8):
        case 0:
            row[at] = odd(random)
        case 1:
            row[at] = other[at]
        case 2:
            row[1] = random.choice(([], [0], [1], [10**9] * 2, [2**62, 4], [1] * 65, [True], [2.0], row[1][::-1], [*row[1], 1]))
        case 3:
            row[2] = random.choice(("float16", "float32", "float64", "bfloat16", "int64", "bool", "half", "float8_e4m3fn"))
        case 4:
            row[3] = random.choice([re.match("[a-z0-9]+", codec)[0] for codec in CODECS])  # pyright: ignore
        case 5:
            row[5:] = [random.choice((None, 0.5, 1, 1.5, -1.0, math.nan, "1.0", 0.12345678901, True))]
        case 6:
            row.append(odd(random))
        case _:
            del row[random.randrange(len(row))]


def lie_about_parts(random: Random, file: Opened) -> None:
    """Parts that are missing, added, of another tensor, or numbers that are arrays."""
    rows = [row[4] for row in file.header["tensors"]] + [file.header["shared"]]
    parts, other = random.choice(rows), random.choice(rows)
    name = random.choice([*parts, *other, "values"])
    match random.randrange(5):
        case 0:
            parts.pop(name, None)
        case 1:
            parts[name] = random.choice((None, odd(random), *FLOATS))
        case 2:
            parts[odd_name(random)] = random.choice((None, 0.5))
        case 3:
            parts |= other
        case _:
            parts.clear()


def lie_about_names(random: Random, file: Opened) -> None:
    """Ties in circles, to nothing, of what is there; names that are paths; a name twice."""
    names, ties = [row[0] for row in file.header["tensors"]] or ["w"], file.header["ties"]
    match random.randrange(6):
        case 0:
            ties[random.choice((*names, odd_name(random)))] = random.choice((*names, *ties, odd_name(random)))
        case 1:
            name = odd_name(random)
            ties[name] = name
        case 2 if ties:
            ties[next(iter(ties))] = odd(random)
        case 3:
            file.header["ties"] = dict(reversed([*ties.items(), ("a", names[0])]))
        case 4 if file.header["tensors"]:
            file.header["tensors"].append(json.loads(json.dumps(random.choice(file.header["tensors"]))))
        case _:
            rename_a_tensor(file, random.choice(names), odd_name(random))


def rename_a_tensor(file: Opened, name: str, to: str) -> None:
    """Everywhere it is named, so that the file is sound if the new name is and comes in the same place."""
    for row in file.header["tensors"]:
        row[0] = to if row[0] == name else row[0]
    file.header["ties"] = {other: to if target == name else target for other, target in file.header["ties"].items()}
    file.described = {(to + n[len(name) :] if n.startswith(f"{name}/") else n): row for n, row in file.described.items()}


def lie_about_the_seed(random: Random, file: Opened) -> None:
    key = random.choice((*store.KEYS, "extra"))
    if random.random() < 0.3 and key in file.header:
        del file.header[key]
    else:
        file.header[key] = odd(random)
    if random.random() < 0.2:
        file.header = dict(random.sample(list(file.header.items()), len(file.header)))


def blow_up(random: Random, file: Opened) -> None:
    """Tensors of a size that only a liar can mean, by parts that say so and by parts that do not."""
    for row in file.header["tensors"]:
        if random.random() < 0.5:
            row[1] = [random.choice((*HUGE, 10**5, 10**9)) for _ in row[1]]
    for row in file.described.values():
        if random.random() < 0.1:
            row["shape"] = [random.choice(HUGE), 0]


# -- any value but the right one ----------------------------------------------------------------------------------------


def odd(random: Random) -> Any:
    """Any JSON value but the right one."""
    return random.choice(
        (
            random.choice(NUMBERS),
            random.choice(FLOATS),
            random.choice(WORDS),
            True,
            False,
            None,
            [],
            {},
            [[]],
            {"a": 1},
            [0] * 99,
        )
    )


def odd_name(random: Random) -> str:
    return random.choice(WORDS) + random.choice(("", "", "/values", "/mean", "x" * 300))
