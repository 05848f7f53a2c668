"""Killed at any moment, or two at once: no file is half written, nothing that was reported as done is lost, the next run works.

The moments are all there are between two operations on files; `python -m tests.campaigns.faults` kills whole runs at random.
"""

import os
import shutil
import stat
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from seeds import engine, file
from seeds.engine import computed, fingerprint, read
from seeds.errors import StoreError
from seeds.file import SCRATCH, alone, write_pieces, write_whole
from seeds.library import card, digits_mlp
from seeds.library.__main__ import main
from seeds.report import claims_file, write
from seeds.subject import subject
from seeds.trial import Setting, Trial, prepare, run_trial
from tests.killed import at_once, killed_everywhere
from tests.pages import FIGURE
from tests.writers import CLAIM, CLAIMS, SESSION, WRITERS, Writer, contents, finding, finished, unfinished

ROOT = Path(__file__).parents[1]
LEAST_OPERATIONS = 4  # of one file: it is made, gets two halves, and its name
ROWS = 8  # that each of two processes adds to one file
HELD_S = 0.25  # many times what a writer takes


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """No waiting for the disk: what a killed process wrote is with the system. No bootstrap for a page, nothing drawn anew."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr("seeds.figures.every", lambda folder, findings: [FIGURE])
    monkeypatch.setattr("seeds.grid.effective_samples", lambda *_: None)


@pytest.fixture
def folder(tmp_path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


def put_back(before: dict[str, bytes], folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    for name, raw in before.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(raw)


# -- killed ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_a_killed_writer_leaves_whole_files_and_the_next_one_finishes(writer: Writer, folder):
    """Each file is as it was or as it was to be, whenever the writer dies; what it left unfinished, the next one removes."""
    writer.first(folder)
    before = contents(folder)
    writer.then(folder)
    after = contents(folder)
    assert before != after == finished(after)

    put_back(before, folder)
    kills = torn = 0
    for kills in killed_everywhere(lambda: writer.then(folder), folder):  # noqa: B007 (read after the loop)
        found = contents(folder)
        whole = finished(found)
        assert before.keys() <= whole.keys() <= after.keys()
        assert all(raw in (before.get(name), after[name]) for name, raw in whole.items())
        torn += any(0 < len(raw) < len(after[name]) for name, raw in unfinished(found).items())
        writer.then(folder)
        assert contents(folder) == after
        put_back(before, folder)
    assert kills >= LEAST_OPERATIONS * writer.files
    assert torn >= writer.files, "some died with half a file written"


def test_a_killed_build_leaves_no_card_of_other_weights(folder, monkeypatch, capsys):
    """Weights and card are two files: a card that is not of these weights is refused, and the next build writes both."""
    one = subject("digits-mlp")
    monkeypatch.setattr(digits_mlp, "train", one.fresh)
    build = partial(main, ["train", one.name, "--into", str(folder), "--rng-seed", "1"])
    weights = folder / "digits_mlp.safetensors"
    assert build() == 0
    after = weights.read_bytes()
    assert main(["train", one.name, "--into", str(folder), "--rng-seed", "2"]) == 0
    before = contents(folder)

    seen = []
    for _ in killed_everywhere(build, folder):
        try:
            told = card.read(weights)["rng_seed"]
        except StoreError:
            told = 0
        assert weights.read_bytes() == (before[weights.name] if told == 2 else after)
        seen.append(told)
        put_back(before, folder)
    assert seen == sorted(seen, key=[2, 0, 1].index), "old, refused, new"
    assert {2, 0} <= set(seen)
    assert build() == 0
    assert card.read(weights)["rng_seed"] == 1
    assert sorted(contents(folder)) == ["digits_mlp.json", "digits_mlp.safetensors"]


def test_a_trial_killed_while_it_is_kept_is_computed_again(folder, monkeypatch):
    """The file is there whole or not at all, and the next run has the same figures."""
    one = Trial(Setting("digits-mlp"), "fresh", samples=10, rate=1e-3, first_run=0, runs=1, looks=(0, 1))
    curves, ready = run_trial(one), prepare(one)
    path, key = folder / f"{one.name}.safetensors", fingerprint(ready)
    monkeypatch.setattr(engine, "prepare", lambda trial: ready)
    monkeypatch.setattr(engine, "run_prepared", lambda ready: curves)
    kills = 0
    for kills in killed_everywhere(lambda: computed(one, folder), folder):  # noqa: B007 (read after the loop)
        assert path.exists() == (read(path, key) is not None)
        _, again, refused = computed(one, folder)
        assert (again.nats.tobytes(), refused) == (curves.nats.tobytes(), "")
        assert list(contents(folder)) == [path.name]
        put_back({}, folder)
    assert kills >= LEAST_OPERATIONS


# -- two at once ----------------------------------------------------------------------------------------------------------


def test_two_runs_that_report_at_once_lose_no_row(folder):
    """Each reads the file of one claim, adds a row and writes it back, many times."""

    def add(first: int) -> None:
        for row in range(first, 2 * ROWS, 2):
            write.record([finding(CLAIM, row)], SESSION, CLAIMS, folder)

    at_once([partial(add, 0), partial(add, 1)])
    assert [f.row for f in claims_file.read(folder).findings] == [row.id for row in CLAIM.rows[: 2 * ROWS]]
    assert not unfinished(contents(folder))


@pytest.mark.parametrize("name", [name for name, writer in WRITERS.items() if writer.locks])
def test_a_writer_waits_while_another_reads_and_writes_back(name, folder, tmp_path):
    """One that did not would read what is just about to be replaced, and then undo it."""
    writer, held = WRITERS[name], tmp_path / "held"
    writer.first(folder)
    before = contents(folder)

    def hold() -> None:
        with alone(folder / writer.locks):
            held.touch()
            time.sleep(HELD_S)
            assert contents(folder) == before

    def write() -> None:
        while not held.exists():
            time.sleep(0.001)
        writer.then(folder)

    at_once([hold, write])
    assert contents(folder) != before


def test_two_builds_at_once_leave_weights_and_card_of_one(folder):
    path, raws = folder / "net.safetensors", (b"first" * 5000, b"second" * 5000)

    def build(rng_seed: int) -> None:
        for _ in range(20):
            card.write({"rng_seed": rng_seed}, raws[rng_seed], path)

    at_once([partial(build, 0), partial(build, 1)])
    assert raws[card.read(path)["rng_seed"]] == path.read_bytes()
    assert sorted(contents(folder)) == ["net.json", "net.safetensors"]


def test_many_that_write_one_file_at_once_disturb_no_one(folder):
    """None removes what another is just writing, and the file is that of one of them."""
    path = folder / "file"

    def write(content: bytes) -> None:
        for _ in range(50):
            write_pieces(path, [content] * 3)

    at_once([partial(write, content) for content in (b"a", b"b" * 10_000, b"c" * 100_000)])
    assert path.read_bytes() in (b"aaa", b"b" * 30_000, b"c" * 300_000)
    assert list(contents(folder)) == ["file"]


# -- a file ---------------------------------------------------------------------------------------------------------------


def test_a_writer_that_lives_keeps_what_it_has_not_finished(folder):
    """Another one writes the same file in the middle of it, and takes away only what nobody holds."""
    path, left = folder / "file", folder / f".file.k3xw82qy{SCRATCH}"
    left.write_bytes(b"of one that was killed")

    def pieces():
        yield b"first "
        write_whole(path, b"of another")
        assert path.read_bytes() == b"of another"
        assert not left.exists()
        yield b"second"

    assert write_pieces(path, pieces()) == 12
    assert path.read_bytes() == b"first second"
    assert list(contents(folder)) == ["file"]


def test_a_file_that_is_taken_for_left_over_before_it_is_locked_is_made_again(folder, monkeypatch):
    """Between making and locking it there is a moment in which nobody holds it."""
    lock, taken = file.fcntl.flock, []

    def late(handle, how):
        if not taken:
            taken.extend(folder.iterdir())
            taken[0].unlink()
        lock(handle, how)

    monkeypatch.setattr(file.fcntl, "flock", late)
    write_whole(folder / "file", b"content")
    assert taken
    assert contents(folder) == {"file": b"content"}


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002], ids=oct)
def test_a_new_file_has_the_rights_of_the_umask_and_a_replaced_one_keeps_its_own(umask, folder):
    """Of what may not be read, no unfinished copy may be, either."""
    new, secret = folder / "new", folder / "secret"
    secret.write_bytes(b"mine")
    secret.chmod(0o600)
    seen = []

    def pieces():
        seen.extend(stat.S_IMODE(one.stat().st_mode) for one in folder.glob(".secret*"))
        yield b"content"

    before = os.umask(umask)
    try:
        write_pieces(secret, pieces())
        write_whole(new, b"content")
    finally:
        os.umask(before)
    assert seen == [0o600]
    assert [stat.S_IMODE(one.stat().st_mode) for one in (secret, new)] == [0o600, 0o666 & ~umask]


def test_only_unfinished_files_of_that_name_are_removed(folder):
    """Not a pipe, which would keep the writer waiting if it were read, nor a link's target, nor files of anyone else."""
    kept = ["file.scratch", ".file.backup", ".other.k3xw82qy.scratch", ".file.k3xw82qy.scratchy"]
    for name in kept:
        (folder / name).write_bytes(b"mine")
    os.mkfifo(folder / ".file.aaaaaaaa.scratch")
    (folder / ".file.bbbbbbbb.scratch").symlink_to(folder / ".file.backup")
    (folder / ".file.cccccccc.scratch").write_bytes(b"left")
    write_whole(folder / "file", b"content")
    assert {name: (folder / name).read_bytes() for name in kept} == dict.fromkeys(kept, b"mine")
    assert not (folder / ".file.cccccccc.scratch").exists()


def test_what_is_reported_as_kept_is_on_the_disk(folder, monkeypatch):
    """The content before the file gets its name, and the name before anyone is told."""
    done, rename = [], Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: done.append("folder" if Path(f"/dev/fd/{handle}").is_dir() else "file"))
    monkeypatch.setattr(Path, "replace", lambda path, to: done.append("renamed") or rename(path, to))
    write_whole(folder / "file", b"content")
    assert done == ["file", "renamed", "folder"]


# -- what is left in other places -----------------------------------------------------------------------------------------

RUN = """
import sys
from pathlib import Path
import pytest
from seeds.engine import Engine
from seeds.trial import Setting, Trial
one = Trial(Setting("digits-mlp"), "moments", 10, 1e-3, 0, 1, (0, 1))
assert len(list(Engine(jobs=2).run([one]))) == 1
base = f"--basetemp={sys.argv[1]}"
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", base, "--subject", "digits-mlp", "tests/test_seed_size.py"]))
"""


def test_a_run_leaves_nothing_in_the_folder_for_temporary_files(tmp_path):
    """Neither a run of rows nor trials in a process of their own."""
    (tmp_path / "temporary").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"TMPDIR": str(tmp_path / "temporary"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUN, str(tmp_path / "base")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [str(path) for path in (tmp_path / "temporary").rglob("*")] == []
