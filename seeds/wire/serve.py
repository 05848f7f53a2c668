"""An HTTP server of one folder in a process of its own, directly and over limited links.

    weights or seed -> [serve] -> link -> download -> bytes, seconds

`python -m seeds.wire.serve FOLDER --bandwidth 5Mbps --latency 20ms` prints the addresses and serves until it is stopped.
Answers carry an ETag and the file's SHA-256 (Repr-Digest, RFC 9530); parts of files are sent on request (Range, If-Range).
It listens on this machine only, and serves nothing outside the folder. It knows nothing of what the files hold.
"""

import argparse
import asyncio
import itertools
import json
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from seeds.errors import SubjectUnavailable, WireError
from seeds.wire.link import HOST, Link, Relay, bandwidth, latency

ROOT = Path(__file__).parents[2]
START_S = 60.0  # for a process to start, its libraries to be read and the folder's files to be hashed
REFUSED = 2  # exit status


class ServeError(WireError):
    """A server that cannot start: no such folder, a port in use, a process that ended."""


class Passed(NamedTuple):
    """Bytes that a link has carried, headers among them."""

    to_server: int
    to_client: int


@dataclass(frozen=True, slots=True, eq=False)
class Serving:
    """A running server: the address over each link, in the order in which they were given, and one without a link."""

    process: subprocess.Popen[str]
    urls: tuple[str, ...]
    direct_url: str

    def passed(self) -> tuple[Passed, ...]:
        """What each link has carried until now.

        Raises:
            ServeError: the server has ended; the message holds its status.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        told = ""
        with suppress(BrokenPipeError):
            print(file=self.process.stdin, flush=True)
            told = self.process.stdout.readline()
        if not told:
            raise ServeError(f"the server ended with status {self.process.wait()}")
        return tuple(Passed(*counts) for counts in json.loads(told))


@contextmanager
def serving(
    folder: Path, links: Sequence[Link] = (), *, ports: Sequence[int] = (), log: Path | None = None, start_s: float = START_S
) -> Iterator[Serving]:
    """Serves a folder from a child process, which is killed at the end.

    Args:
        folder: its files are hashed before the first is served.
        links: each has an address of its own, and its bandwidth is shared by all who use that.
        ports: one for each link; free ones by default.
        log: a file to which the child writes a line for each request: method, path, Range, status.
        start_s: seconds that the start may take.

    Raises:
        ServeError: it did not start; the message holds what the child said last.
    """
    command = [sys.executable, "-m", "seeds.wire.serve", str(Path(folder).resolve()), "--attached"]
    for link in links:
        command += ["--bandwidth", f"{link.bandwidth_bps!r}bps", "--latency", f"{link.latency_s!r}s"]
    for port in ports:
        command += ["--port", str(port)]
    with ExitStack() as stack:
        errors = stack.enter_context(log.open("a+") if log else tempfile.TemporaryFile("w+"))  # noqa: SIM115 (it is one)
        pipe = subprocess.PIPE
        child = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=errors, text=True)
        stack.enter_context(child)
        stack.callback(_end, child)
        try:
            *urls, direct_url = _addresses(child, len(links) + 1, start_s)
        except ServeError as error:
            errors.seek(0)
            said = errors.read().strip().splitlines()[-1:] or ["nothing"]
            raise ServeError(f"{folder} is not served: {error}; it said: {said[0]}") from None
        yield Serving(child, tuple(urls), direct_url)


def _end(child: subprocess.Popen[str]) -> None:
    assert child.stdin
    child.kill()
    with suppress(BrokenPipeError):  # a question that a dead server has not read
        child.stdin.close()


def _addresses(child: subprocess.Popen[str], count: int, start_s: float) -> list[str]:
    assert child.stdout
    timer = threading.Timer(start_s, child.kill)
    timer.start()
    try:
        lines = list(itertools.islice(child.stdout, count))
    finally:
        timer.cancel()
    if len(lines) == count:
        return [line.split()[0] for line in lines]
    if (status := child.wait()) < 0:
        raise ServeError(f"the server was not ready within {start_s:g} s, or was killed")
    raise ServeError(f"the server ended with status {status}")


# -- the child -------------------------------------------------------------------------------------------------------------


def main() -> int:
    """Serves a folder until it is stopped."""
    parser = argparse.ArgumentParser(prog="python -m seeds.wire.serve", description="Serves a folder over limited links.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bandwidth", action="append", default=[], help="of a link, as in 56kbps or 5Mbps (repeatable)")
    parser.add_argument("--latency", action="append", default=[], help="its round trip, as in 20ms (one for each bandwidth)")
    parser.add_argument("--port", action="append", type=int, default=[], help="of each link (default: free ones)")
    parser.add_argument("--attached", action="store_true", help="end with the standard input; a line there asks for counts")
    options = parser.parse_args()
    try:
        asyncio.run(serve(options.folder, _links(options), options.port, options.attached))
    except (WireError, SubjectUnavailable) as error:
        print(error, file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        pass
    return 0


def _links(options: argparse.Namespace) -> list[Link]:
    latencies = options.latency or ["0ms"] * len(options.bandwidth)
    if len(latencies) != len(options.bandwidth) or len(options.port) > len(latencies):
        raise ServeError(f"{len(options.bandwidth)} times --bandwidth goes with as many --latency or none, and --port at most")
    return [Link(bandwidth(bits), latency(trip)) for bits, trip in zip(options.bandwidth, latencies, strict=True)]


async def serve(folder: Path, links: Sequence[Link], ports: Sequence[int] = (), attached: bool = False) -> None:
    """Serves a folder and prints an address for each link, then one without a link, until it is cancelled.

    Raises:
        ServeError: the folder is none, or a port is in use.
        SubjectUnavailable: aiohttp is not installed.
    """
    if not folder.is_dir():
        raise ServeError(f"{folder} is no folder")
    with ExitStack() as held:
        chosen = [*ports, *(0 for _ in links)][: len(links)]
        *listeners, direct = (held.enter_context(_listener(port)) for port in (*chosen, 0))
        await _start(folder, direct)
        relays = [Relay(link, direct.getsockname()[1]) for link in links]
        for listener, said in zip((*listeners, direct), (*map(str, links), "no link"), strict=True):
            print(f"http://{HOST}:{listener.getsockname()[1]}/ over {said}", flush=True)
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(relay.run(listener)) for relay, listener in zip(relays, listeners, strict=True)]
            await (_answer(relays) if attached else asyncio.Event().wait())
            for task in running:
                task.cancel()


async def _start(folder: Path, listener: socket.socket) -> None:
    try:
        from aiohttp import web

        from seeds.wire.folder import application
    except ImportError:
        raise SubjectUnavailable("a server needs the package aiohttp: seeds[cost]") from None
    runner = web.AppRunner(application(folder), access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener).start()


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        raise ServeError(f"port {port} of {HOST} is not to be had ({error}); allowed: a free one, or 0 for any") from None


async def _answer(relays: Sequence[Relay]) -> None:
    """Writes what the relays have passed for every line of the standard input, until that ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        print(json.dumps([(relay.to_server.passed_bytes, relay.to_client.passed_bytes) for relay in relays]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
