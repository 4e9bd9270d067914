"""Bugs that a project's own tests notice, and what the tests say: pairs for stage 3.

    diffufix train failures PROJECT --out pairs.jsonl.gz [--count 2000] [PYTEST ARGS]

The tests of PROJECT must pass. Its functions are broken one bug at a time (train/bugs/corrupt.py),
and those that a test notices are kept, with the message of the first test that fails and the lines
of it that call the function (propose/failure.py). `diffufix train sft --pairs` learns from them,
shown the failure, as `repair` then shows it. The file is train/bugs/history.py's. Ctrl-C and
SIGTERM end the search, not what it has found. Runs the project's tests in sandboxes; writes --out
and nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from diffufix.config import Settings
from diffufix.model.checkpoint import load_model
from diffufix.source.functions import find_function
from diffufix.source.spans import Text
from diffufix.source.syntax import parse
from diffufix.train.bugs.history import FixPair, write_pairs
from diffufix.train.corpus.decontaminate import names
from diffufix.train.pretrain.trainer import signals
from diffufix.train.rl.self_play import SelfPlayEnv, Wanted
from diffufix.train.rl.tasks import CoveredFunction
from diffufix.train.tracking import say
from diffufix.types import Task

EVERY = 100  # pairs between two lines of progress


def failures(practice: SelfPlayEnv, count: int, seed: int = 0) -> Iterator[FixPair]:
    """Up to `count` pairs as they are found, the functions in turn; those named like a public
    benchmark's are left out."""
    own = {(f.path, f.qualname): f for f in practice.functions if f.node.name not in names()}
    rng = random.Random(f"failures/{seed}")
    for task in practice.drawn(list(own.values()), "mutant", count, rng):
        yield _pair(task, own[task.path, task.qualname])


def until(asked: Sequence[int], found: Iterable[FixPair]) -> Iterator[FixPair]:
    """The pairs until somebody asks to stop."""
    for number, pair in enumerate(found, 1):
        yield pair
        if number % EVERY == 0:
            say(f"{number:,} pairs")
        if asked:
            return


def _pair(task: Task, function: CoveredFunction) -> FixPair:
    node = find_function(parse(task.source), task.qualname, function.first_line)
    assert node is not None
    text = Text(task.source)
    start, end = text.span(node)
    before = task.source[text.line_start(start) : end]
    return FixPair(before, function.text, task.path, task.qualname, "", "", task.said)


def gather(settings: Settings, out: Path, count: int) -> tuple[int, bool]:
    """Write up to `count` pairs of a project; returns how many, and whether a signal came first.

    Raises DiffufixError where its tests do not run or do not pass.
    """
    wanted = Wanted(tasks=0, held_out=0, share=0.0, history=False)
    with (
        SelfPlayEnv(settings, load_model("mini", device="cpu"), wanted, say) as practice,
        signals("Stopping after this pair; what was found is kept.") as asked,
    ):
        found = write_pairs(until(asked, failures(practice, count)), out)
    return found, bool(asked)
