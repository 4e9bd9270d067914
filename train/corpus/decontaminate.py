"""Keeps the benchmarks out of a corpus: by function name, and by shared n-grams.

contaminated.txt lists the names. benchmark-ngrams.txt holds, for every task whose text was to be
had, the hashes of its n-grams (12 tokens, blind to consistent renaming); the texts themselves are
not stored. A function is a copy when it contains half of the n-grams of a task. Reads those two
files; `diffufix train decontaminate` writes the second one from a JSON-lines file.
"""

from __future__ import annotations

import ast
import json
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diffufix.errors import UsageError
from diffufix.source.functions import docstring_of
from diffufix.train.corpus.shingles import Hashes, Tokens, lexemes

NAMES = Path(__file__).with_name("contaminated.txt")
NGRAMS = Path(__file__).with_name("benchmark-ngrams.txt")
LENGTH = 12  # tokens of an n-gram
SHARE = 0.5  # of a task's n-grams, that make a function a copy of it
FEWEST = 6  # n-grams; shorter tasks are known by name alone


def names(path: Path = NAMES) -> frozenset[str]:
    """The function names of the benchmarks."""
    lines = path.read_text("utf-8").splitlines()
    return frozenset(line.strip() for line in lines if line.strip() and line[0] != "#")


class Benchmarks:
    """The n-gram hashes of all tasks; finds the task that a function copies."""

    def __init__(self, tasks: dict[str, Hashes]) -> None:
        self.tasks = list(tasks)
        sizes = [len(tasks[task]) for task in self.tasks]
        self.sizes = np.array(sizes, dtype=np.int64)
        flat = np.concatenate([np.zeros(0, np.uint64), *tasks.values()])
        order = np.argsort(flat, kind="stable")
        self._hashes = flat[order]
        self._owner = np.repeat(np.arange(len(sizes)), sizes)[order]

    @classmethod
    def load(cls, path: Path = NGRAMS) -> Benchmarks:
        """Raises UsageError where the file is damaged."""
        tasks: dict[str, Hashes] = {}
        for number, line in enumerate(path.read_text("ascii").splitlines(), 1):
            if not line or line[0] == "#":
                continue
            task, *hashes = line.split(" ")
            try:
                tasks[task] = np.array([int(h, 16) for h in hashes], dtype=np.uint64)
            except ValueError as error:
                raise UsageError(
                    f"{path.name}, line {number}: not a task and its hashes.",
                    "Restore the file, or write it again with diffufix.train.corpus.decontaminate.",
                ) from error
        return cls(tasks)

    def copied(self, grams: Hashes) -> str | None:
        """The task of whose n-grams `grams` (see `ngrams`) hold at least SHARE; None if none."""
        first = np.searchsorted(self._hashes, grams, "left")
        last = np.searchsorted(self._hashes, grams, "right")
        hits = np.flatnonzero(last > first)
        if not len(hits):
            return None
        owners: NDArray[np.int64] = np.concatenate(
            [self._owner[first[hit] : last[hit]] for hit in hits]
        )
        shares = np.bincount(owners, minlength=len(self.sizes)) / self.sizes
        best = int(np.argmax(shares))
        return self.tasks[best] if shares[best] >= SHARE else None


def ngrams(tokens: Tokens) -> list[Hashes]:
    """Of each sequence the distinct 32-bit hashes of its renaming-blind n-grams, sorted."""
    return [np.unique(grams >> np.uint64(32)) for grams in tokens.renamed(LENGTH)]


def body_of(function: str) -> str:
    """The statements of a function without signature and docstring: how it is annotated and
    called differs from copy to copy."""
    tree = ast.parse(textwrap.dedent(function))
    node = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    body = node.body[1:] if docstring_of(node) else node.body
    if not body:
        return ""
    lines = textwrap.dedent(function).splitlines()
    return "\n".join(lines[body[0].lineno - 1 : node.end_lineno])


def task_lines(tasks: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A line of benchmark-ngrams.txt for each (task, function) that is long enough."""
    for task, function in tasks:
        (grams,) = ngrams(Tokens([lexemes(body_of(function))]))
        if len(grams) >= FEWEST:
            yield " ".join([task, *(f"{value:x}" for value in grams.tolist())])


def add_tasks(tasks: Path, to: Path = NGRAMS) -> int:
    """Add the n-grams of tasks, JSON lines with "task" and "function", to a file of hashes; returns
    how many tasks it knows now."""
    rows = [json.loads(line) for line in tasks.read_text("utf-8").splitlines() if line]
    old = to.read_text("ascii").splitlines() if to.exists() else []
    comments = [line for line in old if line.startswith("#")]
    known = {line.split(" ", 1)[0]: line for line in old if line and line[0] != "#"}
    fresh = task_lines((row["task"], row["function"]) for row in rows)
    known |= {line.split(" ", 1)[0]: line for line in fresh}
    to.write_text("\n".join([*comments, *(known[task] for task in sorted(known))]) + "\n")
    return len(known)
