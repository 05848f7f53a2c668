"""A folder of seed files under any order of commands, beside a dict that says what it holds.

    Seed -> [store] -> Seed

After every command the folder has exactly the files of the dict, none of them unfinished, and each one loads as the seed that
was saved or, once damaged, is refused.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from seeds import store
from seeds.errors import StoreError
from seeds.extract import extract
from seeds.seed import Seed
from tests.strategies import specs, states

pytestmark = pytest.mark.roundtrip

STEPS = 12  # commands in a folder; more of them find nothing that another folder does not
NAMES = ("a.seed", "b.seed", "a.seed.seed", ".hidden", "no ending", "é\u2028")

names = st.sampled_from(NAMES)


class Folder(RuleBasedStateMachine):
    """`whole` has the bytes of the seed of every file, and `damaged` what is on disk instead of some of them."""

    seeds = Bundle("seeds")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.whole: dict[str, bytes] = {}
        self.damaged: dict[str, bytes] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def chosen(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.whole)))

    # -- seeds in memory --------------------------------------------------------------------------------------------------

    @initialize(target=seeds, state=states(), codec=specs())
    def begins(self, state, codec) -> Seed:
        return extract(state, codec)

    @rule(target=seeds, state=states(), codec=specs())
    def extracts(self, state, codec) -> Seed:
        return extract(state, codec)

    @rule(target=seeds, seed=seeds)
    def passes_through_bytes(self, seed) -> Seed:
        """Bytes are the whole seed: the same ones come of what is read from them."""
        raw = store.to_bytes(seed)
        read = store.from_bytes(raw)
        assert store.to_bytes(read) == raw
        assert len(raw) == store.size_bytes(seed) == store.size_bytes(read)
        return read

    @rule(seed=seeds, bits=st.lists(st.integers(0, 2**20), min_size=1, max_size=8))
    def is_asked_for_flipped_bits(self, seed, bits) -> None:
        """Counted from the end, where the values are; none of them passes for the seed or for another one."""
        raw = bytearray(store.to_bytes(seed))
        for bit in bits:
            at, mask = -1 - bit // 8 % len(raw), 1 << bit % 8
            raw[at] ^= mask
            with pytest.raises(StoreError):
                store.from_bytes(raw)
            raw[at] ^= mask

    # -- files ------------------------------------------------------------------------------------------------------------

    @rule(seed=seeds, name=names)
    def saves(self, seed, name) -> None:
        """Under a new name or over a file, whole or damaged, shorter or longer."""
        assert store.save(seed, self.folder / name) == store.size_bytes(seed) == (self.folder / name).stat().st_size
        self.whole[name] = store.to_bytes(seed)
        self.damaged.pop(name, None)

    @rule(seed=seeds, name=names, step=st.sampled_from(("open", "replace")))
    def fails_to_save(self, seed, name, step) -> None:
        """As on a disk that is full at the last moment: whatever was there before still is, under every name."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, step, self.full)
            for one in (name, *self.whole):
                with pytest.raises(StoreError, match="No space left on device"):
                    store.save(seed, self.folder / one)

    @staticmethod
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    @rule(seed=seeds, name=names)
    def saves_into_no_folder(self, seed, name) -> None:
        with pytest.raises(StoreError, match="No such file or directory"):
            store.save(seed, self.folder / "none" / name)

    @precondition(lambda self: self.whole)
    @rule(target=seeds, data=st.data())
    def loads(self, data) -> Seed:
        """What was loaded can be saved again, also over the file that it came from; of a damaged file, what was saved."""
        name = self.chosen(data)
        return store.from_bytes(self.whole[name]) if name in self.damaged else store.load(self.folder / name)

    @precondition(lambda self: self.whole)
    @rule(data=st.data(), to=names)
    def copies(self, data, to) -> None:
        name = self.chosen(data)
        if name != to:
            shutil.copy(self.folder / name, self.folder / to)
            self.moved(name, to)

    @precondition(lambda self: self.whole)
    @rule(data=st.data(), to=names)
    def renames(self, data, to) -> None:
        """A file does not know its name."""
        name = self.chosen(data)
        (self.folder / name).rename(self.folder / to)
        self.moved(name, to)
        if name != to:
            del self.whole[name]
            self.damaged.pop(name, None)

    def moved(self, name: str, to: str) -> None:
        self.whole[to] = self.whole[name]
        raw = self.damaged.get(name)
        self.damaged.pop(to, None)
        if raw is not None:
            self.damaged[to] = raw

    @precondition(lambda self: self.whole)
    @rule(data=st.data())
    def removes(self, data) -> None:
        name = self.chosen(data)
        (self.folder / name).unlink()
        del self.whole[name]
        self.damaged.pop(name, None)

    @precondition(lambda self: len(self.damaged) < len(self.whole))
    @rule(data=st.data(), how=st.sampled_from(("flipped", "cut", "longer", "of another")))
    def damages(self, data, how) -> None:
        """One that was whole: cut anywhere, with a byte behind it, with one bit flipped, or with the end of another file."""
        name = data.draw(st.sampled_from(sorted(set(self.whole) - set(self.damaged))))
        raw = bytearray((self.folder / name).read_bytes())
        at = data.draw(st.integers(0, len(raw) - 1))
        match how:
            case "cut":
                del raw[at:]
            case "longer":
                raw.append(at % 256)
            case "flipped":
                raw[at] ^= 1 << data.draw(st.integers(0, 7))
            case "of another":
                raw[at:] = self.whole[self.chosen(data)][at:]
                if raw in self.whole.values():
                    return
        (self.folder / name).write_bytes(raw)
        self.damaged[name] = bytes(raw)

    @precondition(lambda self: self.damaged)
    @rule(data=st.data())
    def restores(self, data) -> None:
        """The old bytes under the old name are the old seed."""
        name = data.draw(st.sampled_from(sorted(self.damaged)))
        (self.folder / name).write_bytes(self.whole[name])
        del self.damaged[name]

    # -- what always holds ------------------------------------------------------------------------------------------------

    @invariant()
    def the_folder_holds_the_files_of_the_dict_and_no_other(self) -> None:
        assert {path.name for path in self.folder.iterdir()} == set(self.whole)

    @invariant()
    def every_file_has_its_bytes_and_loads_as_what_was_saved_or_is_refused(self) -> None:
        for name, raw in self.whole.items():
            path = self.folder / name
            assert path.read_bytes() == self.damaged.get(name, raw)
            if name in self.damaged:
                with pytest.raises(StoreError):
                    store.load(path)
            else:
                assert store.to_bytes(store.load(path)) == raw


TestFolder = Folder.TestCase
TestFolder.settings = settings(
    stateful_step_count=STEPS,
    suppress_health_check=[HealthCheck.too_slow],  # a folder is some hundred files read, which a busy machine takes seconds for
)
