"""A limited link between a server and a client on this machine: a bandwidth, a latency, and a relay that keeps to both.

    weights or seed -> serve -> [link] -> download -> bytes, seconds

The relay shapes every byte of the TCP stream, headers among them. It leaves out packet loss, slow start, the headers of TCP
and IP, and encryption: each would make a real link slower, so this one flatters downloads. It knows nothing of HTTP.
"""

import asyncio
import math
import re
import socket
from dataclasses import dataclass, field

from seeds.errors import WireError

PACKET_BYTES = 1460  # what one Ethernet frame carries of a TCP stream
QUANTUM_S = 0.004  # of the link's time per piece: smooth, and long enough for a loop in Python
LARGEST_BYTES = 256 * 1024  # of a piece
HOST = "127.0.0.1"

PREFIXES = {"G": 1e9, "M": 1e6, "k": 1e3, "": 1.0}
NUMBER = r"(\d+\.?\d*(?:e[+-]?\d+)?)"


class LinkError(WireError):
    """A bandwidth or a latency that no link has, or that cannot be read."""


def bandwidth(text: str) -> float:
    """Bits per second from "56kbps", "5Mbps", "5 Mbit/s" or "1Gbps". A capital B would be bytes, and is refused.

    Raises:
        LinkError: the text is none of these, or the figure is not above 0.
    """
    found = re.fullmatch(NUMBER + r"\s*([kMG]?)(?:bps|bit/s)", text.strip())
    value = float(found[1]) * PREFIXES[found[2]] if found else math.nan
    if not 0 < value < math.inf:
        raise LinkError(f"bandwidth {text!r} is refused; allowed: bits per second above 0, as in 56kbps, 5Mbps, 1 Gbit/s")
    return value


def latency(text: str) -> float:
    """Seconds of a round trip from "20ms" or "0.5s".

    Raises:
        LinkError: the text is neither.
    """
    found = re.fullmatch(NUMBER + r"\s*(m?)s", text.strip())
    value = float(found[1]) / (1e3 if found[2] else 1) if found else math.nan
    if not 0 <= value < math.inf:
        raise LinkError(f"latency {text!r} is refused; allowed: a round trip of 0 or more, as in 20ms, 0.5s")
    return value


@dataclass(frozen=True, slots=True)
class Link:
    """Each direction has the whole bandwidth for itself, and all connections share it.

    Args:
        bandwidth_bps: bits per second, above 0.
        latency_s: of a round trip, 0 or more: a byte arrives half of it after it was sent.

    Raises:
        LinkError: a figure is out of its range.
    """

    bandwidth_bps: float
    latency_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.bandwidth_bps < math.inf:
            raise LinkError(f"a bandwidth of {self.bandwidth_bps} bit/s is out of range: above 0 and finite")
        if not 0 <= self.latency_s < math.inf:
            raise LinkError(f"a latency of {self.latency_s} s is out of range: 0 or more and finite")

    def __str__(self) -> str:
        prefix, unit = next(((p, u) for p, u in PREFIXES.items() if self.bandwidth_bps >= u), ("", 1.0))
        return f"{self.bandwidth_bps / unit:g} {prefix}bit/s, {1e3 * self.latency_s:g} ms"

    @property
    def piece_bytes(self) -> int:
        """What the relay passes at a time: a packet on a slow link, some milliseconds' worth on a fast one."""
        return min(LARGEST_BYTES, max(PACKET_BYTES, int(self.bandwidth_bps * QUANTUM_S / 8)))

    def seconds(self, size_bytes: int, header_bytes: int = 0) -> float:
        """The time of one GET on a new connection, where client and server take no time of their own.

        A round trip for the handshake, one for the request and its answer, and every bit at the full bandwidth.

        Args:
            size_bytes: of the body.
            header_bytes: of the request and the head of its answer together: they pass one after the other.
        """
        return 2 * self.latency_s + 8 * (size_bytes + header_bytes) / self.bandwidth_bps


class TokenBucket:
    """One direction of a link: tells when bytes have passed. It has no clock; its callers wait.

    It starts empty and saves nothing while the link is idle, so that no bytes are ever ahead of the link. Bytes that waited
    while their sender woke late still pass in the time that was theirs: the sender catches up.
    """

    def __init__(self, bandwidth_bps: float) -> None:
        self.passed_bytes = 0
        self._bandwidth_bps, self._free_s = bandwidth_bps, -math.inf

    def take(self, size_bytes: int, ready_s: float) -> float:
        """When the last of these bytes has passed, which are ready to be sent since `ready_s`."""
        self.passed_bytes += size_bytes
        self._free_s = max(self._free_s, ready_s) + 8 * size_bytes / self._bandwidth_bps
        return self._free_s


class Relay:
    """Passes TCP connections on to a server of this machine, no faster than the link.

    `to_server` and `to_client` count the bytes that passed.
    """

    def __init__(self, link: Link, server_port: int) -> None:
        self.link = link
        self.to_server, self.to_client = TokenBucket(link.bandwidth_bps), TokenBucket(link.bandwidth_bps)
        self._server_port = server_port

    async def run(self, listener: socket.socket) -> None:
        """Passes on every connection that the listener accepts, until it is cancelled."""
        listener.setblocking(False)
        async with asyncio.TaskGroup() as group:
            while True:
                client, _ = await asyncio.get_running_loop().sock_accept(listener)
                group.create_task(self._connect(client))

    async def _connect(self, client: socket.socket) -> None:
        with client, socket.socket() as server:
            server.setblocking(False)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                await asyncio.get_running_loop().sock_connect(server, (HOST, self._server_port))
            except OSError:
                return  # the client finds its connection closed
            await self.carry(client, server)

    async def carry(self, client: socket.socket, server: socket.socket) -> None:
        """Passes bytes both ways until each side has ended, or one is broken."""
        opened_s = asyncio.get_running_loop().time() + self.link.latency_s  # the handshake
        to_server = _Way(client, server, self.to_server, self.link, opened_s)
        to_client = _Way(server, client, self.to_client, self.link, opened_s)
        try:
            async with asyncio.TaskGroup() as group:
                for way in (to_server, to_client):
                    group.create_task(way.send())
                    group.create_task(way.deliver())
        except* OSError:
            pass  # one side is gone: the sockets are closed, and the other side finds out


@dataclass(slots=True, eq=False)
class _Way:
    """One direction of one connection: a sender that waits for the bucket, and bytes under way.

    Bytes are ready when they come, when those before them have passed, and when the receiver takes any. Of these the latest
    counts, and never the moment at which this process got to them.
    """

    source: socket.socket
    sink: socket.socket
    bucket: TokenBucket
    link: Link
    ready_s: float
    under_way: asyncio.Queue[tuple[float, bytes]] = field(default_factory=asyncio.Queue)
    taking: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self) -> None:
        loop = asyncio.get_running_loop()
        self.taking.set()
        while True:
            await self.taking.wait()
            try:
                piece = self.source.recv(self.link.piece_bytes)  # waited already
            except BlockingIOError:
                piece = await loop.sock_recv(self.source, self.link.piece_bytes)
                self.ready_s = max(self.ready_s, loop.time())
            self.ready_s = self.bucket.take(len(piece), self.ready_s)
            await _until(self.ready_s)
            self.under_way.put_nowait((self.ready_s + self.link.latency_s / 2, piece))
            if not piece:
                return

    async def deliver(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            arrival_s, piece = await self.under_way.get()
            await _until(arrival_s)
            if not piece:
                return self.sink.shutdown(socket.SHUT_WR)
            try:
                sent = self.sink.send(piece)
            except BlockingIOError:
                sent = 0
            if sent < len(piece):
                self.taking.clear()
                await loop.sock_sendall(self.sink, piece[sent:])
                self.ready_s = max(self.ready_s, loop.time())
                self.taking.set()


async def _until(moment_s: float) -> None:
    """Lets others run once, and returns at that moment or later."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0)
    while (wait_s := moment_s - loop.time()) > 0:
        await asyncio.sleep(wait_s)
