"""Made-up rows and a figure for the page, and its HTML as a tree that tests can ask."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

from seeds.claims import PUBLISHED, Row, load
from seeds.figures.figure import GRID, INK, PAPER, Figure
from seeds.report import claims_file
from seeds.report.claims_file import Results
from seeds.report.finding import Finding
from seeds.report.page import html
from seeds.report.session import Session
from seeds.verdict import Outcome

ROOT = Path(__file__).parents[1]
REPORTS = ROOT / "reports"
CLAIMS = load(ROOT / "tests" / "claims.toml", ROOT / "tests" / "expected.toml")
SHOWN = (
    "zeroshot-accuracy",
    "zeroshot-perplexity",
    "zeroshot-structure",
    "finetune-ablation",
    "audit-accuracy",
    "cost-runtime",
)
MOST_ROWS = 8  # of a claim
SESSION = Session(
    "2001-02-03T04:05:06+00:00",
    "0123456789abcdef",
    True,
    "3.11.0",
    "Linux",
    "x86_64",
    4,
    1,
    2,
    {"torch": "2.13", "numpy": "2.4"},
)
SVG = f"""<?xml version="1.0"?><!DOCTYPE svg>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 200 100" width="200pt">
<defs><style>*{{stroke-linecap: butt}}</style><clipPath id="cut"><path d="M 0 0L 9 9"/></clipPath></defs>
<g><path d="M 0 100L200 100L200 0L0 0z" style="fill: {PAPER}"/></g>
<g clip-path="url(#cut)"><path id="line" d="M 1 20L 9 90" style="stroke: {INK}; fill: none"/><use xlink:href="#line"/>
<path d="M 1 50H 199" stroke="{GRID}"/></g>
<g><text transform="translate(4 10)">What was</text><text transform="translate(4 22)">found</text></g></svg>"""
FIGURE = Figure(
    "made-up", "What was found", "What to see: 2 runs, 95 % intervals.", "A line that rises.", SVG.encode(), ("x", "y, nats"),
    tuple((f"row {i}", i / 7) for i in range(20)), ("zeroshot-accuracy", "audit-accuracy"),
)  # fmt: skip


def results() -> Results:
    """Rows of several outcomes, each with runs from which its figure follows."""
    findings = [made(row, place) for name in SHOWN for place, row in enumerate(CLAIMS[name].rows[:MOST_ROWS])]
    return Results(findings, {SESSION.started: SESSION})


def made(row: Row, place: int) -> Finding:
    """A row whose figure depends on its place."""
    runs = [round(0.004 * place**2 - 0.01 + 0.002 * i, 6) for i in range(5)]
    value = float(f"{sum(runs) / len(runs):.6g}")
    low, high, level = round(value - 0.0123, 6), round(value + 0.0123, 6), 0.99
    if row.view == PUBLISHED:
        low, high, level = min(runs), max(runs), None
    control = 0.8 + 0.01 * place if row.rule.assay_gap is not None else None
    return Finding(
        row.claim, row.id, row.subject, row.codec, _outcome(row, low, high), None, value, low, high, level, row.rule.region,
        len(runs), None if control is None else [control, 0.7], "because it's so",
        {"size_bytes": 1000 + place, "times_smaller": 12.5, "retention": value}, row.view, {"ratio": [runs, 1.0]}, control,
        1234 + place if place % 2 else None, f"tests/test_{CLAIMS[row.claim].family}.py::test_it[{row.id}]", SESSION.started,
    )  # fmt: skip


def _outcome(row: Row, low: float, high: float) -> str:
    if not row.rule.judges:
        return Outcome.RECORDED
    if low > row.rule.above and high < row.rule.below:
        return Outcome.HOLDS
    outside = low >= row.rule.below or high <= row.rule.above
    return Outcome.REFUTED if outside else Outcome.BY_RUN if row.view == PUBLISHED else Outcome.UNDECIDED


def changed(told: Results, place: tuple[str, str], **fields: object) -> Results:
    """The same rows, with one of them changed."""
    return replace(told, findings=[replace(f, **fields) if f.place == place else f for f in told.findings])  # type: ignore[arg-type]


@dataclass
class Element:
    """An element with its attributes, its children and the text between them."""

    tag: str
    attrs: dict[str, str]
    inside: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text inside, with single spaces."""
        return " ".join("".join(self._texts()).split())

    def text_without(self, tag: str) -> str:
        """The text outside of all elements of that tag."""
        parts = [c if isinstance(c, str) else "\0" if c.tag == tag else c.text_without(tag) + " " for c in self.inside]
        return " ".join("".join(parts).split())

    def all(self, tag: str = "", **attrs: str) -> list["Element"]:
        """Every element below of this tag whose attributes hold these words; `class_` stands for class."""
        return [e for e in self.walk() if (not tag or e.tag == tag) and e._has(attrs)]

    def one(self, tag: str = "", **attrs: str) -> "Element":
        """The only such element."""
        (found,) = self.all(tag, **attrs)
        return found

    def walk(self) -> Iterator["Element"]:
        for child in self.inside:
            if isinstance(child, Element):
                yield child
                yield from child.walk()

    def _has(self, attrs: dict[str, str]) -> bool:
        names = {name.rstrip("_").replace("_", "-"): value for name, value in attrs.items()}
        return all(value in self.attrs.get(name, "").split() or self.attrs.get(name) == value for name, value in names.items())

    def _texts(self) -> Iterator[str]:
        for child in self.inside:
            if isinstance(child, str):
                yield child
            elif child.tag not in ("script", "style"):
                yield from child._texts()
                yield " " if child.tag in ("td", "th", "p", "dt", "dd", "text") else ""


class _Parser(HTMLParser):
    VOID = ("meta", "input", "br", "link", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            found = self.open[-1].inside[-1]
            assert isinstance(found, Element)
            self.open.append(found)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].inside.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)


def parsed(html: str) -> Element:
    """The page as a tree; every element that is not void must be closed in turn."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    assert len(parser.open) == 1, f"<{parser.open[-1].tag}> is never closed"
    return parser.open[0]


def read(text: str) -> str:
    """Text as `Element.text` gives it."""
    return " ".join(text.split())


def shown_number(text: str) -> tuple[float, float]:
    """A number as a reader takes it, and half a unit of its last digit."""
    for unit, size in {"%": 0.01, "bytes": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9}.items():
        if text.endswith(unit):
            shown, half = shown_number(text.removesuffix(unit).strip())
            return shown * size, half * size
    mantissa, _, power = text.replace("−", "-").replace(",", "").partition(" × 10")
    if mantissa.startswith("10") and mantissa[2:].strip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹") == "" and len(mantissa) > 2:
        mantissa, power = "1.00", mantissa[2:]
    scaled = 10.0 ** int(power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) or 0)
    return float(mantissa) * scaled, 0.5 * 10.0 ** -len(mantissa.partition(".")[2]) * scaled


@cache
def stored(data: str) -> Results:
    """Rows: "made up", or the repository's."""
    return results() if data == "made up" else claims_file.read(REPORTS)


@cache
def page(data: str) -> str:
    """The page of these rows; of the repository's the stored one, which one test compares with what its rows give."""
    return html(stored(data), CLAIMS, [FIGURE]) if data == "made up" else (REPORTS / "index.html").read_text()


@cache
def tree(data: str) -> Element:
    return parsed(page(data))


def shown(told: Results, claims=CLAIMS, drawn=(FIGURE,)) -> Element:
    """The page of these rows, as a tree."""
    return parsed(html(told, claims, drawn))
