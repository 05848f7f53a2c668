"""Fuzz: a hundred thousand hostile seed files, none of which may do harm.

    Seed -> hostile -> store -> Seed -> assemble -> harmless -> [fuzz] -> reports/fuzz.md

`python -m tests.campaigns.fuzz --files 120000`. Each file is read in a process that may neither take much memory nor long, nor
write to stderr, warn or unpickle; a process that dies is a finding too. The same `--rng-seed` gives the same files, whatever
the number of jobs. Whatever is found is written to tests/corpus, where it stays as a test.
`--atheris SECONDS` instead lets coverage guide what is tried; it needs the package atheris.
"""

import argparse
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tqdm import tqdm

from seeds import store
from seeds.assemble import assemble
from seeds.errors import StoreError
from seeds.file import write_whole
from tests.corpus import Case
from tests.harmless import Bits, Outcome, allowed_bytes, inspected, outcome, peak_bytes, without_pickle
from tests.hostile import MUTATORS, Mutant, mutant, sound
from tests.strategies import all_bits

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "reports" / "fuzz.md"
FILE_LIMIT_S = 10  # for one file of 2 kB; a thousand times what it takes
MEMORY_LIMIT_BYTES = 1 << 29  # beside what Python and torch take before the first file
MEASURED = 20  # every so many files, the peak of memory is measured, which takes time
ON_DISK = 100  # every so many files, it is also loaded from a disk, through a link, and inspected
TOLD = 500  # files between two messages of a worker


@dataclass(slots=True)
class Tally:
    """What came of some files.

    Args:
        outcomes: number of files by mutator and outcome.
        slowest: seconds of the slowest file, and its number.
        largest: peak of memory while loading over what is allowed, and the file's number.
        found: number of each file that did harm, and how.
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    slowest: tuple[float, int] = (0.0, -1)
    largest: tuple[float, int] = (0.0, -1)
    found: dict[int, str] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        self.outcomes += other.outcomes
        self.slowest, self.largest = max(self.slowest, other.slowest), max(self.largest, other.largest)
        self.found |= other.found

    def count(self, what: Outcome | None = None) -> int:
        return sum(n for (_, kind), n in self.outcomes.items() if what is None or kind == what)


# -- the worker -----------------------------------------------------------------------------------------------------------


def work(rng_seed: int, numbers: range, current, results: Connection) -> None:
    """Tries the files of these numbers; `current` tells the parent which one, if this process should die of it."""
    warnings.simplefilter("error")
    originals = {name: all_bits(assemble(store.from_bytes(raw))) for name, raw in sound().items()}
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryDirectory() as folder, without_pickle():
        os.dup2(errors.fileno(), sys.stderr.fileno())
        _limit_memory()
        tally = Tally()
        for number in numbers:
            current.value = number
            try_one(mutant(rng_seed, number), number, originals, Path(folder), tally)
            if tally.count() + len(tally.found) >= TOLD or number == numbers[-1]:
                results.send(tally)
                tally = Tally()


def try_one(file: Mutant, number: int, originals: dict[str, dict[str, Bits]], folder: Path, tally: Tally) -> None:
    """Reads one hostile file in every way, and adds what came of it."""
    signal.alarm(FILE_LIMIT_S)  # ends the process, even inside of C
    start = time.process_time()
    try:
        came = outcome(file.raw, originals[file.base], file.mutator.is_sealed)
        tally.slowest = max(tally.slowest, (time.process_time() - start, number))
        if number % MEASURED == 0:
            peak = peak_bytes(lambda: store.from_bytes(file.raw))
            tally.largest = max(tally.largest, (peak / allowed_bytes(file.raw), number))
            assert tally.largest[0] <= 1, "more memory than a file of this size may take"
        if number % ON_DISK == 0:
            _try_on_disk(file.raw, folder)
        assert not os.fstat(sys.stderr.fileno()).st_size, "something was written to stderr"
    except Exception as error:
        tally.found[number] = f"{type(error).__name__}: {error}"
        os.truncate(sys.stderr.fileno(), 0)
    else:
        tally.outcomes[file.mutator.name, came] += 1
    finally:
        signal.alarm(0)


def _try_on_disk(raw: bytes, folder: Path) -> None:
    path, link = folder / "mutant", folder / "link"
    path.write_bytes(raw)
    link.unlink(missing_ok=True)
    link.symlink_to(path)
    loaded = {_loads(raw), _loads(path), _loads(link)}
    assert len(loaded) == 1, "the same bytes are read in two ways"
    assert ("error:" in inspected(str(link))) == (loaded == {None})
    assert {found.name for found in folder.iterdir()} == {"mutant", "link"}, "a file was written"


def _loads(what: bytes | Path) -> bytes | None:
    try:
        return store.to_bytes(store.from_bytes(what) if isinstance(what, bytes) else store.load(what))
    except StoreError:
        return None


def _limit_memory() -> None:
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY_LIMIT_BYTES, taken + MEMORY_LIMIT_BYTES))


# -- its parent -----------------------------------------------------------------------------------------------------------


def fuzz(files: int, jobs: int, rng_seed: int) -> Tally:
    """Tries so many files in so many processes, each begun anew behind the file that it died of."""
    total, waiting = Tally(), [range(job, files, jobs) for job in range(min(jobs, files))]
    context, running = multiprocessing.get_context("spawn"), {}
    with tqdm(total=files, unit="file", disable=None) as bar:
        while waiting or running:
            while waiting:
                numbers, current = waiting.pop(), context.Value("q", -1)
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=work, args=(rng_seed, numbers, current, sender))
                process.start()
                sender.close()
                running[receiver] = process, numbers, current
            for receiver in wait(list(running)):
                process, numbers, current = running[receiver]
                try:
                    tally = receiver.recv()  # pyright: ignore
                    total.add(tally)
                    bar.update(tally.count() + len(tally.found))
                except EOFError:
                    del running[receiver]
                    process.join()
                    if process.exitcode and current.value < 0:
                        raise SystemExit(f"the process could not start ({process.exitcode})") from None
                    if process.exitcode:
                        total.found[current.value] = f"the process died ({process.exitcode})"
                        waiting.append(range(current.value + jobs, files, jobs))
    return total


def table(tally: Tally, files: int, rng_seed: int, elapsed_s: float) -> str:
    """The report."""
    rows = [
        "# Hostile seed files",
        "",
        f"Written by `python -m tests.campaigns.fuzz --files {files} --rng-seed {rng_seed}`. What the outcomes mean says",
        "`tests/harmless.py`; what is done to the files, `tests/hostile.py` and `tests/lies.py`. *Sealed*: with the checksum",
        "computed anew, as an attacker would. All lies are sealed.",
        "",
        f"| change | {' | '.join(Outcome)} |",
        f"|---|{'---:|' * len(Outcome)}",
    ]
    for mutator in MUTATORS:
        counts = " | ".join(f"{tally.outcomes[mutator.name, kind]:,}" for kind in Outcome)
        rows.append(f"| {mutator.name.replace('_', ' ')} | {counts} |")
    rows += [f"| **all** | {' | '.join(f'**{tally.count(kind):,}**' for kind in Outcome)} |", "", closing(tally, elapsed_s), ""]
    rows += [f"* file {number}: {how}" for number, how in sorted(tally.found.items())]
    return "\n".join(rows)


def closing(tally: Tally, elapsed_s: float) -> str:
    """The line that says how it went."""
    refused, same, another = (f"{tally.count(kind):,}" for kind in Outcome)
    return (
        f"{tally.count() + len(tally.found):,} files in {elapsed_s:.0f} s: {refused} refused, {same} identical, {another} "
        f"another seed, {len(tally.found)} did harm; slowest {1000 * tally.slowest[0]:.0f} ms (file {tally.slowest[1]}), "
        f"largest peak of memory {tally.largest[0]:.2f} of what is allowed (file {tally.largest[1]})"
    )


def keep(tally: Tally, rng_seed: int) -> None:
    """Writes what was found where it stays as a test: the first file of each kind of harm."""
    for number, how in {how: (number, how) for number, how in sorted(tally.found.items(), reverse=True)}.values():
        file = mutant(rng_seed, number)
        about = f"{file.mutator.name} of {file.base}, {how} (file {number} of rng_seed {rng_seed})"
        Case(f"found-{rng_seed}-{number}", about, file.raw).save()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.fuzz", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--files", type=int, default=120_000, help="number of hostile files (default: 120000)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--rng-seed", type=int, default=0, help="which files (default: 0)")
    parser.add_argument("--atheris", type=int, metavar="SECONDS", help="instead, guided by coverage for so long")
    options = parser.parse_args(arguments)
    if options.atheris:
        from tests.campaigns.guided import guided

        return guided(options.atheris, options.rng_seed)
    start = time.monotonic()
    tally = fuzz(options.files, options.jobs, options.rng_seed)
    elapsed_s = time.monotonic() - start
    keep(tally, options.rng_seed)
    write_whole(REPORT, table(tally, options.files, options.rng_seed, elapsed_s).encode())
    print(closing(tally, elapsed_s))
    return int(bool(tally.found) or tally.count() != options.files)


if __name__ == "__main__":
    sys.exit(main())
