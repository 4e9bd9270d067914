# mypy: ignore-errors
"""The first process of a container: starts commands, carries their streams, keeps the files.

Python 3.8 and later, standard library only; sent as text, so that an image needs nothing of ours.
Touches the folders it is told and the processes of its own container. It runs as root with three
capabilities (SETUID, SETGID, KILL); commands run as that ("server") or as nobody ("code"). Being
process 1 it cannot be killed from inside, inherits every orphan, and takes all with it when it
ends: when its input ends, or stays silent for longer than a living diffufix would leave it.

Frames in both directions: length of the payload, kind, channel (`>IcI`), payload.

    to us      X request (JSON)   D data   E end of data   A bytes taken   K kill   P still here
    from us    H hello (JSON)   O stdout   S stderr   F end of stdout   R reply (JSON), the last
"""

import contextlib
import json
import os
import selectors
import signal
import struct
import tarfile
import time

# Put beside this one by `sandbox.linked.agent_source`.
from commands import Command, become
from container import children, exit_code, hello, kill_all, kill_group, oom_kills
from files import FileRefused, Folders

HEAD = struct.Struct(">IcI")
CHUNK = 1 << 16
WINDOW = 1 << 20  # bytes of a stream that may be under way, not yet taken by the host


class Agent:
    def __init__(self, settings):
        self.code = settings["code"]  # uid and gid
        self.limits = settings["limits"]  # of every command: name in `resource` -> value
        self.silence = settings.get("silence", 45.0)  # seconds without a word from the host
        self.largest = settings["largest"]  # bytes of a file that may be read
        self.folders = Folders(settings["tree"], settings["private"], settings["open"], self.code)
        self.env = dict(os.environ, **settings["env"])
        if os.path.exists("/opt/venv/bin/python"):
            self.env["PATH"] = "/opt/venv/bin:" + self.env.get("PATH", os.defpath)
            self.env["VIRTUAL_ENV"] = "/opt/venv"
        self.jobs, self.writing = {}, {}  # channel -> job, descriptor of a file that is coming
        self.received = bytearray()
        self.heard = time.monotonic()
        self.selector = selectors.DefaultSelector()
        os.umask(0)
        with contextlib.suppress(OSError):
            os.setgroups([])
        null = os.open(os.devnull, os.O_RDWR)
        self.input, self.output = os.dup(0), os.dup(1)
        os.dup2(null, 0)
        os.dup2(null, 1)
        woken, waker = os.pipe()
        for fd in (woken, waker):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.selector.register(self.input, selectors.EVENT_READ, self.on_input)
        self.selector.register(woken, selectors.EVENT_READ, lambda: os.read(woken, CHUNK))

    # -- the conversation ------------------------------------------------------------------

    def send(self, kind, channel, data=b""):
        view = memoryview(HEAD.pack(len(data), kind, channel) + data)
        while view:
            view = view[os.write(self.output, view) :]

    def reply(self, channel, **fields):
        self.send(b"R", channel, json.dumps(fields).encode())

    def serve(self):
        self.send(b"H", 0, json.dumps(hello()).encode())
        while True:
            moments = [job.deadline for job in self.jobs.values() if job.deadline is not None]
            until = min([self.heard + self.silence, *moments])
            for key, _ in self.selector.select(max(0.0, until - time.monotonic())):
                key.data()
            if time.monotonic() - self.heard > self.silence:
                os._exit(0)
            self.reap()
            self.end_late_ones()
            self.finish_ended_ones()

    def on_input(self):
        data = os.read(self.input, CHUNK)
        if not data:
            os._exit(0)
        self.heard = time.monotonic()
        self.received += data
        at = 0
        while len(self.received) - at >= HEAD.size:
            size, kind, channel = HEAD.unpack_from(self.received, at)
            if len(self.received) - at - HEAD.size < size:
                break
            at += HEAD.size + size
            self.take(kind, channel, bytes(self.received[at - size : at]))
        del self.received[:at]

    def take(self, kind, channel, data):
        job = self.jobs.get(channel)
        if kind == b"X":
            self.guarded(channel, self.request, channel, json.loads(data))
        elif kind == b"D" and channel in self.writing:
            self.guarded(channel, self.write_on, channel, data)
        elif kind == b"E" and channel in self.writing:
            os.close(self.writing.pop(channel))
            self.reply(channel)
        elif job is None:
            return
        elif kind == b"D":
            job.pending += data
            self.feed(job)
        elif kind == b"E":
            job.no_more_input = True
            self.feed(job)
        elif kind == b"A":
            job.under_way -= struct.unpack(">I", data)[0]
            self.listen(job)
        elif kind == b"K":
            kill_group(job.pid)

    def guarded(self, channel, do, *arguments):
        try:
            do(*arguments)
        except FileRefused as refusal:
            self.reply(channel, error=refusal.kind, message=str(refusal))
        except (OSError, tarfile.TarError, RecursionError) as error:
            self.reply(channel, error="failed", message=f"{type(error).__name__}: {error}")

    def request(self, channel, request):
        op = request["op"]
        if op in ("exec", "spawn"):
            self.start(channel, request)
        elif op in ("write", "load"):
            self.writing[channel] = self.folders.create(request.get("path"))
        elif op == "read":
            self.read(channel, request["path"])
        elif op == "reset":
            self.reset()
            self.reply(channel)

    # -- files -----------------------------------------------------------------------------

    def write_on(self, channel, data):
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self.writing[channel], view) :]
        except OSError:
            os.close(self.writing.pop(channel))
            raise

    def read(self, channel, name):
        fd = self.folders.open(name, self.largest)
        try:
            while True:
                data = os.read(fd, CHUNK)
                if not data:
                    break
                self.send(b"O", channel, data)
        finally:
            os.close(fd)
        self.reply(channel)

    def reset(self):
        """End every process, put the files back."""
        for job in self.jobs.values():
            kill_group(job.pid)
        self.sweep(everything=True)
        self.finish_ended_ones()
        for fd in self.writing.values():
            os.close(fd)
        self.writing.clear()
        self.folders.restore()

    # -- commands --------------------------------------------------------------------------

    def start(self, channel, request):
        job = Command(channel, request)
        theirs, job.stdin = os.pipe()
        job.stdout, out = os.pipe()
        job.stderr, err = os.pipe()
        for _ in range(50):
            try:
                job.pid = os.fork()
                break
            except BlockingIOError:  # a fork bomb has filled the container
                self.sweep()
                time.sleep(0.01)
        else:
            raise FileRefused("failed", "no more processes can be started")
        if job.pid == 0:
            become(request, (theirs, out, err), self.code, self.limits, self.env)
        for fd in (theirs, out, err):
            os.close(fd)
        for fd in (job.stdin, job.stdout, job.stderr):
            os.set_blocking(fd, False)
        self.jobs[channel] = job
        self.listen(job)

    def feed(self, job):
        """Write what the process takes of its input; wait for it with the rest."""
        if job.stdin is None:
            return
        try:
            while job.pending:
                del job.pending[: os.write(job.stdin, job.pending[:CHUNK])]
        except BlockingIOError:
            self.watch(job.stdin, selectors.EVENT_WRITE, lambda: self.feed(job))
            return
        except OSError:
            job.no_more_input = True
        self.unwatch(job.stdin)
        if job.no_more_input:
            os.close(job.stdin)
            job.stdin = None

    def listen(self, job):
        if job.stdout is not None:
            if job.spawned and job.under_way >= WINDOW:
                self.unwatch(job.stdout)
            else:
                self.watch(job.stdout, selectors.EVENT_READ, lambda: self.carry(job, b"O"))
        if job.stderr is not None:
            self.watch(job.stderr, selectors.EVENT_READ, lambda: self.carry(job, b"S"))

    def carry(self, job, kind):
        """Send on what a stream holds; True while there was something."""
        name = "stdout" if kind == b"O" else "stderr"
        fd = getattr(job, name)
        if fd is None or (kind == b"O" and job.spawned and job.under_way >= WINDOW):
            return False
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self.drop(job, name)
            return False
        room = job.room[kind]
        if room is not None:
            job.truncated |= len(data) > room
            data = data[:room]
            job.room[kind] = room - len(data)
        elif kind == b"O":
            job.under_way += len(data)
            if job.under_way >= WINDOW:
                self.unwatch(fd)
        if data:
            self.send(kind, job.channel, data)
        return True

    def drop(self, job, name):
        fd = getattr(job, name)
        if fd is not None:
            self.unwatch(fd)
            os.close(fd)
            setattr(job, name, None)
            if name == "stdout":
                self.send(b"F", job.channel)

    def watch(self, fd, events, call):
        try:
            self.selector.modify(fd, events, call)
        except KeyError:
            self.selector.register(fd, events, call)

    def unwatch(self, fd):
        with contextlib.suppress(KeyError):
            self.selector.unregister(fd)

    def reap(self):
        """Take every dead child, orphans of others too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for job in self.jobs.values():
                if job.pid == pid:
                    job.status = status

    def end_late_ones(self):
        now = time.monotonic()
        for job in self.jobs.values():
            if job.deadline is not None and now >= job.deadline and job.status is None:
                job.timed_out = True
                kill_group(job.pid)
                job.deadline = now + 1.0

    def finish_ended_ones(self):
        for job in [job for job in self.jobs.values() if job.status is not None]:
            with contextlib.suppress(OSError):
                os.killpg(job.pid, signal.SIGKILL)
            if not any(other.status is None and not other.spawned for other in self.jobs.values()):
                self.sweep()
            if job.stdin is not None:
                self.unwatch(job.stdin)
                os.close(job.stdin)
                job.stdin = None
            for kind in (b"S", b"O"):
                for _ in range(100):  # more than a pipe holds
                    if not self.carry(job, kind):
                        break
            if job.spawned and job.stdout is not None and job.under_way >= WINDOW:
                continue  # the host has yet to take what was said
            self.drop(job, "stdout")
            self.drop(job, "stderr")
            del self.jobs[job.channel]
            self.reply(
                job.channel,
                returncode=exit_code(job.status),
                truncated=job.truncated,
                timed_out=job.timed_out,
                oom=oom_kills() > job.oom,
            )

    def sweep(self, everything=False):
        """Kill what belongs to no command that still runs."""
        for turn in range(500):
            alive = {job.pid for job in self.jobs.values() if job.status is None}
            strays = children() - (set() if everything else alive)
            if not strays:
                return
            if everything or not alive or turn > 50:
                kill_all(self.code)
            for pid in strays:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.0005 if turn < 20 else 0.01)
            self.reap()
        raise FileRefused("failed", "processes that cannot be killed")


def main():
    Agent(json.loads(os.environ.pop("DIFFUFIX_INTERNAL_AGENT"))).serve()


if __name__ == "__main__":
    main()
