"""A download that ends with the whole file or with a named error, and goes on where a broken connection left it.

    weights or seed -> serve -> link -> [download] -> bytes, seconds

Bytes are hashed while they come. Nothing stands under the file's name before its length and its SHA-256 are right. It asks
no proxy, follows no redirect, and knows nothing of links or of what the file holds. Needs httpx.
"""

import base64
import math
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from seeds.errors import SubjectUnavailable, WireError
from seeds.wire.part import Part

if TYPE_CHECKING:
    import httpx

HEADER_BYTES = 480  # of a request and the head of its answer, by this client and the server of `seeds.wire.serve`: 467 to 486
PATIENCE_S = 30.0
PAUSES_S = 0.05, 0.5  # between attempts: the first and the longest
VAIN = 3  # attempts at most that bring bytes, but none that was not there before


class DownloadError(WireError):
    """A download that cannot be made as it was asked for."""


class ServerGone(DownloadError):
    """Nothing moved for as long as the caller would wait."""


class BadAnswer(DownloadError):
    """An HTTP status, or a head, that announces no file."""


class WrongContent(DownloadError):
    """Another length, or another checksum, than was announced or asked for."""


class DiskError(DownloadError):
    """No room, or no right to write."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A whole file.

    Args:
        path: where it is.
        size_bytes: its size.
        received_bytes: of bodies, over all attempts; above the size where something came twice, below where an earlier
            download had left a part.
        elapsed_s: from the first attempt until the file had its name.
        resumed: how often the download went on from where it was.
        sha256: 64 hexadecimal digits.
    """

    path: Path
    size_bytes: int
    received_bytes: int
    elapsed_s: float
    resumed: int
    sha256: str


def download(
    url: str,
    path: str | Path,
    sha256: str | None = None,
    *,
    patience_s: float = PATIENCE_S,
    keep: bool = False,
    progress: bool = True,
) -> Downloaded:
    """Downloads a file; a broken connection is taken up again at its byte, and a file that changed from its first.

    Args:
        url: http:// or https://
        path: the file; its folder exists. What it held is replaced.
        sha256: 64 hexadecimal digits; by default what the server states in Repr-Digest, if anything.
        patience_s: how long nothing may move, above 0.
        keep: leave NAME.part if it fails, from which the next download of that name goes on (unless its bytes are wrong).
        progress: show the bytes and the time that remains, on a terminal.

    Raises:
        ServerGone: nothing moved for `patience_s`.
        BadAnswer: an HTTP status other than 200 and 206; no length.
        WrongContent: a wrong length or checksum.
        DiskError: the disk is full, or the folder cannot be written.
        DownloadError: an argument is out of its range.
        SubjectUnavailable: httpx is not installed.
    """
    try:
        import httpx
    except ImportError:
        raise SubjectUnavailable("a download needs the package httpx: seeds[cost]") from None
    path = Path(path)
    _check(url, sha256, patience_s)
    bar = tqdm(unit="B", unit_scale=True, desc=path.name, disable=None if progress else True)
    client = httpx.Client(trust_env=False, verify=url.startswith("https:"), timeout=patience_s)
    transfer = None
    try:
        with bar, client, Part(path, keep) as part:
            transfer = _Transfer(client, url, part, bar, patience_s, sha256 and sha256.lower())
            elapsed_s = transfer.run()
            return Downloaded(path, part.size_bytes, transfer.received_bytes, elapsed_s, transfer.resumed, part.sha256)
    except httpx.InvalidURL as error:
        raise DownloadError(f"{url!r} is no address: {error}") from None
    except OSError as error:
        size = f"{transfer.size_bytes:,} bytes; " if transfer and transfer.size_bytes else ""
        room = f" ({size}{shutil.disk_usage(path.parent).free:,} are free)" if path.parent.is_dir() else ""
        raise DiskError(f"{path} cannot be written: {error.strerror}{room}") from None


def _check(url: str, sha256: str | None, patience_s: float) -> None:
    if not re.match("https?://", url):
        raise DownloadError(f"{url!r} is no address; allowed: http:// and https://")
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise DownloadError(f"sha256 {sha256!r} is none; allowed: 64 hexadecimal digits")
    if not 0 < patience_s < math.inf:
        raise DownloadError(f"a patience of {patience_s} s is out of range: above 0 and finite")


@dataclass(slots=True, eq=False)
class _Transfer:
    """One download while it runs: the part that is there, and what the server says of the whole."""

    client: "httpx.Client"
    url: str
    part: Part
    bar: tqdm
    patience_s: float
    wanted: str | None  # the SHA-256 that was asked for
    stated: str | None = None  # the server's
    tag: str | None = None  # the strong ETag of the bytes that are there
    size_bytes: int | None = None
    received_bytes: int = 0
    resumed: int = 0
    inherited: bool = False  # whether an earlier download left bytes that are still there
    announced: bool = False  # whether the last attempt was answered with a file
    moved_s: float = field(default_factory=time.perf_counter)

    def run(self) -> float:
        """Until the file has its name; the seconds that took."""
        start_s, self.inherited = self.moved_s, self.part.size_bytes > 0
        try:
            self._fill()
            if self.inherited and self._expected() != self.part.sha256:  # what had been left was of another file
                self._forget()
                self._fill()
            if self._expected() != self.part.sha256:
                raise WrongContent(f"{self.url} has the SHA-256 {self.part.sha256}; allowed: {self._expected()}")
        except WrongContent:
            self.part.clear()
            raise
        self.part.finish()
        return time.perf_counter() - start_s

    def _expected(self) -> str:
        return self.wanted or self.stated or self.part.sha256

    def _forget(self) -> None:
        self.part.clear()
        self.stated = self.tag = self.size_bytes = None
        self.inherited = False

    def _fill(self) -> None:
        """Makes attempts until the part is as long as the whole."""
        furthest, vain, pause_s = self.part.size_bytes, 0, PAUSES_S[0]
        while True:
            before = self.received_bytes
            error = self._attempt()
            if self.part.size_bytes == self.size_bytes:
                return
            if self.part.size_bytes > furthest:
                furthest, vain, pause_s = self.part.size_bytes, 0, PAUSES_S[0]
            elif self.received_bytes > before:
                vain += 1
            self._judge(error, furthest, vain)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSES_S[1])

    def _judge(self, error: "httpx.TransportError | None", furthest: int, vain: int) -> None:
        """Says whether another attempt makes sense."""
        import httpx

        silent_s = time.perf_counter() - self.moved_s
        if vain < VAIN and silent_s < self.patience_s:
            return
        so_far = f"{furthest:,} of {'an unknown number of' if self.size_bytes is None else f'{self.size_bytes:,}'} bytes"
        if self.announced and not isinstance(error, httpx.TimeoutException):
            raise WrongContent(f"{self.url} ends after {so_far}; allowed: all of them")
        why = error or "no bytes came"
        raise ServerGone(f"{self.url} sent nothing for {silent_s:.1f} s after {so_far}; allowed: {self.patience_s:g} s ({why})")

    def _attempt(self) -> "httpx.TransportError | None":
        """Takes what comes until it ends, or tells how it broke."""
        import httpx

        self.announced = False
        try:
            with self.client.stream("GET", self.url, headers=self._asked()) as answer:
                self.announced = self._announced(answer)
                for chunk in answer.iter_raw() if self.announced else ():
                    self.part.write(chunk)
                    self.received_bytes += len(chunk)
                    self.moved_s = time.perf_counter()
                    self.bar.update(len(chunk))
        except httpx.TransportError as error:
            return error
        return None

    def _asked(self) -> dict[str, str]:
        asked = {"Accept-Encoding": "identity"}
        if held := self.part.size_bytes:
            asked["Range"] = f"bytes={held}-"
            if self.tag:
                asked["If-Range"] = self.tag
        return asked

    def _announced(self, answer: "httpx.Response") -> bool:
        """Reads the head; False where no bytes go on from those that are there: these are all, or are then forgotten."""
        held = self.part.size_bytes
        if answer.status_code not in ((200, 206, 416) if held else (200,)):
            raise BadAnswer(f"{self.url} answers {answer.status_code} {answer.reason_phrase}; allowed: 200, and 206 to go on")
        head = _Head.of(answer)
        if self.wanted and head.sha256 and head.sha256 != self.wanted:
            raise WrongContent(f"{self.url} has the SHA-256 {head.sha256}; allowed: {self.wanted}")
        if answer.status_code != 200 and not (head.start == held and self._same(head)):
            self._forget()
            return False
        if answer.status_code == 200:
            self._forget()
        self.resumed += answer.status_code == 206
        if head.size_bytes is None:
            raise BadAnswer(f"{self.url} does not tell how long it is; allowed: a Content-Length")
        self.stated, self.tag, self.size_bytes = head.sha256, head.tag, head.size_bytes
        self.part.require(head.size_bytes - self.part.size_bytes)
        self.bar.total, self.bar.n = head.size_bytes, self.part.size_bytes
        return answer.status_code != 416  # all of it is there: only its checksum is to be looked at

    def _same(self, head: "_Head") -> bool:
        """Whether a part is of the file whose first bytes are there. Where no ETag tells, a checksum has to be able to."""
        if self.size_bytes not in (None, head.size_bytes):
            return False
        return head.tag == self.tag if self.tag else bool(self.wanted or head.sha256)


@dataclass(frozen=True, slots=True)
class _Head:
    """What the head of an answer says of the whole file, and the byte at which its body starts: the end, if it has no more."""

    start: int
    size_bytes: int | None
    tag: str | None
    sha256: str | None

    @classmethod
    def of(cls, answer: "httpx.Response") -> "_Head":
        headers = answer.headers
        start, size = "0", headers.get("Content-Length", "")
        if part := re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+)", headers.get("Content-Range", "")):
            start, size = part[1] or part[2], part[2]
        tag = headers.get("ETag", "")
        digest = re.search(r"sha-256=:([A-Za-z0-9+/]{43}=):", headers.get("Repr-Digest", ""))
        return cls(
            start=int(start),
            size_bytes=int(size) if re.fullmatch(r"\d+", size) else None,
            tag=tag if tag.startswith('"') else None,  # a weak one, W/"...", is shared by files that differ
            sha256=base64.b64decode(digest[1]).hex() if digest else None,
        )
