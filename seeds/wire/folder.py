"""A folder as a web application: its files, their SHA-256, and parts of them.

    weights or seed -> [folder: serve] -> link -> download -> bytes, seconds

Needs aiohttp. Nothing outside the folder is served: neither by `..`, nor by an absolute path, nor through a symbolic link.
"""

import asyncio
import base64
import functools
import hashlib
import sys
from pathlib import Path

from aiohttp import hdrs, web


def application(root: Path) -> web.Application:
    """The files of a folder by their paths, each of them hashed already.

    An answer carries the SHA-256 of the whole file (Repr-Digest, RFC 9530), an ETag and Last-Modified. Every request is a
    line on the standard error: method, path, Range, status.
    """
    root = root.resolve()
    for path in root.rglob("*"):
        if inside(root, str(path.relative_to(root))):
            _digest(path, _mark(path))

    async def send(request: web.Request) -> web.StreamResponse:
        path = inside(root, request.match_info["path"])
        if path is None:
            raise web.HTTPNotFound
        try:
            return _Sent(path, await asyncio.to_thread(_digest, path, _mark(path)))
        except OSError:  # gone or forbidden since
            raise web.HTTPNotFound from None

    async def log(request: web.BaseRequest, response: web.StreamResponse) -> None:
        asked = request.get("asked") or request.headers.get(hdrs.RANGE, "-")
        print(request.method, request.raw_path, asked, response.status, file=sys.stderr, flush=True)

    served = web.Application()
    served.router.add_get("/{path:.*}", send)
    served.on_response_prepare.append(log)
    return served


def inside(root: Path, name: str) -> Path | None:
    """The regular file of that name, or None where there is none in the folder; `root` is resolved."""
    try:
        path = (root / name).resolve()
        return path if path.is_relative_to(root) and path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # too long, a zero byte, a ring of links
        return None


class _Sent(web.FileResponse):
    """A file, whose parts go only to those who hold parts of the same one.

    aiohttp takes If-Range for a date and overlooks an ETag there, so that a changed file would be sent from its middle.
    """

    def __init__(self, path: Path, sha256: bytes) -> None:
        digest = f"sha-256=:{base64.b64encode(sha256).decode()}:"
        super().__init__(path, headers={"Repr-Digest": digest, hdrs.CONTENT_TYPE: "application/octet-stream"})
        self._tag = '"{1:x}-{2:x}"'.format(*_mark(path))

    async def prepare(self, request: web.BaseRequest):
        headers = request.headers.copy()
        headers.popall(hdrs.ACCEPT_ENCODING, None)  # a neighbour NAME.gz is a file of its own
        condition = headers.get(hdrs.IF_RANGE, "")
        if condition.startswith(('"', "W/")) and condition != self._tag:
            headers.popall(hdrs.RANGE, None)
        understood = request.clone(headers=headers)
        understood["asked"] = request.headers.get(hdrs.RANGE)  # for the log
        return await super().prepare(understood)


def _mark(path: Path) -> tuple[int, int, int]:
    """What changes with the file; the last two are the ETag that aiohttp gives it."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


@functools.cache
def _digest(path: Path, mark: tuple[int, int, int]) -> bytes:
    """SHA-256 of a file that has that mark."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
