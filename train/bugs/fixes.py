"""Real fixes as training pairs: a file of mined commits made into pairs of `train/bugs/history.py`.

    diffufix train fixes FIXES.jsonl.gz... --out pairs.jsonl.gz [--since 2012]

Lines are JSON with `repo`, `date`, `path`, `qualname`, `kind`, `before`, `after`, `outline`,
`tests`, `rank`, `functions_in_commit`, `defs_added` (docs/training.md says what they mean). Kept
are functions alone in a commit that speaks of a fix, nothing else defined, none of a repository in
never.txt (projects that something is measured on) and none named like a public benchmark's. A pair
gets the outline of its file, names that earlier pairs of the same file say, and the lines of the
commit's tests that speak of the function, in place of a failure's. Reads files, writes --out,
nothing else.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any

from diffufix.errors import UsageError
from diffufix.train.bugs.history import FixPair, distinct, pairs, told, write_pairs
from diffufix.train.corpus import decontaminate
from diffufix.train.corpus.never import never

SINCE = 2012  # earlier fixes are mostly Python 2's
MAX_NAMES = 60  # of the file, that a pair brings along
_WORD = re.compile(r"[^\W\d]\w+")


@dataclass(frozen=True)
class Fix:
    """One line of a file of fixes, as far as it is used here."""

    repo: str
    date: str
    path: str
    qualname: str
    kind: str
    before: str
    after: str
    outline: str
    tests: str
    clean: bool


def read_fixes(paths: Iterable[Path]) -> Iterator[Fix]:
    """Every function of the files that may be learned from. Raises UsageError for other files."""
    banned, benchmarks = never(), decontaminate.names()
    for path in paths:
        for row in _rows(path):
            name = str(row["qualname"]).rpartition(".")[2]
            if row["kind"] != "function" or row["repo"].lower() in banned or name in benchmarks:
                continue
            clean = (
                row["rank"] in (0, 1)
                and row["functions_in_commit"] <= 1
                and not row["defs_added"]
                and str(row["date"])[:4].isdigit()
            )
            values = {field.name: row[field.name] for field in fields(Fix) if field.name != "clean"}
            yield Fix(**values, clean=clean)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)
    except (OSError, EOFError, ValueError) as error:
        raise UsageError(
            f"The fixes in {path} cannot be read: {type(error).__name__}: {error}",
            "A gzipped file of JSON lines is wanted; docs/training.md names its fields.",
        ) from error


def to_pairs(fixes: Iterable[Fix], since: int = SINCE) -> Iterator[FixPair]:
    """The clean ones since that year, in the order of their dates within a file."""
    files: dict[tuple[str, str], list[Fix]] = {}
    for fix in fixes:
        files.setdefault((fix.repo, fix.path), []).append(fix)
    for (repo, path), own in files.items():
        counts: Counter[str] = Counter()
        for fix in sorted(own, key=lambda fix: fix.date):
            if fix.clean and int(fix.date[:4]) >= since:
                said = {*_WORD.findall(fix.before), *_WORD.findall(fix.outline)}
                names = [name for name, _ in counts.most_common() if name not in said]
                yield FixPair(
                    fix.before, fix.after, f"{repo}/{path}", fix.qualname, "", "",
                    told(fix.tests, fix.qualname), fix.outline, " ".join(names[:MAX_NAMES]),
                )  # fmt: skip
            counts.update(set(_WORD.findall(fix.before)))


def gather(
    sources: Sequence[Path], out: Path, commits: int | None = None, since: int = SINCE
) -> int:
    """Write the pairs of repositories (folders) and of files of mined fixes; returns how many.

    Raises UsageError for other files and where nothing is found, ProjectError for a folder that
    is no repository.
    """
    files = [path for path in sources if not path.is_dir()]
    own = (pair for path in sources if path.is_dir() for pair in pairs(path, commits))
    found = write_pairs(chain(_safely(to_pairs(read_fixes(files), since)), distinct(own)), out)
    if not found:
        out.unlink()
        raise UsageError(
            "No fixes were found.",
            "Looked for: commits whose message speaks of a fix, with one function changed in its "
            "file by a few lines, tests apart.",
        )
    return found


def _safely(pairs: Iterable[FixPair]) -> Iterator[FixPair]:
    """Each once; texts that this Python cannot parse are left out."""
    iterator = iter(pairs)
    for pair in iterator:
        try:
            yield from distinct([pair])
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
