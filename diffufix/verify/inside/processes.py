# mypy: ignore-errors
"""Children of this process and theirs: adopted, ended, waited for. Touches no others."""

import contextlib
import os
import signal
import time

from . import rights

_SUBREAPER, _DEATH_SIGNAL = 36, 1


def adopt_orphans():
    """Processes that detach themselves below become our children, so that `sweep` finds them."""
    rights.prctl(_SUBREAPER, 1)


def die_with_parent():
    rights.prctl(_DEATH_SIGNAL, signal.SIGKILL)


def spend_ids(count):
    """Use up process ids, so that the next process has another one than it would have had."""
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        reap(pid, 5.0)


def children():
    pid = os.getpid()
    try:
        with open(f"/proc/self/task/{pid}/children") as file:
            return {int(word) for word in file.read().split()}
    except OSError:
        return _children_by_scan(pid)


def _children_by_scan(parent):
    found = set()
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            fields = stat_of(int(name))
            if fields and int(fields[1]) == parent:
                found.add(int(name))
    return found


def stat_of(pid):
    """Fields of /proc/PID/stat after the command: state, parent, ..."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def cpu_seconds(pid):
    """Processor time used by another process; None where the system cannot tell."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except (OSError, OverflowError, AttributeError):
        return None


def kill(pid):
    for end in (os.killpg, os.kill):
        with contextlib.suppress(OSError):
            end(pid, signal.SIGKILL)


def reap(pid, seconds):
    """The wait status of a child that should be ending, None when it does not."""
    deadline = time.monotonic() + seconds
    pause = 0.0001
    while True:
        try:
            done, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return 0
        if done:
            return status
        if time.monotonic() > deadline:
            return None
        time.sleep(pause)
        pause = min(pause * 1.5, 0.005)


def sweep(keep, code=None):
    """Kill and reap every child but `keep`, their orphans too: True when none is left."""
    deadline = time.monotonic() + 3.0
    while time.monotonic() < deadline:
        strays = children() - keep
        if not strays:
            return True
        rights.kill_all(code)
        for pid in strays:
            kill(pid)
        for pid in strays:
            reap(pid, 0.5)
    return False


def exit_code(status):
    if status is None:
        return -signal.SIGKILL
    if os.WIFSIGNALED(status):
        return -os.WTERMSIG(status)
    return os.WEXITSTATUS(status)
