"""Servers that lie and disks that are full: every fault has a name, and nothing is left of the file.

weights or seed -> serve -> link -> [download] -> bytes, seconds
"""

import base64
import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from seeds.wire.download import BadAnswer, DiskError, WrongContent, download
from seeds.wire.link import HOST, Link
from seeds.wire.part import Part
from seeds.wire.serve import serving
from tests import starved

ROOT = Path(__file__).parents[1]
CONTENT = random.Random(0).randbytes(1000)
LARGE_BYTES = 400_000

pytestmark = pytest.mark.skipif(
    None in (find_spec("aiohttp"), find_spec("httpx")), reason="no download without aiohttp and httpx: seeds[cost]"
)


@pytest.fixture
def path(tmp_path) -> Path:
    """Where the download goes: a folder that is empty."""
    made = tmp_path / "got"
    made.mkdir()
    return made / "file"


def left(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.iterdir())


# -- servers that lie ------------------------------------------------------------------------------------------------------


@dataclass
class Answer:
    """One answer of a server that sends whatever it is told, and closes."""

    status: int = 200
    body: bytes = b""
    head: dict[str, Any] = field(default_factory=dict)


@contextmanager
def answering(*answers: Answer) -> Iterator[tuple[str, list[str | None]]]:
    """A server that gives these answers one after the other, the last for ever; its address, and each request's Range."""
    asked: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers[min(len(asked), len(answers) - 1)]
            asked.append(self.headers["Range"])
            self.send_response(answer.status)
            for name, value in answer.head.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is http.server's)
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}/file", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def digest(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


def cut(size_bytes: int, **head: Any) -> Answer:
    """The first bytes of CONTENT, of which all are announced."""
    return Answer(200, CONTENT[:size_bytes], {"Content-Length": len(CONTENT)} | head)


def rest(start: int, content: bytes = CONTENT, stated: int | None = None, **head: Any) -> Answer:
    """The bytes from `start`; the head states it, or another."""
    range_ = f"bytes {start if stated is None else stated}-{len(content) - 1}/{len(content)}"
    return Answer(206, content[start:], {"Content-Length": len(content) - start, "Content-Range": range_} | head)


def test_an_answer_that_is_cut_is_gone_on_with(path):
    with answering(cut(900, ETag='"a"'), rest(900, ETag='"a"')) as (url, asked):
        got = download(url, path)
    assert path.read_bytes() == CONTENT
    assert asked == [None, "bytes=900-"]
    assert (got.resumed, got.received_bytes) == (1, 1000)


def test_a_server_that_always_ends_too_early_is_named(path):
    """It knows no ranges: every attempt brings the same 900 bytes."""
    with answering(cut(900, ETag='"a"')) as (url, asked), pytest.raises(WrongContent, match=r"ends after 900 of 1,000 bytes"):
        download(url, path, keep=True)
    assert asked == [None, *["bytes=900-"] * 3]
    assert left(path) == []


@pytest.mark.parametrize("length", [0, 100], ids=["announced", "cut again"])
def test_a_server_that_has_no_more_than_it_sent_is_named(path, length):
    """It knows ranges, and has no bytes for this one."""
    empty = Answer(206, b"", {"Content-Length": length, "Content-Range": "bytes 900-999/1000", "ETag": '"a"'})
    with (
        answering(cut(900, ETag='"a"'), empty) as (url, _),
        pytest.raises(WrongContent, match=r"ends after 900 of 1,000 bytes"),
    ):
        download(url, path, patience_s=0.3, keep=True)
    assert left(path) == []


@pytest.mark.parametrize(
    "second",
    [rest(900, ETag='"b"'), rest(900, ETag='W/"a"'), rest(900), rest(950, ETag='"a"'), rest(900, CONTENT + b"+", ETag='"a"')],
    ids=["another tag", "a weak tag", "no tag", "another byte", "another length"],
)
def test_a_part_of_another_file_is_never_joined(path, second):
    """Such a server overlooks If-Range. The file is asked for again from its first byte."""
    whole = Answer(200, CONTENT, {"Content-Length": len(CONTENT)})
    with answering(cut(900, ETag='"a"'), second, whole) as (url, asked):
        got = download(url, path)
    assert path.read_bytes() == CONTENT
    assert asked == [None, "bytes=900-", None]
    assert got.resumed == 0


@pytest.mark.parametrize("tag", ['W/"a"', None])
def test_parts_that_nothing_identifies_are_not_joined(path, tag):
    """A weak tag may be shared by files that differ, and no checksum would tell."""
    head: dict[str, Any] = {"ETag": tag} if tag else {}
    whole = Answer(200, CONTENT, {"Content-Length": len(CONTENT)})
    with answering(cut(900, **head), rest(900, **head), whole) as (url, _):
        got = download(url, path)
    assert (got.resumed, path.read_bytes()) == (0, CONTENT)


@pytest.mark.parametrize("stated", [False, True], ids=["asked for", "stated"])
def test_parts_that_a_checksum_identifies_are_joined(path, stated):
    head: dict[str, Any] = {"Repr-Digest": digest(CONTENT)} if stated else {}
    with answering(cut(900, **head), rest(900, **head)) as (url, _):
        got = download(url, path, None if stated else hashlib.sha256(CONTENT).hexdigest())
    assert (got.resumed, path.read_bytes()) == (1, CONTENT)


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_a_whole_part_is_taken_for_the_file_where_a_checksum_tells(path, known):
    """What a refusal says is no content, and without a checksum as many bytes may be those of another file."""
    path.with_name("file.part").write_bytes(CONTENT)
    refusal = Answer(416, b"there is no more", {"Content-Range": f"bytes */{len(CONTENT)}"})
    whole = Answer(200, CONTENT, {"Content-Length": len(CONTENT)})
    with answering(refusal, whole) as (url, asked):
        got = download(url, path, hashlib.sha256(CONTENT).hexdigest() if known else None)
    assert path.read_bytes() == CONTENT
    assert asked == ["bytes=1000-"] + [None] * (not known)
    assert got.received_bytes == (0 if known else 1000)


def test_content_that_is_not_what_its_checksum_says_is_named(path):
    lie = Answer(200, CONTENT, {"Content-Length": len(CONTENT), "Repr-Digest": digest(b"other")})
    said = f"has the SHA-256 {hashlib.sha256(CONTENT).hexdigest()}; allowed: {hashlib.sha256(b'other').hexdigest()}"
    with answering(lie) as (url, asked), pytest.raises(WrongContent, match=said):
        download(url, path, keep=True)
    assert asked == [None]
    assert left(path) == []


def test_a_wrong_file_is_not_downloaded_where_its_head_tells(path):
    honest = Answer(200, b"", {"Content-Length": 10**12, "Repr-Digest": digest(CONTENT)})
    with answering(honest) as (url, _), pytest.raises(WrongContent, match="has the SHA-256"):
        download(url, path, "0" * 64)
    assert left(path) == []


@pytest.mark.parametrize("status", [204, 206, 302, 404, 416, 500, 503])
def test_a_status_that_brings_no_file_is_named(path, status):
    with (
        answering(Answer(status, b"", {"Content-Length": 0})) as (url, asked),
        pytest.raises(BadAnswer, match=f"answers {status} "),
    ):
        download(url, path)
    assert asked == [None]
    assert left(path) == []


def test_a_file_without_a_length_is_named(path):
    with answering(Answer(200, CONTENT)) as (url, _), pytest.raises(BadAnswer, match="does not tell how long it is"):
        download(url, path)
    assert left(path) == []


# -- disks -----------------------------------------------------------------------------------------------------------------


def test_another_download_of_the_same_file_is_left_alone(path):
    whole = Answer(200, CONTENT, {"Content-Length": len(CONTENT)})
    with Part(path, keep=False) as other, answering(whole) as (url, asked):
        other.write(b"half")
        with pytest.raises(DiskError, match=r"another download holds file\.part"):
            download(url, path)
        assert path.with_name("file.part").read_bytes() == b"half"
    assert asked == []


@pytest.mark.parametrize("where", ["none/file", "a file/file", "."])
def test_a_place_that_cannot_be_written_is_named(tmp_path, where):
    (tmp_path / "a file").touch()
    with pytest.raises(DiskError, match=r"cannot be written: (No such file|Not a directory|it is a folder)"):
        download(f"http://{HOST}:9/", tmp_path / where)
    assert left(tmp_path / "file") == ["a file"]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    (folder / "file").write_bytes(bytes(LARGE_BYTES))
    with serving(folder, [Link(2e6)]) as running:
        yield running


CHILD = """
import json, os, resource, sys, threading, time
from seeds.wire.download import DownloadError, download
url, folder, what = sys.argv[1:]

def fill():
    while not os.path.exists(f"{folder}/file.part") or os.path.getsize(f"{folder}/file.part") < 40_000:
        time.sleep(0.005)
    with open(f"{folder}/filler", "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)) == 4096:
                pass
        except OSError:
            pass

if what == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
if what == "filled":
    threading.Thread(target=fill, daemon=True).start()
try:
    download(url, f"{folder}/file", keep=what == "kept")
except DownloadError as error:
    print(json.dumps([type(error).__name__, str(error), sorted(os.listdir(folder))]))
"""


def failing(served, folder: Path, what: str, *before: str) -> tuple[str, str, list[str]]:
    """The error's name and message in a process of its own, and the folder's content as that one sees it."""
    command = [*before, sys.executable, "-c", CHILD, served.urls[0] + "file", str(folder), what]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout, done.stderr
    return tuple(json.loads(done.stdout))


def test_a_file_that_may_not_grow_is_named_and_nothing_is_left(served, path):
    """The process may write 100,000 bytes to a file, a quarter of this one."""
    kind, said, found = failing(served, path.parent, "limit")
    assert (kind, found) == ("DiskError", [])
    assert "cannot be written: File too large" in said


@pytest.fixture
def mounted():
    """The beginning of a command that sees a small disk of its own at a folder."""
    starved.require_mounts()
    return lambda options, folder: starved.before(starved.small(options), folder)


@pytest.mark.parametrize(
    ("what", "options"),
    [("small", "size=200k"), ("filled", "size=600k"), ("kept", "size=200k")],
    ids=["small", "filled", "kept"],
)
def test_a_full_disk_is_named_and_nothing_is_left(served, path, mounted, what, options):
    """Too small from the beginning, which is noticed before the first byte; or filled by others on the way."""
    kind, said, found = failing(served, path.parent, what, *mounted(options, path.parent))
    assert (kind, found) == ("DiskError", ["filler"] if what == "filled" else [])
    assert "cannot be written: No space left on device (400,000 bytes; " in said


def test_a_folder_that_may_only_be_read_is_named(served, path, mounted):
    kind, said, found = failing(served, path.parent, "read-only", *mounted("ro", path.parent))
    assert (kind, found) == ("DiskError", [])
    assert "cannot be written: Read-only file system" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_forbidden_is_named(path):
    path.parent.chmod(0o500)
    with pytest.raises(DiskError, match="cannot be written: Permission denied"):
        download(f"http://{HOST}:9/", path)
