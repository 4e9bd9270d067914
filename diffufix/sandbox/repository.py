"""A git repository for a copy of the project, for tests that ask git; reads the project's own.

The copy has its own HEAD, references and index. Objects are not copied: it borrows them from the
project's repository, which nobody writes to. What may hold a password (remotes, credentials,
headers) is left out of its configuration, and so are hooks.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from diffufix.source.repository import git

BORROWED = Path(".git/objects/info/alternates")
_FILES = ("HEAD", "index", "packed-refs", "shallow", "info/exclude", "info/attributes")
_REFERENCES = 500  # files of loose references that are copied at most
_SENT_FILES, _SENT_BYTES = 300, 32 << 20
_CONFIG = """[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
[user]
\tname = diffufix
\temail = diffufix@localhost
"""


def lay_repository(root: Path, tree: Path) -> bool:
    """Give the copy `tree` of `root` a repository; False where `root` is no repository's top.

    A repository in another format than git's first (SHA-256, reftable) is left out, too.
    """
    found = _folders(root)
    if found is None:
        return False
    own, common = found
    place = tree / ".git"
    (place / "objects" / "info").mkdir(parents=True)
    (place / "refs" / "heads").mkdir(parents=True)
    (place / "info").mkdir()
    for name in _FILES:
        source = next((f / name for f in (own, common) if _plain(f / name)), None)
        if source is not None:
            with contextlib.suppress(OSError):
                shutil.copyfile(source, place / name)
    for path in sorted((common / "refs").rglob("*"))[:_REFERENCES]:
        if path.is_file() and not path.is_symlink():
            copied = place / path.relative_to(common)
            with contextlib.suppress(OSError):
                copied.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copied)
    (place / "config").write_text(_CONFIG, encoding="utf-8")
    (tree / BORROWED).write_bytes(os.fsencode(common / "objects") + b"\n")
    return True


def _plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def borrowed_objects(tree: Path) -> Path | None:
    """Where the objects of a copy's repository lie; None where it has none or they are its own."""
    try:
        path = Path(os.fsdecode((tree / BORROWED).read_bytes().strip()))
    except OSError:
        return None
    return path if path.is_dir() else None


def portable_objects(tree: Path) -> Path | None:
    """Borrowed objects, where they are few enough to be sent along with the tree."""
    folder = borrowed_objects(tree)
    if folder is None:
        return None
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return folder if len(sizes) <= _SENT_FILES and sum(sizes) <= _SENT_BYTES else None


def _folders(root: Path) -> tuple[Path, Path] | None:
    """(folder of this work tree, folder of the repository) where `root` is the work tree's top."""
    if not (root / ".git").exists():
        return None
    asked = ("rev-parse", "--show-toplevel", "--absolute-git-dir", "--git-common-dir")
    try:
        top, own, common = os.fsdecode(git(root, *asked) or b"").splitlines()
        if Path(top).resolve() != root.resolve():
            return None
        config = Path(root, common, "config").read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return None
    if "objectformat" in config.lower() or "refstorage" in config.lower():
        return None
    return Path(own), Path(root, common).resolve()
