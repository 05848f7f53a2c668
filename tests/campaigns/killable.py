"""Runs that can be killed: a report, a build of the library, and fine-tuning that is kept; real commands.

[killable] -> faults -> reports/faults.md
"""

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from seeds import engine
from seeds.errors import StoreError
from seeds.file import SCRATCH
from seeds.library import card
from seeds.report.claims_file import NAME
from seeds.report.readme import END, START
from seeds.subject import LIBRARY

ROOT = Path(__file__).parents[2]
CLAIMS, SUBJECT = ("seed-size", "zeroshot-accuracy"), "digits-mlp"  # of the report that is killed
TREE = ("seeds", "tests", "conftest.py", "pyproject.toml", "README.md")  # all that a run of rows reads
MOMENT = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00")
TRIALS = """
import sys
from dataclasses import replace
from pathlib import Path
from seeds.engine import Engine
from seeds.trial import Setting, Trial
one = Trial(Setting("digits-mlp"), "moments", 10, 1e-3, 0, 2, (0, 150))
trials = [replace(one, rate=rate) for rate in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)]
for trial, _ in Engine(jobs=1, folder=Path(sys.argv[1])).run(trials):
    print(f"{trial.name}.safetensors")
"""


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of run, as functions of the folder that it is in.

    Args:
        begin: puts the folder into the state before.
        cwd: where the command is given.
        files: what is compared, by name: of each file all that is the same in every undisturbed run.
        reported: names of files that the run has said to be done, by what it has printed.
        unsound: what is wrong with the files taken together.
        written: the folder, in that folder, into which it writes.
        writing_s: about how long it writes, from the first file on.
        goes_on: whether it ends well where it cannot write.
    """

    name: str
    begin: Callable[[Path], None]
    command: Callable[[Path], list[str]]
    cwd: Callable[[Path], Path]
    files: Callable[[Path], dict[str, bytes]]
    reported: Callable[[str], Iterable[str]]
    unsound: Callable[[Path], Iterator[str]]
    written: str
    writing_s: float = 0.1
    goes_on: bool = False


def _empty(folder: Path) -> None:
    """Removes what is in a folder, which may be a disk of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


# -- a report -------------------------------------------------------------------------------------------------------------


def _begin_report(folder: Path) -> None:
    """A copy of the project whose reports lack the rows of one subject, and whose README has no table."""
    if not (folder / "seeds").exists():
        for name in TREE:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            copy(ROOT / name, folder / name)
    _empty(folder / "reports")
    stored = json.loads((ROOT / "reports" / NAME).read_text())
    for name in CLAIMS:
        stored["claims"][name]["rows"] = [row for row in stored["claims"][name]["rows"] if row["subject"] != SUBJECT]
    (folder / "reports" / NAME).write_text(json.dumps(stored) + "\n")
    for left in folder.glob(f".*{SCRATCH}"):
        left.unlink()
    text = (ROOT / "README.md").read_text()
    (folder / "README.md").write_text(text.split(START)[0] + START + "(nothing yet)" + END + text.split(END)[1])


def _report_command(folder: Path) -> list[str]:
    named = [argument for claim in CLAIMS for argument in ("--claim", claim)]
    options = [*named, "--subject", SUBJECT, "--report", "-q", "-p", "no:cacheprovider"]
    return [sys.executable, "-m", "pytest", *options, "tests/test_seed_size.py", "tests/test_zeroshot.py"]


def _report_files(folder: Path) -> dict[str, bytes]:
    """Every file, without the time at which the rows were measured, which no two runs share."""
    paths = [folder / "README.md", *(path for path in (folder / "reports").rglob("*") if path.is_file())]
    kept = [path for path in paths if path.suffix != SCRATCH and path.name != "filler"]
    return {str(path.relative_to(folder)): MOMENT.sub(b"then", path.read_bytes()) for path in kept}


def _report_unsound(folder: Path) -> Iterator[str]:
    text = (folder / "README.md").read_text()
    if not text.count(START) == text.count(END) == 1:
        yield "README.md has lost its markers"
    for name, claim in json.loads((folder / "reports" / NAME).read_text())["claims"].items():
        if not claim["rows"] and name not in CLAIMS:
            yield f"{name} has no rows"


# -- a build of the library -----------------------------------------------------------------------------------------------


def _begin_build(folder: Path) -> None:
    """Weights of another training, with their card."""
    _empty(folder / "library")
    for ending in ("safetensors", "json"):
        shutil.copyfile(LIBRARY / f"digits_mlp_1.{ending}", folder / "library" / f"digits_mlp.{ending}")


def _build_files(folder: Path) -> dict[str, bytes]:
    """The card without the seconds of training, which no two share."""
    told = json.loads((folder / "library" / "digits_mlp.json").read_text())
    del told["training_s"]
    return {
        "digits_mlp.safetensors": (folder / "library" / "digits_mlp.safetensors").read_bytes(),
        "digits_mlp.json": json.dumps(told).encode(),
    }


def _build_unsound(folder: Path) -> Iterator[str]:
    """A card fits its weights, or is refused because it does not."""
    path = folder / "library" / "digits_mlp.safetensors"
    try:
        told = card.read(path)
    except StoreError as error:
        if "is of a file with SHA-256" not in str(error):
            yield str(error)
        return
    if told["size_bytes"] != path.stat().st_size or told["sha256"] != hashlib.sha256(path.read_bytes()).hexdigest():
        yield "the card is of other weights, and was not refused"


# -- fine-tuning that is kept ---------------------------------------------------------------------------------------------


def _trial_files(folder: Path) -> dict[str, bytes]:
    """The figures of each kept trial, without the seconds; what cannot be read has none."""
    return {path.name: _figures(path) for path in (folder / "kept").glob("[!.]*.safetensors")}


def _figures(path: Path) -> bytes:
    try:
        with safe_open(path, framework="numpy") as file:
            key = (file.metadata() or {}).get("fingerprint", "")
    except Exception as error:
        return repr(error).encode()
    held = engine.read(path, key)
    return b"damaged" if held is None else key.encode() + held.nats.tobytes() + held.drawn.tobytes()


WORKS = (
    Work(
        "report", _begin_report, _report_command, lambda folder: folder, _report_files,
        lambda out: re.findall(r"^wrote (\S+)$", out, re.MULTILINE), _report_unsound, "reports", 0.5,
    ),
    Work(
        "library build", _begin_build,
        lambda folder: [sys.executable, "-m", "seeds.library", "train", "digits-mlp", "--into", str(folder / "library")],
        lambda folder: ROOT, _build_files,
        lambda out: ["digits_mlp.safetensors", "digits_mlp.json"] if out.endswith("}\n") else [],
        _build_unsound, "library", 0.05,
    ),
    Work(
        "fine-tuning", lambda folder: _empty(folder / "kept"),
        lambda folder: [sys.executable, "-c", TRIALS, str(folder / "kept")],
        lambda folder: ROOT, _trial_files, str.splitlines, lambda folder: iter(()), "kept", goes_on=True,
    ),
)  # fmt: skip
