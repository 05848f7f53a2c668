"""Forks of this process, two at once, or killed at each file operation in turn.

What a fork does to files below a folder is counted by Python's audit events, and every write of `seeds.file` becomes two
halves, so that a fork can end with half a file written. SIGKILL runs no handler and no `finally`: what is left is what a
killed run leaves. Compiled code that writes files by itself is not seen.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
Action = Callable[[], object]


def killed_everywhere(action: Action, folder: Path) -> Iterator[int]:
    """Runs `action` in one fork after the other; yields k after the fork that was killed before its k-th operation.

    Ends when a fork came to its end. Whoever iterates puts the folder back, or looks how the next fork deals with it.
    """
    at = 1
    while _killed(action, folder, at):
        yield at
        at += 1


def _killed(action: Action, folder: Path, at: int) -> bool:
    """Whether a fork was killed before its `at`-th operation below the folder; it has to end well otherwise."""
    child = os.fork()
    if not child:
        _run(lambda: _counting(folder, at), action)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "a fork failed; what it said is on stderr"
    return False


def at_once(actions: Iterable[Action]) -> None:
    """Runs each action in a fork of its own, all at the same time; every one has to end well."""
    ready, go = os.pipe()
    children = []
    for action in actions:
        child = os.fork()
        if not child:
            os.close(go)
            _run(lambda: os.read(ready, 1), action)  # returns when the parent closes its end
        children.append(child)
    os.close(go)
    os.close(ready)
    assert [os.WEXITSTATUS(os.waitpid(child, 0)[1]) for child in children] == [0] * len(children)


def _run(*actions: Action) -> None:
    """Never returns: nothing of the parent's is closed, flushed or reported twice."""
    try:
        for action in actions:
            action()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _counting(folder: Path, at: int) -> None:
    """From now on this process counts its operations below the folder, and ends before the `at`-th."""
    count, below = 0, str(folder)

    def step() -> None:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def listen(event: str, about: tuple[Any, ...]) -> None:
        changes = event in CHANGES or (event == "open" and isinstance(about[2], int) and about[2] & WRITES)
        if changes and str(about[0]).startswith(below):
            step()

    opened = os.fdopen
    os.fdopen = lambda *arguments, **options: Torn(opened(*arguments, **options), step)
    sys.addaudithook(listen)


class Torn:
    """A file whose every write is two halves, each on its way before the next step."""

    def __init__(self, file: Any, step: Callable[[], None]) -> None:
        self._file, self._step = file, step

    def write(self, content: bytes | memoryview) -> int:
        half = len(content) // 2
        for part in (content[:half], content[half:]):
            self._step()
            self._file.write(part)
            self._file.flush()
        return len(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "Torn":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
