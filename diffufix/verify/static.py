"""What a candidate may not touch and what it should not name; looks at texts, touches nothing.

A green candidate that names what its file does not is `suspicious`, not passed: tests can be
fooled by code that ends the process, reaches into the test runner or compares equal to everything.
`naming.py` has the rule, `vocabulary.py` what is harmless.
"""

from __future__ import annotations

import contextlib
import fnmatch
import io
import os
import re
import tokenize
from collections.abc import Container
from pathlib import Path, PurePosixPath

from diffufix.testing.testcode import named_like_tests
from diffufix.verify.naming import news
from diffufix.verify.reading import LONGEST, Unreadable

_IDENTIFIER = re.compile(r"[^\W\d]\w*")

#: Never edited: they decide what is tested, or run before it.
FORBIDDEN = (
    *("conftest.py", "sitecustomize.py", "usercustomize.py", "*.pth"),
    *("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "pyproject.toml"),
    *("tox.ini", "setup.cfg", "setup.py", "noxfile.py", "*.so", "*.pyc", "*.pyd"),
)
FORBIDDEN_FOLDERS = frozenset({".git", ".venv", "__pycache__"})


def forbidden(path: str, protected: Container[str] | None = None) -> str:
    """Why this relative POSIX path may not be edited; empty if it may.

    `protected` is the project's test code (`testing.testcode`). None: what is test code is told by
    the path alone.
    """
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path:
        return f"{path} lies outside the project"
    if len(path) > 2000 or any(len(part.encode("utf-8", "replace")) > 200 for part in pure.parts):
        return f"{path[:40]}... is too long for a file's name"
    if protected is not None and path in protected:
        return f"{path} is test code"
    if any(fnmatch.fnmatchcase(pure.name, pattern) for pattern in FORBIDDEN):
        return f"{path} is a test or configuration"
    if FORBIDDEN_FOLDERS & set(pure.parts[:-1]):
        return f"{path} is no source"
    if protected is None and named_like_tests(path):
        return f"{path} is test code by its name"
    return ""


def planted(path: str) -> str:
    """Why tests may not make a file of this relative path; empty if they may."""
    name = PurePosixPath(path).name
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in FORBIDDEN):
        return f"{path} is a test or configuration"
    if name.endswith(".py") and named_like_tests(path):
        return f"{path} is test code by its name"
    return ""


def suspicion(
    original: str, candidate: str, *, path: str = "", known: frozenset[str] | None = None
) -> str:
    """Why an edit is not taken for honest by its text; empty if it is.

    `path` is relative to the project, `known` the project's `identifiers` where they are known.
    What cannot be read cannot be judged, and is suspicious.
    """
    if candidate == original:
        return ""
    if path and not path.endswith((".py", ".pyi", ".pyx")):
        return "is no Python source"
    if declared(candidate) != declared(original):
        return "declares another encoding"
    try:
        found = news(original, candidate, path=path, known=known)
    except Unreadable as problem:
        return str(problem)
    return "adds " + ", ".join(found) if found else ""


def declared(text: str) -> str:
    """The encoding that Python reads a source of this text in."""
    head = "".join(text.splitlines(keepends=True)[:2]).encode("utf-8", "surrogateescape")
    try:
        return tokenize.detect_encoding(io.BytesIO(head).readline)[0]
    except (SyntaxError, UnicodeDecodeError):
        return "none"


def identifiers(root: Path) -> frozenset[str]:
    """Every identifier of the Python files below `root` that are no tests by their names."""
    found: set[str] = set()
    for folder, names, files in os.walk(root):
        names[:] = [n for n in names if n not in FORBIDDEN_FOLDERS and n[:1] != "."]
        for name in files:
            path = Path(folder, name)
            if name.endswith(".py") and not named_like_tests(path.relative_to(root).as_posix()):
                with contextlib.suppress(OSError):
                    text = path.read_bytes()[:LONGEST].decode("utf-8", "replace")
                    found.update(_IDENTIFIER.findall(text))
    return frozenset(found)
