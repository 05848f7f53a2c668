"""Random numbers for assembly: one independent, reproducible stream per (rng_seed, tensor name).

A counter-based generator keyed by name makes each tensor independent of the order of assembly, of the other tensors
and of the thread count. numpy's streams are used because torch's `normal_` gives other bits on another CPU level.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from seeds.errors import SeedError

GENERATOR = "numpy Philox, key blake2b-128(rng_seed/tensor name)"
CHUNK = 1 << 16  # values drawn and scaled at a time: 256 KiB, which stay in cache


@dataclass(frozen=True, slots=True)
class Draw:
    """The stream of one tensor in one run."""

    rng_seed: int
    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.rng_seed, int) or isinstance(self.rng_seed, bool) or not 0 <= self.rng_seed < 2**63:
            raise SeedError(f"rng_seed {self.rng_seed!r} is out of range: an integer from 0 to 2**63 - 1")

    def normal(self, shape: tuple[int, ...], mean: float, std: float) -> np.ndarray:
        """Normal float32 values; multiplication and addition are separate roundings on every CPU."""
        values, generator = np.empty(shape, np.float32), self._generator()
        flat = values.reshape(-1)
        with np.errstate(over="ignore"):
            for start in range(0, flat.size, CHUNK):
                chunk = flat[start : start + CHUNK]
                generator.standard_normal(dtype=np.float32, out=chunk)
                chunk *= np.float32(std)
                chunk += np.float32(mean)
        return values

    def permutation(self, count: int) -> np.ndarray:
        """The numbers below `count` in random order: (count,) int64."""
        return self._generator().permutation(count)

    def _generator(self) -> np.random.Generator:
        key = hashlib.blake2b(f"{self.rng_seed}/{self.name}".encode(), digest_size=16).digest()
        return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
