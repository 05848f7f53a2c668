"""Guided: hostile headers that coverage finds, by the package atheris; what they may do is the same as for any other.

    bytes -> opened, sealed -> store -> Seed -> assemble -> harmless -> [guided]

`python -m tests.campaigns.fuzz --atheris 300`. atheris is installed by hand (it has wheels for Linux, of CPython 3.11 to 3.13)
and stays in a process of its own, which ends with the first harm and leaves the file. Checksums are computed anew, or nothing
would get past them.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from seeds import layout, store
from tests.corpus import Case, cases
from tests.harmless import outcome, without_pickle
from tests.hostile import sound
from tests.lies import NUMBERS, WORDS
from tests.opened import framed, sealed

LONGEST = 4096  # bytes of a file
SEED, FILE, RAW = range(3)  # what the bytes of atheris are: the seed's header, that of safetensors behind it, a whole file
CONTENT = bytes(64)  # behind a header that is given
CHILD = """
import atheris
with atheris.instrument_imports(include=["seeds"]):
    from tests.campaigns import guided
guided.main()
"""
START = f'{{"format":"{store.FORMAT}","sha256":"{store.BLANK}",'


def guided(seconds: int, rng_seed: int) -> int:
    """Runs atheris for so long; 0 if it found nothing. What it found is in the corpus.

    Raises:
        SystemExit: atheris is not installed.
    """
    try:
        import atheris  # noqa: F401 # pyright: ignore[reportMissingImports, reportMissingModuleSource]
    except ImportError:
        raise SystemExit("atheris is not installed; it is no dependency: pip install atheris") from None
    with tempfile.TemporaryDirectory() as folder:
        begin = Path(folder) / "begin"
        begin.mkdir()
        for number, raw in enumerate(beginnings()):
            (begin / str(number)).write_bytes(raw)
        options = [f"-max_total_time={seconds}", f"-seed={rng_seed + 1}", f"-max_len={LONGEST}", "-print_final_stats=1"]
        words = Path(folder) / "words"
        words.write_text("\n".join(f'"{word}"' for word in map(str, (*WORDS, *NUMBERS)) if word.isascii() and word.isalnum()))
        options += [f"-dict={words}", f"-artifact_prefix={folder}/found-", "-timeout=10"]
        command = [sys.executable, "-c", CHILD, str(begin), *options]
        status = subprocess.run(command, check=False).returncode
        for found in Path(folder).glob("found-*"):
            name = f"guided-{found.name[-12:]}"
            Case(name, f"Found by atheris, of rng_seed {rng_seed}.", made(found.read_bytes())).save()
            print(f"found: tests/corpus/{name}.txt", file=sys.stderr)
    return int(status != 0)


def beginnings() -> list[bytes]:
    """What atheris changes: sound files and those of the corpus, whole and by their headers."""
    raws = [*sound().values(), *(case.raw for case in cases())]
    texts = [json.loads(head)[layout.METADATA]["seed"][len(START) :] for head in map(_head, sound().values())]
    rows = [_head(raw).partition(b'"}')[2] for raw in sound().values()]
    return (
        [bytes([RAW]) + raw for raw in raws] + [bytes([SEED]) + t.encode() for t in texts] + [bytes([FILE]) + r for r in rows]
    )


def _head(raw: bytes) -> bytes:
    return raw[8 : 8 + int.from_bytes(raw[:8], "little")].rstrip()


def made(data: bytes) -> bytes:
    """A hostile file of what atheris gives: the first byte says what the others are."""
    kind, rest = data[0] % 3 if data else RAW, data[1:]
    if kind == RAW:
        return sealed(rest)
    text = rest.decode(errors="replace")
    whole = START + (text if kind == SEED else '"codec":""}')
    head = json.dumps({layout.METADATA: {"seed": whole}}, separators=(",", ":"))
    return framed(head if kind == SEED else head[:-1] + text, CONTENT if kind == FILE else b"")


def one(data: bytes) -> None:
    """What atheris calls: any exception that gets out is harm."""
    outcome(made(data), {}, is_sealed=True)


def main() -> None:
    """Ends with the process."""
    import atheris  # pyright: ignore[reportMissingImports, reportMissingModuleSource]

    atheris.Setup(sys.argv, one)
    with without_pickle():
        atheris.Fuzz()
