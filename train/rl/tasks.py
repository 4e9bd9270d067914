"""Tasks out of a project whose tests pass: its own functions broken, or masked, to be mended.

Every task's hole, filled with its `answer`, gives the project's own text; the tests that grade it
are those that execute the function and pass. Four ways to make one:
- mutant: one bug of train/bugs/corrupt.py is put in;
- history: a small fix that the project's git history holds is taken back;
- wrong-fill: what a model once put into a hole, and the tests rejected, is left standing;
- masked: nothing is broken, and what stood in the hole is not shown.
`intact` tasks are shown a hole in which nothing is wrong: they are solved by leaving it alone, and
keep a model from learning that whatever it is asked about must be changed.
Pure, but for reading the git history; whether a broken function fails its tests is for a pool to
say (train/rl/self_play.py).
"""

from __future__ import annotations

import ast
import hashlib
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from diffufix.errors import DiffufixError
from diffufix.propose.holes import holes
from diffufix.propose.tasks import aligned, make_task, prompt_of
from diffufix.source.edits import Edit, Place, apply, splice
from diffufix.source.file import SourceFile
from diffufix.source.functions import FunctionNode, docstring_of, find_function, functions
from diffufix.source.spans import Text
from diffufix.source.syntax import parse
from diffufix.train.bugs.corrupt import Corruptor
from diffufix.train.bugs.history import edits_between, pairs
from diffufix.types import PASSED, Kind, Task, TestRun
from diffufix.verify.static import forbidden

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel

MAX_TESTS = 24  # that grade one task
MAX_SECONDS = 1.0  # that those take together
MAX_LINES = 150  # of a function
FINEST = 0.6  # share of tasks whose hole is the smallest over the fault
BUCKETS = 1000
COMMITS = 2000  # of a history that are read, the newest


@dataclass(frozen=True)
class CoveredFunction:
    """A function of the project, right as it stands, and the passing tests that execute it.

    `lines` are those of it that each test executes.
    """

    path: str
    qualname: str
    source: str = field(repr=False)  # the whole file
    first_line: int
    start: int  # characters
    end: int
    lines: Mapping[str, frozenset[int]] = field(repr=False, compare=False)
    seconds: Mapping[str, float] = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        return f"{self.path}::{self.qualname}"

    @property
    def text(self) -> str:
        """Its own lines, indented as in the file."""
        return self.source[self.source.rfind("\n", 0, self.start) + 1 : self.end]

    @cached_property
    def node(self) -> FunctionNode:
        node = _function(self.source, self.qualname, self.first_line)
        assert node is not None
        return node

    @cached_property
    def corruptor(self) -> Corruptor:
        return Corruptor(self.source, self.node)

    def tests(self, lines: range) -> tuple[str, ...]:
        """The tests that grade a fault in these lines: those that execute them first, slow ones
        last among those, within MAX_TESTS and MAX_SECONDS. Quick tests go by their names, so that
        the next run orders them alike."""
        meets = {test: not seen.isdisjoint(lines) for test, seen in self.lines.items()}
        ranked = sorted(meets, key=lambda t: (not meets[t], round(self.seconds[t], 1), t))
        chosen: list[str] = []
        spent = 0.0
        for test in ranked[:MAX_TESTS]:
            spent += self.seconds[test]
            if chosen and spent > MAX_SECONDS:
                break
            chosen.append(test)
        return tuple(chosen)


def functions_under_test(
    run: TestRun, sources: Mapping[str, str], steady: Iterable[str] | None = None
) -> list[CoveredFunction]:
    """The functions that passing tests execute, by path and place; `run` has coverage.

    `sources` are the texts of the project's files; `steady` the tests that may be trusted (None:
    all that passed). Code under test that a candidate may not edit is left out.
    """
    passed = {case.id: case.seconds for case in run.cases if case.outcome == PASSED}
    trusted = sorted(passed if steady is None else set(steady) & passed.keys())
    found: list[CoveredFunction] = []
    for path, source in sorted(sources.items()):
        tree = None if forbidden(path) else _parsed(source)
        if tree is None:
            continue
        text, every = Text(source), functions(tree)
        names = [name for name, _ in every]
        for name, node in every:
            body = node.body[1:] if docstring_of(node) else node.body
            if names.count(name) > 1 or not body or _is_stub(body):
                continue
            last = node.end_lineno or node.lineno
            inside = range(body[0].lineno, last + 1)
            lines = {
                test: seen
                for test in trusted
                if (seen := run.coverage.get(test, {}).get(path, frozenset()) & set(inside))
            }
            if lines and last - node.lineno < MAX_LINES:
                seconds = {test: passed[test] for test in lines}
                found.append(
                    CoveredFunction(
                        path, name, source, node.lineno, *text.span(node), lines, seconds
                    )
                )
    return found


def code_of(sources: Mapping[str, str], without: Collection[str]) -> list[str]:
    """The texts of all functions of these files, but for those of these names."""
    found = []
    for path, source in sorted(sources.items()):
        if not forbidden(path):
            file = SourceFile(source)
            for each in file.functions():
                if f"{path}::{each.qualname}" not in without:
                    found.append(file.text_of(each))
    return found


def split(
    found: Sequence[CoveredFunction], share: float = 0.3
) -> tuple[list[CoveredFunction], list[CoveredFunction]]:
    """Functions to train on and functions held out, by the hash of their names: the same function
    always comes to the same side."""
    held = [is_held_out(function.name, share) for function in found]
    return (
        [f for f, out in zip(found, held, strict=True) if not out],
        [f for f, out in zip(found, held, strict=True) if out],
    )


def is_held_out(name: str, share: float = 0.3) -> bool:
    """Of a function by its name, `path::qualname`."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % BUCKETS < share * BUCKETS


class TaskMaker:
    """Draws tasks that `model` can be asked; the same random state gives the same task."""

    def __init__(self, model: LoadedModel) -> None:
        self.model = model

    # -- the ways ----------------------------------------------------------------------------------

    def mutant(self, function: CoveredFunction, rng: random.Random) -> Task | None:
        """One bug, not yet known to fail a test; None where the drawn place offers none."""
        edit = function.corruptor.draw(rng) if function.corruptor.offers else None
        if edit is None:
            return None
        faulty, places = apply(function.source, [edit])
        return self.broken(function, faulty, places[0], "mutant", rng)

    def wrong_fill(
        self, function: CoveredFunction, task: Task, text: str, rng: random.Random
    ) -> Task | None:
        """A fill that the tests rejected, as the fault of another task of that function."""
        assert task.answer is not None
        faulty = splice(task.source, task, text)
        last = task.start + len(task.answer)
        place = Place(task.start, task.start + len(text), task.start, last)
        return self.broken(function, faulty, place, "wrong-fill", rng)

    def history(
        self, root: Path, found: Sequence[CoveredFunction], rng: random.Random
    ) -> list[Task]:
        """The fixes of functions that are still as the fix left them, taken back; none without a
        git history."""
        by_text = {(f.path, f.text): f for f in found}
        tasks: list[Task] = []
        try:
            for pair in pairs(root, COMMITS):
                function = by_text.get((pair.path, pair.after.rstrip()))
                if function is not None:
                    tasks += self._undone(function, pair.before.rstrip(), rng)
        except DiffufixError:
            return tasks
        return tasks

    def _undone(self, function: CoveredFunction, before: str, rng: random.Random) -> list[Task]:
        edits = edits_between(before, function.text)
        if not edits:
            return []
        begin = function.source.rfind("\n", 0, function.start) + 1
        first, last = edits[0].start, edits[-1].end
        grown = len(before) - len(function.text)
        faulty = splice(function.source, Edit(begin, function.end, before), before)
        place = Place(begin + first, begin + last + grown, begin + first, begin + last)
        task = self.broken(function, faulty, place, "history", rng)
        return [task] if task else []

    def masked(self, function: CoveredFunction, rng: random.Random) -> Task | None:
        """A statement or an expression cut out, to be written anew."""
        return self._untouched(function, rng, shown=False)

    def intact(self, function: CoveredFunction, rng: random.Random) -> Task | None:
        """A hole that is shown, and right as it is."""
        return self._untouched(function, rng, shown=True)

    # -- parts -------------------------------------------------------------------------------------

    def broken(
        self, function: CoveredFunction, faulty: str, place: Place, origin: str, rng: random.Random
    ) -> Task | None:
        """The task of a fault at [start, end) of the file `faulty`, which is [first, last) of the
        right one; None where the function is gone or no hole covers the fault."""
        start, end, first, last = place
        node = _function(faulty, function.qualname, function.first_line)
        if node is None or faulty == function.source:
            return None
        over = [
            hole
            for hole in holes(faulty, node)
            if hole.start <= start and end <= hole.end
            and (hole.start < hole.end or hole.kind is Kind.INSERTION)
        ]  # fmt: skip
        over.sort(key=lambda hole: (hole.end - hole.start, hole.start))
        statements = [hole for hole in over if hole.kind is Kind.STATEMENT]
        ranked = statements + over if statements and rng.random() > FINEST else over
        text = Text(function.source)
        tests = function.tests(range(text.line_of(first), text.line_of(max(first, last - 1)) + 1))
        for hole in ranked:
            answer = function.source[hole.start : hole.end + last - end]
            task = make_task(
                function.path, function.qualname, faulty, (hole.start, hole.end), str(hole.kind),
                origin, tests, answer=answer,
            )  # fmt: skip
            asked = self._asked(task)
            if asked is not None:
                return asked
        return None

    def _untouched(self, function: CoveredFunction, rng: random.Random, shown: bool) -> Task | None:
        source = function.source
        offered = [
            hole
            for hole in holes(source, function.node)
            if hole.start < hole.end and hole.kind in (Kind.EXPRESSION, Kind.STATEMENT)
        ]
        if not offered:
            return None
        kind = rng.choice(sorted({hole.kind for hole in offered}))
        hole = rng.choice([hole for hole in offered if hole.kind is kind])
        text = Text(source)
        tests = function.tests(range(text.line_of(hole.start), text.line_of(hole.end - 1) + 1))
        origin = "intact" if shown else "masked"
        task = make_task(
            function.path, function.qualname, source, (hole.start, hole.end), str(kind), origin,
            tests, shown=shown, answer=source[hole.start : hole.end],
        )  # fmt: skip
        return self._asked(task)

    def _asked(self, task: Task) -> Task | None:
        """The task as the model can be asked it."""
        wide = aligned(self.model, task)
        return wide if wide is not None and prompt_of(self.model, wide) is not None else None


def _parsed(source: str) -> ast.Module | None:
    try:
        return parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return None


def _function(source: str, qualname: str, first_line: int) -> FunctionNode | None:
    tree = _parsed(source)
    return None if tree is None else find_function(tree, qualname, first_line)


def _is_stub(body: Sequence[ast.stmt]) -> bool:
    return all(
        isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
        for s in body
    )
