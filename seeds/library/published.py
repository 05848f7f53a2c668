"""A moments seed from a published table: shape, mean and standard deviation of each tensor, and no weights at all."""

import json
from pathlib import Path

import torch

from seeds.errors import SeedError
from seeds.seed import Entry, Seed


def seed_from_table(path: Path, source: str) -> Seed:
    """A `moments` seed from JSON `{"tensors": {NAME: {"shape": [...], "mean": x, "std": y}}}`.

    Raises:
        SeedError: the file is missing or not such a table.
    """
    try:
        rows = json.loads(path.read_text())["tensors"]
        entries = [_entry(name, row["shape"], float(row["mean"]), float(row["std"])) for name, row in rows.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SeedError(f"{path} is no table of tensors with shape, mean and std: {error!r}") from None
    return Seed("moments", tuple(sorted(entries, key=lambda e: e.name)), source=source)


def _entry(name: str, shape: list[int], mean: float, std: float) -> Entry:
    if std < 0:
        raise ValueError(f"{name}: std {std} is negative")
    parts = {"mean": torch.tensor(mean), "std": torch.tensor(std)}
    return Entry(name, tuple(shape), "float32", "moments", parts)
