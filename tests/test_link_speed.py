"""The limited link on the real clock: downloads are never faster than it, and close to it when timed.

weights or seed -> [serve -> link -> download] -> bytes, seconds
"""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest

from seeds.wire.download import Downloaded, download
from seeds.wire.link import Link, bandwidth
from seeds.wire.serve import Serving, serving

SPEEDS = ("56 kbit/s", "1 Mbit/s", "5 Mbit/s", "25 Mbit/s", "100 Mbit/s", "1 Gbit/s")
IDS = [speed.replace(" ", "-").replace("/", "-per-") for speed in SPEEDS]
LINKS = tuple(Link(bandwidth(speed), 0.02) for speed in SPEEDS)
SHORT_S, LONG_S = 0.2, 1.0  # of each link's time: files of the tests, and of the benchmarks

pytestmark = pytest.mark.skipif(
    None in (find_spec("aiohttp"), find_spec("httpx")), reason="no download without aiohttp and httpx: seeds[cost]"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """For every speed a file that takes about SHORT_S."""
    found = tmp_path_factory.mktemp("served")
    for name, link in zip(IDS, LINKS, strict=True):
        write(found / name, link, SHORT_S)
    return found


def write(path: Path, link: Link, seconds: float) -> None:
    path.write_bytes(random.Random(0).randbytes(int(link.bandwidth_bps * seconds / 8)))


@pytest.fixture(scope="module")
def served(folder):
    with serving(folder, LINKS) as server:
        yield server


def header_bytes(served: Serving, which: int, before: tuple, found: list[Downloaded]) -> int:
    """What passed beside the body for each download, both ways."""
    return (sum(served.passed()[which]) - sum(before[which])) // len(found) - found[0].size_bytes


@pytest.mark.parametrize("which", range(len(SPEEDS)), ids=IDS)
def test_a_real_download_is_complete_and_never_faster_than_the_link(which, served, folder, tmp_path, record_property):
    """No upper bound on the time: a busy machine may take as long as it likes."""
    link, name = LINKS[which], IDS[which]
    before = served.passed()

    got = download(served.urls[which] + name, tmp_path / "file")

    assert got.path.read_bytes() == (folder / name).read_bytes()
    headers = header_bytes(served, which, before, [got])
    assert 0 < headers < 1000
    expected_s = link.seconds(got.size_bytes, headers)
    assert got.elapsed_s >= expected_s, f"{expected_s / got.elapsed_s:.4f} times what the link allows"
    record_property("share", expected_s / got.elapsed_s)


def test_parallel_downloads_get_no_more_than_the_link(served, folder, tmp_path):
    link, name = LINKS[3], IDS[3]
    download(served.direct_url + name, tmp_path / "read")  # and with it the libraries
    with ThreadPoolExecutor() as pool:
        start_s = time.perf_counter()
        found = list(pool.map(lambda file: download(served.urls[3] + name, tmp_path / file), "abcd"))
        elapsed_s = time.perf_counter() - start_s
    assert {got.path.read_bytes() for got in found} == {(folder / name).read_bytes()}
    assert elapsed_s >= link.seconds(4 * found[0].size_bytes)


@pytest.mark.benchmark(group="finetune-vs-download link")
@pytest.mark.parametrize("which", range(len(SPEEDS)), ids=IDS)
def test_the_time_of_a_download_over_the_link(which, benchmark, served, folder, tmp_path):
    """The rate is that of the best round while bytes flow: without the two round trips of the latency."""
    link, name = LINKS[which], f"{IDS[which]}-long"
    write(folder / name, link, LONG_S)
    download(served.direct_url + name, tmp_path / "hashed")
    before = served.passed()
    found = timed(benchmark, served.urls[which] + name, tmp_path)

    headers = header_bytes(served, which, before, found)
    flow_s = link.seconds(found[0].size_bytes, headers) - 2 * link.latency_s
    best_s = min(got.elapsed_s for got in found)
    benchmark.extra_info |= {
        "rate_of_set": flow_s / (best_s - 2 * link.latency_s),
        "bits_per_s": link.bandwidth_bps,
        "header_bytes": headers,
    }
    assert {got.path.read_bytes() for got in found} == {(folder / name).read_bytes()}
    assert best_s >= link.seconds(found[0].size_bytes, headers), "faster than the link"


@pytest.mark.benchmark(group="finetune-vs-download link")
def test_the_time_of_a_download_without_a_link(benchmark, served, folder, tmp_path):
    """The peer: the file of the fastest link, as fast as this client and this server can. They must not be the limit."""
    name = f"{IDS[-1]}-long"
    write(folder / name, LINKS[-1], LONG_S)
    download(served.direct_url + name, tmp_path / "hashed")
    found = timed(benchmark, served.direct_url + name, tmp_path)
    assert {got.path.read_bytes() for got in found} == {(folder / name).read_bytes()}


def timed(benchmark, url: str, tmp_path: Path) -> list[Downloaded]:
    """Some downloads, each to a new name: replacing a large file takes a disk longer than naming a new one."""
    found = []

    def name() -> tuple[tuple, dict]:
        return (url, tmp_path / f"file-{len(found)}"), {}

    benchmark.pedantic(lambda *given: found.append(download(*given)), setup=name, rounds=3)
    benchmark.extra_info |= {"bytes": found[0].size_bytes, "threads": 1, "device": "loopback"}
    return found
