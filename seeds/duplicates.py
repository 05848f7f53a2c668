"""Near duplicates: which texts share half of their word trigrams with texts seen before.

A paragraph of documentation is often copied from module to module, so a split by file alone would test a model
on what it was trained on. `Shingles` remembers every word trigram of the texts added to it in a Bloom filter, so
the training texts travel with the package as a few hundred kilobytes of bits and no text at all.
"""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

CONTAINMENT = 0.5  # a Jaccard similarity >= 0.5 with any one seen text implies a containment >= 0.5 in their union
HASHES = 4
NAMES = re.compile(r"\b(numpy|np|scipy|sklearn|scikit|learn|pandas|pd|networkx|nx|sympy)\b")
WORD = re.compile(r"[a-z]+|0")


def shingles(text: str) -> list[str]:
    """Distinct word trigrams of a text, with digits and library names made alike."""
    text = NAMES.sub("lib", re.sub(r"[0-9]+", "0", text.lower()))
    words = WORD.findall(text)
    return sorted({" ".join(words[i : i + 3]) for i in range(len(words) - 2)})


@dataclass(slots=True)
class Shingles:
    """A Bloom filter over word trigrams: it never forgets one, and takes a few percent of others for seen.

    Args:
        bits: shape (size,), bool.
    """

    bits: np.ndarray = field(default_factory=lambda: np.zeros(4_000_000, dtype=bool))

    def add(self, text: str) -> None:
        self.bits[self._places(shingles(text))] = True

    def containment(self, text: str) -> float:
        """Share of the text's trigrams that were seen before, in [0, 1]; 1 for a text too short to have any."""
        parts = shingles(text)
        if not parts:
            return 1.0
        return float(self.bits[self._places(parts)].all(axis=1).mean())

    def knows(self, text: str) -> bool:
        return self.containment(text) >= CONTAINMENT

    def _places(self, parts: list[str]) -> np.ndarray:
        digests = b"".join(hashlib.blake2b(p.encode(), digest_size=16).digest() for p in parts)
        pairs = np.frombuffer(digests, dtype="<u8").reshape(-1, 2)
        steps = np.arange(HASHES, dtype=np.uint64)
        return (pairs[:, :1] + steps * (pairs[:, 1:] | np.uint64(1))) % np.uint64(self.bits.size)  # (shingles, hashes)

    @classmethod
    def load(cls, path: Path) -> "Shingles":
        """The filter whose bits were packed into a file by `seeds.library.docs_corpus`."""
        from safetensors.numpy import load_file

        return cls(np.unpackbits(load_file(path)["bits"]).astype(bool))
