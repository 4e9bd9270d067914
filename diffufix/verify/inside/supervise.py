# mypy: ignore-errors
"""Watch one child: its records, its deadlines, its end. Touches processes below this one only.

A child is the leader of its own session. It writes lines `nonce JSON` to a pipe:

    ready                 the candidate's code is in place, tests come now
    call I                the set-up of test I is done
    test I outcome ...    test I is done
    sentinel              our own test, which must fail, comes next
    end                   every test that was to run has run
    audit                 edited code reaches for what only a forger needs
    refused, error, fatal, quit   why it goes no further

Anything else on the pipe, or these in an order that no honest run has, is a forgery.

A deadline counts processor time, so that a busy machine turns nobody into a hang; a child that
sleeps is given twice its deadline by the clock.
"""

import contextlib
import json
import os
import select
import signal
import time

from . import frames, rights

SLEEPING = "StT"  # states of /proc/PID/stat in which no processor is waited for
MAX_RECORDS = 4 * 2**20  # bytes; more than any honest run writes
_SUBREAPER, _DEATH_SIGNAL = 36, 1
BEAT = 1.0  # seconds between signs of life while a candidate runs
DISK = 512 * 2**20  # bytes of disk that may vanish while a candidate runs


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


class Course:
    """The records of one child, in the order in which an honest one writes them."""

    def __init__(self, request, watch):
        self.request = request
        self.watch = watch
        self.prefix = request["nonce"].encode() + b" "
        self.report = {"outcomes": [], "ready": False, "ended": False, "timeout": None}
        self.report["seconds"] = []
        self.coming = list(range(len(request["tests"])))
        self.coming.insert(request["sentinel"], None)  # our own test
        self.pending = b""

    def feed(self, data):
        *lines, self.pending = (self.pending + data).split(b"\n")
        for line in lines:
            try:
                if not line.startswith(self.prefix):
                    raise ValueError("a record of somebody else")
                self._note(json.loads(line[len(self.prefix) :]))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                self.report.setdefault("forged", str(error)[:100])

    def _note(self, record):
        report, watch, request = self.report, self.watch, self.request
        event, index = record["event"], record.get("index")
        if event == "audit":
            report.setdefault("audit", str(record["reason"])[:300])
            return
        if report["ended"]:
            raise ValueError("a record after the last")
        if event in ("refused", "error", "fatal", "quit"):  # why the child goes no further
            report[event] = str(record.get("reason", ""))[:1000]
            return
        if event == "ready":
            if report["ready"]:
                raise ValueError("two beginnings")
            report["ready"] = True
            watch.restart(request["setup"][0])
            return
        if not report["ready"]:
            raise ValueError("a record before the first")
        if event == "end":
            self._end(record)
            return
        while event != "sentinel" and self.coming[:1] == [None] and report.get("sentinel_began"):
            del self.coming[0]
        if not self.coming:
            raise ValueError("more tests than asked for")
        if event == "sentinel":
            if self.coming[0] is not None:
                raise ValueError("a sentinel out of place")
            report["sentinel_began"] = True
            watch.restart(request["start"])
        elif index != self.coming[0]:
            raise ValueError("a test out of turn")
        elif event == "call":
            watch.restart(request["call"][index])
        elif event == "test":
            del self.coming[0]
            report["outcomes"].append([str(record["outcome"]), str(record["message"])])
            report["seconds"].append(time.monotonic() - watch.wall)
            watch.restart(request["setup"][min(index + 1, len(request["setup"]) - 1)])
        else:
            raise ValueError("an unknown record")

    def _end(self, record):
        report = self.report
        report["ended"] = True
        report["sentinel"] = record.get("sentinel")
        report["unseen"], report["spawned"] = record["unseen"], record["spawned"]
        report["places"] = len(self.request["places"])
        if self.coming in ([], [None]):
            return
        last = len(report["outcomes"]) - 1
        wanted = self.request["required"]
        cut = self.request["stop"] and last >= 0
        if not cut or frames.accepts(wanted[last], report["outcomes"][last][0]):
            raise ValueError("an end before the end")


def supervise(pid, reader, request, keep, code=None, beat=None):
    """Follow a child to its end and say what happened; kills it and all it started.

    `request` has `nonce`, `tests`, `sentinel`, `start` (seconds until ready), `setup` and `call`
    (seconds per test); `beat` is called now and then. Returns `outcomes` [[outcome, message] per
    finished test], `ready`, `ended`, `status` (exit code, negative: signal), `timeout` (the phase,
    or None), `swept` (nothing of it is left), `forged` and whatever else it reported.
    """
    watch = Watch(pid, request["start"])
    course = Course(request, watch)
    report = course.report
    total, told = 0, time.monotonic()
    free = free_disk(request.get("disk"))
    poller = select.poll()
    poller.register(reader, select.POLLIN)
    while not report["ended"]:
        left = watch.left()
        if left is None:
            report["timeout"] = "test" if report["ready"] else "start"
            break
        if not poller.poll(min(left, BEAT) * 1000 + 1):
            if beat is not None and time.monotonic() - told > BEAT:
                told = time.monotonic()
                beat()
            if free - free_disk(request.get("disk")) > DISK:
                report["timeout"], report["flood"] = "disk", True
                break
            continue
        data = os.read(reader, 1 << 16)
        total += len(data)
        if not data:
            break
        course.feed(data)
        if total > MAX_RECORDS:
            report.setdefault("forged", "too many records")
            break
    status = reap(pid, 1.0) if report["timeout"] is None else None
    kill(pid)
    if status is None:
        status = reap(pid, 5.0)
    report["swept"] = sweep(keep, code)
    os.set_blocking(reader, False)
    with contextlib.suppress(BlockingIOError):
        while total <= MAX_RECORDS and (data := os.read(reader, 1 << 16)):
            total += len(data)
            course.feed(data)
    os.close(reader)
    if report["ended"] and course.pending:
        report.setdefault("forged", "more after the end")
    report["status"] = _exit_code(status)
    return report


def free_disk(path):
    """Bytes left where the code may write; 0 where that is not known."""
    try:
        info = os.statvfs(path)
    except (OSError, TypeError):
        return 0
    return info.f_bavail * info.f_frsize


def _exit_code(status):
    if status is None:
        return -signal.SIGKILL
    if os.WIFSIGNALED(status):
        return -os.WTERMSIG(status)
    return os.WEXITSTATUS(status)
