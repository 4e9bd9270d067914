# mypy: ignore-errors
"""Watch one child: its records, its deadlines, its end. Touches processes below this one only.

A child is the leader of its own session. It writes lines `nonce JSON` to a pipe:

    ready                 the candidate's code is in place, tests come now
    call I                the set-up of test I is done
    test I outcome ...    test I is done
    sentinel              our own test, which must fail, comes next
    end                   every test that was to run has run
    still                 our signal was heard, and whether edited code has been left meanwhile
    audit                 edited code reaches for what only a forger needs
    refused, error, fatal, quit   why it goes no further

Anything else on the pipe, or these in an order that no honest run has, is a forgery.

A deadline counts processor time, so that a busy machine turns nobody into a hang; a child that
sleeps is given twice its deadline by the clock. How long a test takes that has only ever failed
nobody knows: it is given what the request has left of its patience, where it sleeps or goes on.
"""

import contextlib
import json
import os
import select
import signal
import time

from . import frames, processes

#: States of /proc/PID/stat in which no processor is waited for; Z: its first thread has ended.
SLEEPING = "StTZ"
NAP = 1.0  # seconds that edited code may sleep beyond a deadline
MAX_RECORDS = 4 * 2**20  # bytes; more than any honest run writes
BEAT = 1.0  # seconds between signs of life while a candidate runs
DISK = 512 * 2**20  # bytes of disk that a candidate may fill
SPARE = 64 * 2**20  # bytes left on the disk below which whoever runs is ended
#: Asks a child where it is. No test waits for it, and no library of the project's sends it.
PROBE = getattr(signal, "SIGRTMAX", None) and signal.SIGRTMAX - 5


class Watch:
    """The deadline that runs now, in processor time where it can be had.

    `patience` is (seconds beyond the deadlines for a child that sleeps or goes on, the same for
    one that stays in one call of edited code); they are used up in the course of a request.
    """

    def __init__(self, pid, limit, patience=(0.0, 0.0)):
        self.pid = pid
        self.patience = list(patience)
        self.over = [0.0, 0.0]  # seconds used of them
        self.until = None
        self.restart(limit)

    def restart(self, limit, patient=False):
        self.settle()
        self.limit = limit
        self.wall = time.monotonic()
        self.cpu = processes.cpu_seconds(self.pid)
        self.asks = 2 if patient and any(self.patience) else 0  # questions that may be asked
        self.patient = self.asks > 0
        self.heard = None  # the answer to the last of them
        self.until = None  # (moment, kind of patience, when it began) beyond the deadline

    def settle(self):
        """Take what was waited beyond the deadline from the patience."""
        if self.until is not None:
            _, kind, began = self.until
            used = time.monotonic() - began
            self.over[kind] += used
            self.patience[kind] = max(0.0, self.patience[kind] - used)
            self.until = None

    def left(self):
        """Seconds until the next look, or None when the deadline is over."""
        waited = time.monotonic() - self.wall
        if self.asks == 2 and self._ask(waited, self.limit / 2):
            return self.limit / 2 - waited
        if waited < self.limit:
            return self.limit - waited
        if self.until is not None:
            left = self.until[0] - time.monotonic()
            return left if left > 0 else None
        cpu = processes.cpu_seconds(self.pid)
        if cpu is None or self.cpu is None:
            return None if waited >= 2 * self.limit else 2 * self.limit - waited
        used = cpu - self.cpu
        fields = processes.stat_of(self.pid)
        asleep = waited >= 2 * self.limit and fields and fields[0] in SLEEPING
        if not asleep and used < self.limit and waited < 20 * self.limit + 2:
            return max(0.002, min(self.limit - used, self.limit / 4))
        return self._more(asleep, waited) if self.patient else None

    def _ask(self, waited, moment):
        """Ask once the moment has come; whether it is still to come."""
        if waited < moment:
            return True
        self.asks -= 1
        self.heard = None
        self.answer_by = waited + max(0.01, self.limit / 4)
        if PROBE is not None:
            with contextlib.suppress(OSError):
                os.kill(self.pid, PROBE)
        return False

    def _more(self, asleep, waited):
        """The deadline is over: seconds that the child is given beyond it, None for none.

        Who has left the call of edited code in which the first question found him goes on."""
        if self.asks:
            self._ask(waited, 0.0)
        if self.heard is None and waited < self.answer_by:
            return max(0.002, self.answer_by - waited)
        kind = 0 if asleep or self.heard else 1
        given = self.patience[kind]
        if asleep and self.heard is False:
            given = min(given, NAP)
        if given <= 0:
            return None
        now = time.monotonic()
        self.until = (now + given, kind, now)
        return given


class Course:
    """The records of one child, in the order in which an honest one writes them."""

    def __init__(self, request, watch):
        self.request = request
        self.watch = watch
        self.prefix = request["nonce"].encode() + b" "
        self.patient = frozenset(request.get("patient", ()))
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
            watch.restart(request["setup"][0], 0 in self.patient)
            return
        if event == "still":
            watch.heard = bool(record["moved"])
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
            watch.restart(request["call"][index], index in self.patient)
        elif event == "test":
            del self.coming[0]
            report["outcomes"].append([str(record["outcome"]), str(record["message"])])
            report["seconds"].append(time.monotonic() - watch.wall)
            following = min(index + 1, len(request["setup"]) - 1)
            watch.restart(request["setup"][following], following in self.patient)
        else:
            raise ValueError("an unknown record")

    def _end(self, record):
        report = self.report
        report["ended"] = True
        report["sentinel"] = record.get("sentinel")
        report["unseen"], report["spawned"] = record["unseen"], record["spawned"]
        report["writes"] = record.get("writes", [])
        report["world"] = [str(name) for name in record.get("world", ())]
        report["places"] = len(self.request["places"])
        if self.coming in ([], [None]):
            return
        seen, request = report["outcomes"], self.request
        pairs = zip(request["required"], seen)  # noqa: B905 (Python 3.9)
        reds = [n for n, (want, (got, _)) in enumerate(pairs, 1) if not frames.accepts(want, got)]
        if not (request["stop"] and reds and len(seen) == max(reds[0], request["least"])):
            raise ValueError("an end before the end")


def supervise(pid, reader, request, keep, code=None, beat=None):
    """Follow a child to its end and say what happened; kills it and all it started.

    `request` has `nonce`, `tests`, `sentinel`, `start` (seconds until ready), `setup` and `call`
    (seconds per test), `patience` (see `Watch`) for the tests whose indices are `patient`, and
    `writable`, the folders where its code may write; `beat` is called now and then. Returns
    `outcomes` [[outcome, message] per finished test], `ready`, `ended`, `status` (exit code,
    negative: signal), `timeout` (the phase, or None, and `stuck`: in one call of edited code),
    `over` (seconds of patience used), `swept` (nothing of it is left), `forged` and whatever else
    it reported.
    """
    watch = Watch(pid, request["start"], request.get("patience", (0.0, 0.0)))
    course = Course(request, watch)
    report = course.report
    total, told = 0, time.monotonic()
    disk = Disk(request.get("writable", ()))
    poller = select.poll()
    poller.register(reader, select.POLLIN)
    while not report["ended"]:
        left = watch.left()
        if left is None:
            report["timeout"] = "test" if report["ready"] else "start"
            report["stuck"] = watch.heard is False
            break
        if not poller.poll(min(left, BEAT) * 1000 + 1):
            if beat is not None and time.monotonic() - told > BEAT:
                told = time.monotonic()
                beat()
            if disk.flooded():
                report["timeout"], report["flood"] = "disk", True
                break
            continue
        if disk.flooded():
            report["timeout"], report["flood"] = "disk", True
            break
        data = os.read(reader, 1 << 16)
        total += len(data)
        if not data:
            break
        course.feed(data)
        if total > MAX_RECORDS:
            report.setdefault("forged", "too many records")
            break
    watch.settle()
    report["over"] = watch.over
    status = processes.reap(pid, 1.0) if report["timeout"] is None else None
    processes.kill(pid)
    if status is None:
        status = processes.reap(pid, 5.0)
    report["swept"] = processes.sweep(keep, code)
    os.set_blocking(reader, False)
    with contextlib.suppress(BlockingIOError):
        while total <= MAX_RECORDS and (data := os.read(reader, 1 << 16)):
            total += len(data)
            course.feed(data)
    os.close(reader)
    if report["ended"] and course.pending:
        report.setdefault("forged", "more after the end")
    report["status"] = processes.exit_code(status)
    return report


class Disk:
    """How full a candidate makes the disk. Others write there, too: what vanishes is only held
    against the candidate where it lies in the folders that are its own."""

    def __init__(self, folders):
        self.folders = {os.path.realpath(folder) for folder in folders if os.path.isdir(folder)}
        self.places = [*{os.stat(folder).st_dev: folder for folder in self.folders}.values()]
        self.free = self._free()
        self.began = time.time() - 1.0

    def flooded(self):
        free = self._free()
        if sum(self.free) - sum(free) <= DISK:
            return False
        self.free = free
        return self._filled() > DISK / 2 or min(free) < SPARE

    def _free(self):
        """Bytes left, of each file system once: some folders are memory."""
        infos = [os.statvfs(path) for path in self.places]
        return [info.f_bavail * info.f_frsize for info in infos]

    def _filled(self):
        """Bytes of the files in the folders that have changed since the beginning."""
        total = 0
        for top in self.folders:
            for folder, _, names in os.walk(top):
                for name in names:
                    with contextlib.suppress(OSError):
                        info = os.lstat(os.path.join(folder, name))
                        total += 512 * info.st_blocks if info.st_ctime >= self.began else 0
        return total
