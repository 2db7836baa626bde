"""Random numbers that depend on what they are for alone: not on batches, on order, or on the length of a run.

Philox4x64-10 (Salmon et al., SC 2011) with the key (seed, trial) and, from its highest word on, the counter (purpose,
0, step, block): the purpose is a hash of the effect and the layer, and each sample has as many blocks of four numbers
as its layer needs, from its own number times that on. Uniform numbers are the upper 53 bits of its outputs, normal ones
those of Box and Muller (1958) from pairs of them.
"""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import FloatArray

NUMBERS = 4


@dataclass(frozen=True)
class Key:
    """The chip number ``trial`` of those that ``seed`` makes; both from 0 to 2**63 - 1."""

    seed: int
    trial: int

    def uniform(self, effect: str, layer: str, count: int) -> FloatArray:
        """(count,) numbers from 0 to 1, 1 excluded."""
        return np.asarray(self._bits(effect, layer, count, 0, 0) * 2.0**-53, np.float64)

    def normal(self, effect: str, layer: str, count: int) -> FloatArray:
        """(count,) numbers of mean 0 and standard deviation 1; a smaller count gives the beginning of a larger one."""
        return np.asarray(self.normals(effect, layer, count, range(1))[0])

    def normals(self, effect: str, layer: str, count: int, samples: range, step: int = 0) -> FloatArray:
        """(samples, count) such numbers for one step of each of the ``samples``, which follow each other."""
        blocks = -(-count // NUMBERS)
        bits = self._bits(effect, layer, len(samples) * blocks * NUMBERS, samples.start * blocks, step)
        pairs = bits.reshape(len(samples), -1, 2) * 2.0**-53
        radius, angle = np.sqrt(-2.0 * np.log1p(-pairs[..., 0])), 2.0 * np.pi * pairs[..., 1]
        drawn = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
        return drawn.reshape(len(samples), -1)[:, :count]

    def _bits(self, effect: str, layer: str, count: int, block: int, step: int) -> NDArray[np.uint64]:
        words = np.array([block, step, 0, _purpose(effect, layer)], np.uint64)
        generator = np.random.Philox(key=np.array([self.seed, self.trial], np.uint64), counter=words)
        drawn: NDArray[np.uint64] = generator.random_raw(count)
        return drawn >> np.uint64(11)


@lru_cache(maxsize=1024)
def _purpose(effect: str, layer: str) -> int:
    return int.from_bytes(blake2b(f"{effect}\0{layer}".encode(), digest_size=8).digest(), "little")
