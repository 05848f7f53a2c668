"""The relay against the kernel: the same file, by the same client, through a shaped network device and through the relay.

weights or seed -> serve -> [link] -> download -> bytes, seconds

Two network namespaces with a cable between them (veth), and the kernel's token bucket (tc, tbf) on the server's side, whose
rate counts the headers of Ethernet, IP and TCP as well. Needs root, and the commands ip and tc of iproute2.
"""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest

from seeds.wire.download import download
from seeds.wire.link import Link
from seeds.wire.serve import serving

ROOT = Path(__file__).parents[1]
SERVER, CLIENT, PORT = "10.77.0.1", "10.77.0.2", 8000
SECONDS = 0.6  # that the file takes
MOST = 1.05  # times the bandwidth, for the stream: a kernel's bucket starts full, with one burst
FRAME_SHARE = 1448 / 1514  # of a frame that is the stream's: the rest is Ethernet, IP, and TCP with its timestamp
ROUND_TRIP_S = 0.06
QUEUE = "2000ms"  # before frames are dropped: with 200ms they are, and the kernel's stream keeps to 0.76 of 1 Mbit/s

pytestmark = pytest.mark.skipif(
    None in (find_spec("aiohttp"), find_spec("httpx")), reason="no download without aiohttp and httpx: seeds[cost]"
)

SERVE = """
import pathlib, sys
from aiohttp import web
from seeds.wire.folder import application
web.run_app(application(pathlib.Path(sys.argv[1])), host=sys.argv[2], port=int(sys.argv[3]))
"""
GET = """
import sys
from seeds.wire.download import download
print(download(sys.argv[1], sys.argv[2]).elapsed_s)
"""


def sh(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=check)


@pytest.fixture
def namespaces() -> Iterator[tuple[str, str]]:
    """A server's and a client's network, and a cable between them; gone at the end, whatever happens."""
    missing = ["the rights of root"] if os.geteuid() else []
    missing += [f"the command {name}" for name in ("ip", "tc") if not shutil.which(name)]
    if missing:
        pytest.skip(f"no shaped device without {' and '.join(missing)}")
    server, client = (f"seeds-{side}-{os.getpid()}" for side in ("server", "client"))
    with ExitStack() as stack:
        for name in (server, client):
            made = sh("ip", "netns", "add", name, check=False)
            if made.returncode:
                pytest.skip(f"no network namespaces: {made.stderr.strip()}")
            stack.callback(sh, "ip", "netns", "delete", name)
        made = sh(
            "ip", "link", "add", "end", "netns", server, "type", "veth", "peer", "name", "end", "netns", client, check=False
        )
        if made.returncode:
            pytest.skip(f"no devices of type veth: {made.stderr.strip()}")
        for name, address in ((server, SERVER), (client, CLIENT)):
            sh("ip", "-n", name, "address", "add", f"{address}/24", "dev", "end")
            sh("ip", "-n", name, "link", "set", "end", "up")
        yield server, client


def shape(namespace: str, *discipline: str) -> None:
    """Puts a queueing discipline on the cable's end, or skips the test where the kernel has none of its kind."""
    made = sh("tc", "-n", namespace, "qdisc", "add", "dev", "end", *discipline, check=False)
    if made.returncode:
        kind = next(word for word in discipline if word in ("tbf", "netem"))
        pytest.skip(f"this kernel has no {kind}: {made.stderr.strip()}")


@pytest.mark.parametrize("round_trip_s", [0.0, ROUND_TRIP_S], ids=["tbf", "tbf-and-netem"])
@pytest.mark.parametrize("megabits", [1, 10], ids="{}-Mbit-per-s".format)
def test_the_relay_and_the_kernel_keep_to_the_same_bandwidth(megabits, round_trip_s, namespaces, tmp_path, record_property):
    """Neither is faster than the bandwidth, and the shares of it are recorded; slower they may be on a busy machine."""
    server, client = namespaces
    link = Link(megabits * 1e6, round_trip_s)
    burst = str(max(3000, int(link.bandwidth_bps / 8 / 250)))  # bytes: two frames, or those of a tick of the clock
    shape(server, "root", "tbf", "rate", f"{megabits}mbit", "burst", burst, "latency", QUEUE)
    if round_trip_s:
        shape(client, "root", "netem", "delay", f"{1e3 * round_trip_s:g}ms")
    folder = tmp_path / "served"
    folder.mkdir()
    content = random.Random(0).randbytes(int(link.bandwidth_bps * SECONDS / 8))
    (folder / "file").write_bytes(content)

    kernel_s = through_the_kernel(server, client, folder, tmp_path / "kernel")
    with serving(folder, [link]) as served:
        relay_s = download(served.urls[0] + "file", tmp_path / "relay").elapsed_s

    for name, elapsed_s, of_the_stream in (("kernel", kernel_s, FRAME_SHARE), ("relay", relay_s, 1.0)):
        assert (tmp_path / name).read_bytes() == content
        share = 8 * len(content) / (elapsed_s - 2 * round_trip_s) / link.bandwidth_bps
        record_property(f"{name}_rate_of_set", share / of_the_stream)
        assert share <= MOST, f"{name}: {share:.3f} times the bandwidth"


def through_the_kernel(server: str, client: str, folder: Path, path: Path) -> float:
    """The seconds of a download between the two namespaces."""
    inside = ("ip", "netns", "exec")
    command = [*inside, server, sys.executable, "-uc", SERVE, str(folder), SERVER, str(PORT)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout
            assert SERVER in running.stdout.readline(), "the server ended"
            command = [*inside, client, sys.executable, "-c", GET, f"http://{SERVER}:{PORT}/file", str(path)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
        finally:
            running.kill()
    return float(done.stdout)
