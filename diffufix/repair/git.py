"""The one place that talks to git, through GitPython; reads only, and lives without git."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def uncommitted(root: Path, paths: Sequence[str]) -> tuple[str, ...]:
    """Those of `paths` (relative to `root`) that git tracks and that differ from the last commit.

    Empty where there is no repository, no git, or git refuses to answer.
    """
    try:
        import git
    except ImportError:  # GitPython raises it too when there is no git executable
        return ()
    try:
        with git.Repo(root, search_parent_directories=True) as repo:
            return tuple(path for path in paths if _differs(repo, root / path))
    except (git.exc.GitError, OSError, ValueError):
        return ()


def _differs(repo: object, path: Path) -> bool:
    answer: str = repo.git.status(  # type: ignore[attr-defined]
        "--porcelain", "--untracked-files=no", "--ignore-submodules", "--", str(path)
    )
    return bool(answer.strip())
