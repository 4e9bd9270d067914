# mypy: ignore-errors
"""Records the calls of a few functions while tests run; runs inside the project's interpreter.

PYTEST_DONT_REWRITE. Python 3.9 and later, pytest 7 and later. `Tracer` follows calls with
`sys.settrace`, looks only into the functions it is told of, and never changes what they do;
`Plugin` switches it on for each test, keeps the run calm and in the order asked for, and says how
each test ended. What a call was given, gave back, raised and changed is kept as bounded text
(`_diffufix_values`), its executed lines as numbers.
"""

import os
import pickle
import random
import signal
import sys
import threading

import pytest
from _diffufix_calm import calm
from _diffufix_ids import stable_ids
from _diffufix_values import Values

PER_TEST = 40  # calls of one function in one test
CALLS = 400  # calls of all functions in all tests
LINES = 400  # steps of one call
PICKLED = 60  # calls whose arguments are kept for replay
PICKLE_BYTES = 20_000
GENERATOR = 0x20 | 0x80 | 0x200  # generator, coroutine, asynchronous generator
YIELDED = 30  # values of one generator


class Tracer:
    """`functions` maps (real path, first line) of a function to its qualified name."""

    def __init__(self, functions, pickles):
        self.functions = functions
        self.files = {path for path, _ in functions}
        self.known = {}  # code object -> qualified name or None
        self.names = {}  # co_filename -> real path or None
        self.values = Values()
        self.calls = []
        self.open = {}  # id(frame) -> record
        self.count = {}
        self.pickles = {} if pickles else None
        self.test = ""
        self.thread = None

    def start(self, test):
        self.test, self.count, self.open = test, {}, {}
        self.thread = threading.get_ident()
        self.before = sys.gettrace()
        sys.settrace(self.on_call)

    def stop(self):
        sys.settrace(self.before)
        for record in self.open.values():
            record.pop("frame", None)
        self.open = {}

    def name(self, code):
        try:
            return self.known[code]
        except KeyError:
            file = code.co_filename
            if file not in self.names:
                path = os.path.realpath(file)
                self.names[file] = path if path in self.files else None
            path = self.names[file]
            self.known[code] = path and self.functions.get((path, code.co_firstlineno))
            return self.known[code]

    def on_call(self, frame, event, arg):
        name = self.name(frame.f_code)
        if name is None or event != "call":
            return None
        record = self.open.get(id(frame))
        if record is None:
            count = self.count[name] = self.count.get(name, 0) + 1
            if count > PER_TEST or len(self.calls) >= CALLS:
                return None
            record = self.begin(frame, name)
        return record["follow"]

    def begin(self, frame, name):
        code = frame.f_code
        local = frame.f_locals
        names = code.co_varnames[: arguments_of(code)]
        given = [(n, local[n]) for n in names if n in local]
        shown = [(n, *self.values.of(value)) for n, value in given]
        if self.pickles is not None and not code.co_flags & GENERATOR & 0x80:
            self.keep(code, name, given, shown)
        record = {
            "test": self.test,
            "function": name,
            "arguments": shown,
            "kind": "open",
            "value": ("", ""),
            "changed": [],
            "lines": [],
            "frame": frame,  # alive while it runs, so that no other has its id
        }
        objects = [(n, value) for n, value in given if type(value) not in (str, int, float, bool)]
        before = {n: digest for n, _, digest in shown}
        lines, yielded, error = record["lines"], [], [None]
        flags = code.co_flags

        def follow(frame, event, arg):
            if event == "line":
                if len(lines) < LINES:
                    lines.append(frame.f_lineno)
            elif event == "exception":
                error[0] = arg[1] if arg[1] is not None else arg[0]
            elif event == "return":
                how = left(frame)
                if how == "yield" and flags & GENERATOR:
                    if flags & 0x20 and len(yielded) < YIELDED:
                        yielded.append(self.values.of(arg))
                    return follow
                self.open.pop(id(frame), None)
                record.pop("frame", None)
                if how == "raise":
                    record["kind"] = "raise"
                    record["value"] = self.values.of(error[0])
                else:
                    record["kind"] = "return"
                    record["value"] = self.values.of(arg)
                    if flags & 0x20:
                        record["kind"] = "yield"
                        record["value"] = self.values.of([text for text, _ in yielded])
                for n, value in objects:
                    text, digest = self.values.of(value)
                    if digest != before[n]:
                        record["changed"].append((n, text, digest))
            return follow

        record["follow"] = follow
        self.open[id(frame)] = record
        self.calls.append(record)
        return record

    def keep(self, code, name, given, shown):
        """The arguments themselves, for replay, where they can be pickled."""
        key = (name, *(digest for _, _, digest in shown))
        if key in self.pickles or len(self.pickles) >= PICKLED:
            return
        try:
            data = pickle.dumps(dict(given), 4)
        except Exception:
            return
        if len(data) <= PICKLE_BYTES:
            self.pickles[key] = (name, data)

    def plain(self):
        """The calls as JSON holds them; one that never came back is open."""
        keys = ("test", "function", "arguments", "kind", "value", "changed", "lines")
        return [{key: record[key] for key in keys} for record in self.calls]


def arguments_of(code):
    stars = bool(code.co_flags & 4) + bool(code.co_flags & 8)
    return code.co_argcount + code.co_kwonlyargcount + stars


_OPCODES = {}


def left(frame):
    """How a frame is left: "return", "yield" or "raise"."""
    import opcode

    code = frame.f_code
    text = _OPCODES.get(code)
    if text is None:
        text = _OPCODES[code] = code.co_code
    name = opcode.opname[text[frame.f_lasti]] if 0 <= frame.f_lasti < len(text) else "RETURN"
    if name.startswith("RETURN"):
        return "return"
    yields = name.startswith("YIELD") or name == "SEND"
    return "yield" if yields and frame.f_code.co_flags & GENERATOR else "raise"


class Limit:
    """Fails what runs inside after `seconds`; a test that sets its own alarm wins over ours."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __enter__(self):
        self.before = signal.signal(signal.SIGALRM, self.ring)
        # Again and again: code that swallows every exception gets the next one.
        signal.setitimer(signal.ITIMER_REAL, self.seconds, 1.0)

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.before)

    def ring(self, *_):
        pytest.fail("took too long to be recorded")


class Plugin:
    """Runs the tests `ids` in this order, files without any of them left out."""

    def __init__(self, ids, tracer, seconds, tree, root):
        self.ids, self.tracer, self.seconds = ids, tracer, seconds
        self.tree, self.root, self.names = tree, root, {}
        self.place = {id: number for number, id in enumerate(ids)}
        self.files = {id.split("::")[0] for id in ids}
        self.outcomes = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self, early_config, args):
        calm(early_config, args)

    def pytest_ignore_collect(self, collection_path, config):
        if not collection_path.is_file():
            return None
        try:
            name = collection_path.relative_to(config.rootpath).as_posix()
        except ValueError:
            return None
        return None if name in self.files else True

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items):
        yield
        found = [item.nodeid for item in items]
        self.names = stable_ids(found, self.ids, self.tree, self.root)
        items[:] = [item for item in items if self.names[item.nodeid] in self.place]
        items.sort(key=lambda item: self.place[self.names[item.nodeid]])

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item):
        name = self.names.get(item.nodeid, item.nodeid)
        random.seed(name)  # what a test draws, every version's run draws
        self.tracer.start(name)
        yield
        self.tracer.stop()

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_call(self):
        if sys.gettrace() != self.tracer.on_call:
            sys.settrace(self.tracer.on_call)
        with Limit(self.seconds):
            yield

    def pytest_runtest_logreport(self, report):
        name = self.names.get(report.nodeid, report.nodeid)
        old = self.outcomes.get(name)
        if report.when == "call" and old is None:
            self.outcomes[name] = report.outcome
        elif report.outcome == "failed":
            self.outcomes[name] = "failed" if report.when == "call" else "error"
        elif report.outcome == "skipped" and old is None:
            self.outcomes[name] = "skipped"
