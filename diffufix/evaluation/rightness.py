"""Is a green patch right? The same syntax tree as the publisher's fix, or equal under execution.

Both versions run, in a sandbox, the tests and up to a thousand inputs made from the arguments that
the tests pass (trust/calls.py). One that fails a test that the fix passes is wrong, one that
differs on a recorded call too, or on more than a hundredth of the made-up inputs (both raising
counts as the same). One that never differs in at least a hundred inputs, on which the fault differs
from its fix, is right. The rest is undecided.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from diffufix.sandbox import Sandbox
from diffufix.source.functions import functions
from diffufix.source.syntax import parse
from diffufix.trust.calls import Observer, Scene, Watched
from diffufix.trust.types import Recording

ENOUGH = 100  # inputs on which two versions agree before they are called the same
ODD = 0.01  # share of made-up inputs on which a right one may differ: undecided up to here
INPUTS, SECONDS = 1000, 10.0  # made up, and for all of them in one version


@dataclass(frozen=True)
class Rightness:
    """`right` is None where it could not be decided; `why` in one line."""

    right: bool | None
    why: str


@dataclass(frozen=True)
class Versions:
    """Whole texts of the same files: with the fault, with the publisher's fix, with the patch."""

    faulty: Mapping[str, str]
    fixed: Mapping[str, str]
    patched: Mapping[str, str]

    @property
    def same_tree(self) -> bool:
        return all(tree_of(self.fixed[path]) == tree_of(self.patched[path]) for path in self.fixed)

    def watched(self) -> list[Watched]:
        """The functions in which these versions differ; where none do, all of the files."""
        found = []
        for path in self.fixed:
            bodies = [_bodies(texts[path]) for texts in (self.fixed, self.faulty, self.patched)]
            for name, (line, body) in bodies[0].items():
                if any(other.get(name, (0, ""))[1] != body for other in bodies[1:]):
                    found.append(Watched(path, name, line))
        return found or [Watched(path, "<module>", 1) for path in self.fixed]


def rightness(
    versions: Versions,
    make: Callable[[], Sandbox],
    *,
    root: Path,
    python: str,
    args: Sequence[str],
    tests: Sequence[str],
    env: Mapping[str, str],
) -> Rightness:
    """`make` gives a sandbox with the fixed project; `tests` are ids that its fix passes."""
    if versions.same_tree:
        return Rightness(True, "the same syntax tree")
    if any(tree_of(text) is None for text in versions.patched.values()):
        return Rightness(False, "does not parse")
    scene = Scene(
        python, tuple(args), root, tuple(tests), tuple(versions.watched()), dict(versions.fixed),
        5.0,
        made_up=INPUTS, play_seconds=SECONDS, env=dict(env),
    )  # fmt: skip
    with Observer(make, scene) as observer:
        patched, faulty = observer.observe([versions.patched, versions.faulty])
        fixed = observer.original
        found = differs(fixed, patched, observer.recorded)
    if found.right and not sees(fixed, faulty):
        return Rightness(None, "the comparison does not see the fault either")
    return found


def tree_of(text: str) -> str | None:
    try:
        return ast.dump(ast.parse(text))
    except (SyntaxError, ValueError, RecursionError):
        return None


def _bodies(text: str) -> dict[str, tuple[int, str]]:
    try:
        return {name: (node.lineno, ast.dump(node)) for name, node in functions(parse(text))}
    except (SyntaxError, ValueError, RecursionError):
        return {}


def sees(fixed: Recording, faulty: Recording) -> bool:
    """Whether the comparison tells the fault from its fix."""
    after = {call.key: call.outcome for call in faulty.calls}
    calls = any(after.get(call.key, call.outcome) != call.outcome for call in fixed.calls)
    pairs = zip(fixed.plays, faulty.plays, strict=False)
    return calls or any(a and b and a.digest != b.digest for a, b in pairs)


def differs(fixed: Recording, other: Recording, own: Sequence[bool]) -> Rightness:
    """`own` says by input: was it recorded in a test, or made up?"""
    if not fixed.complete or not other.complete:
        return Rightness(None, fixed.problem or other.problem)
    failing = [
        test for test, outcome in fixed.outcomes.items()
        if outcome == "passed" and other.outcomes.get(test) != "passed"
    ]  # fmt: skip
    if failing:
        return Rightness(False, f"{failing[0]} fails")
    after = {call.key: call.outcome for call in other.calls}
    calls = [call for call in fixed.calls if call.key in after]
    changed = sum(after[call.key] != call.outcome for call in calls)
    compared = odd = 0
    where = ""
    for recorded, a, b in zip(own, fixed.plays, other.plays, strict=False):
        if a is None or b is None or "refused" in (a.kind, b.kind):
            continue
        compared += 1
        if a.digest != b.digest and not a.kind == b.kind == "raise":
            said = f"at ({a.text}): {a.kind} {a.value}, not {b.kind} {b.value}"
            if recorded:
                return Rightness(False, said)
            where = where or said
            odd += 1
    if changed:
        return Rightness(False, f"{changed} of {len(calls)} calls in tests end otherwise")
    if odd > ODD * compared:
        return Rightness(False, f"{odd} of {compared} inputs, {where}")
    if odd or compared < ENOUGH:
        return Rightness(
            None, f"{odd} of {compared} inputs differ, {len(calls)} calls do not {where}".strip()
        )
    return Rightness(True, f"the same on {compared} inputs")
