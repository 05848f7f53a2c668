"""Weights written tensor by tensor: the file that `assemble` would give, or none.

Seed -> [assemble] -> weights
"""

import resource
import signal
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given
from torch import Tensor

from seeds import assemble as assembly
from seeds.assemble import assemble, assemble_to
from seeds.codecs import REGISTRY, Codec, decode, register
from seeds.errors import SeedError, StoreError
from seeds.extract import extract
from tests.strategies import all_bits, rng_seeds, specs, states


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, and under their other names those that are tied."""
    with safetensors.safe_open(path, framework="pt") as file:
        held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a handle is no mapping)
        metadata = file.metadata()
    assert metadata.pop("format") == "pt"
    return held | {name: held[target] for name, target in metadata.items()}


@pytest.mark.roundtrip
@given(states(), specs(), rng_seeds)
def test_the_file_holds_what_assembly_gives(state, codec, rng_seed):
    """To the bit, with tied names in the metadata; its size is told, and it is the only file in the folder."""
    seed = extract(state, codec)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        assert assemble_to(seed, path, rng_seed) == path.stat().st_size
        assert all_bits(read(path)) == all_bits(assemble(seed, rng_seed))
        assert list(Path(folder).iterdir()) == [path]


def test_the_file_is_the_one_that_safetensors_writes(tmp_path):
    """Byte by byte, so that its hash does not depend on who wrote it."""
    seed = extract({"b": torch.rand(5, 3), "a": torch.rand(4).double(), "n": torch.arange(3)}, "moments")
    assemble_to(seed, str(tmp_path / "a"), 5)
    assert (tmp_path / "a").read_bytes() == safetensors.torch.save(assemble(seed, 5), {"format": "pt"})


@pytest.mark.parametrize("rng_seed", [-1, 2**63, 1.0], ids=repr)
def test_a_bad_rng_seed_is_refused_before_a_file_is_made(rng_seed, tmp_path):
    with pytest.raises(SeedError, match=r"rng_seed .* is out of range"):
        assemble_to(extract({"w": torch.rand(3, 2)}, "exact"), tmp_path / "none" / "a", rng_seed)


def test_a_missing_folder_is_named(tmp_path):
    path = tmp_path / "none" / "a.safetensors"
    with pytest.raises(StoreError, match=r"cannot write .*none.a\.safetensors: No such file"):
        assemble_to(extract({"w": torch.rand(3, 2)}, "exact"), path)


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """What a full disk does: a write beyond that size fails."""
    ignored, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("room", [0, 1000, 100_000])
def test_a_full_disk_is_named_and_leaves_the_old_file(room, tmp_path):
    """In the header, in the first tensor or in a later one: whole or not at all."""
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")
    seed = extract({f"{i}.weight": torch.rand(100, 200) for i in range(3)}, "moments")  # 240,000 bytes
    with files_of_at_most(room), pytest.raises(StoreError, match=r"cannot write .*a\.safetensors: File too large"):
        assemble_to(seed, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


class Misshapen(Codec):
    """Decodes to one row too many."""

    name, forms = "misshapen", "misshapen"

    def encode(self, weight: Tensor):
        return {"none": torch.zeros(1)}, None

    @staticmethod
    def decode(parts, shape, draw):
        return torch.zeros(shape[0] + 1, *shape[1:])


def test_a_tensor_of_another_shape_than_the_header_says_stops_the_file(tmp_path):
    """A codec of one's own may be wrong; a file that lies about its content is not written."""
    known = dict(REGISTRY)
    register(Misshapen)
    try:
        with pytest.raises(SeedError, match=r"tensor 'w': misshapen made \(4, 2\), not \(3, 2\)"):
            assemble_to(extract({"w": torch.rand(3, 2)}, "misshapen"), tmp_path / "a")
    finally:
        REGISTRY.clear()
        REGISTRY.update(known)
    assert list(tmp_path.iterdir()) == []


def test_each_tensor_is_let_go_before_the_next_is_made(tmp_path, monkeypatch):
    """Two of them at once would not fit where one does."""
    made: list[weakref.ref] = []
    alive = []

    def watched(*values) -> Tensor:
        alive.append(sum(one() is not None for one in made))
        memory = decode(*values).numpy().copy()  # alive as long as any tensor that lies in it
        made.append(weakref.ref(memory))
        return torch.from_numpy(memory)

    monkeypatch.setattr(assembly, "decode", watched)
    assemble_to(extract({f"{i}.weight": torch.rand(10, 20) for i in range(4)}, "pca:2+noise"), tmp_path / "a")
    assert alive == [0, 0, 0, 0]
