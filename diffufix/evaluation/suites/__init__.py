"""The suites: `SUITES` by name, and `open_suite`, which reads one from data on disk.

data.py       finds and checks the data
repairs.py    HumanEvalFix, QuixBugs, folders of real bugs
bugsinpy.py   BugsInPy
coding.py     HumanEval, MBPP, EvalPlus' forms of both, infilling
bigcode.py    BigCodeBench
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from diffufix.errors import UsageError
from diffufix.evaluation.suites import repairs
from diffufix.evaluation.suites.data import Publication, SuiteData, find
from diffufix.evaluation.suites.fields import lines_of
from diffufix.evaluation.types import CodingProblem, RepairCase

#: "repair": faults in projects. "coding": functions from a prompt. "infilling": text in a middle.
SuiteKind = Literal["repair", "coding", "infilling"]
Item = RepairCase | CodingProblem


@dataclass(frozen=True)
class SuiteFormat:
    """One suite: how it is read, where it is published, how many cases it has (0: not fixed)."""

    name: str
    title: str
    kind: SuiteKind
    read: Callable[[Path], Iterator[Any]]
    publication: Publication | None = None
    cases: int = 0


@dataclass(frozen=True)
class OpenSuite:
    """Cases as they were read; `notes` are to be told and kept with the results."""

    format: SuiteFormat
    found: SuiteData
    items: Sequence[Any]
    notes: tuple[str, ...]


_HF = "https://huggingface.co/datasets/"

SUITES = {
    suite.name: suite
    for suite in (
        SuiteFormat(
            "humanevalfix", "HumanEvalFix (Python)", "repair", repairs.humanevalfix,
            Publication(
                f"{_HF}bigcode/humanevalpack/resolve/main/data/python/data/humanevalpack.jsonl",
                "humanevalfix-python.jsonl", "MIT",
            ), 164,
        ),
        SuiteFormat(
            "quixbugs", "QuixBugs (Python)", "repair", repairs.quixbugs,
            Publication(
                "https://github.com/jkoppel/QuixBugs.git", "quixbugs", "MIT",
                commit="4257f44b0ff1181dedaedee6a447e133219fcebf",
            ), 40,
        ),
        SuiteFormat("real-bugs", "real bugs", "repair", repairs.real_bugs),
    )
}  # fmt: skip


def open_suite(
    name: str,
    data: Path | None,
    *,
    agreed: Callable[[str], bool],
    any_version: bool = False,
) -> OpenSuite:
    """A suite by name, or by the file or folder that holds it.

    Raises UsageError (no such suite, data that is not as published), PrerequisiteError.
    """
    format = SUITES.get(name.lower())
    if format is None:
        path = Path(name).expanduser()
        if not path.exists() or data is not None:
            raise UsageError(
                f"There is no suite {name!r}, and no such file or folder.",
                f"Suites are: {', '.join(SUITES)}. A folder of real bugs has bugs.jsonl.",
            )
        format, data = _recognised(path), path
        found = find(format.title, None, data, agreed=agreed)
    else:
        found = find(format.title, format.publication, data, agreed=agreed, any_version=any_version)
    items = list(format.read(found.path))
    notes = [found.note] if found.note else []
    if format.cases and len(items) != format.cases:
        notes.append(f"{len(items)} of the {format.cases} cases of {format.title}")
    if doubled := len(items) - len({item.id for item in items}):
        raise UsageError(f"{found.path}: {doubled} cases have the id of another.")
    return OpenSuite(format, found, items, tuple(notes))


def selected(
    suite: OpenSuite, *, every: int = 1, limit: int | None = None, only: Sequence[str] = ()
) -> list[Any]:
    """The cases that are asked for, in the publisher's order. Raises UsageError for unknown ids."""
    known = {item.id for item in suite.items}
    if unknown := [id for id in only if id not in known]:
        raise UsageError(
            f"{suite.format.title} has no case {unknown[0]!r}.",
            f"It has {', '.join(list(known)[:3])}, ...",
        )
    chosen = [item for item in suite.items if not only or item.id in only]
    return chosen[::every][:limit]


#: Fields that tell one publisher's lines from another's; the first that fits.
_FIELDS = (("humanevalfix", {"buggy_solution", "declaration"}),)


def _recognised(path: Path) -> SuiteFormat:
    if path.is_dir():
        if (path / "python_programs").is_dir():
            return SUITES["quixbugs"]
        if (path / "bugs.jsonl").is_file():
            return SUITES["real-bugs"]
        raise UsageError(
            f"{path} is no folder of a suite that is known here.",
            "A folder of real bugs has bugs.jsonl and trees/ID.tar.xz (docs/evaluate.md).",
        )
    where, raw = next(lines_of(path))
    for name, fields in _FIELDS:
        if fields <= raw.keys():
            return SUITES[name]
    raise UsageError(
        f"{where} is of no format that is known here: its fields are {', '.join(sorted(raw))}.",
        "Name the suite and give the file with --data; docs/evaluate.md lists the fields.",
    )
