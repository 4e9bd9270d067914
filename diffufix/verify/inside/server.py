# mypy: ignore-errors
"""The fork server: pytest is loaded and configured once, candidates run in forked children.

Touches the sandbox's tree (each candidate is laid over it and taken off again) and its temporary
directory. One run of pytest stops at three points; at each it forks, the new process goes on to
the next point, the old one stays and waits as a stage:

    early       pytest and its plugins are loaded; it is the root, which talks to the host
    bare        the project's conftest.py files are loaded, pytest is configured
    collected   the tests are collected

A request goes down to the furthest stage and comes back up until one can do it faithfully.
`collected` exchanges the code of live functions ("swap", in a hasty request also of those that
were called before); `bare` and `early` let a child go on with pytest from where they stand, if no
edited file was executed by then ("fork"); what nobody can do runs in a new interpreter ("cold").
"""

import gc
import itertools
import os
import select
import socket
import sys
import threading
import time
import warnings

import pytest

from . import child, cold, collected, frames, leftovers, processes, rights, supervise
from ._diffufix_calm import calm, move_imports  # put here by `verify.worker.inside_files`
from .edit_tracer import EditTracer
from .swap import Calls
from .tree import Tree, parents
from .world import World

SILENCE = 10.0  # seconds without a sign of life after which a stage is given up


def main():
    """Entry of the server, which talks to the host by its stdin and stdout."""
    sys.path[0] = os.getcwd()  # as `python -m pytest` does
    stream = os.dup(0), os.dup(1)
    config = frames.receive(stream[0])
    rights.undumpable()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    server = Server(config, stream)
    move_imports(config["root"], config["tree"])
    sys.argv[:] = ["pytest", *config["args"]]
    server.calls.start()
    status = pytest.main(list(config["args"]), plugins=[server])
    server.never_looped(int(status))


def main_cold(config):
    """Entry of a cold run: one child that does all by itself."""
    sys.path[0] = os.getcwd()
    server = Server(config, ())
    move_imports(config["root"], config["tree"])
    sys.argv[:] = ["pytest", *config["args"]]
    child.settle(config["limits"], config["code"], processes.die_with_parent)
    os.set_inheritable(config["fd"], False)
    server.become_child(config["request"], config["fd"])
    server.world = World()
    status = pytest.main(list(config["args"]), plugins=[server])
    server.never_looped(int(status))


class Server:
    """The pytest plugin of every stage and every child; `role` says which one this is."""

    def __init__(self, config, stream):
        self.config = config
        self.code = config["code"]
        self.stream = stream  # (requests from, replies to): the host or the stage above
        self.role = "start"
        # The home is the sandbox's, never the user's: every backend sets it.
        scratch = [*config["scratch"], os.environ.get("HOME", "")]
        if config["scratch"]:  # what lies above the tree is the sandbox's own, too
            above = itertools.takewhile(lambda path: path != "/", parents(config["tree"]))
            scratch += [path for path in above if os.access(path, os.W_OK)]
        self.tree = Tree(config["tree"], [config["temporary"]], scratch, self.code)
        self.calls = Calls(config["tree"])
        self.began = time.monotonic()
        self.sources = cold.own_sources() if stream else {}
        self.next = None  # (pid, socket) of the stage below
        self.whole = True  # no stage is lost, no process escaped
        self.limits, self.objects = leftovers.limits(), leftovers.listed()
        self.problems = child.CollectErrors()
        self.collecting = False
        self.request = None
        self.emit = None
        self.witness = None
        self.world = None  # as it was before anything of the project's, in a cold run

    # -- pytest's hooks --------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self, early_config, args):
        calm(early_config, args, os.path.join(self.config["temporary"], "pytest"))
        if self.role == "start":
            self.tree.drop_bytecode()
            self.stay("early", early_config)

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_set_timer(self):
        """Deadlines are the supervisor's: pytest-timeout ends more than the test."""
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session):
        if self.role == "start":
            self.stay("bare", session.config)
        if self.role == "child":
            self.collecting = True
            session.config.pluginmanager.register(self.problems, "diffufix-problems")
            if self.request["narrow"]:
                files = {name.split("::")[0] for name in self.request["tests"]}
                root = str(session.config.rootdir)
                paths = [os.path.join(root, name) for name in sorted(files)]
                if all(os.path.exists(path) for path in paths):
                    session.config.args = paths

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        ready = child.Ready(session, self.config, self.world)
        if self.role == "start":
            collected.stay(self, session, ready)
        child.run_tests(ready, self.request, self.emit, self.witness, self.problems.first)

    def never_looped(self, status):
        """pytest.main came back without running a test: wrong arguments, a broken conftest."""
        if self.role == "child":
            reason = f"pytest ended with status {status} before the tests"
            self.emit("error", reason=self.problems.first or reason)
            if not self.collecting:  # nor with more files
                self.emit("fatal")
        else:
            frames.send(self.stream[1], {"failed": f"pytest ended with status {status}"})
        os._exit(4)

    # -- stages ----------------------------------------------------------------------------

    def stay(self, role, config):
        """Fork the next stage and serve here; returns in the next stage and in children."""
        if self.config["cold"]:
            self.stay_cold(config)
            return
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            for fd in set(self.stream):
                os.close(fd)
            fd = theirs.detach()
            self.stream = (fd, fd)
            processes.die_with_parent()
            return
        theirs.close()
        processes.adopt_orphans()
        self.role, self.next = role, (pid, ours)
        self.files = self.calls.files
        self.calls.stop()
        ready = frames.receive(ours.fileno()) or {"failed": "the process ended in its imports"}
        # In processor time, as the deadlines are: a busy machine makes none of them longer.
        self.remaining = ready.pop("cpu", 1.0)
        ready["cpu"] = self.remaining + time.process_time()
        if role == "early":
            versions = {"python": sys.version.split()[0], "pytest": pytest.__version__}
            ready.update(versions, seconds=time.monotonic() - self.began)
            self.tree.remember()
        gc.collect()
        gc.freeze()
        frames.send(self.stream[1], ready)
        self.serve(config)

    def stay_cold(self, config):
        """Serve here without further stages: every request is for a new interpreter."""
        processes.adopt_orphans()
        self.role, self.remaining = "early", 0.0
        self.calls.stop()
        self.tree.remember()
        frames.send(self.stream[1], {"ids": []})
        self.serve(config)

    def serve(self, config):
        """Answer requests until the stream ends; returns in a new child only."""
        while True:
            request = frames.receive(self.stream[0])
            if request is None:
                self.end()
            number = request.pop("number", None)  # the host's; no child gets to see it
            reply = self.lay(request) if self.role == "early" else None
            reply = reply or self.attempt(request)
            if reply is None:
                return  # a child goes on: pytest does the rest
            if self.role == "early":
                self.put_back(request, reply)
                reply["number"] = number
            reply["whole"] = self.whole
            child.forget_output(config)
            frames.send(self.stream[1], reply)

    def lay(self, request):
        """Put the candidate's files in place; the reply where that cannot be done."""
        try:
            self.tree.lay(request.pop("files"))
        except OSError as error:
            problem = {"outcomes": [], "ready": False, "ended": False, "timeout": None}
            return dict(problem, status=4, way="", error=f"cannot be written: {error}")
        return None

    def put_back(self, request, reply):
        """The tree and the rest as they were, as far as they can be."""
        self.whole &= leftovers.limits() == self.limits
        self.whole &= leftovers.remove(self.objects, self.code)
        keep = request.get("keep")
        if keep == "left":  # as long as there is anything to keep
            keep = reply["left"] = self.tree.left()
        if keep:
            reply["clean"] = self.whole  # the next request goes on in the same folder
            return
        restored, reply["touched"], reply["added"] = self.tree.restore()
        reply["clean"] = restored and self.whole
        reply["odd"] = self.tree.problem

    def attempt(self, request):
        """The reply to one request by the cheapest way that is right; None in a new child."""
        way = request["way"]
        reply = {"refused": "asked for"}
        if way != "cold":
            reply = self.ask_next(request)
            if "refused" in reply and way != "swap" and self.may_fork(request):
                reason = reply["refused"]
                reply = self.fork(request)
                # Fewer files were collected than in the project's own run: red is not certain.
                if reply and request["narrow"] and "error" in reply and "fatal" not in reply:
                    reply = self.fork(dict(request, narrow=False))
                if reply:
                    reply["reason"] = reason
        if reply and "refused" in reply and self.role == "early" and way != "swap":
            reply = dict(self.cold(request), reason=reply["refused"])
        return reply

    def may_fork(self, request):
        edited = {os.path.realpath(os.path.join(self.tree.root, n)) for n in request["edited"]}
        return threading.active_count() == 1 and not edited & self.files

    def end(self):
        processes.sweep(set(), self.code)
        os._exit(0)

    def beat(self):
        """A sign of life for whoever waits for our reply."""
        frames.send(self.stream[1], {"beat": 1})

    def ask_next(self, request):
        reply = None
        if self.next is not None:
            pid, stream = self.next
            try:
                frames.send(stream.fileno(), request)
                reply = self.await_reply(stream.fileno())
            except OSError:
                pass
            if reply is None:
                self.next, self.whole = None, False
                stream.close()
                processes.kill(pid)
                processes.reap(pid, 2.0)
                processes.sweep(set(), self.code)
        self.whole &= bool((reply or {}).get("whole", True))
        return reply or {"lost": "a stage of the fork server ended or was stopped"}

    def await_reply(self, fd):
        """The next stage's reply; None when it is gone or silent."""
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        while poller.poll(SILENCE * 1000):
            reply = frames.receive(fd)
            if reply is None or "beat" not in reply:
                return reply
            self.beat()
        return None

    def keep(self):
        return {self.next[0]} if self.next else set()

    def fork(self, request):
        request = dict(request, start=request["start"] + 10 * self.remaining)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            self.enter_child(request, writer)
            self.refuse_nonsense(request["edited"])
            return None
        os.close(writer)
        return dict(self.watch(pid, reader, request), way="fork")

    def watch(self, pid, reader, request):
        folders = [self.config["temporary"], self.tree.root, *self.tree.scratch]
        request = dict(request, writable=folders)
        reply = supervise.supervise(pid, reader, request, self.keep(), self.code, self.beat)
        self.whole &= reply["swept"]
        return reply

    def enter_child(self, request, writer):
        """Leave everything of the server's behind; this is a new child."""
        for fd in set(self.stream):
            os.close(fd)
        if self.next is not None:
            self.next[1].close()
        child.settle(self.config["limits"], self.code, processes.die_with_parent)
        self.become_child(request, writer)

    def become_child(self, request, writer):
        self.role = "child"
        self.request = request
        self.emit = child.make_emitter(writer, request["nonce"])
        self.witness = EditTracer(self.config["tree"], request["places"])
        emit = self.emit

        def tell(reason):
            emit("audit", reason=reason)

        child.answer_probes(emit, self.witness.edited)
        self.witness.listen(request["words"], tell)
        if request["hasty"]:  # most fail, executed or not, and the trace can take most of the time
            self.witness.spent = True
            return
        # A look at every value is for confirmation, where time matters less.
        self.witness.start(tell if request["exact"] is not None else None)

    def refuse_nonsense(self, names):
        """In a new child: a file that does not compile needs no collection to be told."""
        for name in names:
            if not name.endswith(".py"):
                continue
            try:
                path = os.path.join(self.tree.root, name)
                with open(path, "rb") as file, warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    compile(file.read(), name, "exec", dont_inherit=True)
            except Exception as error:
                self.emit("error", reason=f"{type(error).__name__}: {error}")
                self.emit("fatal")
                os._exit(4)

    def cold(self, request):
        start = request["start"] + 10 * self.remaining + cold.START
        request = dict(request, start=start, narrow=False)
        pid, reader = cold.begin(self.config, request, self.sources, self.code)
        return dict(self.watch(pid, reader, request), way="cold")
