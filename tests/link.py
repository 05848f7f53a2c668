"""A slow link: a local HTTP server that sends one file at a set bandwidth.

Downloads are measured, not computed, so that connection, headers and the client's own work count as they would. The bits
of the body are limited; latency, packet loss and the headers (some 150 bytes) are not simulated, which flatters the link.
"""

import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PACKET_BYTES = 1460  # what one Ethernet frame carries of a TCP stream


class TokenBucket:
    """Lets bytes pass at a set bandwidth. It starts empty, so that at no moment more has passed than the link allows.

    A sender that the machine woke late finds the tokens of that time in the bucket and catches up.

    Args:
        bandwidth_bps: bits per second, above 0.
        clock: seconds, never backwards.
        sleep: waits about that many seconds.
    """

    def __init__(
        self,
        bandwidth_bps: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._bandwidth_bps, self._clock, self._sleep = bandwidth_bps, clock, sleep
        self._passed_bits = 0
        self._start = clock()

    def take(self, size_bytes: int) -> None:
        """Returns when that many more bytes may have passed."""
        self._passed_bits += 8 * size_bytes
        due = self._start + self._passed_bits / self._bandwidth_bps
        while (wait_s := due - self._clock()) > 0:
            self._sleep(wait_s)


@contextmanager
def slow_link(path: Path, bandwidth_bps: float) -> Iterator[str]:
    """Serves one file over HTTP on this machine and gives its URL; each download has a bucket of its own."""
    content = path.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            bucket = TokenBucket(bandwidth_bps)
            for start in range(0, len(content), PACKET_BYTES):
                packet = content[start : start + PACKET_BYTES]
                bucket.take(len(packet))
                self.wfile.write(packet)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is http.server's)
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{path.name}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def download(url: str) -> bytes:
    """The whole body, by a plain client that asks no proxy."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url) as response:
        return response.read()
