"""The campaign of faults finds what it looks for: it is let loose on programs that write badly, and on one that writes well.

Each program kills itself at its worst moment, in the first run after a beginning; the next one is left alone.
"""

import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.campaigns import faults
from tests.campaigns.faults import AFTER, BEFORE, WHILE, Bench, Toll, closing, killed, page, paired, starving
from tests.campaigns.killable import ROOT, Work
from tests.starved import require_mounts

HEAD = """
import os, signal, sys
from pathlib import Path
from seeds.file import write_whole
folder = Path(sys.argv[1])
a, b, die = folder / "files" / "a", folder / "files" / "b", folder / "die"
def worst():
    if die.exists():
        die.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
"""
WELL = {
    BEFORE: "worst(); write_whole(a, b'new'); write_whole(b, b'new')",
    WHILE: "write_whole(a, b'new'); print('wrote a', flush=True); worst(); write_whole(b, b'new')",
    AFTER: "write_whole(a, b'new'); write_whole(b, b'new'); print('wrote a', flush=True); worst()",
}
BADLY = {
    "a is neither the old one nor the new one": "a.write_bytes(b'n'); worst(); a.write_bytes(b'new')",
    "a is lost": "a.unlink(); worst(); a.write_bytes(b'new')",
    "a was reported and is not there": "print('wrote a', flush=True); worst(); write_whole(a, b'new')",
    "the next run ends with status 1": "held = folder / 'held'; held.touch(exist_ok=False); worst(); held.unlink()",
    "the next run does not end like an undisturbed one": "a.write_bytes(a.read_bytes() + b'!'); worst(); b.write_bytes(b'new')",
    "the next run leaves .b.k3xw82qy.scratch": "b.with_name('.b.k3xw82qy.scratch').touch(); worst()",
}


class Late(random.Random):
    """Never kills before the program does it."""

    def uniform(self, a: float, b: float) -> float:
        return faults.LONGEST_S


@pytest.fixture
def bench(tmp_path):
    def of(program: str, goes_on: bool = False) -> Bench:
        """The bench of a program; the undisturbed run is over."""
        begun = []

        def begin(folder: Path) -> None:
            (folder / "files").mkdir(parents=True, exist_ok=True)
            for path in (folder / "held", *(folder / "files").iterdir()):
                path.unlink(missing_ok=True)
            for name in "ab":
                (folder / "files" / name).write_bytes(b"old")
            if begun:
                (folder / "die").touch()
            begun.append(folder)

        command = [sys.executable, "-c", HEAD + program]
        work = Work(
            "program", begin, lambda folder: [*command, str(folder)], lambda folder: ROOT,
            lambda folder: {path.name: path.read_bytes() for path in (folder / "files").glob("[ab]")},
            lambda out: [line.split()[1] for line in out.splitlines()], lambda folder: iter(()), "files", goes_on=goes_on,
        )  # fmt: skip
        return Bench.of(work, tmp_path / "bench")

    return of


@pytest.mark.parametrize("moment", WELL)
def test_what_writes_well_is_found_to_be_so_and_the_moment_is_told(moment, bench):
    toll = killed(bench(WELL[moment]), 2, False, Late())
    assert toll == Toll(Counter({moment: 2}))


@pytest.mark.parametrize("wrong", BADLY)
def test_what_writes_badly_is_found_out(wrong, bench):
    toll = killed(bench(BADLY[wrong]), 1, False, Late())
    assert [one for one in toll.wrong if one.startswith(wrong)], toll.wrong


def test_a_kill_at_random_comes_before_the_end_of_a_run(bench):
    toll = killed(bench("import time; time.sleep(0.5); write_whole(a, b'new')"), 2, False, random.Random(0))
    assert (toll.kills, toll.wrong) == (2, [])


def test_two_at_once_that_disturb_each_other_are_found_out(bench):
    """The second one takes what it finds for its own."""
    good = bench(WELL[WHILE].replace("worst(); ", ""))
    assert paired(good, 1).wrong == []
    bad = bench("import time; held = folder / 'held'; held.touch(exist_ok=False); time.sleep(1); held.unlink()")
    assert len(paired(bad, 1).wrong) == 1


@pytest.mark.parametrize("disk", ["full", "read-only"])
def test_a_run_that_hides_that_it_could_not_write_is_found_out(disk, bench):
    require_mounts()
    program = "die.unlink(missing_ok=True); " + WELL[BEFORE]
    assert starving(bench(program), disk) == []
    hiding = f"import contextlib\nwith contextlib.suppress(Exception):\n    {program}"
    assert "it ends as if it had written" in starving(bench(hiding), disk)[0]


def test_the_page_counts_kills_and_names_what_was_wrong():
    tolls = {"report": Toll(Counter({BEFORE: 3, WHILE: 2, AFTER: 1}), 2, 1, ["a is lost"])}
    pairs, disks = {"report": Toll(Counter({"pairs": 2}))}, {"report, full": [], "report, read-only": ["too late"]}
    assert closing(tolls, pairs, disks) == "6 kills, 2 times two at once, 2 starved disks: 2 wrong"
    lines = page(tolls, pairs, disks, "a command").splitlines()
    assert "| report | 6 | 2 | 3 | 2 | 1 | 1 | 1 |" in lines
    assert "| report | 2 | 0 | nothing lost | wrong |" in lines
    assert lines[-2:] == ["* report: a is lost", "* report, read-only: too late"]
