"""Hostile seed files: refused by a named error, or harmless; and never more memory than they are worth.

Seed -> bytes -> hostile -> [store] -> Seed -> [assemble] -> harmless

The campaign of the same kind is `python -m tests.campaigns.fuzz`.
"""

import json
import os
import pickle
import socket
import threading
from collections import Counter
from pathlib import Path

import pytest
import torch

from seeds import layout, memory, store
from seeds.assemble import assemble
from seeds.cli import LONGEST
from seeds.errors import StoreError
from seeds.extract import extract
from seeds.subject import SUBJECTS
from tests.corpus import Case, cases
from tests.harmless import Outcome, allowed_bytes, inspected, outcome, peak_bytes, without_pickle
from tests.hostile import MUTATORS, NAMES, mutant, sound
from tests.opened import framed, opened
from tests.strategies import all_bits

FILES = 3000
RNG_SEED = 1  # the campaign's own files are those of 0
TERABYTE = 1 << 40


@pytest.fixture(scope="module")
def originals():
    return {name: all_bits(assemble(store.from_bytes(raw))) for name, raw in sound().items()}


@pytest.fixture
def small() -> bytes:
    return store.to_bytes(extract({"w": torch.arange(6.0).reshape(2, 3)}, "exact"))


# -- what the files say ---------------------------------------------------------------------------------------------------


@pytest.mark.roundtrip
def test_thousands_of_hostile_files_do_no_harm(originals):
    """Every kind of change, from bit flips to a header of lies under a right checksum; all outcomes occur."""
    with without_pickle():
        came = try_all(originals)
    assert {name for name, _ in came} == {mutator.name for mutator in MUTATORS}
    assert {kind for _, kind in came} == set(Outcome)


@pytest.mark.roundtrip
@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case.name)
def test_no_file_of_the_corpus_does_harm(case):
    """All that was ever found is refused, by `load` or by `assemble`."""
    assert outcome(case.raw, {}, is_sealed=True) is Outcome.REFUSED, case.about


@pytest.mark.roundtrip
@pytest.mark.parametrize("name", NAMES)
def test_a_sound_file_is_read_and_is_the_only_one_of_its_seed(name, originals):
    """The control of all refusals, without anything unpickled."""
    with without_pickle():
        assert store.to_bytes(store.from_bytes(sound()[name])) == sound()[name]
        assert outcome(sound()[name], originals[name], is_sealed=True) is Outcome.IDENTICAL


@pytest.mark.parametrize("path", [one.seed_path for one in SUBJECTS.values() if one.seed_path], ids=lambda path: path.name)
def test_the_seeds_of_the_package_are_read(path):
    """Files that an earlier version wrote."""
    raw = path.read_bytes()
    assert store.to_bytes(store.from_bytes(raw)) == raw


def try_all(originals) -> Counter[tuple[str, Outcome]]:
    came: Counter[tuple[str, Outcome]] = Counter()
    for number in range(FILES):
        file = mutant(RNG_SEED, number)
        try:
            came[file.mutator.name, outcome(file.raw, originals[file.base], file.mutator.is_sealed)] += 1
        except Exception as error:
            error.add_note(f"file {number} of rng_seed {RNG_SEED}: {file.mutator.name} of {file.base}")
            raise
    return came


def unverified(raw: bytearray, name: str) -> bytes:
    return bytes(raw[8 : 8 + int.from_bytes(raw[:8], "little")])


class Anything(bytes):
    """Is equal to all."""

    __hash__ = None  # pyright: ignore

    def __ne__(self, other: object) -> bool:
        return False


spelled = layout.spelled


@pytest.mark.parametrize(
    ("module", "name", "instead", "harm"),
    [
        (store, "_verified", unverified, "an accident went unnoticed"),
        (store, "require_sound", lambda seed: None, "."),
        (layout, "spelled", lambda described: Anything(spelled(described)), "one seed has two files"),
    ],
    ids=["no checksum", "no soundness", "any spelling"],
)
def test_a_reader_that_looks_away_is_caught(module, name, instead, harm, originals, monkeypatch):
    """The control of the fuzz: with any one of the checks gone, harm is done and seen."""
    monkeypatch.setattr(module, name, instead)
    with pytest.raises((AssertionError, LookupError, TypeError, RuntimeError), match=harm):
        try_all(originals)


def test_pickle_would_be_noticed(tmp_path):
    """The control of `without_pickle`: what torch itself writes needs it."""
    torch.save({"w": torch.zeros(2)}, tmp_path / "weights.pt")
    for use in (lambda: torch.load(tmp_path / "weights.pt"), lambda: pickle.loads(pickle.dumps(5))):  # noqa: S301
        with without_pickle(), pytest.raises(AssertionError, match="pickle was used"):
            use()


def test_a_header_that_no_json_parser_gets_to_the_end_of_is_refused():
    """Brackets without end, in either header."""
    start = f'{{"format":"{store.FORMAT}","sha256":"{store.BLANK}","codec":'
    deep = "[" * 1_000_000
    for head in (json.dumps({layout.METADATA: {"seed": start + deep}}, separators=(",", ":")), _beside(start + '""}') + deep):
        with pytest.raises(StoreError, match="RecursionError"):
            store.from_bytes(framed(head, b""))


def _beside(text: str) -> str:
    return json.dumps({layout.METADATA: {"seed": text}}, separators=(",", ":"))[:-1] + ',"w":'


# -- how much memory they take --------------------------------------------------------------------------------------------

BOMBS = {"lists in lists": "[" * 400 + "]" * 400 + ",", "objects": '{"":{}},', "numbers": "1.5,", "words": '"ab",'}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
@pytest.mark.parametrize("place", ["of the seed", "of the file"])
def test_a_header_takes_sixty_times_its_size_at_most(bomb, place):
    """The worst JSON that is short, and lies under a right checksum, in a header of a hundred kilobytes."""
    text, start = f"[{bomb * (100_000 // len(bomb))}0]", f'{{"format":"{store.FORMAT}","sha256":"{store.BLANK}","codec":'
    head = json.dumps({layout.METADATA: {"seed": start + text + "}"}}, separators=(",", ":"))
    raw = framed(head if place == "of the seed" else _beside(start + '""}') + text + "}", b"")
    with pytest.raises(StoreError, match="not spelled"):
        store.from_bytes(raw)
    assert 5 * len(raw) < peak_bytes(lambda: store.from_bytes(raw)) < allowed_bytes(raw)


def test_a_file_is_in_memory_once(tmp_path):
    """Loading 30 MB of arrays takes 30 MB, which the arrays lie in."""
    size_bytes = store.save(extract({"w": torch.zeros(3000, 2500)}, "exact"), tmp_path / "seed")
    assert size_bytes < peak_bytes(lambda: store.load(tmp_path / "seed")) < 1.2 * size_bytes


def test_a_header_beyond_the_limit_is_neither_read_nor_written(small, tmp_path, monkeypatch):
    """That of the package safetensors; a seed that could not be read again is not saved."""
    with (tmp_path / "seed").open("wb") as file:
        file.write((layout.LARGEST_HEADER + 1).to_bytes(8, "little") + small[8:])
        file.truncate(2 * layout.LARGEST_HEADER)
    with pytest.raises(StoreError, match="a header of 100,000,001 bytes; allowed: at most 100,000,000"):
        store.load(tmp_path / "seed")
    monkeypatch.setattr(layout, "LARGEST_HEADER", 100)
    with pytest.raises(StoreError, match=r"the header of a \.safetensors file has at most 100"):
        store.to_bytes(extract({"w": torch.zeros(2)}, "exact"))


def test_a_header_that_memory_has_no_room_for_is_refused(monkeypatch):
    """Before it is parsed: a header of 2 MB may need 120."""
    raw = framed(_beside(f'{{"format":"{store.FORMAT}","sha256":"{store.BLANK}"}}') + "0" * 2_000_000, b"")
    monkeypatch.setattr(memory, "available_bytes", lambda: 90_000_000)
    with pytest.raises(StoreError, match=r"mine needs 120,\d{3},\d{3} bytes of memory; 90,000,000 can be had"):
        store.from_bytes(raw, "mine")


# -- what kind of file they are -------------------------------------------------------------------------------------------


def test_a_link_to_a_seed_is_that_seed(small, tmp_path):
    (tmp_path / "seed").write_bytes(small)
    (tmp_path / "link").symlink_to("seed")
    assert store.to_bytes(store.load(tmp_path / "link")) == small


def loop(folder: Path) -> Path:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    return folder / "a"


def dangling(folder: Path) -> Path:
    (folder / "link").symlink_to("nothing")
    return folder / "link"


def listening(folder: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
    return folder / "socket"


def zeros(folder: Path, size_bytes: int) -> Path:
    with (folder / "zeros").open("wb") as file:
        file.truncate(size_bytes)
    return folder / "zeros"


def vast(folder: Path) -> Path:
    """Begins as a seed does, and has a terabyte that no disk holds."""
    path = zeros(folder, TERABYTE)
    with path.open("r+b") as file:
        file.write(sound()["exact"])
    return path


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (loop, "cannot read .*symbolic links"),
        (dangling, "cannot read .*No such file"),
        (lambda folder: folder, "cannot read .*Is a directory"),
        (listening, "cannot read .*No such device"),
        (lambda folder: Path("/dev/zero"), "is neither a file nor a pipe"),
        (lambda folder: Path("/dev/null"), "is neither a file nor a pipe"),
        (lambda folder: zeros(folder, 0), "cut short: 0 bytes"),
        (lambda folder: zeros(folder, 16), "no seed header"),
        (lambda folder: zeros(folder, TERABYTE), "no seed header"),
        (vast, r"needs 1,099,511,627,776 bytes of memory; [\d,]+ can be had"),
    ],
    ids=["a loop", "to nothing", "a folder", "a socket", "endless", "null", "empty", "16 zeros", "a terabyte", "vast"],
)
def test_what_is_no_seed_file_is_refused_unread(made, says, tmp_path):
    """By its kind, its first bytes or its size, before memory is taken for it."""
    path = made(tmp_path)
    with pytest.raises(StoreError, match=says):
        store.load(path)
    assert peak_bytes(lambda: store.load(path)) < 4 * store.PIECE_BYTES


@pytest.mark.parametrize("start", [b"\0", None], ids=["of zeros", "that begins as a seed"])
def test_an_endless_pipe_is_not_read_for_ever(start, small, tmp_path, monkeypatch):
    """Refused after its first piece, or when there is more than a pipe may hold."""
    monkeypatch.setattr(store, "LARGEST_PIPE", 4 * store.PIECE_BYTES)
    path, written = tmp_path / "pipe", []
    os.mkfifo(path)

    def write() -> None:
        try:
            with path.open("wb", buffering=0) as file:
                file.write(start or small)
                while True:
                    written.append(file.write(bytes(1 << 16)))
        except BrokenPipeError:
            pass

    writer = threading.Thread(target=write)
    writer.start()
    says = "no seed header" if start else "a pipe of more than 4,194,304 bytes; save it as a file"
    with pytest.raises(StoreError, match=says):
        store.load(path)
    writer.join(10)
    assert not writer.is_alive()
    assert sum(written) < 6 * store.PIECE_BYTES


# -- what is told of them -------------------------------------------------------------------------------------------------


def test_nothing_that_moves_a_cursor_is_printed(tmp_path):
    """Names, source, codec and ties of a stranger, in lines of an end."""
    evil = "\x1b[2J\x07\r\u202e\u200b"
    file = opened(store.to_bytes(extract({"w": torch.zeros(2, 3), "v": torch.zeros(2)}, "moments")))
    file.header |= {"codec": evil, "source": "\x1b" * 10_000, "ties": {evil + "tie": "w"}}
    file.header["tensors"][0][0] = evil
    (tmp_path / "seed").write_bytes(file.closed())
    told = inspected(str(tmp_path / "seed"))
    assert told.count(r"\x1b[2J\x07\r\u202e\u200b") == 3, told
    (source,) = (line for line in told.splitlines() if line.startswith("source"))
    assert source.endswith("...")
    assert len(source) == LONGEST + len("source".ljust(16))


def test_what_was_found_becomes_a_case(tmp_path):
    """Written, read, and told as it was."""
    case = Case("found", "all of it. " * 30, bytes(range(256)) * 3)
    case.save(tmp_path)
    (found,) = cases(tmp_path)
    assert (found.name, found.about, found.raw) == (case.name, case.about.strip(), case.raw)


def test_a_file_of_a_number_is_always_the_same():
    assert [mutant(5, n).raw for n in range(50)] == [mutant(5, n).raw for n in reversed(range(50))][::-1]
