# mypy: ignore-errors
"""Exchange the body of live functions; touches function objects of this process only.

A swap is right only if nothing of the old body has been used: the function was not called while
the project was imported and collected, and no closure made by it is alive. `Calls` listens for
the first, `Live` looks for the second. A hasty swap does not mind the calls, and gives closures
that are alive their new code, too. Of a file only the function is compiled, within the classes
that it stands in (`Frames`); the whole file where that cannot be.
"""

import __future__

import ast
import contextlib
import gc
import os
import sys
import types
import warnings


class Calls:
    """The code objects below `root` that have been called since `start`, by identity."""

    def __init__(self, root):
        self.prefix = root + os.sep
        self.codes = {}
        self.tool = None

    @property
    def files(self):
        """The files whose code was called, by their real paths: a link may lead to them."""
        names = {code.co_filename for code in self.codes.values()}
        return {os.path.realpath(name) for name in names}

    def start(self):
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is not None:
            free = [tool for tool in (4, 3) if monitoring.get_tool(tool) is None]
            if free:
                self.tool = free[0]
                monitoring.use_tool_id(self.tool, "diffufix")
                start = monitoring.events.PY_START
                monitoring.register_callback(self.tool, start, self._started)
                monitoring.set_events(self.tool, start)
                return
        sys.setprofile(self._profile)

    def stop(self):
        if self.tool is not None:
            sys.monitoring.set_events(self.tool, 0)
            sys.monitoring.free_tool_id(self.tool)
            self.tool = None
        else:
            sys.setprofile(None)

    def _started(self, code, _offset):
        if code.co_filename.startswith(self.prefix):
            self.codes[id(code)] = code
        return sys.monitoring.DISABLE

    def _profile(self, frame, event, _argument):
        if event == "call":
            code = frame.f_code
            if code.co_filename.startswith(self.prefix):
                self.codes[id(code)] = code


class Live:
    """Every function object whose code comes from below `root`, as it is after collection."""

    def __init__(self, root, calls):
        self.root = root
        self.called = calls.codes
        self.files = calls.files
        self.functions = {}
        self.by_code = {}
        self.frames = Frames(self.files)
        prefix, real = root + os.sep, {}
        for thing in gc.get_objects():
            if type(thing) is types.FunctionType:
                code = thing.__code__
                name = code.co_filename
                if name.startswith(prefix):
                    path = real[name] = real.get(name) or os.path.realpath(name)
                    key = (path, code.co_firstlineno, code.co_name)
                    self.functions.setdefault(key, []).append(thing)
                    self.by_code.setdefault(id(code), []).append(thing)

    def find(self, swaps, hasty=False):
        """[(path, name, line in the new text, functions, frame)] for {relative path: [[name, line,
        line in the new text]]}, or why not, in words; `hasty`: even if they were called, and have
        closures that are alive."""
        found = []
        for relative, places in swaps.items():
            path = os.path.realpath(os.path.join(self.root, relative))
            if path not in self.files:
                continue  # not imported yet: the child's own import reads the new text
            for name, line, now in places:
                key = (path, line, name)
                functions = self.functions.get(key)
                if not functions:
                    return f"no live function {name} at line {line}"
                code = functions[0].__code__
                if any(f.__code__ is not code for f in functions):
                    return f"{name} has more than one body"
                if id(code) in self.called and not hasty:
                    return f"{name} was called during the import"
                if not hasty and self._closures(code):
                    return f"a closure of {name} is alive"
                frame = self.frames.of(path, line, name) if len(places) == 1 else None
                found.append((path, name, now, functions, frame))
        return found

    def were_called(self, found):
        """Whether any of what `find` found was called before, or has closures that are alive."""
        codes = [functions[0].__code__ for *_, functions, _ in found]
        return any(id(code) in self.called or self._closures(code) for code in codes)

    def _closures(self, code):
        return any(id(inner) in self.by_code for inner in _nested(code))

    def inside(self, old, new):
        """[(function, its new code)] of the closures of `old` that are alive; None where one of
        them has no counterpart in `new`."""
        twins, found = dict(_ways(new)), []
        for way, code in _ways(old):
            for function in self.by_code.get(id(code), ()):
                twin = twins.get(way)
                if twin is None or not _alike(code, twin):
                    return None
                found.append((function, twin))
        return found

    def codes_of(self, paths):
        """The code of all functions of these files, with what is inside it: after an exchange its
        line numbers are those of the old text."""
        return [
            inner
            for (path, _, _), functions in self.functions.items()
            if path in paths
            for code in {id(f.__code__): f.__code__ for f in functions}.values()
            for inner in (code, *_nested(code))
        ]


def _nested(code):
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _nested(constant)


def _ways(code, outside=()):
    """Every code inside, after its way: the names from outside, each with its number among those
    of the same name."""
    seen = {}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            number = seen[constant.co_name] = seen.get(constant.co_name, 0) + 1
            way = (*outside, (constant.co_name, number))
            yield way, constant
            yield from _ways(constant, way)


def _alike(old, new):
    """Whether a function may have the one code for the other: the same cells of the closure, the
    same kind (generator and coroutine flags, read by decorators)."""
    kind = 0x20 | 0x80 | 0x100 | 0x200
    return old.co_freevars == new.co_freevars and not (new.co_flags ^ old.co_flags) & kind


class Frames:
    """What stands around the functions of files, as they are now."""

    def __init__(self, files):
        self.texts = {}
        self.known = {}
        for path in files:
            with contextlib.suppress(OSError), open(path, "rb") as file:
                self.texts[path] = file.read()

    def of(self, path, line, name):
        """(last line, lines of the file, headers of what it stands in) of a function that begins
        at a line; a header is (line, column, text). None where that cannot be told."""
        if path not in self.known:
            self.known[path] = {}
            data = self.texts.pop(path, b"")
            lines = data.splitlines()
            told = b"coding" in b"".join(lines[:2]) or data[:3] == b"\xef\xbb\xbf"
            with contextlib.suppress(SyntaxError, ValueError, RecursionError):
                if lines and not told:
                    self._note(self.known[path], ast.parse(data).body, len(lines), ())
        return self.known[path].get((line, name))

    def _note(self, known, block, count, headers):
        for node in block:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                known[first, node.name] = (node.end_lineno, count, headers)
                continue
            is_class = isinstance(node, ast.ClassDef)
            text = "class " + node.name + ":" if is_class else "if 1:"
            own = (node.lineno, node.col_offset, text.encode("utf-8"))
            inner = (*headers, own) if isinstance(node, ast.stmt) else headers
            for part in ("body", "handlers", "cases", "orelse", "finalbody"):
                statements = getattr(node, part, None)
                if isinstance(statements, list):
                    self._note(known, statements, count, inner)


def alone(data, line, frame):
    """The text of one function at its line, all but the headers around it blank; None where it
    does not fit."""
    last, count, headers = frame
    lines = data.splitlines()
    end = last + len(lines) - count
    kept = [b""] * (line - 1) + lines[line - 1 : end]
    for number, column, text in headers:
        if number >= line or lines[number - 1][:column].strip():
            return None
        kept[number - 1] = lines[number - 1][:column] + text
    return b"\n".join(kept) + b"\n"


def future(code):
    """What `from __future__` said where the code was compiled."""
    features = [getattr(__future__, name) for name in __future__.all_feature_names]
    flags = 0
    for feature in features:
        flags |= code.co_flags & feature.compiler_flag
    return flags


def exchange(live, found):
    """Give the functions, and what is alive of their closures, their new code from the files on
    disk; the reason if that cannot be.

    Raises SyntaxError, ValueError and whatever else the compiler raises.
    """
    modules = {}
    for path, name, line, functions, frame in found:
        old = functions[0].__code__
        if path not in modules:
            with open(path, "rb") as file:
                data = file.read()
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                modules[path] = _compiled(data, path, name, line, old, frame)
            if told:  # an error where the project's settings make errors of warnings
                return "the compiler warns"
        new = _named(modules[path], name, line)
        if len(new) != 1 or new[0].co_freevars != old.co_freevars:
            return f"the closure of {name} changed"
        if not _alike(old, new[0]):
            return f"{name} became another kind of function"
        closures = live.inside(old, new[0])
        if closures is None:
            return f"a closure of {name} is alive and changed"
        for function, code in [*((each, new[0]) for each in functions), *closures]:
            function.__code__ = code
    return None


def _compiled(data, path, name, line, old, frame):
    """A module that has the function; the whole file where the function alone is not the same."""
    text = alone(data, line, frame) if frame else None
    if text is not None:
        with contextlib.suppress(SyntaxError, ValueError):
            module = compile(text, path, "exec", future(old), dont_inherit=True)
            new = _named(module, name, line)
            if len(new) == 1 and new[0].co_freevars == old.co_freevars:
                return module
    return compile(data, path, "exec", dont_inherit=True)


def _named(module, name, line):
    return [c for c in _nested(module) if (c.co_name, c.co_firstlineno) == (name, line)]
