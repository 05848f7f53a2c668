"""Faults: whole runs that are killed at random times, start two at a time, or have no room, and what they leave.

    run -> SIGKILL -> files -> [faults: whole? the next run?] -> reports/faults.md

`python -m tests.campaigns.faults --kills 60`. Each kill comes at a time drawn uniformly over the length of an undisturbed run;
a second lot is aimed at the writing itself, which is short. Then every file has to be what it was or what it was to become,
all that the run reported as done has to be there, and a next run, left alone, has to end with the files of an undisturbed one.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from seeds.file import SCRATCH, write_whole
from tests import starved
from tests.campaigns.killable import WORKS, Work

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "reports" / "faults.md"
AIMED = 3  # for so many kills at random, one is aimed at the writing
POLL_S = 0.0005
LONGEST_S = 600
BEFORE, WHILE, AFTER = "before", "while", "after"  # the first file was begun, files were written, all were


@dataclass(slots=True)
class Toll:
    """What became of one kind of run.

    Args:
        moments: kills by when they came.
        left: kills that left an unfinished file, under a name that no one reads.
        wrong: what was lost, half-written or other than in an undisturbed run.
    """

    moments: Counter[str] = field(default_factory=Counter)
    aimed: int = 0
    left: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return self.moments.total()


# -- one kill -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bench:
    """A kind of run in a folder of its own, with what an undisturbed one takes and leaves."""

    work: Work
    folder: Path
    before: dict[str, bytes]
    after: dict[str, bytes]
    elapsed_s: float

    @classmethod
    def of(cls, work: Work, folder: Path) -> "Bench":
        folder.mkdir(parents=True, exist_ok=True)
        work.begin(folder)
        before, start = work.files(folder), time.monotonic()
        done = run(work, folder)
        if done.returncode:
            raise SystemExit(f"an undisturbed {work.name} fails:\n{done.stdout}{done.stderr}")
        return cls(work, folder, before, work.files(folder), time.monotonic() - start)

    def wrong(self, out: str) -> Iterator[str]:
        """What is not as it should be after a kill, given what the run had printed."""
        found = self.work.files(self.folder)
        for name in self.before.keys() | found.keys():
            allowed = [held[name] for held in (self.before, self.after) if name in held]
            if name not in found:
                yield f"{name} is lost"
            elif found[name] not in allowed:
                yield f"{name} is neither the old one nor the new one"
        for name in self.work.reported(out):
            if found.get(name) != self.after[name]:
                yield f"{name} was reported and is not there"
        yield from self.work.unsound(self.folder)

    def wrong_next(self) -> Iterator[str]:
        """What is not as it should be after the next run."""
        done = run(self.work, self.folder)
        if done.returncode:
            yield f"the next run ends with status {done.returncode}: {(done.stdout + done.stderr)[-300:]}"
        elif self.work.files(self.folder) != self.after:
            yield "the next run does not end like an undisturbed one"
        if scratch(self.folder):
            yield f"the next run leaves {', '.join(path.name for path in scratch(self.folder))}"


def scratch(folder: Path) -> list[Path]:
    return list(folder.rglob(f".*{SCRATCH}"))


def run(work: Work, folder: Path) -> subprocess.CompletedProcess:
    command = work.command(folder)
    return subprocess.run(
        command,
        cwd=work.cwd(folder),
        env=environment(work, folder),
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )


def environment(work: Work, folder: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    mine = {"TMPDIR": str(temporary), "PYTHONPATH": str(work.cwd(folder))}
    return clean | mine | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def kill(bench: Bench, when_s: float, aimed: bool) -> tuple[bool, str]:
    """Whether a run was killed before its end, after so many seconds (of it, or of its writing), and what it had printed."""
    with tempfile.TemporaryFile("w+") as out:
        started = subprocess.Popen(
            bench.work.command(bench.folder), cwd=bench.work.cwd(bench.folder), env=environment(bench.work, bench.folder),
            stdout=out, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        while aimed and started.poll() is None and not scratch(bench.folder / bench.work.written):
            time.sleep(POLL_S)
        try:
            started.wait(when_s)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)  # its workers, too
            started.wait()
        out.seek(0)
        return started.returncode == -signal.SIGKILL, out.read()


def killed(bench: Bench, kills: int, aimed: bool, draw: random.Random) -> Toll:
    """So many kills, each looked at and followed by a next run."""
    toll = Toll(aimed=kills if aimed else 0)
    longest_s = bench.work.writing_s if aimed else bench.elapsed_s
    with tqdm(total=kills, desc=f"{bench.work.name}{', aimed' if aimed else ''}", unit="kill", disable=None) as progress:
        while toll.kills < kills:
            bench.work.begin(bench.folder)
            was_killed, out = kill(bench, draw.uniform(0, longest_s), aimed)
            if not was_killed:
                continue  # it was faster than the undisturbed one
            found = bench.work.files(bench.folder)
            began = found != bench.before or bool(scratch(bench.folder))
            toll.moments[AFTER if found == bench.after else WHILE if began else BEFORE] += 1
            toll.left += bool(scratch(bench.folder))
            toll.wrong += [*bench.wrong(out), *bench.wrong_next()]
            progress.update()
    return toll


# -- two at once, and disks -----------------------------------------------------------------------------------------------


def paired(bench: Bench, pairs: int) -> Toll:
    """Two of the same run at once end like one."""
    toll = Toll()
    for _ in tqdm(range(pairs), desc=f"two at once: {bench.work.name}", unit="pair", disable=None):
        bench.work.begin(bench.folder)
        both = [
            subprocess.Popen(
                bench.work.command(bench.folder), cwd=bench.work.cwd(bench.folder), env=environment(bench.work, bench.folder),
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            for _ in range(2)
        ]  # fmt: skip
        out = [one.communicate(timeout=LONGEST_S)[0] for one in both]
        statuses = [one.returncode for one in both]
        toll.moments["pairs"] += 1
        if statuses != [0, 0] or bench.work.files(bench.folder) != bench.after or scratch(bench.folder):
            told = "; ".join(one[-300:] for one, status in zip(out, statuses, strict=True) if status)
            toll.wrong.append(f"two at once end with {statuses}, or with other files than one: {told}")
    return toll


def starving(bench: Bench, disk: str) -> list[str]:
    """What is wrong after a run whose files found no room, or a folder that may only be read."""
    written, wrong = bench.folder / bench.work.written, []

    def look() -> None:
        if disk == "full":
            bench.work.begin(bench.folder)
            starved.fill(written)
        done = run(bench.work, bench.folder)
        if disk == "full":
            (written / "filler").unlink()
        assert done.returncode or bench.work.goes_on, "it ends as if it had written"
        assert not [*bench.wrong("")], [*bench.wrong("")]
        assert bench.work.files(bench.folder) == bench.before
        if disk == "full":
            assert not [*bench.wrong_next()], [*bench.wrong_next()]

    bench.work.begin(bench.folder)
    try:
        starved.seeing(starved.small("size=4m") if disk == "full" else starved.READ_ONLY, written, look)
    except AssertionError as error:
        wrong.append(f"on a disk that is {disk}: {error}")
    return wrong


# -- the report -----------------------------------------------------------------------------------------------------------


def page(tolls: dict[str, Toll], pairs: dict[str, Toll], disks: dict[str, list[str]], command: str) -> str:
    lines = [
        "# Killed, two at once, and without room",
        "",
        f"Made by `{command}`; do not edit. SIGKILL to the whole process group, at times drawn",
        "uniformly over an undisturbed run or, aimed, over its writing. *Wrong*: a file that is neither the old nor the new",
        "one, something reported as done that is not there, or a next run, left alone, that does not end with the files of an",
        "undisturbed one.",
        "",
        f"**{closing(tolls, pairs, disks)}**",
        "",
        "| run | kills | aimed | before the first file | between files | after the last | left unfinished | wrong |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, toll in tolls.items():
        moments = " | ".join(str(toll.moments[moment]) for moment in (BEFORE, WHILE, AFTER))
        lines.append(f"| {name} | {toll.kills} | {toll.aimed} | {moments} | {toll.left} | {len(toll.wrong)} |")
    lines += ["", "An unfinished file has a name that no one reads, and the next run removes it.", ""]
    lines += ["| run | two at once | wrong | full disk | folder that may only be read |", "|---|---|---|---|---|"]
    for name, toll in pairs.items():
        told = " | ".join("wrong" if disks[f"{name}, {disk}"] else "nothing lost" for disk in ("full", "read-only"))
        lines.append(f"| {name} | {toll.kills} | {len(toll.wrong)} | {told} |")
    every = wrong(tolls, pairs, disks)
    return "\n".join([*lines, *([""] if every else []), *(f"* {one}" for one in every)]) + "\n"


def wrong(tolls: dict[str, Toll], pairs: dict[str, Toll], disks: dict[str, list[str]]) -> list[str]:
    named = [(name, toll.wrong) for held in (tolls, pairs) for name, toll in held.items()]
    return [f"{name}: {one}" for name, found in (*named, *disks.items()) for one in found]


def closing(tolls: dict[str, Toll], pairs: dict[str, Toll], disks: dict[str, list[str]]) -> str:
    kills, twos = (sum(toll.kills for toll in held.values()) for held in (tolls, pairs))
    return f"{kills} kills, {twos} times two at once, {len(disks)} starved disks: {len(wrong(tolls, pairs, disks))} wrong"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; the status is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.faults", description="kills, pairs and starves whole runs")
    parser.add_argument("--kills", type=int, default=60, help="at random times, over all kinds of runs (60)")
    parser.add_argument("--pairs", type=int, default=3, help="times that two run at once, of each kind (3)")
    parser.add_argument("--rng-seed", type=int, default=0, help="of the times (0)")
    parser.add_argument("--only", choices=[work.name for work in WORKS], help="one kind of run; writes no report")
    given = parser.parse_args(arguments)
    if given.kills < len(WORKS) or given.pairs < 0:
        parser.error(f"--kills {given.kills} --pairs {given.pairs} is out of range: at least {len(WORKS)} and 0")
    works = [work for work in WORKS if given.only in (None, work.name)]
    draw, tolls, pairs, disks = random.Random(given.rng_seed), {}, {}, {}
    with tempfile.TemporaryDirectory(prefix="seeds-faults-") as scratch_folder:
        for work in works:
            bench = Bench.of(work, Path(scratch_folder) / work.name.replace(" ", "-"))
            one = killed(bench, given.kills // len(WORKS), False, draw)
            two = killed(bench, given.kills // len(WORKS) // AIMED, True, draw)
            tolls[work.name] = Toll(one.moments + two.moments, two.aimed, one.left + two.left, one.wrong + two.wrong)
            pairs[work.name] = paired(bench, given.pairs)
            disks |= {f"{work.name}, {disk}": starving(bench, disk) for disk in ("full", "read-only")}
            shutil.rmtree(bench.folder)
    if not given.only:
        write_whole(REPORT, page(tolls, pairs, disks, f"python -m tests.campaigns.faults --kills {given.kills}").encode())
        print(f"wrote {REPORT.relative_to(ROOT)}")
    for one in wrong(tolls, pairs, disks):
        print(one, file=sys.stderr)
    print(closing(tolls, pairs, disks))
    return 1 if wrong(tolls, pairs, disks) else 0


if __name__ == "__main__":
    sys.exit(main())
