"""Python functions as token n-grams: what near-duplicates and benchmark copies are found by.

A regular expression cuts the text (it need not parse), comments and docstrings fall away, and
n-grams are hashed with numpy over many functions at once. Hashes are the same on every machine.
Two kinds: `shingles` sees the names as they are; `renamed` sees through a consistent renaming of
them. Pure; touches no files.
"""

from __future__ import annotations

import builtins
import hashlib
import keyword
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_LEXEME = re.compile(
    r"#[^\n]*"
    r"|(?P<string>[rRbBuUfFtT]{0,2}"
    r'(?:"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'))'
    r"|(?P<name>[^\W\d]\w*)|\d[\w.]*|->|(?:\*\*|//|<<|>>|[-+*/%&|^<>=!@:])=?|\S",
    re.DOTALL,
)
_FIXED = frozenset(keyword.kwlist) | frozenset(dir(builtins)) | {"self", "cls"}
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_known: dict[str, int] = {}


def lexemes(source: str) -> list[tuple[str, bool]]:
    """(text, may be renamed) of every token but comments and docstrings.

    Keywords, builtins and attributes may not be renamed.
    """
    found: list[tuple[str, bool]] = []
    last, end = "", 0
    for match in _LEXEME.finditer(source):
        text = match.group()
        if text[0] == "#":
            continue
        if match.lastgroup == "string" and last == ":" and "\n" in source[end : match.start()]:
            last = ""  # a docstring
            continue
        free = match.lastgroup == "name" and last != "." and text not in _FIXED
        found.append((text, free))
        last, end = text, match.end()
    return found


class Tokens:
    """Many token sequences in one flat array: token hashes, renamable or not, and borders.

    `borders` [D + 1] are the offsets of the D sequences in `hashes` and `free` [T].
    """

    def __init__(self, documents: Iterable[Sequence[tuple[str, bool]]]) -> None:
        hashes: list[int] = []
        free: list[bool] = []
        borders = [0]
        for document in documents:
            hashes += [_hash(text) for text, _ in document]
            free += [renamable for _, renamable in document]
            borders.append(len(hashes))
        self.hashes: Hashes = np.array(hashes, dtype=np.uint64)
        self.free = np.array(free, dtype=bool)
        self.borders = np.array(borders, dtype=np.int64)

    def shingles(self, n: int) -> list[Hashes]:
        """The distinct n-grams of each sequence, sorted; of a shorter one, itself as a whole."""
        total = np.zeros(max(len(self.hashes) - n + 1, 0), dtype=np.uint64)
        for j in range(n):
            total = total * _FACTOR + self.hashes[j : j + len(total)]
        return self._split(_scramble(total), n)

    def renamed(self, n: int) -> list[Hashes]:
        """The distinct n-grams of each sequence in which a renamable name counts only by how far
        back within the n-gram it stood before: the same for every consistent renaming."""
        back = self._distances()
        total = np.zeros(max(len(self.hashes) - n + 1, 0), dtype=np.uint64)
        for j in range(n):
            part = slice(j, j + len(total))
            distance = back[part]
            name = np.where(distance <= j, distance, 0).astype(np.uint64) + np.uint64(1)
            total = total * _FACTOR + np.where(self.free[part], name, self.hashes[part])
        return self._split(_scramble(total), n)

    def _distances(self) -> NDArray[np.int64]:
        """How many tokens back in its sequence each token stood last; 0 if never."""
        sequence = np.repeat(np.arange(len(self.borders) - 1), np.diff(self.borders))
        order = np.lexsort((self.hashes, sequence))  # stable: by place within equal tokens
        same = (np.diff(sequence[order]) == 0) & (self.hashes[order][1:] == self.hashes[order][:-1])
        back = np.zeros(len(self.hashes), dtype=np.int64)
        back[order[1:][same]] = np.diff(order)[same]
        return back

    def _split(self, grams: Hashes, n: int) -> list[Hashes]:
        found = []
        for start, end in zip(self.borders[:-1].tolist(), self.borders[1:].tolist(), strict=True):
            if end - start >= n:
                found.append(np.unique(grams[start : end - n + 1]))
            else:
                whole = np.uint64(n)
                for value in self.hashes[start:end].tolist():
                    whole = np.uint64((int(whole) * int(_FACTOR) + value) % 2**64)
                found.append(_scramble(np.array([whole], dtype=np.uint64)))
        return found


def _hash(text: str) -> int:
    value = _known.get(text)
    if value is None:
        if len(_known) > 2_000_000:
            _known.clear()
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        # bits above the distances that stand for renamed names
        value = _known[text] = int.from_bytes(digest, "little") | 1 << 63
    return value


def _scramble(values: Hashes) -> Hashes:
    values = (values ^ (values >> np.uint64(31))) * _MIX
    return values ^ (values >> np.uint64(29))
