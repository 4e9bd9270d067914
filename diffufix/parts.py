"""Parts of a repair on their own: where the fault may lie (`localize`), and whether a change that
somebody else wrote mends it (`verify`). The project is only read; both work on scratch copies.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from diffufix import events
from diffufix.config import Settings
from diffufix.errors import ProjectError, TooLate, UsageError
from diffufix.events import Listener
from diffufix.localize import groups
from diffufix.localize import suspects as rank
from diffufix.repair.nowhere import nowhere
from diffufix.repair.reasons import Reason, number
from diffufix.sandbox.reap import reap_folders, scratch_prefix
from diffufix.source.file import SourceFile
from diffufix.source.patch import make_patch
from diffufix.types import (
    PASSED,
    Candidate,
    Claims,
    Patch,
    State,
    SuspiciousFunction,
    TestCase,
    Verdict,
)
from diffufix.workspace.choice import Runtime, choose
from diffufix.workspace.clock import Clock
from diffufix.workspace.diagnosis import Diagnosis, diagnose
from diffufix.workspace.verifiers import copies, make_confirmer

NOTHING = "No test fails."


@dataclass(frozen=True)
class Localization:
    """What fails, and the functions that may be at fault, most suspicious first."""

    tests: int  # in the suite
    failing: tuple[TestCase, ...] = ()  # in both of two runs
    flaky: tuple[str, ...] = ()
    suspects: tuple[SuspiciousFunction, ...] = ()
    message: str = ""  # why there are no suspects
    hint: str = ""
    warnings: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "tests": self.tests,
            "failing": [{"id": case.id, "message": case.message} for case in self.failing],
            "flaky": list(self.flaky),
            "suspects": [
                {
                    "path": suspect.path,
                    "qualname": suspect.qualname,
                    "line": suspect.first_line,
                    "score": round(suspect.score, 4),
                    "evidence": suspect.evidence,
                    "lines": {n: round(value, 4) for n, value in sorted(suspect.lines.items())},
                }
                for suspect in self.suspects
            ],
            "message": self.message,
            "hint": self.hint,
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Verification:
    """What the whole suite said of a change. `claims` are there where some failing test turned
    green and nothing broke; all did where `verdict.passed`."""

    verdict: Verdict
    patch: Patch
    failing: tuple[str, ...] = ()  # without the change
    claims: Claims | None = None
    warnings: tuple[str, ...] = ()

    @property
    def still_failing(self) -> tuple[str, ...]:
        """Tests that fail with and without the change, as far as the runs said."""
        if self.claims is None:
            return self.failing
        return tuple(test for test in self.failing if test not in self.claims.turned_green)

    @property
    def words(self) -> str:
        """One sentence."""
        if self.claims is not None:
            green, others = len(self.claims.turned_green), len(self.claims.kept)
            said = f"{green} of {len(self.failing)} failing tests pass with the change"
            verb = "other passes" if others == 1 else "others pass"
            return f"{said}, and {others:,} {verb} as before."
        return f"Not confirmed ({self.verdict.state}): {self.verdict.detail or 'no test passes'}"

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "passed": self.verdict.passed,
            "state": str(self.verdict.state),
            "message": self.words,
            "failing": list(self.failing),
            "still_failing": list(self.still_failing),
            "claims": self.claims and self.claims.document(),
            "files": [edit.path for edit in self.patch.edits],
            "diff": self.patch.diff,
            "warnings": list(self.warnings),
        }


@dataclass
class _Look:
    """One diagnosis of a project and what it was made with."""

    place: Runtime
    diagnosis: Diagnosis
    scratch: Path
    clock: Clock
    warnings: list[str] = field(default_factory=list)


@contextlib.contextmanager
def _diagnosed(settings: Settings, listener: Listener) -> Iterator[_Look]:
    """Raises ProjectError, also where the tests take longer than the budget; PrerequisiteError."""
    warnings: list[str] = []

    def warn(text: str) -> None:
        warnings.append(text)
        listener(events.Warned(text))

    reap_folders()
    clock = Clock(settings.budget)
    with tempfile.TemporaryDirectory(prefix=scratch_prefix()) as scratch:
        place = choose(settings, lambda text: listener(events.Stage(text)))
        if place.note:
            warn(place.note)
        try:
            diagnosis = diagnose(
                settings, place, Path(scratch), listener, warn, lambda: None, clock=clock
            )
        except TooLate:
            raise ProjectError(
                f"The tests do not end within {settings.budget:g} s.", "Give it a larger budget."
            ) from None
        place = place.with_home(diagnosis.surroundings.files)
        yield _Look(place, diagnosis, Path(scratch), clock, warnings)


def localize(settings: Settings, listener: Listener) -> Localization:
    """Run the tests and rank the functions that may be at fault. Raises what `repair` raises."""
    with _diagnosed(settings, listener) as look:
        diagnosis, root = look.diagnosis, settings.root
    found = [
        suspect
        for targets in groups(diagnosis.run, root=root, tests=diagnosis.tests)
        if (red := tuple(test for test in targets if test in diagnosis.red))
        for suspect in rank(
            diagnosis.run, root=root, failing=red, only=settings.function, tests=diagnosis.tests
        )
    ]
    best = {(s.path, s.qualname): s for s in sorted(found, key=lambda s: s.score)}
    suspects = tuple(sorted(best.values(), key=lambda s: -s.score))
    listener(events.Localized(suspects))
    reason = Reason("")
    if diagnosis.red and not suspects:
        reason = nowhere(diagnosis, root, settings.function)
    elif not diagnosis.red:
        reason = Reason("No test fails in both of two runs." if diagnosis.flaky else NOTHING)
    failing = tuple(case for case in diagnosis.run.red if case.id in diagnosis.red)
    return Localization(
        len(diagnosis.run.cases), failing, diagnosis.flaky, suspects, reason.message, reason.hint,
        tuple(look.warnings),
    )  # fmt: skip


def verify(settings: Settings, change: str | Mapping[str, str], listener: Listener) -> Verification:
    """Run the whole suite several times with a change and without.

    `change` is a unified diff or whole new texts by relative path. Only files that exist are
    changed, and no test code. Raises UsageError for a change that does not fit, and what `repair`
    raises.
    """
    with _diagnosed(settings, listener) as look:
        diagnosis = look.diagnosis
        files = _texts(settings.root, change, look.scratch)
        sources = {path: _read(settings.root, path) for path in files}
        patch = make_patch(sources, files)
        if not patch.edits:
            raise UsageError("The change changes nothing.", "Give the new text of a file.")
        found = partial(Verification, patch=patch, failing=diagnosis.red)
        if not diagnosis.red:
            verdict = Verdict(State.FAIL, detail="no test fails without the change")
            return found(verdict, warnings=tuple(look.warnings))
        listener(events.Confirming(f"{number(len(diagnosis.red), 'test')} to turn green"))
        factory = copies(settings, look.place, look.scratch)
        with make_confirmer(settings, look.place, diagnosis, factory) as confirmer:
            edited = {edit.path: edit.new for edit in patch.edits}
            confirmed = confirmer.confirm(Candidate(edited), diagnosis.red, look.clock.deadline)
            first, seen = confirmed.verdict, confirmed.verdict.outcomes
            green = tuple(test for test in diagnosis.red if seen.get(test) == PASSED)
            if first.state is State.FAIL and 0 < len(green) < len(diagnosis.red):
                confirmed = confirmer.confirm(Candidate(edited), green, look.clock.deadline)
                if confirmed.verdict.passed:  # in part
                    confirmed = replace(confirmed, verdict=first)
        return found(confirmed.verdict, claims=confirmed.claims, warnings=tuple(look.warnings))


def _texts(root: Path, change: str | Mapping[str, str], scratch: Path) -> dict[str, str]:
    """Whole new texts by relative path."""
    if not isinstance(change, str):
        return dict(change)
    diff = change if change.endswith("\n") else change + "\n"
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        if _git_apply(folder, diff, "--summary").strip():
            raise UsageError(
                "The diff makes, moves or removes files.", "Only files that exist are changed."
            )
        listed = _git_apply(folder, diff, "--numstat", "-z").rstrip("\0").split("\0")
        paths = [entry.split("\t")[2] for entry in listed]
        for path in paths:
            there = Path(folder, path)
            content = _inside(root, path).read_bytes()
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(content)
        _git_apply(folder, diff, "--whitespace=nowarn")
        return {path: SourceFile.read(Path(folder, path)).text for path in paths}


def _git_apply(folder: str, diff: str, *options: str) -> str:
    """What `git apply` says, in a folder that is no repository."""
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": folder,
        "GIT_CEILING_DIRECTORIES": str(Path(folder).parent),
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    try:
        done = subprocess.run(
            ["git", "apply", "--recount", "--unidiff-zero", *options, "-"],
            cwd=folder, env=env, capture_output=True,
            input=diff.encode("utf-8", "surrogateescape"),
        )  # fmt: skip
    except OSError as error:
        raise UsageError("A diff needs git to be read.", "Install git.") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().removeprefix("error: ")
        raise UsageError(
            f"The diff does not fit: {said}", "Make it with `git diff`, for the files as they are."
        )
    return done.stdout.decode("utf-8", "surrogateescape")


def _inside(root: Path, name: str) -> Path:
    path = (root / PurePosixPath(name)).resolve()
    if not path.is_relative_to(root.resolve()) or not path.is_file():
        raise UsageError(f"{name} is no file of the project.", f"Paths are relative to {root}.")
    return path


def _read(root: Path, name: str) -> SourceFile:
    return SourceFile.read(_inside(root, name))
