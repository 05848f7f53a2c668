"""The documents: every step does what it says, every link leads somewhere, every command that is named exists.

A fenced block of `docs/*.md` says by its info string what it is; GitHub shows none of it but the highlighting:

    bash            run in the root of a clone; `bash fails`: must fail; `bash unrun`: only its names are checked
    python FILE     put at the end of FILE, as `toml FILE` is; the text before the block names it
    text            what the block before it prints. `...` stands for anything; a figure with a decimal point may be off by
                    0.002 or 2 %, or by X where it says `text within X`
"""

import importlib.util
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from seeds.__main__ import _parser
from seeds.claims import load, narrowed

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
TEXTS = [*DOCS, *(ROOT / name for name in ("README.md", "SECURITY.md", "reports/README.md"))]
NEEDED = ("conftest.py", "pyproject.toml", "docs", "tests")  # copied, since the steps write to them; seeds/ is only read
FIGURE = re.compile(r"-?\d+\.\d+(?:e[-+]\d+)?|-?\d+e[-+]\d+")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language and what else its info string says, the paragraph before it, and what it must print."""

    language: str
    more: str
    content: str
    before: str
    prints: "Block | None" = None


def tokens(path: Path) -> list[Token]:
    return MarkdownIt().enable("table").parse(path.read_text())


def blocks(path: Path) -> list[Block]:
    """The blocks of a document in order, each with the `text` that follows it."""
    found, before = [], ""
    for token in tokens(path):
        if token.type == "inline":
            before = token.content
        if token.type == "fence":
            language, _, more = token.info.partition(" ")
            found.append(Block(language, more, token.content, before))
    assert {block.language for block in found} <= {"bash", "python", "toml", "text"}
    told = [replace(a, prints=b if b.language == "text" else None) for a, b in pairwise([*found, Block("", "", "", "")])]
    return [block for block in told if block.language != "text"]


# -- steps ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def clone(tmp_path):
    """What of a clone the steps need, to write into."""
    for name in NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("campaigns", "corpus"))
        else:
            shutil.copy(source, tmp_path)
    (tmp_path / "seeds").symlink_to(ROOT / "seeds")
    return tmp_path


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.stem)
def test_every_step_of_a_document_does_what_it_says(path, clone):
    """In order, in one clone, as a reader would take them."""
    steps = blocks(path)
    assert any(step.prints for step in steps)
    for step in steps:
        if step.language != "bash":
            put(step, clone)
        elif step.more != "unrun":
            run(step, clone)


def put(step: Block, clone: Path) -> None:
    assert f"`{step.more}`" in step.before, f"a reader is not told to write {step.more}, only {step.before!r}"
    (clone / step.more).parent.mkdir(exist_ok=True)
    with (clone / step.more).open("a") as file:
        file.write(f"\n{step.content}")


def run(step: Block, clone: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = clean | {"PATH": path, "PYTHONPATH": str(clone), "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    done = subprocess.run(
        ["bash", "-euc", step.content], cwd=clone, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode != 0) == (step.more == "fails"), f"{step.content}{done.stdout}{done.stderr}"
    if step.prints:
        assert_prints(step.prints, done.stdout)


def assert_prints(stated: Block, found: str) -> None:
    """Fails with both texts unless they agree in words and figures."""
    off = float(stated.more.removeprefix("within ")) if stated.more else None
    parts = re.split(rf"(\.\.\.|{FIGURE.pattern})", plain(stated.content))
    pattern = "".join(".*" if p == "..." else f"({FIGURE.pattern})" if FIGURE.fullmatch(p) else re.escape(p) for p in parts)
    printed = re.fullmatch(pattern, plain(found), re.DOTALL)
    both = f"stated:\n{stated.content}\nprinted:\n{found}"
    assert printed, both
    figures = [float(part) for part in parts if FIGURE.fullmatch(part)]
    for figure, now in zip(figures, map(float, printed.groups()), strict=True):
        near = math.isclose(now, figure, rel_tol=0.02 if off is None else 0, abs_tol=0.002 if off is None else off)
        assert near, f"{figure} is now {now}\n{both}"


def plain(text: str) -> str:
    """Without the spaces that line up columns, which move with the figures."""
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())


# -- names ----------------------------------------------------------------------------------------------------------------

CLAIMS = load(ROOT / "tests" / "claims.toml", ROOT / "tests" / "expected.toml")


def commands() -> Iterator[list[str]]:
    """Every command line in the code of all texts, without its comment and what is set before it."""
    for path in TEXTS:
        for token in tokens(path):
            inline = [child.content for child in token.children or [] if child.type == "code_inline"]
            code = token.content.replace("\\\n", " ").splitlines() if token.type in ("fence", "code_block") else []
            for line in [*inline, *code]:
                if found := re.match(r"(?:[A-Z]+=\S+ )*((?:pytest|make|python -m) .+)", line.strip()):
                    yield shlex.split(found[1], comments=True)


def named(program: str) -> list[list[str]]:
    return [words for words in commands() if words[0] == program]


def test_every_target_of_make_exists():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    asked = {word for _, *words in named("make") for word in words if word.isalpha() and word.islower()}
    assert len(asked) > 5
    assert asked <= set(targets)


def test_every_option_and_value_for_pytest_exists(pytestconfig):
    """And the rows that a line asks for."""
    markers = {line.partition(":")[0].partition("(")[0] for line in pytestconfig.getini("markers")}
    lines = named("pytest")
    assert len(lines) > 5
    for _, *words in lines:
        given: dict[str, list[str]] = {}
        for option, value in pairwise([*words, ""]):
            if option.startswith("--"):
                assert hasattr(pytestconfig.option, option.strip("-").replace("-", "_")), option
                given.setdefault(option, []).append(value)
            if option == "-m":
                assert value in markers
            if option.startswith(("tests/", "docs/")) and "fewer_bits" not in option:
                assert (ROOT / option.partition("::")[0]).is_file()
        for name in given.get("--claim", []):
            if "fewer-bits" not in name:
                assert narrowed(CLAIMS[name].rows, given.get("--subject", []), given.get("--codec", []), None), words


def test_every_command_of_the_package_is_understood():
    """Its arguments are parsed, and nothing is run."""
    lines = [words[2:] for words in named("python")]
    assert len(lines) > 5
    for module, *words in lines:
        assert importlib.util.find_spec(module), module
        if module == "seeds" and len(words) > 1:
            _parser().parse_args(words)


# -- links ----------------------------------------------------------------------------------------------------------------


def links(path: Path) -> Iterator[str]:
    """Targets of links and images that lie in the project."""
    for token in tokens(path):
        for child in token.children or []:
            target = str(child.attrs.get("href") or child.attrs.get("src") or "")
            if target and not re.match(r"[a-z]+:", target):
                yield target


def anchors(path: Path) -> set[str]:
    """What GitHub calls the headings of a text: small letters, without punctuation, a number behind one that was there."""
    found: dict[str, int] = {}
    for heading, title in pairwise(tokens(path)):
        if heading.type == "heading_open":
            plain = "".join(child.content for child in title.children or [])
            slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
            found[slug] = found.get(slug, -1) + 1
    return {slug if not number else f"{slug}-{number}" for slug, last in found.items() for number in range(last + 1)}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_has_its_target(path):
    for link in links(path):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the project"
        assert not anchor or anchor in anchors(target), f"{link} has no such heading"


def test_each_document_is_linked_from_the_readme():
    assert {f"docs/{path.name}" for path in DOCS} <= {link.partition("#")[0] for link in links(ROOT / "README.md")}


# -- the reader of figures --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "more", "found", "agrees"),
    [
        ("a 0.500 b", "", "a 0.509 b", True),
        ("a 0.500 b", "", "a 0.511 b", False),
        ("a 0.500 b", "within 0.02", "a 0.511 b", True),
        ("a 0.000 b", "", "a -0.001 b", True),
        ("a 0.000 b", "", "a -0.003 b", False),
        ("a 4e-07 b", "", "a -4.56e-07 b", True),
        ("a 12 b", "", "a 13 b", False),
        ("a\n...\nd", "", "a\nb\nc\nd", True),
        ("a\n...\nd", "", "a\nb\nc\nd\ne", False),
        ("HOLDS 0.1", "", "REFUTED 0.1", False),
    ],
)
def test_figures_are_compared_and_words_are_the_same(stated, more, found, agrees):
    if agrees:
        return assert_prints(Block("text", more, stated, ""), found)
    with pytest.raises(AssertionError):
        assert_prints(Block("text", more, stated, ""), found)
    return None
