"""Counting: which figures of the report follow from its other figures, and from the shapes of the tensors.

    published shapes -> [counting] -> page

Two questions. What is in the bytes that the report calls a seed, and how many does a seed need that can be decoded? And do
its round numbers (ten trillion, kilobytes for gigabytes, 3 KB for 500 MB) agree with its exact ones? No network runs here,
and no weights are needed: tensors have published names and shapes. The stated figures come from a file that `load` reads.
"""

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import torch

from seeds import store
from seeds.audit.findings import Figure
from seeds.errors import SeedError
from seeds.seed import Entry, Parts, Seed
from seeds.subject import subject

COUNTED = ("bert-tiny", "gpt2")  # the subjects whose seeds the report weighs
FLOAT32_BYTES = 4
KB = 1024  # bytes: with 1,000 the stated ratios do not follow, and GPT-2's components alone are larger than its seed
DECIMAL = {"KB": 10**3, "MB": 10**6, "GB": 10**9}  # bytes, where the report compares round numbers
BINARY = {"KB": 2**10, "MB": 2**20, "GB": 2**30}
TYPICAL_CAPTURED = 1 / 3  # a share with all nine digits that a header gives it: only weights would tell the real one

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stated:
    """A figure of the report, with the decimals that it is given in."""

    name: str
    says: str
    figure: Decimal
    unit: str

    @property
    def bounds(self) -> tuple[Decimal, Decimal]:
        """The least and the largest value that would be rounded to this figure."""
        exponent = self.figure.as_tuple().exponent
        half = Decimal((0, (5,), (exponent if isinstance(exponent, int) else 0) - 1))
        return self.figure - half, self.figure + half

    def allows(self, value: float | Decimal) -> bool:
        """Whether a value is this figure, to the decimals given."""
        low, high = self.bounds
        return low <= Decimal(value) <= high


@dataclass(frozen=True, slots=True)
class Counting:
    """What the stated size of one seed is made of. Bounds are the least and the largest whole number that the decimals allow.

    Args:
        stated_bytes: bounds of the stated size.
        weights_bytes: float32 weights.
        components_bytes: the leading right singular vectors of large matrices.
        moments_bytes: mean and standard deviation of every tensor: all that the report's assembly reads.
        unexplained_bytes: bounds of what is left beside components and moments.
        scores_bytes: what the same matrices would need besides, to be rebuilt from the components.
        means_bytes: and their row means.
        moments_seed_bytes: file of our `moments` seed, names and shapes included.
        usable_bytes: file of our `pca` seed of that rank, which can be decoded.
    """

    subject: str
    tensors: int
    matrices: int
    stated_bytes: tuple[int, int]
    weights_bytes: int
    components_bytes: int
    moments_bytes: int
    unexplained_bytes: tuple[int, int]
    scores_bytes: int
    means_bytes: int
    moments_seed_bytes: int
    usable_bytes: int

    @property
    def components_share(self) -> float:
        """Components' least share of the stated size."""
        return self.components_bytes / self.stated_bytes[1]

    @property
    def usable_factor(self) -> float:
        """How many times the stated size a seed is that can be decoded: at least."""
        return self.usable_bytes / self.stated_bytes[1]

    @property
    def usable_ratio(self) -> float:
        """How many times smaller than the weights a seed is that can be decoded."""
        return self.weights_bytes / self.usable_bytes


@dataclass(frozen=True, slots=True)
class Slip:
    """A round number of the report, the factor that its own figures give, and the range that it states for the factor."""

    name: str
    says: str
    found: float
    least: float
    most: float
    unit: str

    @property
    def is_off_by(self) -> float:
        """How many times the factor lies beyond the nearer end of the range; 1 within it."""
        return max(1.0, self.found / self.most, self.least / self.found)


def load(path: Path) -> dict[str, Stated]:
    """The stated figures by name.

    Raises:
        SeedError: a table lacks `says`, `figure` or `unit`, or its figure is no number above 0.
    """
    found = {}
    for name, table in tomllib.loads(path.read_text(), parse_float=Decimal).items():
        if not isinstance(table, dict) or set(table) != {"says", "figure", "unit"}:
            raise SeedError(f"figure {name!r} holds {table!r}; allowed: says, figure and unit")
        if isinstance(table["figure"], bool) or not isinstance(table["figure"], int | Decimal) or table["figure"] <= 0:
            raise SeedError(f"figure {name!r} is {table['figure']!r}; allowed: a number above 0")
        found[name] = Stated(name, table["says"], Decimal(table["figure"]), table["unit"])
    return found


def counting(subject_name: str, stated: Mapping[str, Stated]) -> Counting:
    """Counts one seed of the report.

    Args:
        subject_name: one of `COUNTED`.
        stated: from `load`.

    Raises:
        SeedError: the report states no size for this subject's seed.
    """
    if subject_name not in COUNTED:
        raise SeedError(f"the report states no size for a seed of {subject_name!r}; allowed: {', '.join(COUNTED)}")
    rank, least_side = int(stated["components"].figure), int(stated["least-side"].figure)
    low, high = stated_bytes(stated[f"seed-size-{subject_name}"])
    seed = subject(subject_name).published_seed()
    shapes = [entry.shape for entry in seed.entries]
    large = large_matrices(shapes, least_side)
    components, moments = stored_components(shapes, rank, least_side), stored_moments(shapes)
    return Counting(
        subject=subject_name,
        tensors=len(shapes),
        matrices=len(large),
        stated_bytes=(low, high),
        weights_bytes=FLOAT32_BYTES * seed.parameters,
        components_bytes=components,
        moments_bytes=moments,
        unexplained_bytes=(low - components - moments, high - components - moments),
        scores_bytes=FLOAT32_BYTES * sum(min(rank, *shape) * shape[0] for shape in large),
        means_bytes=FLOAT32_BYTES * sum(shape[1] for shape in large),
        moments_seed_bytes=store.size_bytes(seed),
        usable_bytes=store.size_bytes(usable_seed(seed, rank)),
    )


def stated_bytes(size: Stated) -> tuple[int, int]:
    """The least and the largest whole number of bytes that round to a stated number of KB."""
    low, high = size.bounds
    return math.ceil(low * KB), math.floor(high * KB)


def stored_components(shapes: Iterable[Shape], rank: int, least_side: int) -> int:
    """Bytes of the leading `rank` right singular vectors, float32, of all matrices with no side below `least_side`."""
    return FLOAT32_BYTES * sum(min(rank, *shape) * shape[1] for shape in large_matrices(shapes, least_side))


def stored_moments(shapes: Sequence[Shape]) -> int:
    """Bytes of a mean and a standard deviation for each tensor, float32."""
    return 2 * FLOAT32_BYTES * len(shapes)


def large_matrices(shapes: Iterable[Shape], least_side: int) -> list[Shape]:
    """Those shapes that are matrices with no side below `least_side`."""
    return [shape for shape in shapes if len(shape) == 2 and min(shape) >= least_side]


def usable_seed(moments: Seed, rank: int) -> Seed:
    """A `pca` seed with the right shapes and no content, to be weighed: row mean, components and scores of every matrix.

    Made from the shapes in a `moments` seed; vectors keep their moments. Against the file of real weights of these shapes
    its arrays have exactly the same bytes, its header differs by the decimals of the numbers in it.
    """
    return Seed(f"pca:{rank}", tuple(_usable(entry, rank) for entry in moments.entries), moments.ties)


def _usable(entry: Entry, rank: int) -> Entry:
    if len(entry.shape) < 2:
        return entry
    units, features = entry.shape[0], math.prod(entry.shape[1:])
    kept = min(rank, units, features)
    sizes = {"mean": (features,), "components": (kept, features), "scores": (units, kept)}
    parts: Parts = {part: torch.zeros(size) for part, size in sizes.items()}
    captured = 1.0 if kept == min(units, features) else TYPICAL_CAPTURED
    return Entry(entry.name, entry.shape, entry.dtype, "pca", parts, captured)


def slips(stated: Mapping[str, Stated]) -> tuple[Slip, ...]:
    """The three slips of arithmetic: each is computed from two stated figures and contradicts a third."""
    least, most = float(stated["smaller-least"].figure), float(stated["smaller-most"].figure)
    words, exact = float(stated["perplexity-in-words"].figure), float(stated["perplexity-assembled"].figure)
    gigabytes = factor(stated["weights-in-words"], stated["seed-in-words"])
    megabytes = factor(stated["sent-weights"], stated["sent-seed"])
    called = "the assembled perplexity: what is called so is its ratio to the original's"
    return (
        Slip("ten trillion", called, exact, words, words, "perplexity"),
        Slip("KB for GB", "how many times smaller kilobytes are than gigabytes", gigabytes, least, most, "times"),
        Slip("3 KB for 500 MB", "how many times 3 KB go into 500 MB, in decimal units", megabytes, least, most, "times"),
    )


def factor(larger: Stated, smaller: Stated, units: Mapping[str, int] = DECIMAL) -> float:
    """How many times one stated size goes into another: in decimal units, or those given."""
    return float(larger.figure * units[larger.unit] / (smaller.figure * units[smaller.unit]))


def perplexity_ratio(stated: Mapping[str, Stated]) -> float:
    """Perplexity of the assembled model as a multiple of the original's."""
    return float(stated["perplexity-assembled"].figure / stated["perplexity-original"].figure)


def figures(stated: Mapping[str, Stated]) -> list[Figure]:
    """The page's lines: what the report states, and what was counted beside it."""
    lines = []
    for name in COUNTED:
        found = counting(name, stated)
        size, ratio = stated[f"seed-size-{name}"], stated[f"seed-ratio-{name}"]
        kb = float(size.figure)
        lines += [
            Figure(f"{name}: ratio", ratio.says, float(ratio.figure), found.weights_bytes / KB / kb, "times"),
            Figure(f"{name}: components", "of which components never read", kb, found.components_bytes / KB, "KB"),
            Figure(f"{name}: read", "of which the assembly reads: moments, as float32", kb, found.moments_bytes / KB, "KB"),
            Figure(f"{name}: rest", "of which unexplained, at least", kb, found.unexplained_bytes[0] / KB, "KB"),
            Figure(f"{name}: moments", "file of a seed with all that is read", kb, found.moments_seed_bytes / KB, "KB"),
            Figure(f"{name}: usable", "file of a seed whose components can be decoded", kb, found.usable_bytes / KB, "KB"),
        ]
    lines += [Figure(slip.name, slip.says, slip.most, slip.found, slip.unit) for slip in slips(stated)]
    words, sent = stated["perplexity-in-words"], stated["sent-seed"]
    own = float(stated["seed-size-gpt2"].figure)
    ratio_says = "the assembled perplexity as a multiple of the original's"
    return [
        *lines,
        Figure("ten trillion: ratio", ratio_says, float(words.figure), perplexity_ratio(stated), "times"),
        Figure("3 KB for 500 MB: GPT-2", "the report's own seed of 500 MB of weights", float(sent.figure), own, sent.unit),
    ]
