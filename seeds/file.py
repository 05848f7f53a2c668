"""Files: written whole or not at all, changed by one process at a time, with nothing kept of a writer that was killed.

    subject -> extract -> Seed -> store -> [file]        verdict -> report -> [file]

Content goes to a scratch name in the same folder, which is then renamed: a reader sees the old file or the new one. A killed
writer leaves its scratch file, and the next write of the same name removes it: the kernel unlocks what the dead had locked.
This module knows nothing of what it writes.
"""

import fcntl
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from seeds.errors import StoreError

SCRATCH = ".scratch"  # ends the names of files that are not finished


def write_whole(path: Path, raw: bytes) -> None:
    """Writes a file that is reported as kept: it is on the disk when this returns, and outlives a power failure.

    Raises:
        StoreError: the folder is missing, cannot be written, or is full; whatever was there before still is.
    """
    write_pieces(path, [raw], on_disk=True)


def write_pieces(path: Path, pieces: Iterable[bytes | memoryview], on_disk: bool = False) -> int:
    """Writes content that is made piece by piece, and returns its size in bytes.

    Args:
        on_disk: whether to wait for the disk, some milliseconds; without, the system writes when it likes.

    Raises:
        StoreError: the folder is missing, cannot be written, or is full; whatever was there before still is.
    """
    _remove_left(path)
    try:
        handle, scratch = _scratch(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from None
    written = 0
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                written += file.write(piece)
                del piece  # before the next one is made: a tensor may be as large as memory allows
            file.flush()
            if on_disk:
                os.fsync(handle)  # a quota, or a disk behind a network, may tell only now that it is full
            scratch.replace(path)  # while it is locked
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from None
    finally:
        scratch.unlink(missing_ok=True)  # gone already where the rename was made
    if on_disk:
        _sync_folder(path.parent)
    return written


def _scratch(path: Path) -> tuple[int, Path]:
    """A new file beside `path`, open and locked for as long as it is open; it may be read by whom `path` may be."""
    while True:
        scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}{SCRATCH}")
        rights = _rights(path)
        try:
            handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if rights is None else 0o600)
        except FileExistsError:
            continue
        if rights is not None:
            with suppress(OSError):  # a file system without rights; where they cannot be given, nobody else may read it
                os.fchmod(handle, rights)  # not by its name, which another may have removed
        with suppress(OSError):  # a file system without locks: then nobody can lock it to remove it, either
            fcntl.flock(handle, fcntl.LOCK_EX)
        if scratch.exists():
            return handle, scratch
        os.close(handle)  # removed as left over, between the two lines above


def _rights(path: Path) -> int | None:
    """Of the file that will be replaced; None where there is none, and the process's umask decides."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return None
    return stat.S_IMODE(mode) if stat.S_ISREG(mode) else None


def _remove_left(path: Path) -> None:
    """Removes what killed writers of this file left: scratch files that no living one holds locked."""
    try:
        left = [one for one in path.parent.iterdir() if one.name.startswith(f".{path.name}.") and one.suffix == SCRATCH]
    except OSError:  # missing, or not to be listed: what matters is whether it can be written
        return
    for one in left:
        with suppress(OSError):  # held, or removed by another
            handle = os.open(one, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                one.unlink()
            finally:
                os.close(handle)


def _sync_folder(folder: Path) -> None:
    """Waits until a rename is on the disk."""
    with suppress(OSError):  # a file system whose folders cannot be waited for
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Makes a folder if it is missing, and waits until no other process is inside `alone` for it.

    For files that are read, changed and written back: of two runs at once, none loses what the other wrote. The folder
    itself is locked, so no lock file is left, and a killed process holds nothing. Not to be nested for one folder.

    Raises:
        StoreError: the folder cannot be made or opened.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {error.strerror}") from None
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
