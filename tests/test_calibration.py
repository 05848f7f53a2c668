"""The calibration of a machine: what is measured, kept, and measured again when it is another machine's."""

import json

import pytest

from seeds.cost import calibration
from seeds.cost.calibration import calibrated, default_path, measured, read
from seeds.cost.delivery import DELIVERIES
from seeds.errors import StoreError
from seeds.subject import subject

MLP = subject("digits-mlp")


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A file with one calibration in it."""
    path = tmp_path_factory.mktemp("cache") / "new" / "calibration.json"
    found = measured(MLP, 99, [DELIVERIES["original"], DELIVERIES["moments"]], repeats=2)
    calibration.write(path, {"digits-mlp/99/older": found})
    return path, found


def test_every_part_is_measured(once):
    parts = once[1]
    assert list(parts) == ["original", "moments"]
    assert MLP.weights_path
    assert parts["original"].size_bytes == MLP.weights_path.stat().st_size
    assert parts["original"].step_s is None
    assert parts["moments"].step_s is not None
    assert len(parts["moments"].step_s.seconds) == len(parts["moments"].fetch_s.seconds) == 2


def test_a_calibration_is_read_back_and_not_measured_again(once, tmp_path, monkeypatch):
    """One that lacks a delivery, made before there was such a codec for example, is measured again."""
    asked, whole = [], dict.fromkeys(DELIVERIES, once[1]["moments"])
    monkeypatch.setattr(calibration, "measured", lambda one, samples: asked.append(samples) or whole)
    path = tmp_path / "calibration.json"
    assert [calibrated(MLP, samples, path) for samples in (99, 10, 99, 10)] == [whole] * 4
    assert asked == [99, 10]
    held = read(path)
    calibration.write(path, {key: dict(list(parts.items())[1:]) for key, parts in held.items()})
    assert calibrated(MLP, 10, path) == whole
    assert asked == [99, 10, 10]


def test_other_weights_are_measured_again(once, tmp_path, monkeypatch):
    asked, whole = [], dict.fromkeys(DELIVERIES, once[1]["moments"])
    monkeypatch.setattr(calibration, "measured", lambda one, samples: asked.append(samples) or whole)
    calibrated(MLP, 99, tmp_path / "calibration.json")
    monkeypatch.setattr(calibration, "_digest", lambda one: "retrained")
    calibrated(MLP, 99, tmp_path / "calibration.json")
    assert asked == [99, 99]


def test_what_is_measured_comes_back_from_the_file(once):
    path, found = once
    assert read(path) == {"digits-mlp/99/older": found}


def test_a_folder_is_refused_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "measured", None)
    with pytest.raises(StoreError, match="is a folder; allowed: a JSON file"):
        calibrated(MLP, 99, tmp_path)


def test_without_samples_no_step_is_timed():
    parts = measured(MLP, 0, [DELIVERIES["moments"]], repeats=2)
    assert parts["moments"].step_s is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda held: held | {"machine": held["machine"] | {"torch": "1.0"}},
        lambda held: held | {"format": "calibration/0"},
        lambda held: held | {"calibrations": {"digits-mlp/99": {"moments": {"size_bytes": 1}}}},
        lambda held: [held],
    ],
    ids=["another torch", "another format", "no parts", "no object"],
)
def test_a_calibration_that_is_not_of_this_machine_is_none(once, tmp_path, spoil):
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(spoil(json.loads(once[0].read_text()))))
    assert read(path) == {}


def test_a_damaged_or_missing_file_is_none(tmp_path):
    (tmp_path / "calibration.json").write_text('{"format": "calib')
    assert read(tmp_path / "calibration.json") == {}
    assert read(tmp_path / "none.json") == {}


def test_the_file_is_the_users_own(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SEEDS_CACHE", raising=False)
    assert default_path() == tmp_path / "seeds" / "calibration.json"
    monkeypatch.setenv("SEEDS_CACHE", str(tmp_path / "mine"))
    assert default_path() == tmp_path / "mine" / "calibration.json"
