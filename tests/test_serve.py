"""The server of a folder: what it sends and what it refuses, how it starts and how it ends.

weights or seed -> [serve] -> link -> download -> bytes, seconds
"""

import asyncio
import base64
import hashlib
import http.client
import os
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from seeds.errors import SubjectUnavailable
from seeds.wire.link import HOST, Link
from seeds.wire.serve import ServeError, serve, serving

ROOT = Path(__file__).parents[1]
CONTENT, ZIPPED, SECRET = bytes(range(256)) * 40, b"another file", b"not for you"

pytestmark = pytest.mark.skipif(find_spec("aiohttp") is None, reason="no server without aiohttp: seeds[cost]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with files, links and a pipe, and a neighbour that is not served."""
    root = tmp_path_factory.mktemp("root")
    served, outside = root / "served", root / "served-not"
    for made in (served, served / "below", outside):
        made.mkdir()
    (served / "file.bin").write_bytes(CONTENT)
    (served / "file.bin.gz").write_bytes(ZIPPED)
    (served / "below" / "a b.bin").write_bytes(CONTENT[:100])
    (served / "empty").write_bytes(b"")
    (outside / "secret").write_bytes(SECRET)
    (served / "link-in").symlink_to("file.bin")
    (served / "link-out").symlink_to(outside / "secret")
    (served / "folder-out").symlink_to(outside)
    (served / "ring").symlink_to("ring")
    os.mkfifo(served / "pipe")
    return served


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("log") / "log"


@pytest.fixture(scope="module")
def server(folder, log):
    with serving(folder, [Link(1e9), Link(1e8, 0.001)], log=log) as running:
        yield running


def ask(server, path: str, method: str = "GET", **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Status, head and body; the path is sent as it is."""
    connection = http.client.HTTPConnection(HOST, urlsplit(server.direct_url).port, timeout=30)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


# -- files -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/file.bin", CONTENT),
        ("/below/a%20b.bin", CONTENT[:100]),
        ("/empty", b""),
        ("/link-in", CONTENT),
        ("/file.bin.gz", ZIPPED),
    ],
    ids=["file", "below", "empty", "link", "zipped"],
)
def test_a_file_is_sent_with_its_length_and_its_checksum(server, path, content):
    status, head, body = ask(server, path)
    assert (status, body, head["Content-Length"]) == (200, content, str(len(content)))
    assert head["Repr-Digest"] == f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"
    assert head["ETag"].startswith('"')
    assert "Content-Encoding" not in head


def test_the_head_alone_is_sent_to_those_who_ask_for_it(server):
    status, head, body = ask(server, "/file.bin", "HEAD")
    assert (status, head["Content-Length"], body) == (200, str(len(CONTENT)), b"")


def test_a_zipped_neighbour_is_not_sent_instead_of_the_file(server):
    """What a client accepts decides nothing: the checksum is that of the file that was asked for."""
    _, head, body = ask(server, "/file.bin", Accept_Encoding="gzip, br")
    assert (body, head.get("Content-Encoding")) == (CONTENT, None)


def test_a_part_of_a_file_is_sent(server):
    status, head, body = ask(server, "/file.bin", Range="bytes=1000-")
    assert (status, body) == (206, CONTENT[1000:])
    assert head["Content-Range"] == f"bytes 1000-{len(CONTENT) - 1}/{len(CONTENT)}"
    assert base64.b64encode(hashlib.sha256(CONTENT).digest()).decode() in head["Repr-Digest"], "that of the whole"


def test_a_part_beyond_the_end_is_refused(server):
    assert ask(server, "/file.bin", Range=f"bytes={len(CONTENT)}-")[0] == 416


def test_a_part_goes_only_to_those_who_hold_parts_of_the_same_file(server):
    tag = ask(server, "/file.bin")[1]["ETag"]
    assert ask(server, "/file.bin", Range="bytes=1000-", If_Range=tag)[0] == 206
    for other in ('"another"', f"W/{tag}"):
        status, _, body = ask(server, "/file.bin", Range="bytes=1000-", If_Range=other)
        assert (status, body) == (200, CONTENT), other


def test_a_file_that_changes_has_another_tag_and_another_checksum(server, folder):
    path = folder / "changing"
    found = []
    for content in (b"old content", b"new content"):
        path.write_bytes(content)
        os.utime(path, ns=(0, len(found)))
        _, head, body = ask(server, "/changing")
        assert body == content
        assert base64.b64encode(hashlib.sha256(content).digest()).decode() in head["Repr-Digest"]
        found.append(head["ETag"])
    assert found[0] != found[1]


@pytest.mark.parametrize(
    "path",
    [
        "/../served-not/secret",
        "/%2e%2e/served-not/secret",
        "/..%2fserved-not%2fsecret",
        "/below/../../served-not/secret",
        "/%5c..%5cserved-not/secret",
        "//etc/hostname",
        "/%2fetc%2fhostname",
        "/link-out",
        "/folder-out/secret",
        "/ring",
        "/pipe",
        "/below",
        "/",
        "/none",
        "/file.bin%00",
        "/" + "x" * 5000,
    ],
    ids=lambda path: path[:30],
)
def test_nothing_outside_the_folder_and_nothing_but_files(server, path):
    """The neighbour's name begins like the folder's, so that comparing the names would let it pass."""
    status, _, body = ask(server, path)
    assert status in (400, 404)
    assert SECRET not in body


def test_a_path_in_full_that_leads_outside_is_refused(server, folder):
    status, _, body = ask(server, f"/{folder.parent}/served-not/secret")
    assert (status, SECRET in body) == (404, False)


def test_a_file_may_only_be_read(server):
    assert ask(server, "/file.bin", "DELETE")[0] == 405


# -- links -----------------------------------------------------------------------------------------------------------------


def test_each_link_counts_what_it_carries(server):
    before = server.passed()
    sock = socket.create_connection((HOST, urlsplit(server.urls[1]).port or 0), timeout=30)
    request = b"GET /file.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    with sock, sock.makefile("rb") as stream:
        sock.sendall(request)
        answer = stream.read()

    after = server.passed()
    assert answer.endswith(CONTENT)
    assert after[0] == before[0]
    assert tuple(now - then for now, then in zip(after[1], before[1], strict=True)) == (len(request), len(answer))


def test_requests_are_logged(server, log):
    ask(server, "/below/a%20b.bin?logged", Range="bytes=5-")
    assert "GET /below/a%20b.bin?logged bytes=5- 206" in log.read_text().splitlines()


def test_only_this_machine_is_listened_to(server):
    """Linux has all of 127.0.0.0/8 as its own: a server that listened everywhere would answer at 127.0.0.2."""
    for url in (*server.urls, server.direct_url):
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.2", urlsplit(url).port or 0), timeout=5)


# -- start and end ---------------------------------------------------------------------------------------------------------


def test_a_server_ends_with_the_block_that_started_it(tmp_path):
    with pytest.raises(ZeroDivisionError), serving(tmp_path) as running:
        raise ZeroDivisionError
    assert running.process.poll() == -signal.SIGKILL


def test_a_server_that_has_died_is_named_and_its_block_ends_well(tmp_path):
    """Asked again, too; what was asked of it is still in the pipe when the block ends."""
    with serving(tmp_path, [Link(1e6)]) as running:
        assert running.passed() == ((0, 0),)
        running.process.kill()
        running.process.wait()
        for _ in range(2):
            with pytest.raises(ServeError, match=r"^the server ended with status -9$"):
                running.passed()


def test_a_server_ends_with_the_process_that_started_it(tmp_path):
    """Killed, it could not end its child: the child finds its standard input closed."""
    code = f"""
import pathlib, time
from seeds.wire.serve import serving
with serving(pathlib.Path({str(tmp_path)!r})) as running:
    print(running.direct_url, flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        port = urlsplit(parent.stdout.readline().strip()).port or 0
        with socket.create_connection((HOST, port), timeout=60) as held:
            parent.kill()
            assert held.recv(1) == b"", "the end of the child closes what it holds"


def test_a_folder_that_is_none_is_refused(tmp_path):
    said = r"none is not served: the server ended with status 2; it said: .*none is no folder"
    with pytest.raises(ServeError, match=said), serving(tmp_path / "none"):
        pass


def test_a_port_in_use_is_refused(tmp_path):
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        said = rf"port {port} of {HOST} is not to be had \(.*in use.*\); allowed: a free one, or 0"
        with pytest.raises(ServeError, match=said), serving(tmp_path, [Link(1e6)], ports=[port]):
            pass


def test_a_server_that_is_not_ready_in_time_is_refused(tmp_path):
    with pytest.raises(ServeError, match=r"not ready within 0\.01 s"), serving(tmp_path, start_s=0.01):
        pass


def test_a_server_without_its_package_is_unavailable(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    monkeypatch.delitem(sys.modules, "seeds.wire.folder", raising=False)
    with pytest.raises(SubjectUnavailable, match=r"needs the package aiohttp: seeds\[cost\]"):
        asyncio.run(serve(tmp_path, []))


# -- by hand ---------------------------------------------------------------------------------------------------------------


def test_the_command_prints_its_addresses_and_ends_when_interrupted(folder):
    command = [sys.executable, "-m", "seeds.wire.serve", str(folder), "--bandwidth", "5Mbps", "--latency", "20ms"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        limited, direct = running.stdout.readline(), running.stdout.readline()
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0
    assert limited.startswith(f"http://{HOST}:")
    assert limited.endswith("/ over 5 Mbit/s, 20 ms\n")
    assert direct.endswith("/ over no link\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bandwidth", "5MBps"], "bandwidth '5MBps' is refused"),
        (["--bandwidth", "5Mbps", "--latency", "20"], "latency '20' is refused"),
        (["--latency", "20ms"], "0 times --bandwidth goes with as many --latency or none"),
        (["--port", "70000", "--bandwidth", "1Mbps"], "port 70000"),
    ],
    ids=["bandwidth", "latency", "alone", "port"],
)
def test_the_command_refuses_what_it_cannot_read(arguments, said, tmp_path):
    command = [sys.executable, "-m", "seeds.wire.serve", str(tmp_path), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
