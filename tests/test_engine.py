"""The engine: the same figures wherever a trial runs, and stored ones that are read back only while they are true.

subject -> ... -> [engine: trials] -> lab -> quantity -> verdict
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import seeds.engine as module
from seeds.codecs import REGISTRY, register
from seeds.engine import Engine, computed, fingerprint, read
from seeds.errors import SubjectUnavailable
from seeds.file import SCRATCH
from seeds.trial import Setting, Trial, prepare, run_trial
from tests.trials import ONE, figures, kept

ROOT = Path(__file__).parents[1]
TRIALS = [ONE, replace(ONE, arm="moments"), replace(ONE, setting=Setting("digits-mlp-04", transfer=True), arm="pca:10")]


def found_by(engine: Engine) -> dict[Trial, list[bytes]]:
    return {trial: figures(curves) for trial, curves in engine.run(TRIALS)}


@pytest.fixture(scope="module")
def expected() -> dict[Trial, list[bytes]]:
    return {trial: figures(run_trial(trial)) for trial in TRIALS}


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "trials"


@pytest.fixture
def stored(folder) -> Path:
    return kept(folder)


@pytest.fixture
def no_training(monkeypatch):
    def refuse(ready):
        raise AssertionError("trained, though a stored result was there")

    monkeypatch.setattr(module, "run_prepared", refuse)


# -- anywhere -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def own_codec():
    from tests.own import Halved

    register(Halved)
    yield replace(ONE, arm=Halved.name)
    del REGISTRY[Halved.name]


def test_a_codec_of_ones_own_is_known_in_other_processes(own_codec):
    """They have not imported its module, and were perhaps there before it was."""
    ((trial, curves),) = Engine(jobs=2).run([own_codec])
    assert trial == own_codec
    assert figures(curves) == figures(run_trial(own_codec)) != figures(run_trial(ONE))


def test_trials_computed_in_this_process_are_the_trials(expected):
    assert found_by(Engine(jobs=1)) == expected


def test_two_processes_find_the_same_bits(expected):
    assert found_by(Engine(jobs=2)) == expected


def test_workers_of_a_cluster_find_the_same_bits(expected, folder, tmp_path, monkeypatch):
    """A local dask cluster of two workers, each a process, that keep finished trials in the folder, and nothing elsewhere."""
    pytest.importorskip("distributed", reason="no cluster without the package distributed: seeds[dask]")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    with closing(Engine(jobs=2, backend="dask", folder=folder)) as engine:
        assert found_by(engine) == expected
        before = finished(folder)
        assert set(before) == {f"{trial.name}.safetensors" for trial in TRIALS}
        assert found_by(engine) == expected, "the same cluster, asked again"
    assert finished(folder) == before
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_cluster_without_its_package_is_unavailable(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SubjectUnavailable, match=r"engine 'dask' needs the package distributed: seeds\[dask\]"):
        found_by(Engine(backend="dask"))


def test_an_engine_that_does_not_exist_is_a_usage_error():
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--engine", "nonsense", "tests/test_seed_size.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "unknown engine 'nonsense'; allowed: loky, dask, tcp://HOST:PORT" in done.stdout + done.stderr


# -- stored ---------------------------------------------------------------------------------------------------------------


def test_nothing_is_kept_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found_by(Engine())
    assert list(tmp_path.iterdir()) == []


def test_a_stored_trial_is_read_back_and_not_computed(stored, expected, no_training):
    """Seconds included, which tell that it is the stored one."""
    _, once, _ = computed(ONE, stored.parent)
    _, twice, _ = computed(ONE, stored.parent)
    assert figures(once) == figures(twice) == expected[ONE]
    np.testing.assert_array_equal(once.elapsed_s, twice.elapsed_s)


def test_a_language_trial_is_read_back_without_accuracies(folder):
    """What has no accuracy comes back without."""
    curves = replace(run_trial(replace(ONE, looks=(0,))), correct=None)
    folder.mkdir()
    (folder / "one").write_bytes(module._packed(curves, "key"))
    back = read(folder / "one", "key")
    assert back is not None
    assert back.correct is None
    assert figures(back) == figures(curves)


CHANGES = {
    "rate": lambda ready: replace(ready, plan=replace(ready.plan, rate=np.nextafter(ready.plan.rate, 1))),
    "looks": lambda ready: replace(ready, plan=replace(ready.plan, looks=(0, 5))),
    "batch": lambda ready: replace(ready, plan=replace(ready.plan, budget=replace(ready.plan.budget, batch=8))),
    "together": lambda ready: replace(ready, together=False),
    "run": lambda ready: replace(ready, lessons=[replace(ready.lessons[0], run=7), *ready.lessons[1:]]),
    "order of the samples": lambda ready: replace(
        ready, lessons=[replace(ready.lessons[0], drawn=ready.lessons[0].drawn[::-1].copy()), *ready.lessons[1:]]
    ),
    "scored examples": lambda ready: replace(
        ready, lessons=[replace(ready.lessons[0], test=ready.lessons[0].test[:-1]), *ready.lessons[1:]]
    ),
    "order of the runs": lambda ready: replace(ready, models=ready.models[::-1]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_fingerprint_tells_changes(change):
    ready = prepare(ONE)
    assert fingerprint(change(ready)) != fingerprint(ready) == fingerprint(prepare(ONE))


def test_a_fingerprint_needs_nothing_that_only_some_systems_tell(monkeypatch):
    mine = fingerprint(prepare(ONE))
    monkeypatch.delattr(os, "uname")
    module._versions.cache_clear()
    assert fingerprint(prepare(ONE)) == mine


def test_a_fingerprint_tells_the_smallest_change_of_a_weight_or_a_label():
    ready, moved, relabelled = prepare(ONE), prepare(ONE), prepare(ONE)
    with torch.no_grad():
        weight = next(moved.models[1].parameters())
        weight[3, 5] = torch.nextafter(weight[3, 5], torch.tensor(2.0))
    labels = relabelled.lessons[1].labelled.labels
    assert labels is not None
    labels[0] = (labels[0] + 1) % 10
    assert len({fingerprint(one) for one in (ready, moved, relabelled)}) == 3


SOURCES = ("seeds.budget", "seeds.evaluate", "seeds.finetune", "seeds.library.digits_mlp")


def test_a_fingerprint_covers_the_code_of_the_network_and_of_the_head(monkeypatch):
    seen: list[str] = []
    monkeypatch.setattr(module, "_code", lambda name: seen.append(name) or name)
    fingerprint(prepare(ONE))
    fingerprint(prepare(TRIALS[-1]))
    assert {*SOURCES, "seeds.library.digits_mlp_04", "seeds.transfer"} <= set(seen)


@pytest.mark.parametrize(
    "name", ["seeds.library.digits_recipe", "seeds.library.digits_mlp", "seeds.data", "seeds.draw"], ids=lambda n: n[6:]
)
def test_a_fingerprint_covers_the_code_that_the_code_of_the_network_calls(name, monkeypatch):
    """The body's forward pass and layers, that the subject's own module only names; the data; the order of the batches."""
    ready, source = prepare(TRIALS[-1]), module.inspect.getsource
    mine = fingerprint(ready)
    monkeypatch.setattr(module, "_code", module._code.__wrapped__)
    assert fingerprint(ready) == mine
    more = "\nmore = 1\n"
    monkeypatch.setattr(module.inspect, "getsource", lambda one: source(one) + (more if one.__name__ == name else ""))
    assert fingerprint(ready) != mine


def test_a_fingerprint_is_of_no_code_that_a_trial_does_not_run():
    roots = ("seeds.budget", "seeds.finetune", *prepare(TRIALS[-1]).modules)
    found = module._reachable(roots)
    assert found == tuple(sorted(found)) == module._reachable(roots[::-1])
    assert not [name for name in found if name.startswith(("seeds.codecs", "seeds.report", "seeds.lab", "seeds.verdict"))]


@pytest.fixture
def edited(monkeypatch):
    """What the code of a trial adds to its fingerprint, as if its sources were edited."""

    def of(edit) -> tuple[str, ...]:
        source = module.inspect.getsource
        with monkeypatch.context() as patch:
            patch.setattr(module.inspect, "getsource", lambda one: edit(source(one)))
            return tuple(module._code.__wrapped__(name) for name in SOURCES)

    return of


def test_the_trainer_is_its_code_not_its_comments(edited):
    """A constant, an option and an operator count; comments, docstrings and line breaks do not."""
    mine = edited(lambda source: source)
    assert mine == tuple(map(module._code, SOURCES))
    assert edited(lambda source: source.replace("# no dropout", "# nothing") + "\n# a comment\n") == mine
    assert edited(lambda source: source.replace('"""Fine-tuning:', '"""Training:')) == mine
    changes = [
        ("CLIP = 1.0", "CLIP = 1.1"),
        ("fused=True", "fused=False"),
        ("argmax(2)", "argmin(2)"),
        ("// classes", "/ classes"),
        ("nn.ReLU()", "nn.GELU()"),
    ]
    others = {edited(lambda source, old=old, new=new: source.replace(old, new)) for old, new in changes}
    assert len(others | {mine}) == 1 + len(changes)


def test_a_result_of_other_weights_or_another_trainer_is_computed_again(stored, expected, monkeypatch):
    """Whatever the stored figures say, and though the file has the right name; the new ones take their place."""
    before = stored.read_bytes()
    monkeypatch.setattr(module, "_code", lambda name: "another")
    _, found, _ = computed(ONE, stored.parent)
    assert figures(found) == expected[ONE]
    assert stored.read_bytes() != before

    def other_weights(trial):
        ready = prepare(trial)
        return replace(ready, models=prepare(replace(trial, arm="moments")).models)

    monkeypatch.setattr(module, "prepare", other_weights)
    _, other, _ = computed(ONE, stored.parent)
    assert figures(other) == expected[replace(ONE, arm="moments")]


def test_another_rate_has_a_file_of_its_own(stored):
    _, other, _ = computed(replace(ONE, rate=3e-3), stored.parent)
    assert len(list(stored.parent.iterdir())) == 2
    _, mine, _ = computed(ONE, stored.parent)
    assert figures(other) != figures(mine)


# -- killed ---------------------------------------------------------------------------------------------------------------

MANY = [replace(ONE, arm="moments", rate=rate, looks=(0, 150)) for rate in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)]
SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
from seeds.engine import Engine
from seeds.trial import Setting, Trial
one = Trial(Setting("digits-mlp"), "moments", 10, 1e-3, 0, 2, (0, 150))
list(Engine(jobs=1, folder=Path(sys.argv[1])).run(replace(one, rate=rate) for rate in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)))
"""


def finished(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of writing of each finished file."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("[!.]*")}


def test_a_killed_run_resumes_without_repeating(folder):
    """What was finished is not written again, the rest is computed, and all figures are those of a run that was not killed."""
    folder.mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], env=environment, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 120
        while not finished(folder) and time.monotonic() < until and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    before = finished(folder)
    assert 0 < len(before) < len(MANY), "killed in the middle"
    found = {trial: figures(curves) for trial, curves in Engine(folder=folder).run(MANY)}
    after = finished(folder)
    assert before.items() <= after.items()
    assert set(after) == {f"{trial.name}.safetensors" for trial in MANY}
    assert found == {trial: figures(curves) for trial, curves in Engine().run(MANY)}


def test_what_a_killed_writer_leaves_is_never_read(stored, expected, no_training):
    """Half a file under a temporary name, beside the finished one and in its place."""
    raw = stored.read_bytes()
    scratch = stored.with_name(f".{stored.name}.k3xw82qy{SCRATCH}")
    scratch.write_bytes(raw[: len(raw) // 2])
    assert figures(computed(ONE, stored.parent)[1]) == expected[ONE]
    scratch.write_bytes(raw)
    stored.unlink()
    with pytest.raises(AssertionError, match="trained, though"):
        computed(ONE, stored.parent)
