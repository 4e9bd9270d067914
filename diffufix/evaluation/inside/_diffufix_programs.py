# mypy: ignore-errors
"""Judges programs by checks; runs in a sandbox, under the interpreter that the programs need.

    python _diffufix_programs.py JOB

JOB is a pickle: `checks` (level -> fields of types.Check), `programs`, `entry_point`. To stdout
goes one JSON line for each program and level: [program, level, state, detail]. Python 3.9 and
later.

Each program and level is a forked process with a folder, limits and a process group of its own. It
says how it ended over a pipe; one that says nothing did not pass, however it exits. What passes is
suspicious where the checks pass with an entry point that always raises, too, where it gives back
objects of a class of its own (which may call themselves equal to anything), and where it has
exchanged what the checks are made of: builtins, methods of unittest.
"""

import builtins
import contextlib
import copy
import io
import json
import math
import os
import pickle
import resource
import select
import signal
import sys
import tempfile
import time
import types
import unittest

from _diffufix_agreement import agrees, floats  # put beside this one by `evaluation.verdicts`

NAME = "__program__"
RUNS = 3  # of the checks in one process: the real one and two controls
WALL = 2.0  # times the seconds of processor time that a program may take, by the clock
SPARE = 2.0  # seconds for the start
MEMORY = 4 * 2**30
TEXT = 300  # characters of a detail
LEAST, FACTOR = 1.0, 4.0  # seconds for one input, and times what the reference takes (EvalPlus)
TOGETHER = 60.0  # seconds for all inputs (EvalPlus)


class OutOfTime(BaseException):
    """A program is over its time; no `except Exception` of its own catches this."""


def main(job_path):
    with open(job_path, "rb") as file:
        job = pickle.load(file)
    known = {
        level: reference(check, job["entry_point"])
        for level, check in job["checks"].items()
        if check["kind"] == "cases"
    }
    for number, program in enumerate(job["programs"]):
        for level, check in job["checks"].items():
            answer = known.get(level)
            if answer is not None and answer[0] == "problem":
                state, detail = "infra", "the reference fails: " + answer[1]
            else:
                state, detail = judge(program, check, job["entry_point"], answer)
            print(json.dumps([number, level, state, detail[:TEXT]]), flush=True)


def reference(check, entry_point):
    """What the publisher's solution gives for every input, and its seconds; in a process."""

    def work():
        function = load(check["reference"])[entry_point]
        results = []
        for given in check["inputs"]:
            given = copy.deepcopy(given)
            began = time.process_time()
            result = function(*given)
            results.append((result, time.process_time() - began))
        if check["rule"] == "not none":
            results = [(result is not None, seconds) for result, seconds in results]
        return results

    with tempfile.TemporaryDirectory() as folder:
        return forked(lambda: ("results", work()), 120.0, folder, pickled=True)


def judge(program, check, entry_point, answer):
    """(state, detail) of one program at one level."""
    if check["kind"] == "cases":
        limits = [max(LEAST, FACTOR * seconds) for _, seconds in answer[1]]
        seconds = min(TOGETHER, sum(limits)) + SPARE

        def work():
            return cases(program, check, entry_point, answer[1], limits)
    elif check["kind"] == "unittest":
        seconds = check["seconds"]

        def work():
            return suite(program, check, entry_point)

    else:
        seconds = check["seconds"]

        def work():
            return asserts(program, check, entry_point)

    with tempfile.TemporaryDirectory() as folder:
        memory = None if check["kind"] == "unittest" else MEMORY
        state, detail = forked(work, seconds, folder, memory=memory)
    return state, str(detail)


# -- processes -------------------------------------------------------------------------------------


def forked(work, seconds, folder, pickled=False, memory=None):
    """What `work` returns in a process that is ended after its time: a pair.

    Where the process says nothing: ("problem", text) with `pickled`, else "fail" or "timeout".
    """
    mine, theirs = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(mine)
        with contextlib.suppress(BaseException):
            os.setpgid(0, 0)
            limit(seconds, memory)
            os.chdir(folder)
            os.environ.update(HOME=folder, TMPDIR=folder, TZ="UTC")
            tempfile.tempdir = folder
            time.tzset()
            quiet()
            tell(theirs, work, pickled)
        os._exit(0)
    os.close(theirs)
    data, late = collect(mine, time.monotonic() + RUNS * WALL * seconds + SPARE)
    os.close(mine)
    with contextlib.suppress(OSError):
        os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    try:
        return pickle.loads(data) if pickled else tuple(json.loads(data))
    except Exception:
        timed = late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU)
        said = f"it did not end in {seconds:g} s" if timed else "it ended without a word"
        return ("problem" if pickled else "timeout" if timed else "fail"), said


def tell(pipe, work, pickled):
    try:
        found = work()
    except OutOfTime:
        found = ("problem" if pickled else "timeout", "it did not end in time")
    except BaseException as error:
        found = ("problem" if pickled else "fail", words(error))
    data = pickle.dumps(found) if pickled else json.dumps([str(part) for part in found]).encode()
    at = 0
    while at < len(data):
        at += os.write(pipe, data[at:])


def collect(pipe, deadline):
    """All that comes through the pipe, and whether time ran out before its end."""
    data = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            return data, True
        part = os.read(pipe, 1 << 16)
        if not part:
            return data, False
        data += part


def limit(seconds, memory):
    def late(number, frame):
        raise OutOfTime

    signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    hard = RUNS * math.ceil(seconds) + 2
    for what, value in ((resource.RLIMIT_CPU, hard), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (value, value))
    if memory is not None:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def quiet():
    """No input, and output to nowhere, at the level of file descriptors and of Python."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    sys.stdin = io.StringIO("")
    sys.stdout = sys.stderr = io.StringIO()


# -- checks ----------------------------------------------------------------------------------------


def load(source):
    """The names of a program, run as a module."""
    module = types.ModuleType(NAME)
    sys.modules[NAME] = module
    exec(compile(source, NAME + ".py", "exec"), module.__dict__)
    return module.__dict__


def asserts(program, check, entry_point):
    before = ground()
    names = load(program)
    if entry_point and entry_point not in names:
        return "fail", f"there is no {entry_point}"
    code = compile(check["code"], "__check__.py", "exec")
    exec(code, names)
    if ground() != before:
        return "suspicious", "it exchanges what the checks are made of"
    function = names.get(entry_point)
    if not isinstance(function, types.FunctionType):
        return "pass", ""
    own = []
    names[entry_point] = watched(function, own)
    anew(check)
    with contextlib.suppress(BaseException):
        exec(code, names)
    if own:
        return "suspicious", "a result of a class of its own"
    names[entry_point] = broken
    anew(check)
    try:
        exec(code, names)
    except BaseException:
        return "pass", ""
    return "suspicious", "the checks pass whatever it does"


def anew(check):
    """A control has the whole time, too."""
    signal.setitimer(signal.ITIMER_PROF, check["seconds"])


def ground():
    """What checks are made of, to see whether it has been exchanged."""
    places = (builtins, unittest.TestCase, unittest.TestResult, unittest.TestSuite)
    return [dict(vars(place)) for place in places]


def watched(function, own):
    """The function; `own` gets its results that are of classes of the program."""

    def call(*given, **named):
        result = function(*given, **named)
        if made_here(result):
            own.append(result)
        return result

    return call


def broken(*given, **named):
    raise RuntimeError("the control: it always raises")


def cases(program, check, entry_point, answers, limits):
    names = load(program)
    if entry_point not in names:
        return "fail", f"there is no {entry_point}"
    function = names[entry_point]
    tolerance = check["tolerance"]
    for number, (given, (wanted, _), seconds) in enumerate(zip(check["inputs"], answers, limits)):  # noqa: B905
        kept = copy.deepcopy(given)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            result = function(*given)
        except OutOfTime:
            return "fail", f"input {number}: no answer in {seconds:g} s"
        finally:
            signal.setitimer(signal.ITIMER_PROF, TOGETHER)
        if made_here(result) and not made_here(wanted):
            return "suspicious", f"input {number}: a result of a class of its own"
        if tolerance == 0 and floats(wanted):
            tolerance = 1e-6  # for this input and those after it, as EvalPlus has it
        if not agrees(result, wanted, kept, check["rule"], tolerance):
            shown = f"{short(kept)}: {short(result)}, not {short(wanted)}"
            return "fail", f"input {number}, {shown}"
    return "pass", ""


def made_here(value):
    return getattr(type(value), "__module__", "") == NAME


def suite(program, check, entry_point):
    """The classes of a unittest suite over the program, in one module as BigCodeBench has it."""
    module = types.ModuleType(NAME)
    module.__dict__.update(__file__=NAME + ".py", sys=sys, os=os, environ=os.environ)
    sys.modules[NAME] = module
    source = program + "\n" + check["code"]
    before = ground()
    exec(compile(source, NAME + ".py", "exec"), module.__dict__)
    wrong = failures(module)
    if wrong:
        return "fail", wrong
    if ground() != before:
        return "suspicious", "it exchanges what the tests are made of"
    if not callable(getattr(module, entry_point, None)):
        return "fail", f"there is no {entry_point}"
    setattr(module, entry_point, broken)
    anew(check)
    if not failures(module):
        return "suspicious", "the tests pass whatever it does"
    return "pass", ""


def failures(module):
    """The first test that fails, with its last line; empty: none does."""
    tests = unittest.TestLoader().loadTestsFromTestCase(module.TestCases)
    result = unittest.TestResult()
    tests.run(result)
    for test, trace in result.failures + result.errors:
        return "{}: {}".format(test.id().split(".")[-1], trace.strip().split("\n")[-1])
    return ""


def words(error):
    return (f"{type(error).__name__}: {error}")[:TEXT]


def short(value):
    try:
        text = repr(value)
    except BaseException:
        text = "<no text>"
    return text if len(text) <= 60 else text[:57] + "..."


if __name__ == "__main__":
    main(sys.argv[1])
