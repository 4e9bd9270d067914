# mypy: ignore-errors
"""Exchange the body of live functions; touches function objects of this process only.

A swap is right only if nothing of the old body has been used: the function was not called while
the project was imported and collected, and no closure made by it is alive. `Calls` listens for
the first, `Live` looks for the second.
"""

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
        self.codes = set()
        prefix, real = root + os.sep, {}
        for thing in gc.get_objects():
            if type(thing) is types.FunctionType:
                code = thing.__code__
                name = code.co_filename
                if name.startswith(prefix):
                    path = real[name] = real.get(name) or os.path.realpath(name)
                    key = (path, code.co_firstlineno, code.co_name)
                    self.functions.setdefault(key, []).append(thing)
                    self.codes.add(id(code))

    def find(self, swaps):
        """[(path, name, line in the new text, functions)] for {relative path: [[name, line, line
        in the new text]]}, or why not, in words."""
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
                if id(code) in self.called or any(f.__code__ is not code for f in functions):
                    return f"{name} was called during the import"
                if any(id(inner) in self.codes for inner in _nested(code)):
                    return f"a closure of {name} is alive"
                found.append((path, name, now, functions))
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


def exchange(found):
    """Give the functions their new code from the files on disk; the reason if that cannot be.

    Raises SyntaxError, ValueError and whatever else the compiler raises.
    """
    modules = {}
    for path, name, line, functions in found:
        if path not in modules:
            with open(path, "rb") as file, warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                modules[path] = compile(file.read(), path, "exec", dont_inherit=True)
            if told:  # an error where the project's settings make errors of warnings
                return "the compiler warns"
        new = [c for c in _nested(modules[path]) if (c.co_name, c.co_firstlineno) == (name, line)]
        old = functions[0].__code__
        if len(new) != 1 or new[0].co_freevars != old.co_freevars:
            return f"the closure of {name} changed"
        kind = 0x20 | 0x80 | 0x100 | 0x200  # generator and coroutine flags, read by decorators
        if (new[0].co_flags ^ old.co_flags) & kind:
            return f"{name} became another kind of function"
        for function in functions:
            function.__code__ = new[0]
    return None
