"""What a candidate may not touch and what it should not name; looks at texts, touches nothing.

A green candidate that names these is `suspicious`, not passed: tests can be fooled by code that
ends the process, reaches into the test runner or compares equal to everything.
"""

from __future__ import annotations

import ast
import contextlib
import fnmatch
from collections import Counter
from pathlib import PurePosixPath

from diffufix.verify.route import _parse

#: Never edited: they decide what is tested, or run before it.
FORBIDDEN = (
    *("test_*.py", "*_test.py", "conftest.py", "sitecustomize.py", "usercustomize.py", "*.pth"),
    *("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "pyproject.toml"),
    *("tox.ini", "setup.cfg", "setup.py", "noxfile.py", "*.so", "*.pyc", "*.pyd"),
)
FORBIDDEN_FOLDERS = frozenset({"tests", "test", "testing", ".git", ".venv", "__pycache__"})

MODULES = frozenset(
    {"gc", "inspect", "ctypes", "atexit", "pytest", "_pytest", "unittest", "doctest", "pluggy"}
    | {"subprocess", "socket", "signal", "multiprocessing", "pickle", "marshal", "importlib"}
    | {"builtins", "faulthandler", "resource", "shutil", "pty", "runpy", "code", "pdb"}
)
ATTRIBUTES = frozenset(
    {"_exit", "_getframe", "_current_frames", "settrace", "setprofile", "modules", "abort"}
    | {"kill", "killpg", "fork", "forkpty", "closerange", "dup2", "system", "popen", "environ"}
    | {"f_back", "f_locals", "f_globals", "gi_frame", "cr_frame", "tb_frame", "tb_next"}
    | {"__subclasses__", "__globals__", "__builtins__", "__code__", "__dict__", "__class__"}
    | {"get_objects", "get_referrers", "runtest", "makereport", "stash"}
)
NAMES = frozenset(
    {"exit", "quit", "eval", "exec", "compile", "__import__", "globals", "breakpoint"}
    | {"__builtins__", "SystemExit", "KeyboardInterrupt", "BaseException", "GeneratorExit"}
    | {"PYTEST_CURRENT_TEST", "TestReport", "_exit", "_getframe"}
)
METHODS = frozenset(
    {"__eq__", "__ne__", "__hash__", "__lt__", "__le__", "__gt__", "__ge__", "__bool__"}
    | {"__instancecheck__", "__subclasscheck__", "__getattribute__", "__del__", "__reduce__"}
    | {"__init_subclass__", "__set_name__", "__contains__", "__len__"}
)


def forbidden(path: str, protected: frozenset[str] = frozenset()) -> str:
    """Why this relative POSIX path may not be edited; empty if it may.

    `protected` names further files, for example every file that tests were collected from.
    """
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path:
        return f"{path} lies outside the project"
    if path in protected:
        return f"{path} holds tests"
    if any(fnmatch.fnmatchcase(pure.name, pattern) for pattern in FORBIDDEN):
        return f"{path} is a test or configuration"
    if FORBIDDEN_FOLDERS & set(pure.parts[:-1]):
        return f"{path} lies among tests"
    return ""


def planted(path: str) -> str:
    """Why tests may not make a file of this relative path; empty if they may."""
    name = PurePosixPath(path).name
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in FORBIDDEN):
        return f"{path} is a test or configuration"
    if name.endswith(".py") and FORBIDDEN_FOLDERS & set(PurePosixPath(path).parts[:-1]):
        return f"{path} lies among tests"
    return ""


def suspicion(original: str, candidate: str) -> str:
    """What the candidate names more often than the original and should not; empty if nothing."""
    try:
        after = _named(candidate)
    except (SyntaxError, ValueError, RecursionError):
        return ""  # cannot be imported, so cannot pass
    with contextlib.suppress(SyntaxError, ValueError, RecursionError):
        after -= _named(original)
    return "adds " + ", ".join(sorted(after)) if after else ""


def _named(text: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for node in ast.walk(_parse(text)):
        if isinstance(node, ast.Import):
            found.update(f"import {a.name}" for a in node.names if _listed(a.name))
        elif isinstance(node, ast.ImportFrom):
            if _listed(node.module or ""):
                found[f"import {node.module}"] += 1
            found.update(a.name for a in node.names if a.name in ATTRIBUTES | NAMES)
        elif isinstance(node, ast.Attribute):
            base = node.value.id if isinstance(node.value, ast.Name) else ""
            if node.attr in ATTRIBUTES or base in MODULES or (base, node.attr) == ("sys", "exit"):
                found[f"{base}.{node.attr}"] += 1
        elif isinstance(node, ast.Name):
            if node.id in NAMES:
                found[node.id] += 1
        elif isinstance(node, ast.FunctionDef):
            if node.name in METHODS:
                found[f"def {node.name}"] += 1
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.update(repr(n) for n in ("PYTEST_CURRENT_TEST", "_exit") if n in node.value)
    return found


def _listed(module: str) -> bool:
    return module.split(".")[0] in MODULES
