"""Soundness: what no seed may say, whether it is written or read.

Seed -> [store] -> Seed
"""

from dataclasses import replace

import pytest
import torch

from seeds import store
from seeds.codecs import moments_parts
from seeds.errors import SeedError, StoreError
from seeds.extract import extract
from seeds.moments import Moments
from seeds.seed import Entry, Seed
from seeds.soundness import require_sound
from tests.opened import opened

PARTS = moments_parts(Moments(0.0, 1.0, 6))
ENTRY = Entry("w", (2, 3), "float32", "moments", PARTS)
SEED = Seed("moments", (ENTRY,), {"t": "w"})
UNSOUND = {
    "a name twice": ({"entries": (ENTRY, ENTRY)}, {}, "empty, or that of another"),
    "a name that is empty": ({}, {"name": ""}, "empty, or that of another"),
    "half a character": ({"source": "\ud800"}, {}, "text that UTF-8 can hold"),
    "a codec that is no text": ({"codec": None}, {}, "are text .* NoneType found"),
    "a name that is no text": ({}, {"name": 5}, "are text .* int found"),
    "a tie to nothing": ({"ties": {"t": "v"}}, {}, "ties to tensors that are not there"),
    "a tie to a tie": ({"ties": {"t": "w", "u": "t"}}, {}, "ties to tensors that are not there"),
    "a tie of a tensor": ({"ties": {"w": "w"}}, {}, "or of such as are"),
    "a tie of no name": ({"ties": {"": "w"}}, {}, "ties to tensors"),
    "an unknown codec": ({}, {"method": "svd"}, "needs the codec 'svd'; known: exact"),
    "an unknown dtype": ({}, {"dtype": "float33"}, "has dtype 'float33'"),
    "what is no dtype": ({}, {"dtype": "nn"}, "has dtype 'nn'"),
    "another name of a dtype": ({}, {"dtype": "double"}, "has dtype 'double'"),
    "integers that are drawn": ({}, {"dtype": "int64"}, r"is int64 \(2, 3\) by moments"),
    "nothing that is drawn": ({}, {"shape": (0, 3)}, r"is float32 \(0, 3\) by moments"),
    "a side below zero": ({}, {"shape": (-2, 3)}, r"has shape \(-2, 3\)"),
    "a side that is true": ({}, {"shape": (True,)}, "has shape"),
    "half a side": ({}, {"shape": (0.5,)}, "has shape"),
    "more than can be addressed": ({}, {"shape": (2**31, 2**31)}, "more than can be addressed"),
    "too many sides": ({}, {"shape": (1,) * 65}, "more than can be addressed"),
    "a part with a slash": ({}, {"parts": {"a/b": PARTS["mean"]}}, "has a slash, which ends the name"),
    "a shared part with a slash": ({"shared": {"a/b": PARTS["mean"]}}, {}, "has a slash, which ends the name"),
    "energy above one": ({}, {"captured_energy": 1.01}, "captured energy 1.01; allowed: 0 to 1"),
    "energy that is NaN": ({}, {"captured_energy": float("nan")}, "captured energy nan"),
    "energy that is a word": ({}, {"captured_energy": "1.0"}, "captured energy '1.0'"),
}


def changed(seed: dict, entry: dict) -> Seed:
    return replace(replace(SEED, entries=(replace(ENTRY, **entry),)), **seed)


@pytest.mark.parametrize(("seed", "entry", "says"), UNSOUND.values(), ids=UNSOUND)
def test_what_no_seed_may_say_is_not_written(seed, entry, says, tmp_path):
    """Named before any file is made; the seed without the change is sound."""
    require_sound(SEED)
    with pytest.raises(SeedError, match=says):
        store.save(changed(seed, entry), tmp_path / "seed")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", UNSOUND)
def test_what_no_seed_may_say_is_not_read(name):
    """The same in a file, under a checksum that is right."""
    seed, entry, _ = UNSOUND[name]
    wrong, file = changed(seed, entry), opened(store.to_bytes(SEED))
    shared = {name: part.item() for name, part in wrong.shared.items()}
    file.header |= {"codec": wrong.codec, "source": wrong.source, "ties": dict(wrong.ties), "shared": shared}
    file.header["tensors"] = [_row(e) for e in wrong.entries]
    with pytest.raises(StoreError, match="does not describe its content"):
        store.from_bytes(file.closed())


def _row(entry: Entry) -> list:
    parts = {name: part.item() for name, part in entry.parts.items()}
    captured = [] if entry.captured_energy is None else [entry.captured_energy]
    return [entry.name, list(entry.shape), entry.dtype, entry.method, parts, *captured]


def test_the_row_that_is_forged_is_the_one_that_is_written():
    """The control: without a change, the forgery above is the file itself."""
    raw = store.to_bytes(SEED)
    file = opened(raw)
    file.header["tensors"] = [_row(entry) for entry in SEED.entries]
    assert file.closed() == raw


def test_entries_in_any_order_give_the_same_file():
    """A file has its tensors sorted by name; a seed by hand need not."""
    seed = extract({"a": torch.rand(2, 3), "b": torch.rand(2), "c": torch.arange(3)}, "moments")
    assert store.to_bytes(replace(seed, entries=seed.entries[::-1])) == store.to_bytes(seed)
