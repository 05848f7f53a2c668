"""Records: what benchmarks measured, as plain data in one file per group, and how each stands beside its peer.

    pytest --benchmark -> [record] -> page, figures -> reports/

A benchmark names its peer and the figure to reach in its facts: `against`, the peer's name in the same group, and `at_most`,
how many times the peer's time it may take. Minima are compared: on a machine that others use, too, they say most.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seeds.file import alone, write_whole

ABOUT_PEERS = ("against", "at_most")


@dataclass(frozen=True, slots=True)
class Record:
    """One benchmark in plain JSON types.

    Args:
        name: of the test, with its parameters.
        min_s, median_s, max_s: seconds of one round.
        facts: sizes, errors, threads, device, and what it is compared with.
        session: when the run began that it is from; only records of one session are compared.
    """

    group: str
    name: str
    rounds: int
    min_s: float
    median_s: float
    max_s: float
    facts: dict[str, Any]
    session: str = ""

    @property
    def title(self) -> str:
        """The name without what all tests begin with."""
        return self.name.removeprefix("test_the_").removeprefix("test_").replace("_", " ")

    @property
    def shown_facts(self) -> dict[str, Any]:
        """Facts for people: all but those about peers."""
        return {key: value for key, value in self.facts.items() if key not in ABOUT_PEERS}


@dataclass(frozen=True, slots=True)
class Standing:
    """A benchmark beside its peer.

    Args:
        ratio: its least time over the peer's.
        at_most: the ratio to reach; None where none was set.
    """

    one: Record
    peer: Record
    ratio: float
    at_most: float | None

    @property
    def is_reached(self) -> bool | None:
        return None if self.at_most is None else self.ratio <= self.at_most


def of_session(benchmarks: Iterable[Any], session: str) -> list[Record]:
    """Records of the benchmarks that pytest-benchmark has timed in a session."""
    timed = [one for one in benchmarks if not one.has_error and one.stats.rounds]
    return [
        Record(
            one.group or "", one.name, one.stats.rounds, one.stats.min, one.stats.median, one.stats.max,
            json.loads(json.dumps(dict(one.extra_info))), session,
        )
        for one in timed
    ]  # fmt: skip


def standings(records: Sequence[Record]) -> list[Standing]:
    """Every benchmark that names a peer which was measured in the same session."""
    by_place = {(one.session, one.group, one.name): one for one in records}
    found = []
    for one in records:
        peer = by_place.get((one.session, one.group, one.facts.get("against", "")))
        if peer is not None and peer is not one:
            found.append(Standing(one, peer, one.min_s / peer.min_s, one.facts.get("at_most")))
    return found


# -- files --------------------------------------------------------------------------------------------------------------------


def write(fresh: Iterable[Record], folder: Path, environment: Mapping[str, str], whole: bool = False) -> list[Path]:
    """Writes one JSON file per group; benchmarks of a group that were not run now keep what was stored.

    Args:
        whole: whether every benchmark was run: then those that were not are gone, and leave.
    """
    groups: dict[str, dict[str, Record]] = {}
    for one in fresh:
        groups.setdefault(one.group, {})[one.name] = one
    written = []
    with alone(folder):
        for group, by_name in groups.items():
            path = folder / f"{file_stem(group)}.json"
            merged = ({} if whole else {one.name: one for one in read(path)}) | by_name
            content = {"group": group, "environment": dict(environment), "records": [asdict(one) for one in merged.values()]}
            write_whole(path, (json.dumps(content, indent=1) + "\n").encode())
            written.append(path)
    return written


def read(path: Path) -> list[Record]:
    """The records of one group; none if the file is not there."""
    return [Record(**row) for row in json.loads(path.read_text())["records"]] if path.exists() else []


def file_stem(group: str) -> str:
    """A group's name as a file name."""
    return re.sub(r"[^a-z0-9]+", "-", group.lower()).strip("-") or "benchmarks"
