"""The same seed and rng_seed give the same bits: in this process, in others, under any threads, on any CPU, in any version.

    weights -> extract -> Seed -> store -> assemble -> weights

`golden.json` has the SHA-256 of what `tests.fingerprints` makes. Every environment of the matrix compares with it, and so do
both workers of `make test`. Extraction promises less than assembly, see `seeds.extract`: its files are the same where values
are kept or summed in float64, and agree to float32 rounding where an eigensolver is at work.

All of it was seen on x86 alone.
"""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from seeds import store
from seeds.assemble import assemble
from seeds.codecs import REGISTRY
from seeds.extract import extract
from seeds.seed import Entry, Seed
from tests import fingerprints
from tests.fingerprints import NEARLY_SAME_FILES, weights_to_sum
from tests.strategies import CODECS

pytestmark = pytest.mark.roundtrip

ROOT = Path(__file__).parents[1]
GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())
PAIRS = [(group, name) for group, hashes in GOLDEN.items() for name in hashes]

OLDEST = {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "OPENBLAS_CORETYPE": "Nehalem"}
MIDDLE = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "OPENBLAS_CORETYPE": "Haswell"}
MACHINES = {
    "oldest CPU, one thread": OLDEST | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "1"},
    "older CPU, two threads": MIDDLE | {"OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "2"},
}
SCRIPT = """
import json, pathlib, sys, torch
from seeds import store
from seeds.extract import extract
from tests import fingerprints as here
for codec in here.NEARLY_SAME_FILES:
    store.save(extract(here.weights_to_sum(), codec), pathlib.Path(sys.argv[1]) / codec)
about = {"level": torch.backends.cpu.get_cpu_capability().lower(), "threads": torch.get_num_threads(), "hash": hash("seed")}
print(json.dumps([here.fingerprints(), about]))
"""


@cache
def found() -> dict[str, dict[str, str]]:
    return fingerprints.fingerprints()


@pytest.mark.parametrize(("group", "name"), PAIRS, ids=[" ".join(pair) for pair in PAIRS])
def test_bits_are_the_golden_ones(group, name):
    """Weights of seeds by hand, seed files of weights by hand, and subjects all the way from the files of this package."""
    assert found()[group][name] == GOLDEN[group][name]


def test_every_codec_has_golden_bits():
    """No hash without its seed, no seed without its hash, and no codec without both."""
    assert {group: list(names) for group, names in found().items()} == {group: list(names) for group, names in GOLDEN.items()}
    assert set(GOLDEN["small"]) == {codec.replace("pca:1", "pca:2") for codec in CODECS}
    assert {codec.partition(":")[0] for codec in GOLDEN["small"]} == set(REGISTRY)


def test_two_threads_of_this_process_find_the_golden_bits():
    """Of sizes that torch divides among them."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert fingerprints.fingerprints() == GOLDEN
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("settings", MACHINES.values(), ids=list(MACHINES))
def test_another_machine_finds_the_golden_bits(settings, tmp_path):
    """Another process on what settings leave of this CPU: golden bits, and seeds that agree to 2**-18 where sums differ."""
    settings = settings | {"NPY_DISABLE_CPU_FEATURES": " ".join(features()), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", SCRIPT, str(tmp_path)]
    answer = subprocess.run(command, env=os.environ | settings, stdout=subprocess.PIPE, timeout=120, check=True)
    hashes, about = json.loads(answer.stdout)
    assert hashes == GOLDEN
    levels = settings["ATEN_CPU_CAPABILITY"], "default", "no avx"  # the lowest one by the names of torch 2.13 and 2.6
    assert about["level"] in levels, "the setting was ignored, and nothing was tested"
    assert about["threads"] == int(settings["OMP_NUM_THREADS"])
    assert about["hash"] != hash("seed")
    for codec in NEARLY_SAME_FILES:
        assert_agree(store.load(tmp_path / codec), extract(weights_to_sum(), codec))


def features() -> list[str]:
    """The instruction sets beyond the oldest that numpy finds here and could do without."""
    from numpy._core import _multiarray_umath as core  # pyright: ignore[reportAttributeAccessIssue]

    return [name for name in core.__cpu_dispatch__ if core.__cpu_features__[name]]


def assert_agree(theirs: Seed, ours: Seed) -> None:
    """To 2**-18 of the largest number of a part: eigenvectors, and float32 sums of more than 65,536 values, are in it."""
    for one, other in zip(theirs.entries, ours.entries, strict=True):
        assert (one.name, one.shape, one.method) == (other.name, other.shape, other.method)
        for name, value in determined(other).items():
            apart = (determined(one)[name] - value).abs().max()
            assert apart <= 2.0**-18 * value.abs().max(), f"{name} of {one.name}, {theirs.codec}"


def determined(entry: Entry) -> dict[str, Tensor]:
    """What the weights decide; not the signs of components, nor which basis a factor of a covariance is written in."""
    parts = {name: part.double() for name, part in entry.parts.items()}
    if entry.method == "pca":
        return {"decoded": assemble(Seed("pca", (entry,)))[entry.name].double(), "mean": parts["mean"]}
    if entry.method == "covariance":
        return {name: part @ part.T if name != "mean" else part for name, part in parts.items()}
    return parts


def test_rng_seeds_at_both_ends_have_streams_of_their_own():
    """All 63 bits of it count, as does every letter of a name of any length."""
    ends = (0, 1, 2**31, 2**32, 2**32 + 1, 2**62, 2**63 - 1)
    seed = extract({name: torch.arange(64.0) for name in ("w", "w" * 300, "w" * 299 + "v")}, "moments")
    made = [fingerprints.of_state({"w": weight}) for rng_seed in ends for weight in assemble(seed, rng_seed).values()]
    assert len(set(made)) == len(ends) * 3
