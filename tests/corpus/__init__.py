"""The corpus: hostile seed files that once did harm, or would have if nobody had thought of them.

Each is a text file: what it is, in lines behind a `#`, then its bytes as in an address of the web, which leaves headers
readable. The campaign `fuzz` writes here whatever it finds.
"""

import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from urllib.parse import quote_from_bytes, unquote_to_bytes

CORPUS = Path(__file__).parent
WIDTH = 120
READABLE = string.punctuation.replace("%", "").replace("#", "")


@dataclass(frozen=True, slots=True)
class Case:
    """One hostile file."""

    name: str
    about: str
    raw: bytes

    def save(self, folder: Path = CORPUS) -> None:
        text = quote_from_bytes(self.raw, safe=READABLE)
        about = [f"# {line}" for line in wrap(self.about, WIDTH - 2)]
        lines = about + [text[at : at + WIDTH] for at in range(0, len(text), WIDTH)]
        (folder / f"{self.name}.txt").write_text("\n".join(lines) + "\n")


def cases(folder: Path = CORPUS) -> Iterator[Case]:
    """All files of the corpus, by name."""
    for path in sorted(folder.glob("*.txt")):
        lines = path.read_text().splitlines()
        about = " ".join(line[2:] for line in lines if line.startswith("#"))
        yield Case(path.stem, about, unquote_to_bytes("".join(line for line in lines if not line.startswith("#"))))
