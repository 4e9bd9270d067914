"""The suites: `SUITES` by name, and `open_suite`, which reads one from data on disk.

data.py       finds and checks the data
repairs.py    HumanEvalFix, QuixBugs, folders of real bugs
bugsinpy.py   BugsInPy
coding.py     HumanEval, MBPP, EvalPlus' forms of both, infilling
bigcode.py    BigCodeBench
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from diffufix.errors import UsageError
from diffufix.evaluation.suites import bigcode, bugsinpy, coding, repairs
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
_INFILLING = "https://github.com/openai/human-eval-infilling/raw/master/data/"
_BIGCODE = (
    "https://github.com/bigcode-project/bigcodebench-annotation/releases/download/v0.1.4/"
    "BigCodeBench"
)
_HUMANEVALFIX = Publication(
    f"{_HF}bigcode/humanevalpack/resolve/main/data/python/data/humanevalpack.jsonl",
    "humanevalfix-python.jsonl",
    "MIT",
)

SUITES = {
    suite.name: suite
    for suite in (
        SuiteFormat(
            "humanevalfix", "HumanEvalFix (Python)", "repair", repairs.humanevalfix,
            _HUMANEVALFIX, 164,
        ),
        SuiteFormat(
            "humanevalfix-answers", "HumanEvalFix (Python), one answer", "coding",
            coding.humanevalfix_answers, _HUMANEVALFIX, 164,
        ),
        SuiteFormat(
            "quixbugs", "QuixBugs (Python)", "repair", repairs.quixbugs,
            Publication(
                "https://github.com/jkoppel/QuixBugs.git", "quixbugs", "MIT",
                commit="4257f44b0ff1181dedaedee6a447e133219fcebf",
            ), 40,
        ),
        SuiteFormat(
            "bugsinpy", "BugsInPy", "repair", bugsinpy.bugsinpy,
            Publication(
                "https://github.com/soarsmu/BugsInPy.git", "bugsinpy", "its projects' own licences",
                commit="11c5f1eea954a42132cfd06bf257766a7963e0fd",
            ), 501,
        ),
        SuiteFormat("real-bugs", "real bugs", "repair", repairs.real_bugs),
        SuiteFormat(
            "humaneval", "HumanEval", "coding", coding.humaneval,
            Publication(
                "https://github.com/openai/human-eval/raw/master/data/HumanEval.jsonl.gz",
                "HumanEval.jsonl.gz", "MIT",
                "1d49078ba3e2b196b9344535bef34a43021f038fad9561d6ee7c53450609a6a2",
            ), 164,
        ),
        SuiteFormat(
            "humaneval+", "HumanEval+ (EvalPlus)", "coding", coding.humaneval_plus,
            Publication(
                "https://github.com/evalplus/humanevalplus_release/releases/download/v0.1.10/"
                "HumanEvalPlus.jsonl.gz", "HumanEvalPlus-v0.1.10.jsonl.gz", "Apache-2.0",
            ), 164,
        ),
        SuiteFormat(
            "mbpp", "MBPP, test split", "coding", coding.mbpp,
            Publication(
                "https://github.com/google-research/google-research/raw/master/mbpp/mbpp.jsonl",
                "mbpp.jsonl", "CC-BY-4.0",
            ), 500,
        ),
        SuiteFormat(
            "mbpp+", "MBPP+ (EvalPlus)", "coding", coding.mbpp_plus,
            Publication(
                "https://github.com/evalplus/mbppplus_release/releases/download/v0.2.0/"
                "MbppPlus.jsonl.gz", "MbppPlus-v0.2.0.jsonl.gz", "Apache-2.0",
            ), 378,
        ),
        *(
            SuiteFormat(
                f"bigcodebench{'-hard' if hard else ''}-{form}",
                f"BigCodeBench, {'hard' if hard else 'full'}, {form}", "coding", read,
                Publication(
                    f"{_BIGCODE}{'-Hard' if hard else ''}.jsonl.gz",
                    f"BigCodeBench{'-Hard' if hard else ''}-v0.1.4.jsonl.gz", "Apache-2.0",
                ), 148 if hard else 1140,
            )
            for hard in (False, True)
            for form, read in (("complete", bigcode.complete), ("instruct", bigcode.instruct))
        ),
        *(
            SuiteFormat(
                f"infilling-{name}", f"HumanEval-Infilling, {title}", "infilling", coding.infilling,
                Publication(f"{_INFILLING}{file}.jsonl.gz", f"{file}.jsonl.gz", "MIT", digest),
                cases,
            )
            for name, title, file, cases, digest in (
                ("single", "single line", "HumanEval-SingleLineInfilling", 1033,
                 "6fffc71ec2f1674372fcc177511f92312f1a27a9eacd8e43255c9f5ee9eca8c8"),
                ("multi", "multi line", "HumanEval-MultiLineInfilling", 5815,
                 "5b49f312f0a781420a4ae54f5e73176009b9cfc52731e3a0b9be726b451032d1"),
                ("span", "random span", "HumanEval-RandomSpanInfilling", 1640,
                 "4f15be2d4a479b504072c64e79702df184010f13bdf75f8b67ce08e054c48e26"),
            )
        ),
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
            near = difflib.get_close_matches(name.lower(), SUITES, n=1)
            raise UsageError(
                f"There is no suite {name!r}, and no such file or folder.",
                (f"Did you mean {near[0]}? " if near else "")
                + f"Suites are: {', '.join(SUITES)}. A folder of real bugs has bugs.jsonl.",
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
_FIELDS = (
    ("humanevalfix", {"buggy_solution", "declaration"}),
    ("bigcodebench-complete", {"complete_prompt", "test"}),
    ("infilling-single", {"prompt", "suffix", "test"}),
    ("mbpp+", {"assertion", "plus_input"}),
    ("humaneval+", {"plus_input", "prompt"}),
    ("humaneval", {"prompt", "test", "canonical_solution"}),
    ("mbpp", {"test_list", "code"}),
)


def _recognised(path: Path) -> SuiteFormat:
    if path.is_dir():
        if (path / "python_programs").is_dir():
            return SUITES["quixbugs"]
        if (path / "projects").is_dir():
            return SUITES["bugsinpy"]
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
