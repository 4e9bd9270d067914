"""A confirmed patch as a commit, with a message that says what failed and what proves the fix.

Writes objects and one reference to the repository, and with `commit` the entries of the changed
files in its index. No hook, filter or signing program of the repository is run: a stranger may
have written its configuration.
"""

from __future__ import annotations

import ast
import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffufix
from diffufix.errors import ApplyError, UsageError
from diffufix.source.difference import changed_span
from diffufix.source.functions import definitions
from diffufix.source.repository import git
from diffufix.types import EditedFile, Patch

NAMED = 20  # tests that a message names
_WIDTH = 72


@dataclass(frozen=True)
class Proof:
    """What a message says of a patch, as the log keeps it (`RepairResult.document`)."""

    green: tuple[str, ...]
    as_before: int
    runs: tuple[str, ...]
    complete: bool
    probability: float | None
    evidence: tuple[str, ...]
    run: int | None
    selected: tuple[str, ...] = ()  # arguments of pytest: only those tests were run

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Proof:
        """Raises UsageError where the patch was not confirmed over the whole suite."""
        claims = document.get("claims")
        if not claims or not claims["turned_green"] or not claims["runs"]:
            raise UsageError(
                "Only a patch that was confirmed is committed.",
                "Write it with `diffufix apply`, run your tests, and commit it yourself.",
            )
        unsaid = ("flaky", "differs_in_sandbox", "not_run", "not_collected")
        return cls(
            tuple(claims["turned_green"]), claims["passing_as_before"], tuple(claims["runs"]),
            not any(claims[key] for key in unsaid), document.get("probability"),
            tuple(document.get("evidence") or ()), document.get("run_id"),
            tuple(document.get("selected") or ()),
        )  # fmt: skip


def commit(patch: Patch, root: Path, proof: Proof, branch: str = "") -> str:
    """Commit the patch on the current branch, or on a new one that leaves everything else as it is.

    The files themselves are not written. Returns "1a2b3c4 on branch". Raises ApplyError without a
    repository, where a file differs from the last commit, or where git refuses.
    """
    head, reference = place(root, branch)
    blobs = [_blob(root, edit) for edit in patch.edits]
    with tempfile.TemporaryDirectory(prefix="diffufix-index-") as folder:
        index = Path(folder) / "index"
        _need(root, "read-tree", head, index=index)
        for mode, blob, path in blobs:
            _need(root, "update-index", "--cacheinfo", f"{mode},{blob},{path}", index=index)
        tree = _need(root, "write-tree", index=index)
    told = message(patch, proof).encode("utf-8", "replace")
    made = _need(root, "commit-tree", tree, "-p", head, "-F", "-", stdin=told)
    before = "0" * len(head) if branch else head
    _need(root, "update-ref", "-m", "diffufix", reference, made, before)
    if not branch:
        for mode, blob, path in blobs:
            git(root, "update-index", "--cacheinfo", f"{mode},{blob},{path}")
    name = branch or reference.removeprefix("refs/heads/")
    return f"{made[:10]} on {name}"


def message(patch: Patch, proof: Proof) -> str:
    """Subject, what failed, what holds now and how that was seen."""
    number = len(proof.green)
    tests = "1 failing test passes" if number == 1 else f"{number} failing tests pass"
    subject = f"Fix {', '.join(_places(patch)[:2])}: {tests}"
    if len(subject) > _WIDTH:
        subject = f"Fix {Path(patch.edits[0].path).name}: {tests}"
    shown = list(proof.green[:NAMED])
    shown += [f"and {number - NAMED} more"] if number > NAMED else []
    holds = f"They pass with this change; {proof.as_before:,} other tests pass as before"
    holds += ", and nothing else broke." if proof.complete and not proof.selected else "."
    lines = [subject, "", "Failed before this change:", *(f"  {test}" for test in shown), "", holds]
    suite = f"`pytest {shlex.join(proof.selected)}`" if proof.selected else "the whole suite"
    lines += [f"Seen in runs of {suite}, beside the unedited project:"]
    lines += [f"  {run}" for run in proof.runs]
    if proof.probability is not None:
        lines += ["", f"Likely right by the evidence: {proof.probability:.0%}"]
        lines += [f"  {words}" for words in proof.evidence]
    run = f", run {proof.run}" if proof.run is not None else ""
    return "\n".join([*lines, "", f"Found by diffufix {diffufix.__version__}{run}.", ""])


def _places(patch: Patch) -> list[str]:
    """The functions that a patch changes, or the files."""
    found = []
    for edit in patch.edits:
        line = edit.original.count("\n", 0, changed_span(edit.original, edit.new)[0]) + 1
        try:
            tree = ast.parse(edit.original)
        except (SyntaxError, ValueError, RecursionError):
            found.append(edit.path)
            continue
        inside = [d for d in definitions(tree) if d.first_line <= line <= d.last_line]
        found.append(inside[-1].qualname if inside else edit.path)
    return list(dict.fromkeys(found))


def place(root: Path, branch: str = "") -> tuple[str, str]:
    """The commit that is to be followed, and the reference that moves on. Raises ApplyError without
    a repository, a commit or a branch, UsageError for the name of a branch that cannot be made."""
    head = _ask(root, "rev-parse", "--verify", "HEAD^{commit}")
    if not head:
        raise ApplyError(
            f"{root} has no commit that another could follow.", "Commit your work first."
        )
    return head, _reference(root, branch)


def _reference(root: Path, branch: str) -> str:
    if not branch:
        current = _ask(root, "symbolic-ref", "--quiet", "HEAD")
        if not current:
            raise ApplyError("No branch is checked out.", "Name a new one with --branch.")
        return current
    if not _ask(root, "check-ref-format", "--branch", branch):
        raise UsageError(f"{branch!r} is no name for a branch.", "Such as --branch fix/total.")
    if _ask(root, "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}"):
        raise UsageError(f"There is a branch {branch} already.", "Name another one.")
    return f"refs/heads/{branch}"


def _blob(root: Path, edit: EditedFile) -> tuple[str, str, str]:
    """(mode, blob, path from the repository's top) of a file with its edit."""
    listed = _ask(root, "ls-tree", "HEAD", "--", edit.path)
    found = re.fullmatch(r"(\d+) blob ([0-9a-f]+)\t.*", listed, re.DOTALL)
    committed = git(root, "cat-file", "blob", found[2]) if found else None
    if found is None or committed is None:
        raise ApplyError(f"{edit.path} is in no commit.", "Commit it first, without the patch.")
    new = _encoded(edit, committed)
    blob = _need(root, "hash-object", "-w", "--stdin", stdin=new)
    prefix = _ask(root, "rev-parse", "--show-prefix")
    return found[1], blob, prefix + edit.path


def _encoded(edit: EditedFile, committed: bytes) -> bytes:
    """The edited text as the commit has its file: the same encoding, the same ends of lines."""
    from diffufix.source.file import SourceFile

    source = SourceFile.decode(committed, edit.path)
    if source.text == edit.original:
        return source.encode(edit.new)
    if source.text == edit.original.replace("\r\n", "\n"):
        return source.encode(edit.new.replace("\r\n", "\n"))
    raise ApplyError(
        f"{edit.path} has changes that are not committed.", "Commit or stash them first."
    )


def _ask(root: Path, *arguments: str) -> str:
    said = git(root, *arguments)
    return (said or b"").decode("utf-8", "replace").strip()


def _need(root: Path, *arguments: str, stdin: bytes = b"", index: Path | None = None) -> str:
    said = git(root, *arguments, stdin=stdin, index=index)
    if said is None:
        raise ApplyError(
            f"git does not do its part: {_words(arguments)}.",
            "Does git know who you are (git config user.name)?",
        )
    return said.decode("utf-8", "replace").strip()


def _words(arguments: Sequence[str]) -> str:
    return " ".join(["git", *arguments[:2]])
