# mypy: ignore-errors
"""What a child does: run the asked tests with pytest's own protocol and report each one.

Touches what the project's tests touch, and the pipe to its supervisor. The process ends in here
by `os._exit`: no exit handler, no buffer of the server's is run or flushed twice.
"""

import contextlib
import io
import json
import os
import random
import resource
import signal
import sys

import pytest

from . import again, frames, leftovers, rights, supervise

# Put beside this one by `verify.worker.inside_files`.
from ._diffufix_ids import stable_ids
from ._diffufix_pipe import far
from .world import World, digests

RED = ("failed", "error")
OUTCOMES = ("passed", "xpassed", "skipped", "xfailed", *RED)
MESSAGE = 300  # characters of a failure's message that travel


def make_emitter(fd, nonce):
    """A function that writes records; the descriptor and the nonce live only in its closure."""
    fd = far(fd)
    owner, prefix, dumps, write = os.getpid(), nonce.encode() + b" ", json.dumps, os.write
    getpid = os.getpid

    def emit(event, **fields):
        if getpid() != owner and event != "audit":  # a fork made by a test came back to pytest
            return
        line = prefix + dumps(dict(fields, event=event)).encode("ascii") + b"\n"
        while line:
            line = line[write(fd, line) :]

    return emit


def answer_probes(emit, edited):
    """Tell the supervisor, when it asks, whether the call of edited code has been left in which
    the last question found this process (`supervise.Watch`). For the main thread."""
    last = []

    def answer(_signal, frame):
        outermost = None
        while frame is not None:
            if edited(frame.f_code):
                outermost = frame
            frame = frame.f_back
        moved = outermost is None or not last or last[0] is not outermost
        last[:] = [outermost]
        emit("still", moved=moved)

    if supervise.PROBE is not None:
        signal.signal(supervise.PROBE, answer)


def limit_resources(limits):
    """Lower this process's limits; `memory` is on top of what the server has mapped."""

    def lower(kind, value):
        if value is not None:
            _, hard = resource.getrlimit(kind)
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (value, value))

    memory = limits.get("memory")
    if memory is not None:
        try:
            with open("/proc/self/statm") as file:
                memory += int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            memory = None
    for name, value in (
        ("RLIMIT_AS", memory),
        ("RLIMIT_FSIZE", limits.get("file_size")),
        ("RLIMIT_CPU", limits.get("cpu")),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_MSGQUEUE", None if os.path.isdir("/dev/mqueue") else 0),  # none unseen
    ):
        with contextlib.suppress(OSError, ValueError):
            lower(getattr(resource, name), value)


def settle(limits, code, death_signal):
    """The first thing in a new child: its own session, user, limits, seeds, no bytecode."""
    os.setsid()
    rights.drop(code)
    death_signal()  # a change of user takes it off
    limit_resources(limits)
    leftovers.new_keyring()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    random.seed(0x5EED)
    numpy = sys.modules.get("numpy")
    if numpy is not None and hasattr(numpy, "random"):
        numpy.random.seed(0x5EED)


class CollectErrors:
    """The pytest plugin of a child that collects: keeps the first reason why a module failed."""

    def __init__(self):
        self.first = ""

    def pytest_collectreport(self, report):
        if report.failed and not self.first:
            lines = [line for line in str(report.longrepr).splitlines() if line.strip()]
            marked = [line[1:].strip() for line in lines if line.startswith("E ")]
            self.first = (report.nodeid + ": " + (marked or lines or [""])[-1])[:MESSAGE]


class Recorder:
    """The pytest plugin of a child: tells when a set-up is done, folds reports to one outcome."""

    def __init__(self):
        self.emit = None
        self.witness = None
        self.index = None
        self.outcome = None
        self.message = ""

    def begin(self, index):
        self.index, self.outcome, self.message = index, None, ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self):
        self.witness.resume()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item):
        if self.index is not None:
            self.emit("call", index=self.index)
            self.witness.resume()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        self.witness.pause()
        outcome, when = report.outcome, report.when
        if hasattr(report, "wasxfail"):
            outcome = {"skipped": "xfailed", "passed": "xpassed"}.get(outcome, outcome)
        if outcome == "failed" and when != "call":
            outcome = "error"
        if outcome == "rerun" or self.outcome in RED:
            return
        # Subtests report several calls: the test's own comes last.
        if outcome in RED or when == "call" or (when == "setup" and outcome != "passed"):
            self.outcome = outcome if outcome in OUTCOMES else "error"
            if outcome in ("failed", "error", "skipped"):
                longrepr = report.longrepr
                self.message = str(longrepr[2] if isinstance(longrepr, tuple) else longrepr)


def explain(excinfo, style=None):
    """Stands in for pytest's long tracebacks, which cost more than most tests."""
    del style
    try:
        text = f"{excinfo.typename}: {excinfo.value}"
    except Exception:
        text = excinfo.typename
    return " ".join(text.split())[:MESSAGE]


def twin(item, kind=AssertionError):
    """A test that fails, in all but its body the double of a real one: who makes tests pass by
    changing pytest, makes this one pass, too."""
    real = getattr(item, "function", None) or getattr(item, "obj", None)
    name = item.name.partition("[")[0]

    def fails():
        raise AssertionError

    def breaks():
        raise RuntimeError

    body = fails if kind is AssertionError else breaks

    if hasattr(real, "__code__"):
        code = real.__code__
        body.__code__ = body.__code__.replace(
            co_filename=code.co_filename,
            co_name=code.co_name,
            co_firstlineno=code.co_firstlineno,
        )
    body.__name__ = body.__qualname__ = name
    body.__module__ = getattr(real, "__module__", None)
    for parent in (item.parent, item.getparent(pytest.Module), item.session):
        try:
            made = pytest.Function.from_parent(parent, name=name, callobj=body)
        except Exception:  # a kind of collector that knows its own tests only
            continue
        break
    made.name, made._nodeid = item.name, item.nodeid
    made.repr_failure = made._repr_failure_py = explain
    return made


def hush(config):
    """Switch off what only decorates: explanations of asserts, the terminal's output."""
    plugin = config.pluginmanager.getplugin("assertion")
    if plugin is not None:
        config.pluginmanager.unregister(plugin)
    terminal = config.pluginmanager.getplugin("terminalreporter")
    if terminal is not None:
        writer = getattr(terminal, "_tw", None)
        if writer is not None:
            writer._file = io.StringIO()
    forget_output(config)


def forget_output(config):
    """A child that was killed leaves its output in the capture's file, which all share."""
    manager = config.pluginmanager.getplugin("capturemanager")
    both = getattr(manager, "_global_capturing", None)
    for name in ("out", "err"):
        file = getattr(getattr(both, name, None), "tmpfile", None)
        try:
            file.seek(0)
            file.truncate()
        except (AttributeError, OSError, ValueError):
            pass


class Ready:
    """What a run needs of a collected session; made once, before any child is forked."""

    def __init__(self, session, config, world=None):
        hush(session.config)
        ids = [item.nodeid for item in session.items]
        names = stable_ids(ids, config["ids"], config["tree"], config["root"])
        self.items = {names[item.nodeid]: item for item in session.items}
        self.recorder = Recorder()
        session.config.pluginmanager.register(self.recorder, "diffufix-recorder")
        self.twins = {}
        self.world = world or World()
        self.world.add(session.items, config["tree"])
        self.tree = config["tree"]
        for item in session.items:
            item.repr_failure = item._repr_failure_py = explain

    def twin(self, request):
        """The sentinel of a request; the server makes it before it forks, once per test."""
        double = request.get("double")
        name = double or request["tests"][request["sentinel"] - 1]
        key = name, bool(double)
        if key not in self.twins and name in self.items:
            self.twins[key] = twin(self.items[name], RuntimeError if double else AssertionError)
        return self.twins.get(key)


def run_tests(ready, request, emit, witness, problem=""):
    """Run `request["tests"]` in order, stop at the first unwanted outcome (but run the first
    `least` of them), end the process.

    `problem` says what went wrong while they were collected.
    """
    leave, status = os._exit, 3
    try:
        try:
            status = _run_tests(ready, request, emit, witness, problem)
        except BaseException as error:  # pytest.exit, KeyboardInterrupt, a broken plugin
            emit("quit", reason=f"{type(error).__name__}: {str(error)[:MESSAGE]}")
    finally:
        leave(status)


def _run_tests(ready, request, emit, witness, problem):
    known, recorder, required = ready.items, ready.recorder, request["required"]
    missing = [name for name in request["tests"] if name not in known]
    if missing:
        emit("error", reason=problem or "not collected: " + missing[0])
        return 4
    opened = tuple(request.get("uncollected", ()))  # what is in them was not known before
    found = {name for name in known if not opened or not name.startswith(opened)}
    if request.get("exact") is not None and set(request["exact"]) != found:
        emit("error", reason=problem or "other tests are collected than before")
        return 4
    order = list(enumerate(known[name] for name in request["tests"]))
    place = request["sentinel"]
    order.insert(place, (None, ready.twin(request)))
    recorder.emit, recorder.witness = emit, witness
    witness.pause()
    compared = request.get("exact") is not None
    edited = {os.path.realpath(os.path.join(ready.tree, name)) for name in request["edited"]}
    world = [] if edited or not compared else digests(ready.tree, edited)
    following = [item for _, item in order[1:]] + [None]
    turn = len(request["tests"]) // 2 if request.get("again") else None
    if turn:
        following[turn - 1] = None  # everything is set up anew
    emit("ready")
    sentinel, red = None, False
    for (index, item), coming in zip(order, following):  # noqa: B905 (Python 3.9)
        if index is None:
            emit("sentinel")
        if turn is not None and index == turn:
            again.turn(request["again"])
        recorder.begin(index)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=coming)
        outcome = recorder.outcome or "error"
        if index is None:
            sentinel = outcome
            continue
        emit("test", index=index, outcome=outcome, message=recorder.message[:MESSAGE])
        red |= not frames.accepts(required[index], outcome)
        if request["stop"] and red and index + 1 >= request["least"]:
            break
    if compared:
        world += ready.world.changed() + digests(ready.tree, edited)
    emit(
        "end",
        sentinel=sentinel,
        unseen=witness.unseen(),
        spawned=witness.spawned,
        writes=sorted(witness.writes),
        world=world,
    )
    return 0
