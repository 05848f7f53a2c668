"""Disks that are full, or may only be read: mounted where one process alone sees them.

Tests run as root, too, for whom no permission binds; a mount does. Without the right to mount they are skipped, and say so.
"""

import ctypes
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from shutil import which

import pytest

NEW_MOUNTS, NEW_USER = 0x20000, 0x10000000  # of unshare(2), which Python has from 3.12 on
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"'


def small(options: str) -> str:
    """The command that mounts an empty disk in memory at `$0`: "size=200k", for example."""
    return f'mount -t tmpfs -o {options} tmpfs "$0"'


def before(mount: str, folder: Path) -> list[str]:
    """The beginning of a command that sees the folder as mounted."""
    return [*_unshare(), "sh", "-c", f'{mount} && exec "$@"', str(folder)]


def _unshare() -> list[str]:
    return ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]


def require_mounts() -> None:
    """Skips the test where no disk can be mounted."""
    if not (which("unshare") and which("mount")):
        pytest.skip("no disk of its own without the commands unshare and mount")
    probe = subprocess.run([*before(small("size=4k"), Path("/mnt")), "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"no disk of its own: {probe.stderr.decode().strip()}")


def seeing(mount: str, folder: Path, action: Callable[[], object]) -> None:
    """Runs an action in a fork that sees the folder as mounted; what fails there fails here."""
    out, into = os.pipe()
    child = os.fork()
    if not child:
        try:
            _mount(mount, folder)
            action()
            os._exit(0)
        except BaseException as error:
            os.write(into, repr(error).encode()[:4000])
            os._exit(1)
    os.close(into)
    with os.fdopen(out, "rb") as told:
        said = told.read().decode(errors="replace")
    assert os.waitpid(child, 0)[1] == 0, said


def _mount(mount: str, folder: Path) -> None:
    """Leaves the mounts of everyone else, and adds one."""
    user, group = os.geteuid(), os.getegid()
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_MOUNTS | (NEW_USER if user else 0)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    subprocess.run(["sh", "-c", f"mount --make-rprivate / && {mount}", str(folder)], check=True, capture_output=True)


def fill(folder: Path) -> None:
    """Leaves no byte of room in a small disk."""
    with suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        for size in (4096, 1):
            with suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
