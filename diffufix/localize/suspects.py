"""Which functions may hold the fault: `suspects`. Reads the project's sources, writes nothing.

A line's suspiciousness is Ochiai's similarity of "the line is executed" and "the test fails":

    ochiai(line) = ef / sqrt((ef + nf) * (ef + ep))

with ef the failing and ep the passing tests that execute the line's statement, nf the failing
tests that do not (Abreu, Zoeteweij, van Gemund: An evaluation of similarity coefficients for
software fault localization, PRDC 2006). A function has its worst line's, and a
score from the tracebacks: in each, 1 for the deepest function of the project's own code, 1/2 for
the one above it, 1/3 and so on (Zou et al.: An empirical study of fault localization families and
their combinations, TSE 2021), and over all failing tests the same coefficient as above:

    traceback(function) = sum of its scores / sqrt((ef + nf) * tracebacks that it is in)

A function's score is the logistic function of a sum of both and of how many of its statements the
failing tests execute, for more code holds more faults. The weights are a conditional logit's over
the suspects of 62 real bugs, rounded; cross-validated by project it puts 74 % of the faulty
functions among the first five, the mean of both coefficients 68 % (`bench/suspects.py`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from diffufix.localize.bindings import Bindings, read_bindings
from diffufix.localize.source import FunctionLines, Source, Span, read_source
from diffufix.testing.testcode import TestCode, test_code
from diffufix.types import PASSED, RED, Frame, SuspiciousFunction, TestCase, TestRun

READ = 0.8  # of the suspiciousness of the lines that read it, or of the statement that reads it
HOPS = 2  # statements between the line that was executed and the one that is to blame
MAKERS = ("__init__", "__new__", "__post_init__", "__init_subclass__", "__set_name__")
MAKER = 0.5  # of that of the class's most suspicious method, where they ran at import
HEADER = 0.6  # of that of the function whose defaults and decorators they are
SPECTRUM, TRACEBACK, STATEMENTS, FIRST = 0.7, 1.6, 0.85, -3.0  # weights, the last of what is sure
SURE = 0.97  # the most that a spectrum counts as

Lines = Mapping[str, frozenset[int]]
_Place = tuple[FunctionLines, Span]  # a statement and the function that holds it


@dataclass
class _Evidence:
    """What speaks against one function."""

    path: str
    function: FunctionLines
    ochiai: dict[int, float] = field(default_factory=dict)
    counts: tuple[int, int] = (0, 0)  # failing, passing tests through its worst statement
    depths: list[float] = field(default_factory=list)  # its score in each traceback it is in
    failing: int = 1  # tests to be explained
    raised: str = ""  # what left the function, where
    verb: str = "run"  # or read, of what was made at import; "" of what may have run there

    @property
    def spectrum(self) -> float:
        return max(self.ochiai.values(), default=0.0)

    @property
    def traceback(self) -> float:
        return sum(self.depths) / math.sqrt(self.failing * len(self.depths)) if self.depths else 0

    @property
    def similarity(self) -> float:
        return (self.spectrum + self.traceback) / 2

    @property
    def score(self) -> float:
        spectrum = min(max(self.spectrum, 1 - SURE), SURE)
        odds = FIRST + SPECTRUM * math.log(spectrum / (1 - spectrum))
        odds += TRACEBACK * self.traceback + STATEMENTS * math.log1p(len(self.ochiai))
        return 1 / (1 + math.exp(-odds))

    @property
    def rank(self) -> tuple[float, float, str, int]:
        return -self.score, -self.traceback, self.path, self.function.first_line


def suspects(
    run: TestRun,
    *,
    root: Path,
    failing: Sequence[str] | None = None,
    limit: int = 10,
    only: str = "",
    tests: TestCode | None = None,
) -> list[SuspiciousFunction]:
    """The project's functions, most suspicious first, at most `limit`.

    `run` is a run with coverage; sources are read below `root`. `failing` names the tests (and
    collection errors) to be explained, by default all that are red; other red tests say nothing.
    Only functions that one of them executes, or in whose code it raised, are suspects, and
    statements outside of functions (`<module>`) whose values the executed lines read: the list is
    empty when no failing test reaches code of the project. A file that does not parse holds no
    suspects. `only`, as `path::qualname`, `path` or `qualname`, leaves everything else out.
    `tests`, the project's test code, holds no suspects (None: looked up in `root`).
    """
    found, failed, passed = _evidence(run, root, failing, tests)
    wanted = [each for each in found if not only or _is_named(each, only)]
    ranked = sorted(wanted, key=lambda each: each.rank)[:limit]
    return [_suspect(each, failed, passed) for each in ranked]


def similarities(
    run: TestRun, *, root: Path, failing: Sequence[str], tests: TestCode, limit: int
) -> dict[tuple[str, str, int], float]:
    """By path, qualified name and first line of a suspect: the mean of its two coefficients, the
    highest first, at most `limit`. Ties go to the deeper frame, then to the smaller function."""
    found, *_ = _evidence(run, root, failing, tests)
    found.sort(key=lambda each: (-each.similarity, -each.traceback, each.function.size, each.rank))
    return {
        (each.path, each.function.qualname, each.function.first_line): each.similarity
        for each in found[:limit]
    }


def _evidence(
    run: TestRun, root: Path, failing: Sequence[str] | None, tests: TestCode | None
) -> tuple[list[_Evidence], int, int]:
    """What speaks against each function, and of how many failing and passing tests."""
    named = None if failing is None else frozenset(failing)
    red = [case for case in (*run.cases, *run.collection_errors) if case.outcome in RED]
    bad = [case for case in red if named is None or case.id in named]
    known = run.coverage  # of those that were run again
    good = [known[case.id] for case in run.cases if case.outcome == PASSED and case.id in known]
    tests = test_code(root, run.ids) if tests is None else tests
    frames = [[frame for frame in case.frames if frame.path not in tests] for case in bad]
    reached = [_reached(run, case, own, tests) for case, own in zip(bad, frames, strict=True)]
    found: dict[tuple[str, FunctionLines], _Evidence] = {}
    sources: dict[str, Source] = {}
    for path in sorted({path for lines in reached for path in lines}):
        source = read_source(root / path)
        if source is None:
            continue
        sources[path] = source
        raising = {frame.line for own in frames for frame in own if frame.path == path}
        places = _places(source, {n for lines in reached for n in lines.get(path, ())}, raising)
        failed = _count(places, (lines.get(path, ()) for lines in reached))
        passed = _count(places, (lines.get(path, ()) for lines in good))
        for (function, span), ef in failed.items():
            ep = passed[function, span]
            each = found.setdefault((path, function), _Evidence(path, function, failing=len(bad)))
            value = ochiai(ef, len(bad) - ef, ep)
            if value > each.spectrum:
                each.counts = (ef, ep)
            each.ochiai.update(dict.fromkeys(range(span[0], span[1] + 1), value))
    for case, own in zip(bad, frames, strict=True):
        _follow(case, own, sources, found)
    _made_at_import(root, tests, reached, good, sources, found)
    _makers(sources, found)
    return list(found.values()), len(bad), len(good)


def _is_named(each: _Evidence, name: str) -> bool:
    qualname = each.function.qualname
    return name in (each.path, qualname, f"{each.path}::{qualname}")


def ochiai(ef: int, nf: int, ep: int) -> float:
    """Failing tests that execute it, failing ones that do not, passing ones that do -> [0, 1]."""
    return ef / math.sqrt((ef + nf) * (ef + ep)) if ef else 0.0


def _reached(
    run: TestRun, case: TestCase, frames: Iterable[Frame], tests: TestCode
) -> dict[str, frozenset[int]]:
    """Lines of project files that a failing test executed, those of its traceback included."""
    covered = run.coverage.get(case.id, {})
    lines = {path: numbers for path, numbers in covered.items() if path not in tests}
    for frame in frames:
        lines[frame.path] = lines.get(frame.path, frozenset()) | {frame.line}
    return lines


def _places(source: Source, lines: Iterable[int], raising: set[int]) -> dict[int, _Place]:
    """The statements behind executed lines, under each of their lines.

    Of a module's own lines only those count that hold a lambda or raised: the others were executed
    by an import, which says nothing about the test that came first.
    """
    places: dict[int, _Place] = {}
    for line in lines:
        function = source.owner(line)
        if function is source.module and line not in raising and line not in source.lambdas:
            continue
        span = function.statements.get(line)
        if span is None:  # the head of a handler, of a case, of the function itself
            if line <= function.header_end and line not in raising:
                continue
            span = (line, line)
        places.update(dict.fromkeys(range(span[0], span[1] + 1), (function, span)))
    return places


def _count(places: Mapping[int, _Place], tests: Iterable[Iterable[int]]) -> Counter[_Place]:
    """How many of the tests execute each statement."""
    return Counter(
        place for lines in tests for place in {places[line] for line in lines if line in places}
    )


def _follow(
    case: TestCase,
    frames: Sequence[Frame],
    sources: Mapping[str, Source],
    found: Mapping[tuple[str, FunctionLines], _Evidence],
) -> None:
    """Score the functions of one traceback by their distance from where it was raised."""
    seen: dict[tuple[str, FunctionLines], int] = {}
    for frame in reversed(frames):
        if frame.path in sources:
            seen.setdefault((frame.path, sources[frame.path].owner(frame.line)), frame.line)
    for distance, (key, line) in enumerate(seen.items(), start=1):
        each = found.get(key)
        if each is not None:
            each.depths.append(1 / distance)
            if 1 / distance >= max(each.depths):
                verb = "raised" if distance == 1 else "passed through"
                each.raised = f"{case.message[:80]} {verb} at line {line}"


def _made_at_import(
    root: Path,
    tests: TestCode,
    reached: Sequence[Lines],
    good: Sequence[Lines],
    sources: dict[str, Source],
    found: dict[tuple[str, FunctionLines], _Evidence],
) -> None:
    """Score what the executed lines read that was bound outside of functions, and the defaults and
    decorators of what was executed: coverage sees none of it."""
    readers: dict[tuple[str, Span], dict[str, set[int]]] = {}
    nearest: dict[tuple[str, Span], int] = {}
    for path in list(sources):
        own = read_bindings(root, path)
        if own is None:
            continue
        executed = {n for lines in reached for n in lines.get(path, ())}
        for name, lines in own.reads.items():
            if lines & executed:
                for place, hops in _bound_at(root, tests, path, own, name):
                    readers.setdefault(place, {}).setdefault(path, set()).update(lines)
                    nearest[place] = min(hops, nearest.get(place, hops))
        for (at, function), each in found.items():
            if at == path:
                for line in own.headers.get(function.first_line, ()):
                    each.ochiai.setdefault(line, HEADER * each.spectrum)
    for (path, span), by in readers.items():
        source = sources.get(path) or read_source(root / path)
        if source is None:
            continue
        sources[path] = source
        ef, ep = (sum(_reads(lines, by) for lines in each) for each in (reached, good))
        value = READ ** (1 + nearest[path, span]) * ochiai(ef, len(reached) - ef, ep)
        key = (path, source.module)
        each = found.setdefault(key, _Evidence(*key, failing=len(reached)))
        if value > each.spectrum:
            each.counts, each.verb = (ef, ep), "read"
        for line in range(span[0], span[1] + 1):
            each.ochiai[line] = max(value, each.ochiai.get(line, 0.0))


def _makers(
    sources: Mapping[str, Source], found: dict[tuple[str, FunctionLines], _Evidence]
) -> None:
    """Score what made the objects whose methods were executed, where it ran at import."""
    spectra: dict[tuple[str, str], float] = {}
    for (path, function), each in found.items():
        owner = function.qualname.rpartition(".")[0]
        if owner:
            spectra[path, owner] = max(each.spectrum, spectra.get((path, owner), 0.0))
    for (path, owner), spectrum in spectra.items():
        for function in sources[path].functions:
            name = function.qualname.removeprefix(f"{owner}.")
            if name in MAKERS and (path, function) not in found:
                each = _Evidence(path, function, failing=1, verb="")
                each.ochiai = dict.fromkeys(function.statements, MAKER * spectrum)
                found[path, function] = each


def _bound_at(
    root: Path, tests: TestCode, path: str, own: Bindings, name: str, hops: int = 0
) -> Iterator[tuple[tuple[str, Span], int]]:
    """Where a name that a file reads was bound outside of functions, and what that was made of;
    with the number of statements between."""
    places = [(path, own, span) for span in own.spans.get(name, ())]
    paths, original = own.imported.get(name, ((), ""))
    inside = [file for base in own.members.get(name, ()) for file in own.modules.get(base, ())]
    for other, called in [*((p, original) for p in paths), *((p, name) for p in inside)]:
        there = None if other in tests else read_bindings(root, other)
        if there is not None:
            places += [(other, there, span) for span in there.spans.get(called, ())]
    for at, there, span in places:
        yield (at, span), hops
        if hops < HOPS:
            for used in there.uses[span] - {name}:
                yield from _bound_at(root, tests, at, there, used, hops + 1)


def _reads(lines: Lines, by: Mapping[str, set[int]]) -> bool:
    return any(not own.isdisjoint(lines.get(path, ())) for path, own in by.items())


def _suspect(each: _Evidence, failing: int, passing: int) -> SuspiciousFunction:
    ef, ep = each.counts
    runs = f"{each.verb} by {ef} of {failing} failing and {ep} of {passing} passing tests"
    if not each.verb:
        runs = "its class's methods are run by failing tests"
    return SuspiciousFunction(
        path=each.path,
        qualname=each.function.qualname,
        first_line=each.function.first_line,
        last_line=each.function.last_line,
        score=each.score,
        lines=dict(sorted(each.ochiai.items())),
        evidence="; ".join(part for part in (runs, each.raised) if part),
    )
