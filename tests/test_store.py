"""Seed files: what comes back, and what is refused.

Seed -> [store] -> Seed
"""

import hashlib
import json
import os
import random
import tempfile
import threading
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from seeds import store
from seeds.assemble import assemble
from seeds.draw import GENERATOR
from seeds.errors import SeedError, StoreError
from seeds.extract import extract
from seeds.seed import Entry, Seed
from tests.strategies import all_bits, bits, rng_seeds, specs, states


@pytest.fixture
def raw() -> bytes:
    """The bytes of a small seed file with numbers, arrays, a tie and a buffer."""
    weight = torch.tensor([[0.5, -1.25], [3.0, 0.1]])
    state = {"w": weight, "b": weight[0].clone(), "t": weight, "mask": torch.tensor([True, False])}
    return store.to_bytes(extract(state, "pca:1+noise"))


def load(raw: bytes, folder: Path) -> Seed:
    path = folder / "a.safetensors"
    path.write_bytes(raw)
    return store.load(path)


@pytest.mark.roundtrip
@given(states(), specs(), rng_seeds)
def test_what_was_saved_is_loaded(state, codec, rng_seed):
    """Entries, parts and assembled weights come back to the bit, and the size on disk is the size that is told."""
    seed = extract(state, codec)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        assert store.save(seed, path) == path.stat().st_size == store.size_bytes(seed) >= store.header_bytes(seed)
        loaded = store.load(path)
        assert path.read_bytes() == store.to_bytes(seed) == store.to_bytes(loaded)
    assert (loaded.codec, dict(loaded.ties), loaded.source) == (seed.codec, dict(seed.ties), seed.source)
    assert all_bits(dict(loaded.shared)) == all_bits(dict(seed.shared))
    for entry, found in zip(seed.entries, loaded.entries, strict=True):
        assert (found.name, found.shape, found.dtype, found.method) == (entry.name, entry.shape, entry.dtype, entry.method)
        assert all_bits(dict(found.parts)) == all_bits(dict(entry.parts))
        assert found.captured_energy == pytest.approx(entry.captured_energy, abs=5e-10)  # nine decimals are written
    assert all_bits(assemble(loaded, rng_seed)) == all_bits(assemble(seed, rng_seed))


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.text(min_size=1), st.text())
def test_numbers_and_words_come_back_to_the_bit(number, name, source):
    """Any float32, denormals and -0.0 among them, and any text survive the JSON of the header."""
    parts = {"mean": torch.tensor(number), "std": torch.tensor(abs(number))}
    seed = Seed("moments", (Entry(name, (2,), "float32", "moments", parts),), {"tied": name}, source=source)
    with tempfile.TemporaryDirectory() as folder:
        loaded = load(store.to_bytes(seed), Path(folder))
    (entry,) = loaded.entries
    assert (entry.name, loaded.source, dict(loaded.ties)) == (name, source, {"tied": name})
    assert all_bits(dict(entry.parts)) == all_bits(parts)


@pytest.mark.roundtrip
def test_a_file_cut_at_any_length_is_refused(raw):
    """No beginning of a seed file is a seed file."""
    assert all_bits(assemble(store.from_bytes(raw)))  # the whole of it is
    for length in range(len(raw)):
        with pytest.raises(StoreError, match=r"a\.safetensors"):
            store.from_bytes(raw[:length], "a.safetensors")


@pytest.mark.roundtrip
def test_every_flipped_bit_is_noticed(raw):
    """Each single bit of a small file, one after the other: never a seed with other values."""
    expected = all_bits(assemble(store.from_bytes(raw)))
    for position in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[position // 8] ^= 1 << position % 8
        try:
            found = store.from_bytes(changed, "a.safetensors")
        except StoreError:
            continue
        assert all_bits(assemble(found)) == expected, f"bit {position} was not noticed"


def test_a_file_with_anything_behind_it_is_refused(raw, tmp_path):
    """Bytes after the end are a change as well."""
    with pytest.raises(StoreError):
        load(raw + b"\0", tmp_path)


@given(st.binary(max_size=400), st.booleans())
def test_random_bytes_are_refused(content, has_header_size):
    """Whatever it holds: a named error, also where the first eight bytes are a plausible size."""
    size = max(0, len(content) - 8).to_bytes(8, "little") if has_header_size else b""
    with tempfile.TemporaryDirectory() as folder, pytest.raises(StoreError):
        load(size + content, Path(folder))


def framed(header: bytes) -> bytes:
    """A safetensors file without tensors whose header is given."""
    return len(header).to_bytes(8, "little") + header


FOREIGN = {
    "empty": b"",
    "too short": b"\0" * 15,
    "a header beyond the end": (2**63).to_bytes(8, "little") + b"{}" * 8,
    "weights, not a seed": safetensors.torch.save({"a": torch.zeros(3)}),
    "weights with other metadata": safetensors.torch.save({"a": torch.zeros(3)}, {"format": "pt"}),
    "deep JSON": framed(b"[" * 200_000),
    "deep JSON as header": framed(json.dumps({"__metadata__": {"seed": "[" * 200_000}}).encode()),
    "a list": framed(b"[1, 2, 3, 4]"),
    "a header that is a number": framed(b'{"__metadata__": {"seed": "5"}}'),
    "not UTF-8": framed(b'{"__metadata__": "\xff\xfe\xfd"}'),
    "a number of 5,000 digits": framed(b'{"__metadata__": {"seed": "' + b"9" * 5000 + b'"}}'),
    "half a character as checksum": framed(
        json.dumps({"__metadata__": {"seed": json.dumps({"format": store.FORMAT, "sha256": "\ud800"})}}).encode()
    ),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_other_files_are_refused(content, tmp_path):
    """The error names the file; nothing but `StoreError` gets out."""
    with pytest.raises(StoreError, match=r"a\.safetensors"):
        load(content, tmp_path)


def forged(**changes) -> bytes:
    """A file with a valid checksum whose header says something else: from another version, or from somebody else."""
    row = ["w", [2], "float32", "moments", {"mean": 0.5, "std": 1.0}]
    header = {"format": store.FORMAT, "sha256": store.BLANK, "codec": "moments", "generator": GENERATOR, "source": ""}
    header |= {"shared": {}, "ties": {}, "tensors": [row]} | changes
    raw = safetensors.torch.save({}, {"seed": store.JSON.encode({k: v for k, v in header.items() if v != "absent"})})
    return raw.replace(store.BLANK.encode(), hashlib.sha256(raw).hexdigest().encode(), 1)


def test_a_header_written_by_hand_is_read(tmp_path):
    """The format is what its description says; the forgeries below fail for their one change only."""
    (entry,) = load(forged(), tmp_path).entries
    assert (entry.name, entry.shape, entry.parts["std"].item()) == ("w", (2,), 1.0)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format": "seed/2"}, "'seed/2'.*reads 'seed/1'"),
        ({"format": 1}, "is no seed file"),
        ({"tensors": "absent"}, "not spelled as it would be"),
        ({"tensors": 5}, ""),
        ({"tensors": [["w"]]}, ""),
        ({"tensors": [["w", [2], "float32", "svd", {}]]}, "needs the codec 'svd'; known: exact"),
        ({"tensors": [["w", [2], "float33", "moments", {}]]}, "dtype 'float33'"),
        ({"tensors": [["w", [2], "nn", "moments", {}]]}, "dtype 'nn'"),
        ({"tensors": [["w", 2, "float32", "moments", {}]]}, ""),
        ({"tensors": [["w", [2], "float32", "moments", {"mean": None}]]}, "w/mean"),
        ({"tensors": [["w", [2], "float32", "moments", ["mean"]]]}, ""),
        ({"tensors": [["w", [2], "float32", "moments", {"mean": "0.5"}]]}, "'0.5' is no float32 number"),
        ({"tensors": [["w", [2], "float32", "moments", {"mean": 1e39}]]}, "1e.39 is no float32 number"),
        ({"tensors": [["w", [2], "float32", "moments", {"mean": 10**400}]]}, "is no float32 number"),
        ({"shared": []}, ""),
        ({"codec": "absent"}, "not spelled as it would be"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)
def test_a_header_that_makes_no_sense_is_refused(changes, told, tmp_path):
    """A valid checksum proves that nothing changed, not that this version can read it."""
    with pytest.raises(StoreError, match=f"(?s)a\\.safetensors.*{told}"):
        load(forged(**changes), tmp_path)


@pytest.mark.parametrize(
    "instead",
    [
        '"F32","shape":[4],"data_offsets":[1,17]',
        '"F32","shape":[5],"data_offsets":[0,16]',
        '"F9?","shape":[4],"data_offsets":[0,16]',
    ],
    ids=["beyond the end", "of another size", "of an unknown dtype"],
)
def test_arrays_that_are_not_in_the_file_are_refused(instead, tmp_path):
    """Also where the checksum is right: no memory but the file's is read."""
    raw = store.to_bytes(extract({"w": torch.arange(4.0)}, "exact"))
    blank = raw.replace(json.loads(described(raw)["__metadata__"]["seed"])["sha256"].encode(), store.BLANK.encode())
    changed = blank.replace(b'"F32","shape":[4],"data_offsets":[0,16]', instead.encode())
    assert changed != blank
    with pytest.raises(StoreError, match=r"a\.safetensors has a header that does not describe its content"):
        load(changed.replace(store.BLANK.encode(), hashlib.sha256(changed).hexdigest().encode()), tmp_path)


def described(raw: bytes) -> dict:
    return json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])


def test_a_pipe_is_read_to_its_end(raw, tmp_path):
    """Nobody knows its size beforehand."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(raw,))
    writer.start()
    loaded = store.load(path)
    writer.join()
    assert store.to_bytes(loaded) == raw


def test_a_missing_file_and_a_missing_folder_are_named(raw, tmp_path):
    """Reading and writing tell the path, and no folder is made on the way."""
    path = tmp_path / "none" / "a.safetensors"
    with pytest.raises(StoreError, match=r"cannot read .*none.a\.safetensors: No such file"):
        store.load(path)
    with pytest.raises(StoreError, match=r"cannot write .*none.a\.safetensors: No such file"):
        store.save(load(raw, tmp_path), path)
    with pytest.raises(StoreError, match=r"cannot read .*: Is a directory"):
        store.load(tmp_path)
    assert not path.parent.exists()


def test_an_existing_file_is_replaced_whole(raw, tmp_path):
    """A longer file leaves no tail behind, and nothing else stays in the folder."""
    seed, path = load(raw, tmp_path), tmp_path / "a.safetensors"
    path.write_bytes(b"x" * 100_000)
    store.save(seed, str(path))
    assert path.read_bytes() == raw
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("cause", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "interrupted"])
@pytest.mark.parametrize("step", ["open", "replace"])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(raw, tmp_path, monkeypatch, step, cause):
    """Whole or not at all, also when the last step fails or the user gives up."""
    seed, path = load(raw, tmp_path), tmp_path / "a.safetensors"
    path.write_bytes(b"old")

    def fail(*args, **kwargs):
        raise cause

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(StoreError if isinstance(cause, OSError) else KeyboardInterrupt) as caught:
        store.save(seed, path)
    monkeypatch.undo()
    if isinstance(cause, OSError):
        assert str(caught.value) == f"cannot write {path}: No space left on device"
    assert [found.name for found in tmp_path.iterdir()] == ["a.safetensors"]
    assert path.read_bytes() == b"old"


def test_a_store_error_is_a_seed_error():
    """One `except SeedError` is enough for a caller."""
    assert issubclass(StoreError, SeedError)


def test_the_same_seed_gives_the_same_bytes_and_holds_no_python_objects(raw):
    """The order of a state dict leaves no trace, and the file is a plain safetensors file."""
    generator = random.Random(0)
    state = {name: torch.arange(6.0).reshape(2, 3) + i for i, name in enumerate("abcdef")}
    names = list(state)
    generator.shuffle(names)
    mixed = {name: state[name] for name in names}
    assert store.to_bytes(extract(state, "pca:1")) == store.to_bytes(extract(mixed, "pca:1"))
    arrays = safetensors.torch.load(raw)
    assert set(arrays) == {f"w/{part}" for part in ("mean", "components", "scores")} | {"mask/values"}
    assert bits(arrays["mask/values"]) == bits(torch.tensor([True, False]))
