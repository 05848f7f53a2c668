"""The slow link of the benchmarks: exact on a clock that only the test moves, never too fast on the real one."""

import random
import time

import pytest
from tests.test_benchmarks import download

from tests.link import PACKET_BYTES, TokenBucket, slow_link

START_S = 1000.0
BANDWIDTH_BPS = 2.0**20  # with packets of 1,024 bytes every time below is a sum of powers of two, and exact
PACKET = 1024
PACKET_S = 8 * PACKET / BANDWIDTH_BPS


class FakeClock:
    """A clock that moves when someone sleeps, and then by `late_s` too far."""

    def __init__(self, late_s: float = 0.0) -> None:
        self.now_s, self.late_s = START_S, late_s

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, wait_s: float) -> None:
        self.now_s += wait_s + self.late_s


def test_a_transfer_takes_exactly_its_bits_divided_by_the_bandwidth():
    clock = FakeClock()
    bucket = TokenBucket(BANDWIDTH_BPS, clock, clock.sleep)

    for sent in range(1, 101):
        bucket.take(PACKET)
        assert clock.now_s - START_S == sent * PACKET_S


@pytest.mark.parametrize("late_packets", [0.25, 1.0, 7.5])
def test_a_sender_that_wakes_late_catches_up_but_never_runs_ahead(late_packets):
    """Lateness does not add up over the packets: the whole transfer is late once, by no more than one sleep."""
    clock = FakeClock(late_packets * PACKET_S)
    bucket = TokenBucket(BANDWIDTH_BPS, clock, clock.sleep)

    for sent in range(1, 101):
        bucket.take(PACKET)
        assert sent * PACKET_S <= clock.now_s - START_S <= sent * PACKET_S + clock.late_s


def test_a_sender_that_pauses_by_itself_may_use_the_time_it_lost():
    clock = FakeClock()
    bucket = TokenBucket(BANDWIDTH_BPS, clock, clock.sleep)
    clock.now_s += 10 * PACKET_S

    bucket.take(10 * PACKET)
    assert clock.now_s - START_S == 10 * PACKET_S
    bucket.take(PACKET)
    assert clock.now_s - START_S == 11 * PACKET_S


def test_a_real_download_is_complete_and_never_faster_than_the_link(tmp_path, record_property):
    """Two at once are not faster than one. No upper bound on the time: a busy machine may take as long as it likes."""
    path = tmp_path / "file.bin"
    path.write_bytes(random.Random(0).randbytes(40 * PACKET_BYTES + 100))
    expected_s = 8 * path.stat().st_size / 1e6

    with slow_link(path, bandwidth_bps=1e6) as url:
        start = time.perf_counter()
        content = download(url)
        elapsed_s = time.perf_counter() - start

    assert content == path.read_bytes()
    assert elapsed_s >= 0.98 * expected_s, f"{expected_s / elapsed_s:.3f} times the bandwidth that was set"
    record_property("bandwidth_share", expected_s / elapsed_s)
