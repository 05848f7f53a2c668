"""Shards: a model in several files is the model, and only one of its tensors and one of its files is at hand at a time.

[weights] -> extract -> Seed
"""

import json
import math
import weakref
from collections import Counter

import huggingface_hub
import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from seeds import store
from seeds.extract import extract
from tests.synthetic import BLOCK, FLOAT32_BYTES, INDEX, LAYER_STD, write_sharded
from tests.work import mapped

SMALL = {f"model.layers.{i}.{name}": shape for i in range(12) for name, shape in {"weight": (6, 8), "bias": (6,)}.items()}
SMALL_SHARD = 6 * 8 + 6 + 6 * 8  # parameters: one layer and the matrix of the next


@pytest.fixture
def sharded(tmp_path):
    write_sharded(tmp_path, SMALL, SMALL_SHARD)
    return tmp_path


def test_shards_hold_the_values_of_the_block_in_order(sharded):
    """One tensor after the other, as if they were one array; nothing is left out at the end of a shard or of the block."""
    drawn = np.random.Generator(np.random.Philox(key=124)).standard_normal(BLOCK, dtype=np.float32)
    values = np.resize(np.float32(LAYER_STD) * drawn, sum(math.prod(shape) for shape in SMALL.values()))
    loaded = {}
    for path in sorted(sharded.glob("*.safetensors")):
        loaded |= safetensors.torch.load_file(path)
    assert {name: tuple(weight.shape) for name, weight in loaded.items()} == SMALL
    assert np.array_equal(np.concatenate([loaded[name].numpy().reshape(-1) for name in SMALL]), values)


@pytest.mark.parametrize("limit", [SMALL_SHARD, SMALL_SHARD - 1, 1], ids=["just enough", "one too few", "less than a tensor"])
def test_the_shards_are_those_that_the_hub_library_would_write(limit, sharded, tmp_path_factory):
    """The same files with the same tensors in each, and the same index."""
    ours, theirs = (tmp_path_factory.mktemp(name) for name in ("ours", "by the library"))
    write_sharded(ours, SMALL, limit)
    state = dict(mapped(sharded))
    huggingface_hub.save_torch_state_dict({n: state[n] for n in SMALL}, theirs, max_shard_size=FLOAT32_BYTES * limit)
    one, other = (json.loads((folder / INDEX).read_text()) for folder in (ours, theirs))
    assert one["weight_map"] == other["weight_map"]
    assert one["metadata"]["total_size"] == other["metadata"]["total_size"]
    for name in set(one["weight_map"].values()):
        mine, its = (safetensors.torch.load_file(folder / name) for folder in (ours, theirs))
        assert all(torch.equal(mine.pop(tensor), weight) for tensor, weight in its.items())
        assert not mine


@pytest.mark.parametrize("codec", ["exact", "moments", "moments:global", "pca:2+noise"])
def test_shards_give_the_seed_of_one_file(sharded, tmp_path_factory, codec):
    """To the bit, whatever the order in which files are read."""
    whole = tmp_path_factory.mktemp("whole")
    write_sharded(whole, SMALL)
    (path,) = whole.glob("*.safetensors")
    assert store.to_bytes(extract(sharded, codec)) == store.to_bytes(extract(path, codec))
    assert len(extract(sharded, codec).entries) == len(SMALL)


class Watched:
    """The safetensors library, counting open files and tensors in memory; a tensor lives as long as its values do."""

    def __init__(self) -> None:
        self.opened = Counter()
        self.now, self.most = Counter(), Counter()
        self._open = safetensors.safe_open

    def safe_open(self, path, framework: str) -> "Handle":
        self.opened[path.name] += 1
        self.count("files", 1)
        return Handle(self, self._open(path, framework=framework))

    def count(self, what: str, more: int) -> None:
        self.now[what] += more
        self.most[what] = max(self.most[what], self.now[what])


class Handle:
    def __init__(self, watched: Watched, handle) -> None:
        self._watched, self._handle = watched, handle

    def __enter__(self) -> "Handle":
        self._handle.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self._watched.count("files", -1)
        self._handle.__exit__(*error)

    def __getattr__(self, name: str):
        return getattr(self._handle, name)

    def get_tensor(self, name: str) -> Tensor:
        values = self._handle.get_tensor(name).numpy().copy()
        self._watched.count("tensors", 1)
        weakref.finalize(values, self._watched.count, "tensors", -1)
        return torch.from_numpy(values)


@pytest.mark.parametrize("codec", ["exact", "moments", "pca:2"])
def test_one_file_is_open_and_one_tensor_in_memory_at_a_time(sharded, codec, monkeypatch):
    """However many there are: each file is opened for its header and once more for its tensors."""
    watched = Watched()
    monkeypatch.setattr(safetensors, "safe_open", watched.safe_open)

    seed = extract(sharded, codec)

    files = [path.name for path in sharded.glob("*.safetensors")]
    assert len(seed.entries) == len(SMALL)
    assert watched.opened == dict.fromkeys(files, 2)
    assert watched.most == {"files": 1, "tensors": 1}
    assert watched.now == {"files": 0, "tensors": 0}
