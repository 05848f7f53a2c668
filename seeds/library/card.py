"""Cards: what was recorded of a network beside its file, and of which file, told by its SHA-256.

Two files cannot be renamed at once. The network's is written first and its card last, so that a build that is killed in
between leaves a card of other content, which is refused until the next build; never one that seems to fit.
"""

import hashlib
import json
from pathlib import Path

from seeds.errors import StoreError
from seeds.file import alone, write_whole


def write(card: dict, raw: bytes, path: Path) -> dict:
    """Writes the file of a network and its card beside it; of two builds at once, both files are of one.

    Args:
        card: in plain JSON types.
        raw: content of the file.
        path: of the file, which ends with ".safetensors"; its card is called the same with ".json".

    Returns:
        the card as it is written: with size and SHA-256 of the file.

    Raises:
        StoreError: one of them cannot be written.
    """
    whole = card | {"size_bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    with alone(path.parent):
        write_whole(path, raw)
        write_whole(place(path), (json.dumps(whole, indent=1) + "\n").encode())
    return whole


def read(path: Path) -> dict:
    """The card of a file.

    Raises:
        StoreError: there is none, or it is of other content than the file has.
    """
    try:
        raw, card = path.read_bytes(), json.loads(place(path).read_text())
        told = card["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} has no card that can be read ({error!r:.200}); train it again") from None
    found = hashlib.sha256(raw).hexdigest()
    if told != found:
        raise StoreError(f"{place(path)} is of a file with SHA-256 {str(told)[:12]}, {path} has {found[:12]}; train it again")
    return card


def place(path: Path) -> Path:
    """Where the card of a file lies."""
    return path.with_name(path.name.partition(".")[0] + ".json")
