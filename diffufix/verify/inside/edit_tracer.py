# mypy: ignore-errors
"""What a child sees of the code it tries: whether the edit was executed, and whether edited code
reached for what only a forger needs. Touches this interpreter's tracing and audit hooks.

`EditTracer` follows the edited places until each has run, then switches itself off: most often that
is the first call of the first test. `listen` adds an audit hook, which cannot be taken off again;
names that the original text uses are no news.
"""

import os
import re
import sys
import threading

from .values import HonestValues

#: Audit events that lead from any object to the test runner's own, by the word that asks for them.
IMMEDIATE = {
    "sys._getframe": "_getframe",
    "sys._current_frames": "_current_frames",
    "sys._current_exceptions": "_current_exceptions",
    "sys.settrace": "settrace",
    "sys.setprofile": "setprofile",
    "sys.addaudithook": "addaudithook",
    "sys.monitoring.register_callback": "monitoring",
    "object.__setattr__": "",  # the attribute's own name
    "object.__getattr__": "",
    "object.__delattr__": "",
    "code.__new__": "CodeType",
    "function.__new__": "FunctionType",
    "ctypes.dlopen": "ctypes",
    "ctypes.dlsym": "ctypes",
    "marshal.loads": "marshal",
}
ANYWHERE = {
    "gc.get_objects": "gc",
    "gc.get_referrers": "gc",
    "gc.get_referents": "gc",
    "ctypes.string_at": "ctypes",
    "ctypes.cdata": "ctypes",
    "ctypes.call_function": "ctypes",
}
#: What a decorator sets of what it made: names decide nothing.
LABELS = frozenset({"__name__", "__qualname__", "__module__", "__doc__"})
FILES = frozenset({"open", "os.listdir", "os.scandir"})
PROCESSES = frozenset(
    ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system")
)
#: Modules that are imported when multiprocessing starts an interpreter, which raises no event.
STARTERS = frozenset(("multiprocessing.popen_spawn_posix", "multiprocessing.popen_forkserver"))
OTHERS = re.compile(r"/(proc/|dev/fd)")
PRIVATE = re.compile(
    r"/proc/([^/]+|\d+/task/\d+)/(mem|maps|smaps|environ|fd|fdinfo|root|cwd|map_files|pagemap|"
    r"syscall|stack|auxv)\b|/dev/fd\b"
)
LOOKS = 2000  # returns of edited code whose value is looked at
STEPS = 200_000  # lines of edited functions after which a changed one is no longer waited for
WRITING = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
MOST_WRITES = 100  # of files of the project, by edited code, that are told
DEPTH = 200  # frames that are looked at


class EditTracer:
    """`places` is [[relative path, first line, last line, changed lines]]; first 0: the module."""

    def __init__(self, root, places):
        self.root = os.path.join(root, "")
        self.waiting = {}  # absolute path -> [[first, last, changed, wanted or None]]
        self.files = {}
        self.spoken = set()  # the files' names by which they may be imported
        self.spawned = False
        self.tool = None
        self.probe = None
        self.on = self.lost = self.spent = False
        self.looks = self.steps = 0
        self.values = HonestValues(lambda code: self._path(code) is not None)
        self.writes = set()  # files of the project that edited code has opened to write
        self.stale = {}
        for relative, first, last, changed in places:
            path = os.path.realpath(os.path.join(root, relative))
            self.spoken.add(os.path.basename(relative))
            self.waiting.setdefault(path, []).append([first, last, frozenset(changed), None])
            self.files.setdefault(path, []).append((first, last))
        self.names = {os.path.basename(path) for path in self.files} | self.spoken
        self.known = {path: path for path in self.files}
        self.others = {}  # (namespace's identity, first line) -> namespace, of other files' code

    def ignore(self, codes):
        """Code of the edited files whose line numbers are those of the text before."""
        self.stale = {id(code): code for code in codes}

    # -- executed? -------------------------------------------------------------------------

    def start(self, probe=None):
        """`probe(reason)` is called when edited code returns what no honest code does: then the
        trace lasts for LOOKS returns, else until all places are seen. It costs, and some code is
        called millions of times."""
        if not self.waiting:
            return
        self.probe = probe
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is not None:
            free = [tool for tool in (4, 3) if monitoring.get_tool(tool) is None]
            if free:
                self._monitor(monitoring, free[0])
                return
        self.resume()

    def resume(self):
        """Go on after `pause`; the test runner's own work is not worth the trace."""
        if self.tool is None and not self.spent and (self.waiting or self.probe is not None):
            self.on = True
            threading.settrace(self._called)
            sys.settrace(self._called)

    def pause(self):
        if self.on:
            self.lost |= sys.gettrace() != self._called  # a test traces for itself
            self.stop()

    def stop(self):
        if self.tool is not None:
            sys.monitoring.set_events(self.tool, 0)
            sys.monitoring.free_tool_id(self.tool)
            self.tool = None
        self.on = False
        if sys.gettrace() == self._called:
            threading.settrace(None)
            sys.settrace(None)

    def unseen(self):
        """[[path, first line]] of places that were not executed here, as far as can be told."""
        if self.lost:
            return []
        self.spawned |= not STARTERS.isdisjoint(sys.modules)
        return [[path, place[0]] for path, places in self.waiting.items() for place in places]

    def _path(self, code):
        """The edited file that the code is of, if any."""
        name = code.co_filename
        if name not in self.known:
            ours = name.startswith(self.root) or os.path.basename(name) in self.names
            real = os.path.realpath(name) if ours else None
            self.known[name] = real if real in self.files else None
        return self.known[name]

    def _enter(self, code):
        """Lines of the code to wait for; None when nothing of it is waited for."""
        path = self._path(code)
        if path is None or path not in self.waiting or id(code) in self.stale:
            return None
        lines = set()
        for place in list(self.waiting.get(path, ())):
            first, last, changed, wanted = place
            if first == 0:
                if code.co_name == "<module>":
                    self._seen(path, place)
            elif first <= code.co_firstlineno <= last and code.co_name != "<module>":
                if wanted is None:
                    wanted = place[3] = changed & executable(code)
                if wanted:
                    lines |= wanted
                else:
                    self._seen(path, place)
        return lines or None

    def _line(self, code, line):
        path = self._path(code)
        for place in list(self.waiting.get(path, ())):
            if place[3] and line in place[3]:
                self._seen(path, place)

    def _seen(self, path, place):
        self.waiting[path].remove(place)
        if not self.waiting[path]:
            del self.waiting[path]
        if not self.waiting and self.probe is None:
            self.stop()

    def _called(self, frame, event, _argument):
        if event == "call":
            space = frame.f_globals
            key = id(space), frame.f_lineno
            if key in self.others:
                return None  # most calls; asking for the code itself would raise an audit event
            code = frame.f_code
            waits = self._enter(code) is not None
            if waits or (self.probe is not None and self.edited(code)):
                frame.f_trace_lines = waits
                return self._traced
            name = code.co_filename
            if self._path(code) is None and (
                name == space.get("__file__") or name[:8] == "<frozen "
            ):
                self.others[key] = space
        return None

    def _traced(self, frame, event, argument):
        if event == "line":
            self._line(frame.f_code, frame.f_lineno)
            self.steps += 1
            if self.steps > STEPS:  # it may or may not be executed later
                self.lost = True
                self._give_up()
        elif event == "return":
            self._returned(frame.f_code, 0, argument)
        return self._traced

    def _returned(self, _code, _offset, value):
        if self.probe is None:
            return
        self.looks += 1
        if reason := self.values.odd(value):
            probe, self.probe = self.probe, None
            probe(reason)
        elif self.looks >= LOOKS:
            self.probe = None
            if not self.waiting:
                self._give_up()

    def _give_up(self):
        self.spent, self.probe = True, None
        self.stop()

    def _monitor(self, monitoring, tool):
        events, off = monitoring.events, monitoring.DISABLE

        def returned(code, offset, value):
            self._returned(code, offset, value)
            return None if self.probe is not None else off

        def started(code, _offset):
            wanted = events.LINE if self._enter(code) is not None else 0
            if self.probe is not None and self.edited(code):
                wanted |= events.PY_RETURN | events.PY_YIELD
            if wanted and self.tool is not None:
                monitoring.set_local_events(tool, code, wanted)
            return off

        def line(code, number):
            self._line(code, number)
            return off

        monitoring.use_tool_id(tool, "diffufix-witness")
        self.tool = tool
        monitoring.register_callback(tool, events.PY_START, started)
        monitoring.register_callback(tool, events.LINE, line)
        monitoring.register_callback(tool, events.PY_RETURN, returned)
        monitoring.register_callback(tool, events.PY_YIELD, returned)
        monitoring.set_events(tool, events.PY_START)

    # -- honest? ---------------------------------------------------------------------------

    def listen(self, words, tell):
        """Call `tell(reason)` before edited code does what the original's `words` do not name."""
        self.values.words = frozenset(words)
        if hasattr(sys, "addaudithook"):
            sys.addaudithook(make_hook(self, frozenset(words) | LABELS, tell))

    def edited(self, code):
        path = self._path(code)
        if path is None or id(code) in self.stale:
            return False
        inside = any(
            first == 0 or first <= code.co_firstlineno <= last for first, last in self.files[path]
        )
        return inside or code.co_name == "<module>"


def executable(code):
    """The line numbers of a code object and of those nested in it."""
    if hasattr(code, "co_lines"):
        lines = {line for _, _, line in code.co_lines() if line is not None}
    else:
        import dis

        lines = {line for _, line in dis.findlinestarts(code)}
    lines.discard(code.co_firstlineno)
    for constant in code.co_consts:
        if hasattr(constant, "co_firstlineno"):
            lines |= executable(constant)
    return lines


def make_hook(witness, words, tell):
    """Everything it needs is its own: what edited code puts elsewhere does not reach it."""
    getframe, edited, search, others = sys._getframe, witness.edited, PRIVATE.search, OTHERS.match
    immediate, anywhere, files, processes = dict(IMMEDIATE), dict(ANYWHERE), FILES, PROCESSES
    text, absolute, root = (str, bytes), os.path.abspath, witness.root
    own, busy = globals(), []

    def writes(path, arguments):
        """Whether a file of the project is opened to be written."""
        flags = arguments[2] if len(arguments) > 2 and isinstance(arguments[2], int) else 0
        return flags & WRITING and absolute(path).startswith(root)

    def by_edit(near):
        frame = getframe(2)  # the one that raised the event
        for _ in range(DEPTH):
            if frame is None:
                return False
            if edited(frame.f_code):
                return True
            name = frame.f_code.co_filename
            if near and (name[:1] != "<" or name[:7] == "<frozen"):
                return False  # a library's own business, an import among it
            frame = frame.f_back
        return False

    def hook(event, arguments):
        if event in processes:
            witness.spawned = True
            return
        if busy:
            return
        if event == "object.__getattr__" and arguments[1] == "f_code":
            busy.append(1)
            ours = getframe(1).f_globals is own  # the tracer looks at every call
            busy.pop()
            if ours:
                return
        if event in files:
            path = arguments[0] if arguments else None
            if not isinstance(path, text):
                return
            path = path if isinstance(path, str) else path.decode("utf-8", "replace")
            if event == "open" and writes(path, arguments) and not busy:
                busy.append(1)
                try:
                    if by_edit(False) and len(witness.writes) < MOST_WRITES:
                        witness.writes.add(os.path.realpath(path)[len(witness.root) :])
                finally:
                    busy.pop()
            if busy or not others(path) or not search(path):
                return
            near, word = False, "/proc"
        elif event in immediate:
            near, word = True, immediate[event] or str(arguments[1])
        elif event in anywhere:
            near, word = False, anywhere[event]
        else:
            return
        if busy or word in words:
            return
        busy.append(1)
        try:
            if by_edit(near):
                tell("it uses " + word + " (" + event + ")")
        finally:
            busy.pop()

    return hook
