"""Downloads that break: they go on, or they end with a named error and leave nothing.

weights or seed -> serve -> link -> [download] -> bytes, seconds
"""

import hashlib
import random
import signal
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from seeds.errors import SubjectUnavailable
from seeds.wire.download import Downloaded, DownloadError, ServerGone, WrongContent, download
from seeds.wire.link import HOST, Link
from seeds.wire.part import Part
from seeds.wire.serve import Serving, serving

CONTENT = random.Random(0).randbytes(400_000)
OTHER = random.Random(1).randbytes(400_000)
SLOW, FAST = Link(1e6, 0.002), Link(1e8, 0.002)  # CONTENT takes 3.2 s on the slow one
BEGUN_BYTES = 40_000  # after which a server is killed: the busiest machine gets to that before the end
PATIENCE_S = 0.6

pytestmark = pytest.mark.skipif(
    None in (find_spec("aiohttp"), find_spec("httpx")), reason="no download without aiohttp and httpx: seeds[cost]"
)


@pytest.fixture
def folder(tmp_path) -> Path:
    """What is served: one file."""
    made = tmp_path / "served"
    made.mkdir()
    (made / "file").write_bytes(CONTENT)
    return made


@pytest.fixture
def path(tmp_path) -> Path:
    """Where the download goes: a folder that is empty."""
    made = tmp_path / "got"
    made.mkdir()
    return made / "file"


@pytest.fixture(scope="module")
def workers():
    with ThreadPoolExecutor() as pool:
        yield pool


def left(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.iterdir())


def part(path: Path) -> Path:
    return path.with_name("file.part")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# -- whole files -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    (folder / "file").write_bytes(CONTENT)
    (folder / "empty").write_bytes(b"")
    (folder / "file.gz").write_bytes(OTHER)
    (folder / "short").write_bytes(OTHER[:10])
    with serving(folder) as running:
        yield running


@pytest.mark.parametrize(
    ("name", "content"), [("file", CONTENT), ("empty", b""), ("file.gz", OTHER)], ids=["file", "empty", "gz"]
)
def test_a_file_arrives_whole_and_replaces_what_was_there(served, path, name, content):
    path.write_bytes(b"before")
    got = download(served.direct_url + name, path)
    assert path.read_bytes() == content
    assert (got.path, got.size_bytes, got.received_bytes, got.resumed) == (path, len(content), len(content), 0)
    assert got.sha256 == sha256(content)
    assert got.elapsed_s > 0
    assert left(path) == ["file"]


def test_a_checksum_that_was_asked_for_is_found_right(served, path):
    assert download(served.direct_url + "file", path, sha256(CONTENT).upper()).size_bytes == len(CONTENT)


def test_no_proxy_is_asked(served, path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{HOST}:9")
    assert download(served.direct_url + "file", path).size_bytes == len(CONTENT)


def test_progress_is_quiet_where_there_is_no_terminal(served, path, capfd):
    download(served.direct_url + "file", path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"url": "ftp://127.0.0.1/file"}, "'ftp://127.0.0.1/file' is no address; allowed: http:// and https://"),
        ({"url": "http://127.0.0.1:port/"}, "is no address: Invalid port"),
        ({"sha256": "abc"}, "sha256 'abc' is none; allowed: 64 hexadecimal digits"),
        ({"patience_s": 0}, "a patience of 0 s is out of range: above 0"),
        ({"patience_s": float("nan")}, "a patience of nan s is out of range"),
    ],
    ids=["scheme", "port", "sha256", "no patience", "patience that is none"],
)
def test_an_argument_out_of_its_range_is_refused(path, changed, said):
    with pytest.raises(DownloadError, match=said):
        download(**({"url": "http://127.0.0.1:9/", "path": path} | changed))
    assert left(path) == []


def test_a_download_without_its_package_is_unavailable(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(SubjectUnavailable, match=r"needs the package httpx: seeds\[cost\]"):
        download("http://127.0.0.1:9/", path)


# -- a server that dies ----------------------------------------------------------------------------------------------------


def started(workers: ThreadPoolExecutor, server: Serving, path: Path, **options) -> "Future[Downloaded]":
    """A download of which the first bytes have come."""
    running = workers.submit(download, server.urls[0] + "file", path, **options)
    while not running.done() and (not part(path).exists() or part(path).stat().st_size < BEGUN_BYTES):
        time.sleep(0.005)
    assert not running.done(), "it was over before the server could be killed"
    return running


def kill(server: Serving) -> int:
    """Ends the server as a power cut would, and tells its port."""
    server.process.kill()
    server.process.wait()
    return urlsplit(server.urls[0]).port or 0


def test_a_server_that_comes_back_is_asked_for_the_rest_only(folder, path, workers, tmp_path):
    log = tmp_path / "log"
    with serving(folder, [SLOW]) as first:
        running = started(workers, first, path)
        port = kill(first)
    with serving(folder, [FAST], ports=[port], log=log) as second:
        got = running.result()
        passed = second.passed()[0].to_client

    assert path.read_bytes() == CONTENT
    assert got.resumed == 1
    assert got.received_bytes == len(CONTENT), "a byte came twice, or never"
    (request,) = log.read_text().splitlines()
    method, name, asked, status = request.split()
    start = int(asked.removeprefix("bytes=").removesuffix("-"))
    assert (method, name, status) == ("GET", "/file", "206")
    assert BEGUN_BYTES <= start < len(CONTENT)
    assert len(CONTENT) - start < passed < len(CONTENT) - start + 1000
    assert left(path) == ["file"]


def test_a_server_that_stays_away_is_named_and_nothing_is_left(folder, path, workers):
    with serving(folder, [SLOW]) as server:
        running = started(workers, server, path, patience_s=PATIENCE_S)
        kill(server)
        with pytest.raises(ServerGone, match=r"sent nothing for .* s after [\d,]+ of 400,000 bytes; allowed: 0\.6 s"):
            running.result()
    assert left(path) == []


def test_a_server_that_falls_silent_is_named_and_nothing_is_left(folder, path, workers):
    """It holds the connection and sends nothing: only the clock can tell."""
    with serving(folder, [SLOW]) as server:
        running = started(workers, server, path, patience_s=PATIENCE_S)
        server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(ServerGone, match=r"after [\d,]+ of 400,000 bytes; allowed: 0\.6 s"):
            running.result()
    assert left(path) == []


def test_a_server_that_never_was_is_named(path):
    with pytest.raises(ServerGone, match=r"after 0 of an unknown number of bytes; allowed: 0\.2 s \(.*refused"):
        download(f"http://{HOST}:9/file", path, patience_s=0.2, keep=True)
    assert left(path) == []


def test_a_part_that_was_kept_is_gone_on_with(served, folder, path, workers):
    with serving(folder, [SLOW]) as server:
        running = started(workers, server, path, patience_s=0.2, keep=True)
        kill(server)
        assert isinstance(running.exception(), ServerGone)
    assert left(path) == ["file.part"]
    held = part(path).read_bytes()
    assert CONTENT.startswith(held)

    got = download(served.direct_url + "file", path)
    assert (got.resumed, got.received_bytes) == (1, len(CONTENT) - len(held))
    assert path.read_bytes() == CONTENT
    assert left(path) == ["file"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("file.gz", OTHER), ("short", OTHER[:10]), ("empty", b""), ("file", CONTENT)],
    ids=["as long", "shorter than the part", "empty", "the same after all"],
)
def test_a_part_of_another_file_is_begun_again(served, path, name, content):
    """The part may be of a file that has changed since; the checksum tells."""
    part(path).write_bytes(CONTENT[:BEGUN_BYTES])
    got = download(served.direct_url + name, path)
    assert path.read_bytes() == content
    assert got.sha256 == sha256(content)
    assert got.received_bytes == {"file": 360_000, "file.gz": 760_000}.get(name, len(content))
    assert left(path) == ["file"]


def test_a_part_that_is_whole_already_is_no_obstacle(served, path):
    part(path).write_bytes(CONTENT)
    got = download(served.direct_url + "file", path)
    assert (got.sha256, got.received_bytes, got.resumed) == (sha256(CONTENT), 0, 0)
    assert path.read_bytes() == CONTENT
    assert left(path) == ["file"]


def test_a_whole_part_of_another_file_is_begun_again(served, path):
    part(path).write_bytes(CONTENT)
    got = download(served.direct_url + "file.gz", path)
    assert (got.sha256, got.received_bytes) == (sha256(OTHER), len(OTHER))


def test_a_file_that_changes_on_the_way_is_begun_again(folder, path, workers, tmp_path):
    log = tmp_path / "log"
    with serving(folder, [SLOW]) as first:
        running = started(workers, first, path)
        port = kill(first)
    (folder / "file").write_bytes(OTHER)
    with serving(folder, [FAST], ports=[port], log=log) as second:
        got = running.result()
        assert second.passed()[0].to_client > len(OTHER)

    assert path.read_bytes() == OTHER
    assert (got.resumed, got.sha256) == (0, sha256(OTHER))
    assert got.received_bytes > len(OTHER)
    (request,) = log.read_text().splitlines()
    assert request.startswith("GET /file bytes=")
    assert request.endswith("- 200"), "the ETag was not heeded"


def test_a_wrong_checksum_is_named_and_nothing_is_left(served, path):
    with pytest.raises(WrongContent, match=rf"has the SHA-256 {sha256(CONTENT)}; allowed: {sha256(OTHER)}"):
        download(served.direct_url + "file", path, sha256(OTHER), keep=True)
    assert left(path) == []


@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("keep", [False, True], ids=["removed", "kept"])
def test_a_download_that_is_interrupted_leaves_what_was_asked_for(served, path, monkeypatch, kind, keep):
    write = Part.write

    def interrupted(self: Part, chunk: bytes) -> None:
        write(self, chunk)
        raise kind

    monkeypatch.setattr(Part, "write", interrupted)
    with pytest.raises(kind):
        download(served.direct_url + "file", path, keep=keep)
    assert left(path) == (["file.part"] if keep else [])
