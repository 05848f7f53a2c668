"""A file while it is incomplete: NAME.part in the folder where NAME will be, hashed as it grows, renamed when it is whole.

    weights or seed -> serve -> link -> download [part] -> bytes, seconds

It raises OSError as the system does, and knows nothing of where the bytes come from.
"""

import errno
import fcntl
import hashlib
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self


class Part:
    """The bytes that are there already: those of an earlier download, if it left any, then what is written.

    As a context it removes itself at the end, unless it was finished, or is to be kept and not empty. Only one process can
    hold it.

    Args:
        path: the name of the whole file.
        keep: whether the bytes stay for a later download.

    Raises:
        OSError: the folder or the file cannot be written, or another process holds it.
    """

    def __init__(self, path: Path, keep: bool) -> None:
        if path.is_dir():
            raise OSError(errno.EISDIR, "it is a folder")
        self._keep, self._finished = keep, False
        self._path, self._partial = path, path.with_name(f"{path.name}.part")
        self._file = self._partial.open("a+b", buffering=0)  # every write goes to the end
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(self._file.fileno()), self._partial.stat()):
                raise BlockingIOError  # it was finished between the two lines above
            self._file.seek(0)
            self._hash = hashlib.file_digest(self._file, "sha256")
            self.size_bytes = self._file.tell()
        except OSError as error:
            self._file.close()
            if isinstance(error, BlockingIOError | FileNotFoundError):
                raise OSError(errno.EBUSY, f"another download holds {self._partial.name}") from None
            raise

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._hash.update(chunk)
        self.size_bytes += len(chunk)

    def clear(self) -> None:
        """Forgets every byte."""
        if not self.size_bytes:
            return  # ext4 takes an empty file that is cut for one that is replaced, and writes it to the disk on closing
        self._file.truncate(0)
        self._file.seek(0)
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def require(self, more_bytes: int) -> None:
        """Refuses at once what the disk has no room for."""
        if more_bytes > shutil.disk_usage(self._partial.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def finish(self) -> None:
        """Gives the file its name; one that had it is replaced."""
        self._partial.replace(self._path)
        self._finished = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not (self._finished or (self._keep and self.size_bytes)):
            self._partial.unlink(missing_ok=True)
        self._file.close()  # and others may hold it
