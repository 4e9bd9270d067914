# mypy: ignore-errors
"""The fork server: pytest is loaded and configured once, candidates run in forked children.

Touches the sandbox's tree (each candidate is laid over it and taken off again) and its temporary
directory. One run of pytest stops at three points; at each it forks, the new process goes on to
the next point, the old one stays and waits as a stage:

    early       pytest and its plugins are loaded; it is the root, which talks to the host
    bare        the project's conftest.py files are loaded, pytest is configured
    collected   the tests are collected

A request goes down to the furthest stage and comes back up until one can do it faithfully.
`collected` exchanges the code of live functions ("swap"); `bare` and `early` let a child go on
with pytest from where they stand, if no edited file was executed by then ("fork"); what nobody
can do runs in a new interpreter ("cold").
"""

import gc
import json
import os
import socket
import subprocess
import sys
import threading
import time
import warnings

import pytest

from . import child, frames, supervise
from .calm import calm_arguments, move_imports
from .launch import LAUNCH
from .swap import Calls, Live, exchange
from .tree import Tree

COLD_START = 5.0  # seconds for an interpreter to start and import pytest


def main(private, request_path=None):
    """Entry of the server (`request_path` None) and of a cold run."""
    sys.path[0] = os.getcwd()  # as `python -m pytest` does
    if request_path is None:
        stream = os.dup(0), os.dup(1)
        config = frames.receive(stream[0])
    else:
        with open(request_path, encoding="utf-8") as file:
            config = json.load(file)
        os.unlink(request_path)
        stream = ()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    server = Server(config, private, stream)
    move_imports(config["root"], config["tree"])
    sys.argv[:] = ["pytest", *config["args"]]
    if request_path is None:
        server.calls.start()
    else:
        child.settle(config["limits"], supervise.die_with_parent)
        os.set_inheritable(config["fd"], False)
        server.become_child(config["request"], config["fd"])
    status = pytest.main(list(config["args"]), plugins=[server])
    server.never_looped(int(status))


class Server:
    """The pytest plugin of every stage and every child; `role` says which one this is."""

    def __init__(self, config, private, stream):
        self.config = config
        self.private = private
        self.stream = stream  # (requests from, replies to): the host or the stage above
        self.role = "start"
        self.tree = Tree(config["tree"], config["temporary"])
        self.calls = Calls(config["tree"])
        self.began = time.monotonic()
        self.next = None  # (pid, socket) of the stage below
        self.problems = child.CollectErrors()
        self.request = None
        self.emit = None

    # -- pytest's hooks --------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self, early_config, args):
        calm_arguments(early_config, args, self.config["temporary"])
        if self.role == "start":
            self.tree.drop_bytecode()
            self.stay("early", early_config)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session):
        if self.role == "start":
            self.stay("bare", session.config)
        if self.role == "child":
            session.config.pluginmanager.register(self.problems, "diffufix-problems")
            if self.request["narrow"]:
                files = {name.split("::")[0] for name in self.request["tests"]}
                root = str(session.config.rootdir)
                paths = [os.path.join(root, name) for name in sorted(files)]
                if all(os.path.exists(path) for path in paths):
                    session.config.args = paths

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        ready = child.Ready(session)
        if self.role == "start":
            self.stay_collected(session, ready)
        child.run_tests(ready, self.request, self.emit, self.problems.first)

    def never_looped(self, status):
        """pytest.main came back without running a test: wrong arguments, a broken conftest."""
        if self.role == "child":
            reason = f"pytest ended with status {status} before the tests"
            self.emit("error", reason=self.problems.first or reason)
        else:
            frames.send(self.stream[1], {"failed": f"pytest ended with status {status}"})
        os._exit(4)

    # -- stages ----------------------------------------------------------------------------

    def stay(self, role, config):
        """Fork the next stage and serve here; returns in the next stage and in children."""
        ours, theirs = socket.socketpair()
        forked = time.monotonic()
        pid = os.fork()
        if pid == 0:
            ours.close()
            for fd in set(self.stream):
                os.close(fd)
            fd = theirs.detach()
            self.stream = (fd, fd)
            supervise.die_with_parent()
            return
        theirs.close()
        supervise.adopt_orphans()
        self.role, self.next = role, (pid, ours)
        self.files = self.calls.files
        self.calls.stop()
        ready = frames.receive(ours.fileno()) or {"failed": "the process ended in its imports"}
        self.remaining = ready.get("collected", time.monotonic()) - forked
        if role == "early":
            versions = {"python": sys.version.split()[0], "pytest": pytest.__version__}
            ready.update(versions, seconds=time.monotonic() - self.began)
            self.tree.remember()
        gc.collect()
        gc.freeze()
        frames.send(self.stream[1], ready)
        self.serve(config)

    def serve(self, config):
        """Answer requests until the stream ends; returns in a new child only."""
        while True:
            request = frames.receive(self.stream[0])
            if request is None:
                supervise.sweep(set())
                os._exit(0)
            if self.role == "early":
                self.tree.lay(request.pop("files"))
            reply = self.attempt(request)
            if reply is None:
                return  # a child goes on: pytest does the rest
            if self.role == "early":
                reply["clean"], reply["touched"] = self.tree.restore()
            child.forget_output(config)
            frames.send(self.stream[1], reply)

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
        edited = {os.path.join(self.tree.root, name) for name in request["edited"]}
        return threading.active_count() == 1 and not edited & self.files

    def ask_next(self, request):
        reply = None
        if self.next is not None:
            try:
                frames.send(self.next[1].fileno(), request)
                reply = frames.receive(self.next[1].fileno())
            except OSError:
                pass
            if reply is None:
                pid, stream = self.next
                self.next = None
                stream.close()
                supervise.kill(pid)
                supervise.reap(pid, 2.0)
        return reply or {"refused": "the next stage is gone"}

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
        reply = supervise.supervise(pid, reader, request, self.keep())
        return dict(reply, way="fork")

    def enter_child(self, request, writer):
        """Leave everything of the server's behind; this is a new child."""
        for fd in set(self.stream):
            os.close(fd)
        if self.next is not None:
            self.next[1].close()
        child.settle(self.config["limits"], supervise.die_with_parent)
        self.become_child(request, writer)

    def become_child(self, request, writer):
        self.role = "child"
        self.request = request
        self.emit = child.make_emitter(writer, request["nonce"])

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
        start = request["start"] + 10 * self.remaining + COLD_START
        request = dict(request, start=start, narrow=False)
        reader, writer = os.pipe()
        path = os.path.join(self.private, f"cold-{os.urandom(8).hex()}.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(dict(self.config, request=request, fd=writer), file)
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, self.private, path],
            pass_fds=(writer,),
            env={**os.environ, **request["env"]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        process.returncode = 0  # `supervise` reaps it
        os.close(writer)
        reply = supervise.supervise(process.pid, reader, request, self.keep())
        return dict(reply, way="cold")

    # -- collected -------------------------------------------------------------------------

    def stay_collected(self, session, ready):
        """The last stage: live functions get their new code in children."""
        self.role = "collected"
        supervise.adopt_orphans()
        self.calls.stop()
        live = Live(self.config["tree"], self.calls)
        gc.collect()
        gc.freeze()
        frames.send(self.stream[1], {"ids": list(ready.items), "collected": time.monotonic()})
        while True:
            request = frames.receive(self.stream[0])
            if request is None:
                supervise.sweep(set())
                os._exit(0)
            reply = self.swap(request, live, ready)
            child.forget_output(session.config)
            frames.send(self.stream[1], dict(reply, way="swap"))

    def swap(self, request, live, ready):
        if request["swaps"] is None or request["way"] not in (None, "swap"):
            return {"refused": "more than function bodies changed"}
        if threading.active_count() > 1:
            return {"refused": "threads are running"}
        found = live.find(request["swaps"])
        if isinstance(found, str):
            return {"refused": found}
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            self.enter_child(request, writer)
            self.run_swapped(found, ready)
        os.close(writer)
        return supervise.supervise(pid, reader, request, set())

    def run_swapped(self, found, ready):
        try:
            refusal = exchange(found)
        except Exception as error:
            self.emit("error", reason=f"{type(error).__name__}: {error}")
            os._exit(4)
        if refusal:
            self.emit("refused", reason=refusal)
            os._exit(5)
        child.run_tests(ready, self.request, self.emit)
