# mypy: ignore-errors
"""The tests' world: functions and classes that tests rest on, which no edit has to replace.

Only reads. Two ways to look. Of a few modules (builtins, pytest, the modules that hold tests, the
project's own) it is kept which object each name stands for and which code a function has, and what
is another one later is told. Of all modules a digest is told of where their functions come from,
to be compared with those of the unedited project: so what a module does to others while it is
imported is seen, too. Names that tests add, and what they put back, are not.
"""

import contextlib
import hashlib
import os
import sys
import types

MODULES = (
    *("builtins", "operator", "math", "unittest.case", "unittest.mock", "doctest", "os", "json"),
    *("_pytest.python", "_pytest.runner", "_pytest.reports", "_pytest.outcomes", "_pytest.nodes"),
    *("_pytest.python_api", "_pytest.unittest", "_pytest.fixtures", "_pytest.raises", "pytest"),
    *("pluggy._callers", "pluggy._hooks", "pluggy._manager"),
)
MOST = 500  # names that are told
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, type, staticmethod, classmethod)


class World:
    """As it is now; `add` what there is later, before the first test of a run."""

    def __init__(self):
        self.places = {}  # (module, class or "") -> [(name, what it stands for, its code)]
        self.items = []
        for name in MODULES:
            self._keep_module(name)

    def add(self, items, root):
        """pytest's items, the modules that hold them, and those of the project below `root`."""
        names = {getattr(getattr(item, "module", None), "__name__", "") for item in items}
        prefix = root + os.sep
        for name, module in list(sys.modules.items()):
            file = vars(module).get("__file__") if type(module) is types.ModuleType else None
            if type(file) is str and file.startswith(prefix):
                names.add(name)
        self.items = [(item, _function(item)) for item in items]
        for name in (*MODULES, *sorted(names)):
            self._keep_module(name)

    def _keep_module(self, name):
        module = sys.modules.get(name)
        if module is None or (name, "") in self.places:
            return
        self._keep(name, "", vars(module))
        for inner, value in list(vars(module).items()):
            if isinstance(value, type) and value.__module__ == name:
                self._keep(name, inner, vars(value))

    def _keep(self, module, name, space):
        known = [
            (key, value, _code(value))
            for key, value in space.items()
            if isinstance(value, _FUNCTIONS)
        ]
        self.places[module, name] = (space, known)

    def changed(self):
        """The names that stand for something else now, some of them."""
        found = [
            "world:" + ".".join(filter(None, (module, name, key)))
            for (module, name), (space, known) in self.places.items()
            for key, value, code in known
            if space.get(key) is not value or _code(value) is not code
        ]
        found += [
            f"world:{item.name}" for item, known in self.items if _function(item) is not known
        ]
        return sorted(found)[:MOST]


def _function(item):
    """What a test runs; its bound method is made anew each time."""
    found = getattr(item, "_obj", None)
    return getattr(found, "__func__", found)


def _code(value):
    inner = (
        getattr(value, "__func__", value) if type(value) in (staticmethod, classmethod) else value
    )
    return inner.__code__ if type(inner) is types.FunctionType else None


def digests(root, edited):
    """["world:MODULE=DIGEST"] of where the functions of all modules come from, but for those whose
    files (absolute paths) are edited; and of a few settings of the interpreter."""
    found = []
    for name, module in list(sys.modules.items()):
        if type(module) is not types.ModuleType:
            continue
        space = dict(vars(module))
        file = space.get("__file__")
        if type(file) is str and edited and os.path.realpath(file) in edited:
            continue
        lines = _origins(space, root)
        for key, value in space.items():
            if type(value) is type and value.__module__ == name:
                lines += [f"{key}.{line}" for line in _origins(dict(vars(value)), root)]
        if lines:
            told = "\n".join(sorted(lines)).encode("utf-8", "replace")
            found.append(f"world:{name}={hashlib.sha1(told).hexdigest()[:12]}")
    return sorted([*found, *_settings(root)])


def _origins(space, root):
    """Of each function: its name here, the file of its code, its name there. No line numbers:
    those of what an edited decorator has made are others, rightly."""
    found = []
    for key, value in space.items():
        code = _code(value)
        if code is not None and type(key) is str:
            file = code.co_filename
            found.append(
                f"{key} {file[len(root) :] if file.startswith(root) else file} {code.co_name}"
            )
        elif type(value) is types.BuiltinFunctionType:
            found.append(f"{key} {value.__module__} {value.__name__}")
    return found


def _settings(root):
    """Of the interpreter, what changes the results of others."""
    with contextlib.suppress(OSError):
        yield f"world:working directory={os.path.relpath(os.getcwd(), root)}"
    yield f"world:recursion limit={sys.getrecursionlimit()}"
    decimal, locale = sys.modules.get("decimal"), sys.modules.get("locale")
    with contextlib.suppress(Exception):
        yield f"world:decimal={decimal.getcontext().prec},{decimal.getcontext().rounding}"
    with contextlib.suppress(Exception):
        yield f"world:locale={locale.setlocale(locale.LC_ALL)}"
