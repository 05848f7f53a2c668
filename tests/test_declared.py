"""Declared sizes: a file of some hundred bytes may stand for petabytes, and nobody takes its word for memory or disk.

Seed -> [assemble] -> weights, or a named refusal
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors
import torch
from torch import nn

from seeds import assemble as assembly
from seeds import memory, store
from seeds.__main__ import main
from seeds.assemble import assemble, assemble_to
from seeds.codecs import REGISTRY, decode, moments_parts
from seeds.draw import Draw
from seeds.errors import SeedError, StoreError
from seeds.extract import extract
from seeds.moments import Moments
from seeds.seed import Entry, Seed

PETABYTES = Entry("w", (1 << 25, 1 << 26), "float32", "moments", moments_parts(Moments(0.0, 1.0, 1)))
HUGE = Seed("moments", (PETABYTES,))
DECLARED = "9,007,199,254,740,992 bytes of weights"


def test_a_seed_says_what_it_stands_for():
    """Ties once, integers and nothing included."""
    weight = torch.rand(3, 4)
    seed = extract({"w": weight, "t": weight, "h": torch.rand(5).half(), "n": torch.arange(3), "e": torch.empty(0)}, "moments")
    assert seed.declared_bytes == 12 * 4 + 5 * 2 + 3 * 8
    assert seed.declared_bytes == sum(weight.nbytes for name, weight in assemble(seed).items() if name != "t")
    assert HUGE.declared_bytes == 1 << 53


def test_more_than_memory_is_refused_by_name(tmp_path):
    """Also tensor by tensor, where one of them is too large; before a file is made."""
    assert len(store.to_bytes(HUGE)) < 400
    says = rf"a seed that stands for {DECLARED} needs [\d,]+ bytes of memory; [\d,]+ can be had"
    with pytest.raises(SeedError, match=says):
        assemble(HUGE)
    with pytest.raises(SeedError, match=says):
        assemble_to(HUGE, tmp_path / "weights")
    assert not list(tmp_path.iterdir())


def test_a_model_that_a_seed_does_not_fit_is_named_first():
    """A model's own shapes bound what is assembled into it."""
    with pytest.raises(SeedError, match="does not fit the model"):
        assemble(HUGE, into=nn.Linear(2, 2))


def test_more_than_a_limit_is_refused(tmp_path):
    """For who serves strangers: a limit of their own. The last byte that is allowed is allowed."""
    seed = extract({"w": torch.rand(3, 4)}, "moments")
    assert assemble(seed, limit_bytes=48)["w"].shape == (3, 4)
    assert assemble_to(seed, tmp_path / "weights", limit_bytes=48)
    for refuse in (lambda: assemble(seed, limit_bytes=47), lambda: assemble_to(seed, tmp_path / "more", limit_bytes=47)):
        with pytest.raises(SeedError, match="stands for 48 bytes of weights; allowed: 47"):
            refuse()
    assert not (tmp_path / "more").exists()


def test_more_than_the_disk_is_refused_before_it_is_full(tmp_path, monkeypatch):
    """A stranger's seed cannot fill it: a million tensors, each of which would fit into memory."""
    seed = extract({"a": torch.rand(3, 4), "b": torch.rand(3, 4)}, "moments")
    size_bytes = assemble_to(seed, tmp_path / "weights")
    usage = assembly.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(assembly.shutil, "disk_usage", lambda path: usage._replace(free=size_bytes - 1))
    with pytest.raises(StoreError, match=rf"weights would have {size_bytes} bytes; {size_bytes - 1} are free there"):
        assemble_to(seed, tmp_path / "weights")
    monkeypatch.setattr(assembly.shutil, "disk_usage", lambda path: usage._replace(free=size_bytes))
    assert assemble_to(seed, tmp_path / "weights") == size_bytes


def test_the_command_tells_it_in_one_line(tmp_path, capsys):
    """`inspect` shows what the file stands for, `assemble` refuses it."""
    store.save(HUGE, tmp_path / "seed")
    assert main(["inspect", str(tmp_path / "seed")]) == 0
    assert "weights bytes   9,007,199,254,740,992\n" in capsys.readouterr().out
    assert main(["assemble", str(tmp_path / "seed"), "-o", str(tmp_path / "weights")]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert DECLARED in told.err
    assert told.err.count("\n") == 1


def test_memory_is_what_the_system_says(tmp_path, monkeypatch):
    """And all of the machine's where it says nothing; small needs are not asked about."""
    (tmp_path / "meminfo").write_text("MemTotal:  16 kB\nMemAvailable:    7 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "GROUP", tmp_path / "none")
    assert memory.available_bytes() == 7 * 1024
    memory.require(memory.ASKED_BYTES, "it")
    with pytest.raises(SeedError, match=r"it needs 67,108,865 bytes of memory; 7,168 can be had"):
        memory.require(memory.ASKED_BYTES + 1, "it")
    (tmp_path / "meminfo").unlink()
    assert memory.available_bytes() > 1 << 26


def test_memory_is_no_more_than_the_process_may_have(tmp_path, monkeypatch):
    """By `ulimit -v`, less what it has mapped; all of it where the system does not say how much that is."""
    monkeypatch.setattr(memory, "GROUP", tmp_path / "none")
    (tmp_path / "statm").write_text("3 2 1 0 0 0 0\n")
    monkeypatch.setattr(memory, "STATM", tmp_path / "statm")
    limit = 100_000
    monkeypatch.setattr(memory.resource, "getrlimit", lambda which: (limit, memory.resource.RLIM_INFINITY))
    assert memory.available_bytes() == limit - 3 * os.sysconf("SC_PAGE_SIZE")
    (tmp_path / "statm").write_text("1000 2 1 0 0 0 0\n")
    assert memory.available_bytes() == 0
    (tmp_path / "statm").unlink()
    assert memory.available_bytes() == limit


@pytest.mark.parametrize("version", [1, 2])
def test_memory_is_no_more_than_the_container_may_have(version, tmp_path, monkeypatch):
    """By the group that the process is in and by those around it, whichever leaves least; "max" is no limit."""
    top, line, names = {
        1: ("groups/memory", "5:cpu:/other\n4:rdma,memory:/a/b\n", ("memory.limit_in_bytes", "memory.usage_in_bytes")),
        2: ("groups", "0::/a/b\n", ("memory.max", "memory.current")),
    }[version]
    monkeypatch.setattr(memory, "GROUP", tmp_path / "group")
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "groups")
    (tmp_path / top / "a" / "b").mkdir(parents=True)
    free = memory._machine_bytes()

    def limited(folder: str, *told: str) -> None:
        for name, text in zip(names, told, strict=True):
            (tmp_path / top / folder / name).write_text(f"{text}\n")

    (tmp_path / "group").write_text(line)
    assert memory.available_bytes() > free / 2
    limited("a/b", "max", "700")
    assert memory.available_bytes() > free / 2
    limited("a/b", "5000", "700")
    assert memory.available_bytes() == 4300
    limited("a", "6000", "5000")
    assert memory.available_bytes() == 1000
    limited("", "200", "300")
    assert memory.available_bytes() == 0


# -- parts that would make more than their tensor -------------------------------------------------------------------------

ONES = torch.ones
MISFITS = {
    "exact": {"values": ONES(7)},
    "zstd": {"planes:float32": torch.zeros(9, dtype=torch.uint8)},
    "float16": {"halves": ONES(2, 3).half()},
    "int8": {"levels": ONES(6, dtype=torch.int8), "scales": ONES(2)},
    "int4": {"levels": ONES(4, dtype=torch.uint8), "scales": ONES(2)},
    "moments": {"mean": ONES(1), "std": ONES(1)},
    "pca": {"mean": ONES(300), "components": ONES(1, 300), "scores": ONES(300, 1)},
    "permuted": {"sorted": ONES(2, 3)},
    "signs": {"signs": ONES(2, dtype=torch.uint8), "norms": ONES(2)},
    "spectrum": {"singular_values": ONES(300)},
    "covariance": {"mean": ONES(3), "rows": ONES(2, 300), "columns": ONES(3, 300)},
}
MORE_MISFITS = [
    ("pca", {"mean": ONES(3), "components": ONES(3, 3), "scores": ONES(2, 3)}),  # of a rank above the smaller side
    ("pca", {"mean": ONES(3), "components": ONES(0, 3), "scores": ONES(2, 0)}),
    ("pca", {"mean": ONES(3), "components": ONES(1, 3), "scores": ONES(2, 1), "residual_std": ONES(1)}),
    ("pca", {"mean": ONES(3).double(), "components": ONES(1, 3), "scores": ONES(2, 1)}),
    ("covariance", {"mean": ONES(3), "rows": ONES(300), "columns": ONES(3, 2)}),
    ("moments", {"mean": ONES(()), "std": ONES(()), "more": ONES(())}),
    ("moments", {"mean": ONES(())}),
    ("signs", {"signs": ONES(1, dtype=torch.uint8), "norms": ONES(1)}),
    ("int8", {"levels": ONES(2, 3, dtype=torch.int8), "scales": ONES(1)}),
]


@pytest.mark.parametrize(("method", "parts"), [*MISFITS.items(), *MORE_MISFITS], ids=lambda value: str(value)[:40])
def test_parts_are_measured_before_anything_is_made_of_them(method, parts, monkeypatch):
    """No draw, and no product that the tensor's shape does not ask for."""

    def refuse(*arguments: object) -> None:
        raise AssertionError("something was made")

    for name in ("normal", "permutation"):
        monkeypatch.setattr(Draw, name, refuse)
    monkeypatch.setattr(torch.Tensor, "__matmul__", refuse)
    with pytest.raises(SeedError, match=rf"tensor 'w': parts .* do not make {method} \(2, 3\)"):
        decode(Entry("w", (2, 3), "float32", method, parts), {}, Draw(0, "w"))


def test_every_codec_is_among_them():
    assert set(MISFITS) >= {name for name, codec in REGISTRY.items() if codec.__module__.startswith("seeds.")}


@pytest.mark.parametrize(
    ("dtype", "values", "says"),
    [
        ("int64", torch.arange(6, dtype=torch.int32), "they are torch.int32, not torch.int64"),
        ("float32", torch.zeros(6, dtype=torch.complex64), "they are torch.complex64"),
        ("float32", torch.zeros(6, dtype=torch.int64), "they are torch.int64"),
        ("float32", torch.tensor([0, 1, 2, 3, 4, float("nan")]), "1 of 6 values are NaN"),
        ("float16", torch.tensor([0, 1, 2, 3, 4, float("inf")]), "1 of 6 values are NaN or infinite"),
    ],
)
def test_values_of_another_kind_are_refused(dtype, values, says):
    """What is assembled has the dtype that is declared, and floats are finite."""
    with pytest.raises(SeedError, match=says):
        assemble(Seed("exact", (Entry("w", (2, 3), dtype, "exact", {"values": values}),)))


def test_parts_that_overflow_to_nan_are_refused():
    """Finite parts may make infinite values, which become the largest; but no number is nearest to infinity less infinity."""
    parts = {"mean": torch.zeros(2), "components": torch.tensor([[2.0, -2.0]]), "scores": torch.tensor([[3e38], [3e38]])}
    noisy = {**parts, "residual_std": torch.tensor(3e38)}
    value = assemble(Seed("pca:1", (Entry("w", (2, 2), "float32", "pca", parts, 1.0),)))["w"]
    assert value.abs().max() == torch.finfo(torch.float32).max
    with pytest.raises(SeedError, match="overflow to NaN"):
        assemble(Seed("pca:1+noise", (Entry("w", (2, 2), "float32", "pca", noisy, 1.0),)), rng_seed=0)


# -- names are no paths ---------------------------------------------------------------------------------------------------

NAMES = ["../../up", "/etc/evil", "a\0b", "C:\\evil", "~/evil", "a/b", ".", "..", "model.safetensors"]
TOUCHING = {"open", "os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.chmod", "tempfile.mkstemp"}


@pytest.fixture(scope="module")
def touched() -> Iterator[set[str]]:
    """Every path that Python opens, makes, renames or removes, from when the set is emptied. A hook cannot be taken back."""
    paths: set[str] = set()
    watching = [True]

    def watch(event: str, arguments: tuple) -> None:
        if watching and event in TOUCHING:
            paths.update(str(path) for path in arguments[:2] if isinstance(path, str | Path))

    sys.addaudithook(watch)
    yield paths
    watching.clear()


def test_no_name_in_a_seed_becomes_a_path(touched, tmp_path, capsys):
    """All that is touched is the seed, and the weights beside their scratch names."""
    state = {name: torch.full((2, 3), float(i)) for i, name in enumerate(NAMES)}
    seed = extract(state | {"tied/../up": state["a/b"]}, "exact")
    source, folder = tmp_path / "seed", tmp_path / "deep" / "deeper"
    store.save(replace(seed, codec="../../codec", source="/etc/evil"), source)
    folder.mkdir(parents=True)

    touched.clear()
    assemble_to(store.load(source), folder / "first")
    assert main(["assemble", str(source), "-o", str(folder / "second")]) == 0
    assert main(["inspect", "--all", "--json", str(source)]) == 0
    found = {Path(path) for path in touched if path not in ("r", "rb", "w", "wb")}

    assert {source, folder / "first", folder / "second"} <= found
    assert not {path for path in found - {source, folder, memory.MEMINFO} if path.parent != folder}
    assert {path.name for path in folder.iterdir()} == {"first", "second"}
    with safetensors.safe_open(folder / "second", framework="pt") as file:
        assert set(file.keys()) == set(NAMES)


@pytest.mark.parametrize("state", [["__metadata__"], ["w", "format"]], ids=["a tensor", "a tie"])
def test_names_that_the_format_of_weights_keeps_are_refused(state, tmp_path):
    """As names of a seed they are as good as any."""
    seed = extract(dict.fromkeys(state, torch.rand(2, 3)), "exact")
    assert set(assemble(store.from_bytes(store.to_bytes(seed)))) == set(state)
    with pytest.raises(StoreError, match=r"can be named '(__metadata__|format)'"):
        assemble_to(seed, tmp_path / "weights")
    assert not list(tmp_path.iterdir())


# -- memory at work -------------------------------------------------------------------------------------------------------

MEASURE = """
import ctypes, json, sys
from pathlib import Path
import torch
from seeds.codecs import REGISTRY, decode
from seeds.draw import Draw
from seeds.extract import extract
torch.set_num_threads(1)
def kilobytes(what):
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
found = {}
for codec, sides in json.loads(sys.argv[1]).items():
    for dtype in (torch.float16, torch.float64):
        weight = torch.randn(sides, generator=torch.Generator().manual_seed(0)).to(dtype)
        (entry,) = extract({"w": weight}, codec).entries
        del weight
        decode(entry, {}, Draw(0, "w"))  # imports what is imported late
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = kilobytes("VmRSS")
        decode(entry, {}, Draw(0, "w"))
        found[f"{codec} {dtype}"] = 1024 * (kilobytes("VmHWM") - before), sides[0] * sides[1]
print(json.dumps(found))
"""
SIDES = {"spectrum": (300, 300), "covariance": (400, 400), "pca:1": (600, 600), "pca:400": (400, 400)} | dict.fromkeys(
    ("exact", "zstd", "float16", "int8", "int4", "moments", "permuted", "signs"), (600, 600)
)
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": "131072"}  # so that glibc keeps as little of small tensors as it does of large ones
SPARE_BYTES = 400_000  # what is not of the tensor: Python, and ends of pages


@pytest.mark.skipif(not Path("/proc/self/clear_refs").is_file(), reason="no /proc: a peak cannot be begun anew")
def test_decoding_takes_the_memory_that_its_codec_states():
    """The tensor at work included; `assemble` asks for that much before it begins."""
    command = [sys.executable, "-c", MEASURE, json.dumps(SIDES)]
    done = subprocess.run(command, env=os.environ | GIVEN_BACK, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    stated = {case: REGISTRY[case.split()[0].partition(":")[0]].working_bytes * count for case, (_, count) in found.items()}
    assert {case: taken for case, (taken, _) in found.items() if taken > stated[case] + SPARE_BYTES} == {}
    assert max(taken / stated[case] for case, (taken, _) in found.items()) > 0.8, "the meter does not see it"
