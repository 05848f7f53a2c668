"""Paragraphs of English documentation, read from the sources of installed packages without importing them.

    files of a package -> docstrings (ast) -> paragraphs of prose -> splits by file, near duplicates dropped

Every environment that runs this project has the six packages, so nothing is downloaded and no text is shipped. A
file belongs to one split by the hash of its path, so splits survive other versions of the packages; a paragraph
that shares half of its word trigrams with training text or with an earlier held-out paragraph is dropped. Other versions
have other paragraphs, and so other figures: the variable SEEDS_CORPUS names a folder with the packages to read instead.
"""

import ast
import hashlib
import inspect
import os
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from seeds.duplicates import Shingles
from seeds.errors import SubjectUnavailable

PACKAGES = ("numpy", "scipy", "sklearn", "pandas", "networkx", "sympy")  # the classes, in label order
HELD_OUT = {"test": (0.0, 0.14), "calibration": (0.14, 0.22), "probe": (0.22, 0.30)}  # share of the files
TRAIN = (0.30, 1.0)
FOLDER = "SEEDS_CORPUS"  # environment variable: where the packages lie that are read, as `pip install --target` lays them out
WORDS = (12, 200)  # shortest and longest paragraph kept


class Paragraph(NamedTuple):
    """A paragraph, and the file that it is from: paragraphs of one file are no independent examples."""

    text: str
    file: Path


def training_paragraphs(package: str) -> Iterator[str]:
    """Every paragraph of the training files of a package, near duplicates among them included."""
    for path in _files(package, *TRAIN):
        yield from paragraphs(path)


def held_out_paragraphs(count: dict[str, int], seen: Shingles) -> dict[str, list[list[Paragraph]]]:
    """The first `count[split]` paragraphs per package of each held-out split, free of near duplicates.

    Files are read in the order of the hash of their path until the count is reached, so a small set is ready in
    seconds. Test comes first: its paragraphs do not depend on how many the other splits take.

    Args:
        count: paragraphs per package, by the names of `HELD_OUT`.
        seen: the trigrams of the training text; changed in place.

    Returns:
        For each split, one list of paragraphs per package, in the order of `PACKAGES`.

    Raises:
        SubjectUnavailable: a package is not installed, or has too few paragraphs left.
    """
    return {split: [_fresh_paragraphs(p, split, count[split], seen) for p in PACKAGES] for split in count}


def _fresh_paragraphs(package: str, split: str, count: int, seen: Shingles) -> list[Paragraph]:
    kept: list[Paragraph] = []
    for path in _files(package, *HELD_OUT[split]):
        for text in paragraphs(path):
            if len(kept) == count:
                return kept
            if not seen.knows(text):
                seen.add(text)
                kept.append(Paragraph(text, path))
    if len(kept) < count:
        raise SubjectUnavailable(f"{package}: {len(kept)} paragraphs for the {split} split, {count} are needed")
    return kept


def paragraphs(path: Path) -> Iterator[str]:
    """Paragraphs of prose in the docstrings of one source file; none if it cannot be parsed."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
    except SyntaxError:
        return
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and (text := ast.get_docstring(node, clean=False)):
            for block in re.split(r"\n\s*\n", inspect.cleandoc(text)):
                if prose := _prose(block):
                    yield prose


def _prose(block: str) -> str | None:
    """The block as one line, or None if it is an example, a table, a directive or too short or long."""
    if ">>>" in block or block.lstrip().startswith(("..", "|", "=", "-", "[")) or re.search(r"^\s*[-=~^]{3,}\s*$", block, re.M):
        return None
    text = " ".join(block.split())
    letters = sum(c.isalpha() or c == " " for c in text)
    return text if WORDS[0] <= len(text.split()) <= WORDS[1] and letters >= 0.75 * len(text) else None


def _files(package: str, low: float, high: float) -> list[Path]:
    """Source files of a package whose path hashes into [low, high), in the order of that hash."""
    root, found = _root(package), []
    for path in root.rglob("*.py"):
        name = path.relative_to(root.parent).as_posix()
        if not re.search(r"/(tests?|testing|_vendor|externals?|_lib/array_api_compat)/", name):
            place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
            if low <= place < high:
                found.append((place, path))
    return [path for _, path in sorted(found)]


def _root(package: str) -> Path:
    """The folder of a package's sources."""
    if folder := os.environ.get(FOLDER):
        if not (root := Path(folder) / package).is_dir():
            raise SubjectUnavailable(f"{FOLDER} is {folder}, where there is no {package!r}; it needs {', '.join(PACKAGES)}")
        return root
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SubjectUnavailable(f"package {package!r} is not installed; the documentation tasks need {', '.join(PACKAGES)}")
    return Path(spec.submodule_search_locations[0])
