"""The limited link on a clock that only the test moves: bucket and relay are exact there. On the real one: test_link_speed.

weights or seed -> serve -> [link] -> download -> bytes, seconds
"""

import asyncio
import math
import selectors
import socket
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeds.wire.link import HOST, PACKET_BYTES, Link, LinkError, Relay, TokenBucket, bandwidth, latency

START_S = 1000.0
BANDWIDTH_BPS = 2.0**20  # with it every time below is a whole number of millionths of a binary second, and exact
PACKET_S = 8 * PACKET_BYTES / BANDWIDTH_BPS
LATENCY_S = 0.25
REQUEST = bytes(1024)


# -- a bandwidth and a latency ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("56kbps", 56e3),
        ("5Mbps", 5e6),
        ("5 Mbit/s", 5e6),
        (" 2.5Mbps ", 2.5e6),
        ("1Gbps", 1e9),
        ("300bps", 300),
        ("1e3bit/s", 1e3),
    ],
)
def test_a_bandwidth_is_read(text, bits):
    assert bandwidth(text) == bits


@pytest.mark.parametrize(
    "text", ["", "5", "Mbps", "5MB/s", "5MBps", "5mbps", "-5Mbps", "0Mbps", "1.2.3Mbps", "nanbps", "1e999bps"]
)
def test_a_bandwidth_that_is_none_is_refused(text):
    with pytest.raises(LinkError, match=r"bandwidth '.*' is refused; allowed: .*5Mbps"):
        bandwidth(text)


@pytest.mark.parametrize(("text", "seconds"), [("20ms", 0.02), ("0.5s", 0.5), ("0ms", 0.0), ("1 s", 1.0)])
def test_a_latency_is_read(text, seconds):
    assert latency(text) == seconds


@pytest.mark.parametrize("text", ["", "20", "-20ms", "20us", "infs", "1e999s"])
def test_a_latency_that_is_none_is_refused(text):
    with pytest.raises(LinkError, match=r"latency '.*' is refused; allowed: .*20ms"):
        latency(text)


@pytest.mark.parametrize(
    "figures", [(0, 0), (-1, 0), (math.inf, 0), (math.nan, 0), (1e6, -0.1), (1e6, math.inf), (1e6, math.nan)]
)
def test_a_link_that_cannot_be_is_refused(figures):
    with pytest.raises(LinkError, match="is out of range"):
        Link(*figures)


@given(st.floats(1, 1e12), st.floats(0, 10))
def test_what_a_link_prints_can_be_read_back(bits, trip):
    shown = str(Link(bits, trip)).split(", ")
    assert bandwidth(shown[0]) == pytest.approx(bits, rel=1e-5)  # six digits are shown
    assert latency(shown[1]) == pytest.approx(trip, rel=1e-5)


# -- the bucket ------------------------------------------------------------------------------------------------------------


def test_a_transfer_takes_exactly_its_bits_divided_by_the_bandwidth():
    bucket = TokenBucket(BANDWIDTH_BPS)
    due = [bucket.take(PACKET_BYTES, START_S) for _ in range(100)]
    assert due == [START_S + sent * PACKET_S for sent in range(1, 101)]
    assert bucket.passed_bytes == 100 * PACKET_BYTES


def test_a_link_that_was_idle_saves_nothing():
    bucket = TokenBucket(BANDWIDTH_BPS)
    bucket.take(PACKET_BYTES, START_S)
    later = START_S + 100 * PACKET_S
    assert bucket.take(PACKET_BYTES, later) == later + PACKET_S


@given(st.lists(st.tuples(st.integers(0, 10_000), st.floats(0, 1)), min_size=1, max_size=30))
def test_no_bytes_are_ever_ahead_of_the_link(pieces):
    """Over every stretch between two dues no more has passed than fits into it, whoever sent it and whenever it was ready."""
    bucket = TokenBucket(BANDWIDTH_BPS)
    due = [bucket.take(size, START_S + ready_s) for size, ready_s in pieces]
    starts = [end - 8 * size / BANDWIDTH_BPS for end, (size, _) in zip(due, pieces, strict=True)]
    slack = 1e-12 * START_S  # a rounding of the last digit, in each of 30 sums
    assert all(start >= START_S + ready_s - slack for start, (_, ready_s) in zip(starts, pieces, strict=True))
    assert all(later >= earlier - slack for earlier, later in zip(due, starts[1:], strict=False))


# -- the relay, on a clock that moves only when everybody waits -----------------------------------------------------------


class Waits(selectors.SelectSelector):
    """Waits for nothing: where no socket is ready the clock moves to the next timer, and `late_s` beyond."""

    now_s, late_s = START_S, 0.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready and timeout != 0:
            assert timeout is not None, "everybody waits for somebody else"
            self.now_s += timeout + self.late_s
        return ready


class FakeTime(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clock = Waits()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now_s


def now() -> float:
    return asyncio.get_running_loop().time()


def on_fake_time(todo: Coroutine, late_s: float = 0.0):
    with asyncio.Runner(loop_factory=FakeTime) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, FakeTime)
        loop.clock.late_s = late_s
        return runner.run(todo)


class Call:
    """A client and a server on both sides of a relay."""

    def __init__(self, relay: Relay) -> None:
        self.client, self._near = socket.socketpair()
        self._far, self.server = socket.socketpair()
        for end in self.ends:
            end.setblocking(False)
        self.carried = asyncio.ensure_future(relay.carry(self._near, self._far))

    @property
    def ends(self) -> tuple[socket.socket, ...]:
        return self.client, self._near, self._far, self.server

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        self.carried.cancel()
        await asyncio.wait([self.carried])
        for end in self.ends:
            end.close()

    async def request(self, answer_bytes: int) -> list[tuple[float, int]]:
        """The times at which a part of the answer came, and how much had come by then."""
        loop = asyncio.get_running_loop()
        answering = asyncio.ensure_future(self.answer(answer_bytes))
        await loop.sock_sendall(self.client, REQUEST)
        arrived, size = [], 0
        while size < answer_bytes:
            size += len(await loop.sock_recv(self.client, 1 << 20))
            arrived.append((loop.time(), size))
        await answering
        return arrived

    async def answer(self, answer_bytes: int) -> None:
        loop = asyncio.get_running_loop()
        asked = 0
        while asked < len(REQUEST):
            asked += len(await loop.sock_recv(self.server, 1 << 20))
        await loop.sock_sendall(self.server, bytes(answer_bytes))


def test_a_relayed_answer_arrives_at_exactly_the_time_of_the_link():
    """Handshake, request, latency, and then packet by packet at the bandwidth; and every byte is counted."""
    link = Link(BANDWIDTH_BPS, LATENCY_S)
    relay = Relay(link, 0)
    size = 40 * PACKET_BYTES + 100

    async def get() -> list[tuple[float, int]]:
        async with Call(relay) as call:
            return await call.request(size)

    arrived = on_fake_time(get())
    assert [size for _, size in arrived] == [*range(PACKET_BYTES, size, PACKET_BYTES), size]
    assert [moment for moment, _ in arrived] == [START_S + link.seconds(part, len(REQUEST)) for _, part in arrived]
    assert (relay.to_server.passed_bytes, relay.to_client.passed_bytes) == (len(REQUEST), size)


def test_a_second_request_pays_no_handshake_and_finds_no_savings():
    link = Link(BANDWIDTH_BPS, LATENCY_S)

    async def get() -> float:
        async with Call(Relay(link, 0)) as call:
            await call.request(PACKET_BYTES)
            await asyncio.sleep(100)
            start_s = now()
            await call.request(20 * PACKET_BYTES)
            return now() - start_s

    assert on_fake_time(get()) == link.seconds(20 * PACKET_BYTES, len(REQUEST)) - LATENCY_S


@pytest.mark.parametrize("calls", [2, 5])
def test_connections_share_one_bandwidth(calls):
    """Each has its share all the time, and together they take as long as one after the other."""
    size = 20 * PACKET_BYTES

    async def get() -> list[float]:
        relay = Relay(Link(BANDWIDTH_BPS), 0)
        async with AsyncExitStack() as stack:
            opened = [await stack.enter_async_context(Call(relay)) for _ in range(calls)]
            arrived = await asyncio.gather(*(call.request(size) for call in opened))
        return sorted(arrivals[-1][0] - START_S for arrivals in arrived)

    seconds = on_fake_time(get())
    asked_s = 8 * len(REQUEST) / BANDWIDTH_BPS
    assert calls * 20 * PACKET_S <= seconds[-1] - asked_s <= calls * 20 * PACKET_S + calls * asked_s
    assert seconds[-1] - seconds[0] <= calls * (PACKET_S + asked_s), "one of them was preferred"


@pytest.mark.parametrize("late_s", [0.001, 0.05, 1.0])
def test_a_relay_that_wakes_late_catches_up_and_is_never_ahead(late_s):
    """Lateness does not add up over the packets: it counts once for each step of the way there and back."""
    link = Link(BANDWIDTH_BPS, LATENCY_S)
    size = 100 * PACKET_BYTES

    async def get() -> list[tuple[float, int]]:
        async with Call(Relay(link, 0)) as call:
            return await call.request(size)

    arrived = on_fake_time(get(), late_s)
    assert all(moment >= START_S + link.seconds(part, len(REQUEST)) for moment, part in arrived)
    assert arrived[-1][0] <= START_S + link.seconds(size, len(REQUEST)) + 5 * late_s


def test_a_client_that_takes_nothing_does_not_get_that_time_back():
    """What fits into its buffers has passed; the rest passes at the bandwidth, from when it takes bytes again."""
    size = 4 << 20
    relay = Relay(Link(BANDWIDTH_BPS, LATENCY_S), 0)

    async def get() -> tuple[float, int]:
        loop = asyncio.get_running_loop()
        async with Call(relay) as call:
            answering = asyncio.ensure_future(call.answer(size))
            await loop.sock_sendall(call.client, REQUEST)
            await asyncio.sleep(1000)
            start_s, passed, got = loop.time(), relay.to_client.passed_bytes, 0
            while got < size:
                got += len(await loop.sock_recv(call.client, 1 << 20))
            await answering
            return loop.time() - start_s, passed

    seconds, passed = on_fake_time(get())
    assert passed < size / 2, "the client's buffers held it all: nothing is shown"
    assert seconds >= 8 * (size - passed) / BANDWIDTH_BPS


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_side_that_leaves_ends_the_call(side):
    """The other one finds the end of the stream, and the relay is free."""

    async def leave() -> bytes:
        loop = asyncio.get_running_loop()
        async with Call(Relay(Link(BANDWIDTH_BPS, LATENCY_S), 0)) as call:
            await call.request(PACKET_BYTES)
            other = call.server if side == "client" else call.client
            (call.client if side == "client" else call.server).close()
            left = await loop.sock_recv(other, 1)
            other.close()
            await call.carried
            return left

    assert on_fake_time(leave()) == b""


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_side_that_breaks_off_ends_the_call(side):
    """In the middle of an answer; the bytes under way are lost, and nothing is raised."""

    async def break_off() -> int:
        loop = asyncio.get_running_loop()
        async with Call(Relay(Link(BANDWIDTH_BPS, LATENCY_S), 0)) as call:
            answering = asyncio.ensure_future(call.answer(4 << 20))
            await loop.sock_sendall(call.client, REQUEST)
            first = await loop.sock_recv(call.client, 1 << 20)
            answering.cancel()
            await asyncio.wait([answering])
            (call.client if side == "client" else call.server).close()
            if side == "server":
                while await loop.sock_recv(call.client, 1 << 20):
                    pass
                call.client.close()
            await call.carried
            return len(first)

    assert on_fake_time(break_off()) == PACKET_BYTES


def test_a_connection_to_a_server_that_is_gone_is_closed():
    async def connect() -> bytes:
        with socket.create_server((HOST, 0)) as gone, socket.create_server((HOST, 0)) as listener:
            port = gone.getsockname()[1]
            gone.close()
            running = asyncio.ensure_future(Relay(Link(1e9), port).run(listener))
            reader, writer = await asyncio.open_connection(HOST, listener.getsockname()[1])
            left = await reader.read()
            writer.close()
            assert not running.done(), "one connection has ended them all"
            running.cancel()
            return left

    assert asyncio.run(connect()) == b""
