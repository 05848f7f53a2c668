"""A seed file taken apart and put together again, under a checksum that is right for whatever it says.

    Seed -> bytes -> [opened] -> lies -> [closed] -> store -> Seed ...

A checksum keeps no one out who can compute it.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from seeds import layout, store

CHECKSUM = re.compile(rb'\\"sha256\\":\\"([0-9a-f]{64})\\"')
SEARCHED = 400  # bytes in which it stands


@dataclass(slots=True)
class Opened:
    """A file taken apart: the header of safetensors without the seed's, the seed's, and the bytes behind them."""

    described: dict[str, Any]
    header: dict[str, Any]
    content: bytearray

    def closed(self) -> bytes:
        """Put together again, sealed, however little it makes sense."""
        text = json.dumps({**self.header, "sha256": store.BLANK}, separators=(",", ":"))
        described = {layout.METADATA: {"seed": text}, **self.described}
        return framed(json.dumps(described, separators=(",", ":"), ensure_ascii=False), self.content)


def opened(raw: bytes) -> Opened:
    size = int.from_bytes(raw[:8], "little")
    described = json.loads(raw[8 : 8 + size])
    header = json.loads(described.pop(layout.METADATA)["seed"])
    return Opened(described, header, bytearray(raw[8 + size :]))


def framed(head: str, content: bytes | bytearray) -> bytes:
    """A file whose header is this text, sealed."""
    text = head.encode(errors="surrogatepass")
    text += b" " * (-len(text) % layout.ALIGNED)
    return sealed(len(text).to_bytes(8, "little") + text + content)


def sealed(raw: bytes | bytearray) -> bytes:
    """The same with the checksum that it should have; as it is, if there is no place for one."""
    found = CHECKSUM.search(raw, 0, SEARCHED)
    if not found:
        return bytes(raw)
    start, stop = found.span(1)
    digest = hashlib.sha256(b"".join((raw[:start], store.BLANK.encode(), raw[stop:]))).hexdigest()
    return b"".join((raw[:start], digest.encode(), raw[stop:]))
