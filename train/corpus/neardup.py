"""Near-duplicates among many functions: MinHash signatures, banded, with an exact check.

A function is dropped when the Jaccard similarity of its 5-gram set with that of an earlier, kept
function reaches the threshold. Banding finds the pairs worth comparing: with 20 bands of 5 rows a
pair at similarity 0.8 is missed once in 3,000 times, one at 0.7 once in 40. Pure, deterministic.
Source: Broder, On the resemblance and containment of documents, 1997; banding as in Leskovec,
Rajaraman, Ullman, Mining of Massive Datasets, chapter 3.
"""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from diffufix.train.corpus.shingles import Hashes

SHINGLE = 5  # tokens
THRESHOLD = 0.7
BANDS, ROWS = 20, 5
_POWERS = np.uint64(0x9E3779B97F4A7C15) ** np.arange(1, ROWS + 1, dtype=np.uint64)
_SCREEN = 0.2  # an estimate from 100 hashes is off by more than this once in 10,000 times


class NearDuplicates:
    """Functions come one by one; `add` says which earlier one makes the new one superfluous."""

    def __init__(self) -> None:
        random = np.random.Generator(np.random.PCG64(20_240_917))
        shape = (BANDS * ROWS, 1)
        self._factors = random.integers(2**63, size=shape, dtype=np.uint64) * np.uint64(2) + (
            np.uint64(1)
        )
        self._offsets = random.integers(2**63, size=shape, dtype=np.uint64)
        self._kept: list[tuple[Hashes, NDArray[np.uint32]]] = []
        # of every band, the last kept set with a key, and of every kept set the one before it
        self._latest: list[dict[int, int]] = [{} for _ in range(BANDS)]
        self._before = array("i")

    def add(self, shingles: Hashes) -> int | None:
        """The number of the kept set (in the order they were kept) that this one repeats, or None
        and it is kept itself. `shingles` are distinct and sorted."""
        signature = self.signature(shingles)
        rows = signature.reshape(BANDS, ROWS).astype(np.uint64)
        keys: list[int] = (rows * _POWERS).sum(axis=1, dtype=np.uint64).tolist()
        for number in self._candidates(keys):
            other, other_signature = self._kept[number]
            ratio = len(shingles) / len(other)
            if not THRESHOLD <= ratio <= 1 / THRESHOLD:
                continue
            estimate = np.count_nonzero(signature == other_signature) / len(signature)
            if estimate >= THRESHOLD - _SCREEN and jaccard(shingles, other) >= THRESHOLD:
                return number
        number = len(self._kept)
        for latest, key in zip(self._latest, keys, strict=True):
            self._before.append(latest.get(key, -1))
            latest[key] = number
        self._kept.append((shingles, signature))
        return None

    def _candidates(self, keys: list[int]) -> list[int]:
        """The kept sets that share the key of a band, in the order they were kept."""
        found: set[int] = set()
        for band, key in enumerate(keys):
            number = self._latest[band].get(key, -1)
            while number >= 0:
                found.add(number)
                number = self._before[number * BANDS + band]
        return sorted(found)

    def signature(self, shingles: Hashes) -> NDArray[np.uint32]:
        """The smallest hash of the set under each of the BANDS * ROWS hash functions."""
        mixed = (shingles[None, :] * self._factors + self._offsets) >> np.uint64(32)
        return mixed.min(axis=1).astype(np.uint32)


def jaccard(a: Hashes, b: Hashes) -> float:
    """|a & b| / |a | b| of two sets of distinct hashes."""
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / (len(a) + len(b) - shared)
