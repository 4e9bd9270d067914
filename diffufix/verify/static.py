"""What a candidate may not touch and what it should not name; looks at texts, touches nothing.

A green candidate that names these is `suspicious`, not passed: tests can be fooled by code that
ends the process, reaches into the test runner or compares equal to everything.
"""

from __future__ import annotations

import ast
import contextlib
import fnmatch
from collections import Counter
from collections.abc import Container
from pathlib import PurePosixPath

from diffufix.source.syntax import parse
from diffufix.testing.testcode import named_like_tests

#: Never edited: they decide what is tested, or run before it.
FORBIDDEN = (
    *("conftest.py", "sitecustomize.py", "usercustomize.py", "*.pth"),
    *("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "pyproject.toml"),
    *("tox.ini", "setup.cfg", "setup.py", "noxfile.py", "*.so", "*.pyc", "*.pyd"),
)
FORBIDDEN_FOLDERS = frozenset({".git", ".venv", "__pycache__"})

MODULES = frozenset(
    {"gc", "inspect", "ctypes", "atexit", "pytest", "_pytest", "unittest", "doctest", "pluggy"}
    | {"subprocess", "socket", "signal", "multiprocessing", "pickle", "marshal", "importlib"}
    | {"mock", "imp", "zipimport", "opcode", "dis", "bdb", "code", "codeop", "site"}
    | {"builtins", "faulthandler", "resource", "shutil", "pty", "runpy", "pdb"}
)
ATTRIBUTES = frozenset(
    {"_exit", "_getframe", "_current_frames", "settrace", "setprofile", "modules", "abort"}
    | {"kill", "killpg", "fork", "forkpty", "closerange", "dup2", "system", "popen", "environ"}
    | {"f_back", "f_locals", "f_globals", "gi_frame", "cr_frame", "tb_frame", "tb_next"}
    | {"__subclasses__", "__globals__", "__builtins__", "__code__", "__dict__", "__class__"}
    | {"get_objects", "get_referrers", "runtest", "makereport", "stash"}
    | {"breakpointhook", "excepthook", "__closure__", "__traceback__", "__self__", "__mro__"}
    | {"__bases__", "execv", "execve", "execvp", "posix_spawn", "meta_path", "path_hooks"}
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

#: Calls that reach an attribute whose name is not written down.
COMPUTED = frozenset({"getattr", "setattr", "delattr", "hasattr", "vars"})
#: Strings that are names.
SPELLED = (
    METHODS
    | (ATTRIBUTES - {"abort", "kill", "modules", "system", "stash", "fork"})
    | NAMES - {"exit", "quit", "compile", "globals", "eval", "exec", "breakpoint"}
)


def forbidden(path: str, protected: Container[str] | None = None) -> str:
    """Why this relative POSIX path may not be edited; empty if it may.

    `protected` is the project's test code (`testing.testcode`). None: what is test code is told by
    the path alone.
    """
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path:
        return f"{path} lies outside the project"
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
    for node in ast.walk(parse(text)):
        found.update(_names_of(node))
    return found


def _names_of(node: ast.AST) -> list[str]:
    """What one node names that is listed."""
    match node:
        case ast.Import(names=names):
            return [f"import {a.name}" for a in names if _listed(a.name)]
        case ast.ImportFrom(module=module, names=names):
            found = [f"import {module}"] if _listed(module or "") else []
            return found + [a.name for a in names if a.name in ATTRIBUTES | NAMES | METHODS]
        case ast.Attribute(value=value, attr=attr):
            base = value.id if isinstance(value, ast.Name) else ""
            ended = (base, attr) in (("sys", "exit"), ("type", "__new__"))
            stored = attr in METHODS and isinstance(node.ctx, ast.Store)
            listed = attr in ATTRIBUTES or base in MODULES or ended or stored
            return [f"{base}.{attr}"] if listed else []
        case ast.Name(id=name):
            return [name] if name in NAMES | METHODS else []
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return [f"def {name}"] if name in METHODS else []
        case ast.ClassDef(keywords=keywords):
            return ["metaclass" for keyword in keywords if keyword.arg == "metaclass"]
        case ast.Call(func=ast.Name(id="type"), args=[_, _, _, *_]):
            return ["type()"]
        case ast.Call(func=ast.Name(id=name), args=[_, wanted, *_]) if name in COMPUTED:
            return [] if isinstance(wanted, ast.Constant) else [f"{name}() of a computed name"]
        case ast.Constant() | ast.BinOp() | ast.JoinedStr():
            text = _folded(node)
            return [repr(text)] if text in SPELLED else []
    return []


def _folded(node: ast.AST) -> str:
    """The text that a constant, or constants added up, spell."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _folded(left) + _folded(right)
        case ast.JoinedStr(values=values):
            return "".join(_folded(value) for value in values)
        case ast.FormattedValue(value=value):
            return _folded(value)
    return ""


def _listed(module: str) -> bool:
    return module.split(".")[0] in MODULES
