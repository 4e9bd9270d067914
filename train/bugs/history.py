"""Repairs that a project has seen: small fixing commits of git repositories, as pairs of functions.

    diffufix train fixes REPOSITORY... --out pairs.jsonl.gz [--commits N]

A pair is one function before and after a commit whose message speaks of a fix, that changed one to
MAX_LINES lines of it and nothing else in its file, neither its signature nor only its comments and
docstring. Tests are left out, and functions named like those of the public benchmarks; pairs that
say the same come once. A line has the fields of `FixPair`: the texts, and what a model is shown
beside them. `diffufix train fixes` writes such files (train/bugs/fixes.py).
`broken` makes of a pair what a drawn bug is: the right text and the edits that break it again.
Deterministic. Reads the repositories through GitPython; writes --out and nothing else.
"""

from __future__ import annotations

import ast
import difflib
import gzip
import hashlib
import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from diffufix.errors import PrerequisiteError, ProjectError, UsageError
from diffufix.propose.surroundings import Survey
from diffufix.source import syntax
from diffufix.source.edits import Edit
from diffufix.source.file import SourceFile
from diffufix.source.functions import FunctionNode, docstring_of, functions
from diffufix.train.bugs.parsing import parse
from diffufix.train.corpus.decontaminate import names

MAX_LINES = 5  # changed, in the function before and in the one after
MAX_FILES = 4  # Python files that a small commit touches, tests apart
MAX_BYTES = 400_000  # of a file that is looked at
MAX_TOLD = 500  # characters of test lines
MAX_HELD_OUT = 400  # functions
MAX_AREA = 200 * 200  # tokens of a change times what they became, that are compared one by one
_FIXING = re.compile(
    r"\b(fix(e[sd]|ing)?|bug(s|fix\w*)?|fault|error|wrong(ly)?|incorrect(ly)?|mistake|off.by.one"
    r"|crash(es|ed)?|regression|broken|correct(ed|ly)?|should(n't)? (not )?)\b",
    re.I,
)
_CHECK = re.compile(r"\bassert|\braises\b|\.fail\(|==|\bwarns\b")
_TESTS = re.compile(
    r"(^|/)(tests?|testing|_?vendor(ed)?)/|(^|/)(test_[^/]*|[^/]*_test|conftest)\.py$"
)
_TOKEN = re.compile(
    r"\r?\n[ \t]*|\\[^\s]|[^\W\d]\w*|\d+|[ \t]+|\*\*=|//=|>>=|<<=|[-+*/%&|^@=!<>:]=|->|\*\*|//"
    r"|<<|>>|.",
    re.S,
)
Ranges = tuple[int, int, int, int]  # [a, b) of one sequence, [c, d) of another


@dataclass(frozen=True)
class FixPair:
    """A function before and after its repair, as it stands in its file (not dedented)."""

    before: str
    after: str
    path: str
    qualname: str
    commit: str
    message: str  # its first line
    failure: str = ""  # what a test said of `before` (propose/failure.py)
    outline: str = ""  # of its file (propose/surroundings.py)
    names: str = ""  # further names of its file, separated by blanks


def pairs(repository: Path, commits: int | None = None) -> Iterator[FixPair]:
    """Repairs in the history behind HEAD, newest first; `commits` is how many are looked at.

    Raises PrerequisiteError without git, ProjectError where the folder is no repository or has no
    commit yet. Commits whose files are not there (a shallow or partial clone) are passed over.
    """
    try:
        import git
    except ImportError as error:
        raise PrerequisiteError(
            f"git cannot be used: {error}", "Install git and GitPython."
        ) from error
    try:
        with git.Repo(repository, search_parent_directories=True) as repo:
            for commit in repo.iter_commits(max_count=commits, no_merges=True):
                if commit.parents and _FIXING.search(str(commit.message)):
                    try:
                        yield from _of_commit(commit)
                    except (ValueError, KeyError, OSError):  # objects that are missing here
                        continue
    except (git.exc.GitError, ValueError) as error:
        raise ProjectError(
            f"{repository} has no history to read: {str(error) or type(error).__name__}",
            "Name the folder of a git repository with at least one commit.",
        ) from error


def _of_commit(commit: Any) -> Iterator[FixPair]:
    changes = commit.parents[0].diff(commit)
    sources = [
        each
        for each in changes
        if each.change_type == "M"
        and each.b_path.endswith(".py")
        and not _TESTS.search(each.b_path)
    ]
    if not 0 < len(sources) <= MAX_FILES:
        return
    message = str(commit.message).strip().split("\n")[0][:200]
    for each in sorted(sources, key=lambda change: str(change.b_path)):
        if max(each.a_blob.size, each.b_blob.size) > MAX_BYTES:
            continue
        old, new = _texts(each)
        found = repaired_function(old, new)
        if found is not None:
            qualname, before, after = found
            seen = Survey(old, syntax.parse(old)).around(find(old, qualname), before)
            yield FixPair(
                before, after, str(each.b_path), qualname, commit.hexsha, message,
                told(_added_to_tests(changes), qualname), seen.outline, " ".join(seen.names),
            )  # fmt: skip


def find(source: str, qualname: str) -> FunctionNode:
    """The last function of that qualified name; ValueError without one."""
    named = [node for name, node in functions(syntax.parse(source)) if name == qualname]
    if not named:
        raise ValueError(f"no function {qualname}")
    return named[-1]


def _texts(change: Any) -> tuple[str, str]:
    first, second = (blob.data_stream.read() for blob in (change.a_blob, change.b_blob))
    return _decoded(first), _decoded(second)


def _added_to_tests(changes: Any) -> str:
    """The lines that a commit added to its test files."""
    added: list[str] = []
    for each in changes:
        if each.change_type == "M" and _TESTS.search(each.b_path) and each.b_path.endswith(".py"):
            old, new = _texts(each)
            known = {*old.split("\n")}
            added += [line for line in new.split("\n") if line not in known]
    return "\n".join(added)


def told(tests: str, qualname: str) -> str:
    """The lines of a commit's tests that name the function or check something, as
    propose/failure.py writes a failure: no message, then lines. "" without such lines."""
    name = re.compile(rf"\b{re.escape(qualname.rpartition('.')[2])}\b")
    lines = [line.strip() for line in tests.split("\n") if not line.startswith("# in ")]
    kept, left = [], MAX_TOLD
    for line in lines:
        if line and (name.search(line) or _CHECK.search(line)) and len(line) < left:
            kept.append(line)
            left -= len(line) + 1
    return "\n" + "\n".join(kept) if kept else ""


def repaired_function(old: str, new: str) -> tuple[str, str, str] | None:
    """Qualified name and both texts of the one function by which two versions of a file differ, if
    that is a small change of what it does."""
    were, are = _functions(old), _functions(new)
    if were is None or are is None:
        return None
    changed = [name for name in were if name in are and were[name][1] != are[name][1]]
    if len(changed) != 1:
        return None
    name = changed[0]
    (first, before), (second, after) = were[name], are[name]
    if old.replace(before, "", 1) != new.replace(after, "", 1):
        return None
    if _signature(first) != _signature(second) or first.name in names():
        return None
    if not _small(before, after) or _meaning(first) == _meaning(second):
        return None
    return name, before, after


def _functions(source: str) -> dict[str, tuple[FunctionNode, str]] | None:
    """By qualified name, the last of several; None where the source does not parse."""
    file = SourceFile(source)
    if file.tree is None:
        return None
    return {each.qualname: (each.node, file.text_of(each)) for each in file.functions()}


def _signature(node: FunctionNode) -> str:
    return f"{type(node).__name__} {node.name} {ast.dump(node.args)}"


def _meaning(node: FunctionNode) -> str:
    body = node.body[1:] if docstring_of(node) else node.body
    return "".join(map(ast.dump, body))


def _small(before: str, after: str) -> bool:
    changed = _differing(before.split("\n"), after.split("\n"))
    lines = max(sum(b - a for a, b, _, _ in changed), sum(d - c for _, _, c, d in changed))
    return lines <= MAX_LINES


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def distinct(found: Iterable[FixPair]) -> Iterator[FixPair]:
    """Without pairs whose texts, comments and layout apart, were there before."""
    seen: set[bytes] = set()
    for pair in found:
        both = _bare(pair.before) + "\0" + _bare(pair.after)
        key = hashlib.blake2b(both.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if key not in seen:
            seen.add(key)
            yield pair


def _bare(text: str) -> str:
    """A function's meaning as a text, wherever it stood."""
    source = "if 1:\n" + text if text[:1].isspace() else text
    return "".join(_meaning(node) for _, node in functions(syntax.parse(source)))


# -- for training ----------------------------------------------------------------------------------


def edits_between(before: str, after: str) -> list[Edit]:
    """Edits of the right text `after` that make it `before` again: `apply(after, edits)[0]`.

    Over lexical tokens; changes with nothing but blanks or punctuation between them are one edit.
    Neighbouring lines that changed over more than MAX_AREA are one edit as a whole.
    """
    left, right = _TOKEN.findall(after), _TOKEN.findall(before)
    starts, begins = _starts(left), _starts(right)
    spans: list[Ranges] = []
    for a, b, c, d in _changes(left, right):
        if spans and not any(token[0].isalnum() for token in left[spans[-1][1] : a]):
            spans[-1] = spans[-1][0], b, spans[-1][2], d
        else:
            spans.append((a, b, c, d))
    return [
        Edit(starts[a], starts[b], before[begins[c] : begins[d]], "history") for a, b, c, d in spans
    ]


def _changes(left: Sequence[str], right: Sequence[str]) -> Iterator[Ranges]:
    """The tokens [a, b) of one text that are [c, d) in the other: lines are compared first, since
    comparing tokens takes time with the square of their number and more."""
    first, second = _lines(left), _lines(right)
    lines = [["".join(t[i:j]) for i, j in pairwise(n)] for t, n in ((left, first), (right, second))]
    for at, to, other, end in _differing(*lines):
        a, b, c, d = first[at], first[to], second[other], second[end]
        if (b - a) * (d - c) > MAX_AREA:
            yield a, b, c, d
        else:
            for e, f, g, h in _differing(left[a:b], right[c:d]):
                yield a + e, a + f, c + g, c + h


def _differing(left: Sequence[str], right: Sequence[str]) -> list[Ranges]:
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    return [(a, b, c, d) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"]


def _lines(tokens: Sequence[str]) -> list[int]:
    """Where each line begins, with the line break before it, and the number of tokens."""
    breaks = [i for i, token in enumerate(tokens) if i and token[0] in "\r\n"]
    return [0, *breaks, len(tokens)]


def _starts(tokens: Sequence[str]) -> list[int]:
    offsets = [0]
    for token in tokens:
        offsets.append(offsets[-1] + len(token))
    return offsets


def broken(
    before: str, after: str, rng: random.Random
) -> tuple[str, FunctionNode, list[Edit]] | None:
    """What `parse` makes of the repaired function, its node, and the edits that break it again.

    The docstring stays in both or goes from both. None where one of them does not parse.
    """
    seed = rng.random()
    fixed, faulty = (parse(text, random.Random(seed)) for text in (after, before))
    if fixed is None or faulty is None:
        return None
    return *fixed, edits_between(faulty[0], fixed[0])


def load_pairs(path: Path) -> list[FixPair]:
    """The pairs of a file that this program wrote. Raises UsageError where it is no such file."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [FixPair(**json.loads(line)) for line in file]
    except (OSError, EOFError, ValueError, TypeError) as error:
        raise UsageError(
            f"The pairs in {path} cannot be read: {type(error).__name__}: {error}",
            "`diffufix train fixes REPOSITORY --out FILE` makes such a file.",
        ) from error


def read_pairs(files: Sequence[Path], repositories: Sequence[Path]) -> list[FixPair]:
    """The pairs of files and of repositories' histories, each once. Raises UsageError, and
    ProjectError for a repository without any."""
    found = [pair for path in files for pair in load_pairs(path)]
    for folder in repositories:
        own = list(pairs(folder))
        if not own:
            raise ProjectError(
                f"The history of {folder} has no small fixing commits.",
                "Looked for: a message that speaks of a fix, one function changed in its file, by "
                f"{MAX_LINES} lines at most, tests apart.",
            )
        found += own
    return list(distinct(found))


def split(found: Sequence[FixPair]) -> tuple[list[FixPair], list[FixPair]]:
    """Pairs to train on and pairs held out: those of one function in ten, by the hash of its
    name, MAX_HELD_OUT at most; where the functions are fewer than ten, none."""

    def key(pair: FixPair) -> bytes:
        return hashlib.blake2b(f"{pair.path}:{pair.qualname}".encode()).digest()

    keys = sorted({key(pair) for pair in found})
    held = set(keys[: min(MAX_HELD_OUT, len(keys) // 10)])
    return [p for p in found if key(p) not in held], [p for p in found if key(p) in held]


def write_pairs(found: Iterable[FixPair], path: Path) -> int:
    """Write pairs, return how many; the same pairs make the same bytes."""
    count, fresh = 0, path.with_name(path.name + ".part")
    with open(fresh, "wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
        for pair in found:
            file.write(json.dumps(asdict(pair)).encode() + b"\n")
            count += 1
    fresh.replace(path)
    return count
