# mypy: ignore-errors
"""Watch one child: its records, its deadlines, its end. Touches processes below this one only.

A child is the leader of its own session. It writes lines `nonce JSON` to a pipe:

    ready                 the candidate's code is in place, tests come now
    call I                the set-up of test I is done
    test I outcome ...    test I is done
    sentinel              our own test, which must fail, comes next
    end                   every test that was to run has run
    refused, error, fatal, quit   why it goes no further

A deadline counts processor time, so that a busy machine turns nobody into a hang; a child that
sleeps is given twice its deadline by the clock.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import time

SLEEPING = "StT"  # states of /proc/PID/stat in which no processor is waited for
MAX_RECORDS = 4 * 2**20  # bytes; more than any honest run writes
_SUBREAPER, _DEATH_SIGNAL = 36, 1

try:
    _libc = ctypes.CDLL(None, use_errno=True)
    _libc.prctl  # noqa: B018  (macOS has none)
except (OSError, AttributeError):
    _libc = None


def adopt_orphans():
    """Processes that detach themselves below become our children, so that `sweep` finds them."""
    if _libc is not None:
        _libc.prctl(_SUBREAPER, 1, 0, 0, 0)


def die_with_parent():
    if _libc is not None:
        _libc.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


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
            fields = _stat(int(name))
            if fields and int(fields[1]) == parent:
                found.add(int(name))
    return found


def _stat(pid):
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


def sweep(keep):
    """Kill and reap every child but `keep`, their orphans too, until none is left."""
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        strays = children() - keep
        if not strays:
            return
        for pid in strays:
            kill(pid)
        for pid in strays:
            reap(pid, 0.5)


class Watch:
    """The deadline that runs now, in processor time where it can be had."""

    def __init__(self, pid, limit):
        self.pid = pid
        self.restart(limit)

    def restart(self, limit):
        self.limit = limit
        self.wall = time.monotonic()
        self.cpu = cpu_seconds(self.pid)

    def left(self):
        """Seconds until the next look, or None when the deadline is over."""
        waited = time.monotonic() - self.wall
        if waited < self.limit:
            return self.limit - waited
        cpu = cpu_seconds(self.pid)
        if cpu is None or self.cpu is None:
            return None if waited >= 2 * self.limit else 2 * self.limit - waited
        used = cpu - self.cpu
        if used >= self.limit or waited >= 20 * self.limit + 2:
            return None
        fields = _stat(self.pid)
        if waited >= 2 * self.limit and fields and fields[0] in SLEEPING:
            return None
        return max(0.002, min(self.limit - used, self.limit / 4))


def supervise(pid, reader, request, keep):
    """Follow a child to its end and say what happened; kills it and all it started.

    `request` has `nonce`, `tests`, `start` (seconds until ready), `setup` and `call` (seconds per
    test). Returns `outcomes` [[outcome, message] per finished test], `ready`, `ended`, `status`
    (exit code, negative: signal), `timeout` (the phase, or None) and whatever else it reported.
    """
    report = {"outcomes": [], "ready": False, "ended": False, "timeout": None, "seconds": []}
    watch = Watch(pid, request["start"])
    prefix = request["nonce"].encode() + b" "
    pending, total = b"", 0
    poller = select.poll()
    poller.register(reader, select.POLLIN)
    while True:
        left = watch.left()
        if left is None:
            report["timeout"] = "test" if report["ready"] else "start"
            break
        if not poller.poll(left * 1000 + 1):
            continue
        data = os.read(reader, 1 << 16)
        total += len(data)
        if not data or total > MAX_RECORDS:
            break
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            if line.startswith(prefix):
                _note(json.loads(line[len(prefix) :]), report, request, watch)
        if report["ended"]:
            break
    status = reap(pid, 1.0) if report["timeout"] is None else None
    kill(pid)
    if status is None:
        status = reap(pid, 5.0)
    os.close(reader)
    sweep(keep)
    report["status"] = _exit_code(status)
    return report


def _note(record, report, request, watch):
    event = record.pop("event")
    if event == "ready":
        report["ready"] = True
        watch.restart(request["setup"][0])
    elif event == "call":
        watch.restart(request["call"][min(record["index"], len(request["call"]) - 1)])
    elif event == "sentinel":
        watch.restart(request["start"])
    elif event == "test":
        if record["index"] != len(report["outcomes"]):
            return  # not what an honest child writes; the end will be missing ids
        report["outcomes"].append([record["outcome"], record["message"]])
        report["seconds"].append(time.monotonic() - watch.wall)
        following = min(record["index"] + 1, len(request["setup"]) - 1)
        watch.restart(request["setup"][following])
    elif event == "end":
        report["ended"] = True
        report["sentinel"] = record.get("sentinel")
    else:  # "refused", "error", "fatal", "quit": the child says why it goes no further
        report[event] = record.get("reason", "")


def _exit_code(status):
    if status is None:
        return -signal.SIGKILL
    if os.WIFSIGNALED(status):
        return -os.WTERMSIG(status)
    return os.WEXITSTATUS(status)
