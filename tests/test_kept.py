"""Kept trials that are damaged, or no trials at all: never believed, never waited for, computed again.

trial -> engine -> [file] -> engine -> lab
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

import seeds.engine as module
from seeds.engine import computed, fingerprint, read
from seeds.trial import prepare, run_trial
from tests.trials import ONE, figures, kept


@pytest.fixture(scope="module")
def expected() -> list[bytes]:
    return figures(run_trial(ONE))


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "trials"


@pytest.fixture
def stored(folder) -> Path:
    return kept(folder)


def flipped(raw: bytes, at: int, bits: int = 255) -> bytes:
    return raw[:at] + bytes([raw[at] ^ bits]) + raw[at + 1 :]


def header_end(raw: bytes) -> int:
    return 8 + int.from_bytes(raw[:8], "little")


DAMAGES = {
    "first figure": lambda raw: flipped(raw, header_end(raw)),
    "last figure": lambda raw: flipped(raw, len(raw) - 1),
    "size of the header": lambda raw: flipped(raw, 3),
    "truncated figures": lambda raw: raw[:-100],
    "truncated header": lambda raw: raw[:100],
    "bytes behind the end": lambda raw: raw + b"\0",
    "empty": lambda raw: b"",
    "not a result": lambda raw: b"{}" * 100,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_computed_again(damage, stored, expected):
    """With the same figures, and the file is whole again."""
    stored.write_bytes(damage(stored.read_bytes()))
    assert read(stored, fingerprint(prepare(ONE))) is None
    _, found, _ = computed(ONE, stored.parent)
    assert figures(found) == expected
    assert read(stored, fingerprint(prepare(ONE))) is not None


def resealed(held: dict[str, np.ndarray]) -> bytes:
    """A file that says of itself that it is whole and of this trial."""
    marks = {"fingerprint": fingerprint(prepare(ONE)), "content": module._content(held)}
    return safetensors.numpy.save(held, metadata=marks)


def of_type(name: str, size_bytes: int) -> bytes:
    """A file whose one tensor has another type."""
    told = {"__metadata__": {"fingerprint": "a"}, "nats": {"dtype": name, "shape": [2], "data_offsets": [0, size_bytes]}}
    header = json.dumps(told).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size_bytes)


@pytest.mark.parametrize("name", ["BF16", "F8_E4M3", "F4"])
def test_a_file_of_types_that_numpy_does_not_have_is_none(name, stored):
    stored.write_bytes(of_type(name, {"BF16": 4, "F8_E4M3": 2, "F4": 1}[name]))
    assert read(stored, "a") is None


def test_a_file_that_lacks_figures_is_none_whatever_it_says_of_itself(stored):
    with safetensors.safe_open(stored, framework="numpy") as file:
        held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a handle is no mapping)
    stored.write_bytes(resealed(held))
    assert read(stored, fingerprint(prepare(ONE))) is not None
    for name in ("looks", "nats", "weights", "drawn", "elapsed_s"):
        stored.write_bytes(resealed({key: value for key, value in held.items() if key != name}))
        assert read(stored, fingerprint(prepare(ONE))) is None


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path)], ids=["folder", "pipe", "loop"])
def test_what_is_no_file_in_the_place_of_one_is_not_waited_for(make, folder, expected):
    """A pipe and a link give way to the file; a folder stays, and the trial is not kept."""
    folder.mkdir()
    path = folder / f"{ONE.name}.safetensors"
    make(path)
    _, found, refused = computed(ONE, folder)
    assert figures(found) == expected
    assert path.is_file() == (refused == "")
    assert path.is_dir() == ("Is a directory" in refused)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, str, bytes]:
    """A file to damage, the fingerprint of its trial, and its bytes."""
    folder = tmp_path_factory.mktemp("whole")
    computed(ONE, folder)
    (path,) = folder.iterdir()
    return path, fingerprint(prepare(ONE)), path.read_bytes()


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255), st.booleans())
def test_no_byte_of_a_file_can_be_flipped_unseen(whole, where, bits, in_header):
    """In the figures every flip is found. In the header one blank may become another; the figures stay as they were."""
    path, key, raw = whole
    end = header_end(raw)
    at = int(where * end) if in_header else end + int(where * (len(raw) - end))
    path.write_bytes(flipped(raw, at, bits))
    found = read(path, key)
    path.write_bytes(raw)
    intact = read(path, key)
    assert intact is not None
    assert found is None or (in_header and figures(found) == figures(intact))
