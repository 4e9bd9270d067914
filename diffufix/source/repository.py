"""Asking git about a project whose `.git/config` a stranger may have written. Its users but
`commit.py` read only.

git runs what that file names: a file-system monitor, hooks, filters, a pager, a helper of a
remote. Here each of them is off, and only commands are used that need none. Lives without git.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

_SAFE = (
    *("-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false"),
    *("-c", "core.hooksPath=/dev/null", "-c", "safe.bareRepository=explicit"),
    *("-c", "protocol.allow=never", "-c", "core.sshCommand=false", "-c", "credential.helper="),
    *("-c", "core.editor=false", "-c", "core.pager=cat", "--no-pager", "--no-optional-locks"),
)
_DROPPED = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_EXTERNAL_DIFF", "GIT_PAGER")
SECONDS = 60.0


def git(root: Path, *arguments: str, stdin: bytes = b"", index: Path | None = None) -> bytes | None:
    """What git says in `root`; None without git, without a repository, or where it fails.

    `index` is used in place of the repository's own."""
    env = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    env |= {"GIT_INDEX_FILE": str(index)} if index else {}
    env |= {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_CONFIG_NOSYSTEM": "1"}
    try:
        done = subprocess.run(
            ["git", *_SAFE, *arguments], cwd=root, env=env, input=stdin, capture_output=True,
            check=True, timeout=SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def ignored(root: Path) -> frozenset[str] | None:
    """What git ignores, a folder that it ignores as a whole as one entry; None without git."""
    listed = git(
        root, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"
    )
    if listed is None:
        return None
    paths = frozenset(os.fsdecode(path).rstrip("/") for path in listed.split(b"\0") if path)
    return None if "." in paths else paths  # the whole project lies where a repository ignores it


def uncommitted(root: Path, paths: Sequence[str]) -> tuple[str, ...]:
    """Those of `paths` (relative to `root`) that git tracks and that differ from the last commit.

    Contents are compared here, because `git status` runs filters; other ends of lines are no
    difference. Empty where there is no repository, no git, or git refuses to answer.
    """
    return tuple(path for path in paths if _differs(root, path))


def _differs(root: Path, path: str) -> bool:
    committed = git(root, "cat-file", "blob", f"HEAD:./{path}")
    if committed is None:
        return bool(git(root, "ls-files", "-z", "--", path))  # new, and not committed yet
    try:
        now = (root / path).read_bytes()
    except OSError:
        return True
    return now.replace(b"\r\n", b"\n") != committed.replace(b"\r\n", b"\n")
