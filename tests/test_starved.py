"""Disks that are full or may only be read: what was there stays, what was found is still used, and the next run works.

Downloads have their own: tests/test_download_faults.py.
"""

import errno
import os
from functools import partial
from pathlib import Path

import pytest

from seeds import engine, hub
from seeds.cost import calibration
from seeds.cost.calibration import Parts, calibrated
from seeds.cost.delivery import DELIVERIES
from seeds.cost.timing import Timed
from seeds.engine import Engine, computed
from seeds.errors import StoreError, SubjectUnavailable
from seeds.file import alone, write_whole
from seeds.library import card, digits_mlp
from seeds.library.__main__ import main
from seeds.subject import subject
from seeds.trial import Setting, Trial, run_trial
from tests.starved import READ_ONLY, fill, require_mounts, seeing, small
from tests.writers import WRITERS, Writer, contents

SMALL = small("size=2m")
DISKS = {"full": SMALL, "read-only": READ_ONLY}
WHY = {"full": "No space left on device", "read-only": "Read-only file system"}
ONE = Trial(Setting("digits-mlp"), "fresh", samples=10, rate=1e-3, first_run=0, runs=1, looks=(0, 1))


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """No bootstrap for a page."""
    monkeypatch.setattr("seeds.grid.effective_samples", lambda *_: None)


@pytest.fixture
def folder(tmp_path) -> Path:
    require_mounts()
    made = tmp_path / "folder"
    made.mkdir()
    return made


# -- whatever writes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_a_full_disk_is_named_nothing_is_lost_and_with_room_the_next_run_works(writer: Writer, folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    writer.first(elsewhere)
    writer.then(elsewhere)
    after = contents(elsewhere)

    def run() -> None:
        writer.first(folder)
        before = contents(folder)
        fill(folder)
        with pytest.raises(StoreError, match=WHY["full"]):
            writer.then(folder)
        assert contents(folder) == before
        (folder / "filler").unlink()
        writer.then(folder)
        assert contents(folder) == after

    seeing(SMALL, folder, run)
    assert contents(folder) == {}


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_a_folder_that_may_only_be_read_is_named_and_stays_as_it_was(writer: Writer, folder):
    writer.first(folder)
    before = contents(folder)

    def run() -> None:
        with pytest.raises(StoreError, match=WHY["read-only"]):
            writer.then(folder)

    seeing(READ_ONLY, folder, run)
    assert contents(folder) == before


def test_a_disk_that_is_full_after_the_first_of_two_files_leaves_no_card_that_fits_other_weights(folder):
    """Room for the weights, and not for their card: the old weights were empty and leave none behind."""

    def run() -> None:
        card.write({"rng_seed": 0}, b"", folder / "net.safetensors")
        (folder / "room").write_bytes(bytes(8192))
        fill(folder)
        (folder / "room").unlink()
        with pytest.raises(StoreError, match=r"cannot write .*json: No space left on device"):
            card.write({"rng_seed": 1}, b"1" * 8192, folder / "net.safetensors")
        with pytest.raises(StoreError, match=r"net\.json is of a file with SHA-256"):
            card.read(folder / "net.safetensors")

    seeing(SMALL, folder, run)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot write to .*file: File exists"), alone(tmp_path / "file"):
        pass
    with pytest.raises(StoreError, match=r"cannot write to .*below: Not a directory"), alone(tmp_path / "file" / "below"):
        pass
    with pytest.raises(StoreError, match=r"cannot write .*name: No such file"):
        write_whole(tmp_path / "missing" / "name", b"")


# -- caches: what they do not take is used all the same -------------------------------------------------------------------


@pytest.fixture
def two(monkeypatch) -> list[Trial]:
    """Two trials that are computed already."""
    curves = run_trial(ONE)
    monkeypatch.setattr(engine, "run_prepared", lambda ready: curves)
    return [ONE, Trial(ONE.setting, "moments", 10, 1e-3, 0, 1, (0, 1))]


@pytest.mark.parametrize("disk", DISKS)
def test_trials_go_on_where_they_cannot_be_kept(disk, folder, two, capfd):
    """It is told once, and no figure is lost. What lies in a folder that may only be read is used."""
    (folder / "kept").mkdir()
    if disk == "read-only":
        computed(ONE, folder / "kept")

    def run() -> None:
        if disk == "full":
            fill(folder)
        found = dict(Engine(folder=folder / "kept").run(two))
        assert list(found) == two
        assert len({curves.nats.tobytes() for curves in found.values()}) == 1

    seeing(DISKS[disk], folder, run)
    said = [line for line in capfd.readouterr().err.splitlines() if "note:" in line]
    assert len(said) == 1
    assert WHY[disk] in said[0]
    assert said[0].endswith("trials are computed all the same, and not kept")


def test_a_trial_stays_kept_where_the_folder_may_only_be_read(folder, two, monkeypatch):
    _, before, _ = computed(ONE, folder)
    monkeypatch.setattr(engine, "run_prepared", None)

    def run() -> None:
        _, again, refused = computed(ONE, folder)
        assert (again.nats.tobytes(), refused) == (before.nats.tobytes(), "")

    seeing(READ_ONLY, folder, run)


@pytest.mark.parametrize("disk", DISKS)
def test_a_calibration_is_used_where_it_cannot_be_kept(disk, folder, monkeypatch, capfd):
    parts = dict.fromkeys(DELIVERIES, Parts(1000, Timed((0.1, 0.2)), Timed((0.1, 0.2)), None))
    monkeypatch.setattr(calibration, "measured", lambda one, samples: parts)

    def run() -> None:
        if disk == "full":
            fill(folder)
        assert calibrated(subject("digits-mlp"), 10, folder / "cache" / "calibration.json") == parts

    seeing(DISKS[disk], folder, run)
    said = capfd.readouterr().err
    assert said.startswith("note: cannot write")
    assert WHY[disk] in said


def test_a_data_set_in_a_cache_that_may_only_be_read_is_not_said_to_be_missing(monkeypatch):
    """`datasets` writes a lock beside what it reads."""

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "a.lock")

    monkeypatch.setattr("datasets.load_dataset", refuse)
    with pytest.raises(SubjectUnavailable, match=r"cannot be read from a cache that cannot be written: Read-only file system"):
        hub._rows(hub.WIKITEXT, None, "test")


# -- the library ----------------------------------------------------------------------------------------------------------


def test_a_build_is_refused_before_it_trains_where_it_could_not_be_written(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(digits_mlp, "train", None)
    build = partial(main, ["train", "digits-mlp", "--into", str(folder)])

    def run() -> None:
        assert build() == 1
        assert f"error: cannot write to {folder}" in capsys.readouterr().err

    seeing(READ_ONLY, folder, run)
    assert main(["train", "digits-mlp", "--into", str(tmp_path / "missing")]) == 1
    assert "missing: it has to be a folder that is there and may be written" in capsys.readouterr().err


def test_a_build_on_a_disk_that_is_full_keeps_the_old_weights_and_their_card(folder, monkeypatch, capsys):
    one = subject("digits-mlp")
    monkeypatch.setattr(digits_mlp, "train", one.fresh)

    def run() -> None:
        assert main(["train", one.name, "--into", str(folder), "--rng-seed", "1"]) == 0
        before = contents(folder)
        fill(folder)
        assert main(["train", one.name, "--into", str(folder), "--rng-seed", "2"]) == 1
        assert "No space left on device" in capsys.readouterr().err
        assert contents(folder) == before
        assert card.read(folder / f"{one.stem}.safetensors")["rng_seed"] == 1

    seeing(SMALL, folder, run)
