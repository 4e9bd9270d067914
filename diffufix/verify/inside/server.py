# mypy: ignore-errors
"""The fork server: pytest is loaded and configured once, candidates run in forked children.

Touches the sandbox's tree (each candidate is laid over it and taken off again) and its temporary
directory. Two processes wait with different amounts of work done:

    bare        pytest, its plugins and the project's conftest.py files are loaded; it talks to
                the host and runs candidates that change modules: children collect anew ("fork")
    collected   forked from bare, the tests are collected; it runs candidates that change only
                function bodies: children exchange the code of live functions ("swap")

What neither can do faithfully runs in a new interpreter ("cold").
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
from .launch import LAUNCH
from .swap import Calls, Live, exchange
from .tree import Tree

UNWANTED = {"--pdb", "--trace", "--sw", "--stepwise", "--sw-skip", "--stepwise-skip"}
# Plugins, by the name pytest knows them under, and the options that make them stand aside.
CALM = {
    "xdist": ("-n0", "--dist=no"),
    "pytest_cov": ("--no-cov",),
    "randomly": ("--randomly-dont-reorganize", "--randomly-seed=0"),
    "random_order": ("--random-order-bucket=none",),
    "rerunfailures": ("--reruns=0",),
}


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
    if request_path is not None:
        os.dup2(null, 2)
    os.close(null)
    server = Server(config, private, stream)
    move_imports(config["root"], config["tree"])
    sys.argv[:] = ["pytest", *config["args"]]
    if request_path is None:
        supervise.adopt_orphans()
        server.calls.start()
    else:
        child.settle(config["limits"], supervise.die_with_parent)
        os.set_inheritable(config["fd"], False)
        server.become_child(config["request"], config["fd"])
    status = pytest.main(list(config["args"]), plugins=[server])
    server.never_looped(int(status))


def move_imports(root, tree):
    """Let imports that an editable install points into `root` find the copy in `tree`."""

    def moved(path):
        inside = path == root or path.startswith(root + os.sep)
        there = tree + path[len(root) :] if inside else path
        return there if os.path.exists(there) else path

    if root != tree:
        sys.path[:] = [moved(path) for path in sys.path]
        for name, module in list(sys.modules.items()):  # setuptools' import hooks
            if name.startswith("__editable__") and isinstance(
                getattr(module, "MAPPING", None), dict
            ):
                for package, path in module.MAPPING.items():
                    module.MAPPING[package] = moved(path)


class Server:
    """The pytest plugin of bare, collected and every child; `role` says which one this is."""

    def __init__(self, config, private, stream):
        self.config = config
        self.private = private
        self.stream = stream  # (from the host, to the host)
        self.role = "bare"
        self.tree = Tree(config["tree"], config["temporary"])
        self.calls = Calls(config["tree"])
        self.began = time.monotonic()
        self.collected = None  # (pid, socket) of the collected process
        self.problems = child.CollectErrors()
        self.request = None
        self.emit = None

    # -- pytest's hooks --------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self, early_config, args):
        """Make this run comparable with every other: one process, no early stop, no prompt."""
        args[:] = [argument for argument in args if argument not in UNWANTED]
        wanted = ["--maxfail=0", "--continue-on-collection-errors", "--color=no"]
        wanted.append("--basetemp=" + os.path.join(self.config["temporary"], "pytest"))
        for plugin, options in CALM.items():
            if early_config.pluginmanager.hasplugin(plugin):
                wanted.extend(options)
        place = args.index("--") if "--" in args else len(args)
        args[place:place] = wanted
        early_config.known_args_namespace.no_cov = True
        early_config.known_args_namespace.cov_source = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session):
        if self.role == "bare":
            self.serve_bare(session)  # returns in collected and in children only
        if self.role != "child":
            return
        session.config.pluginmanager.register(self.problems, "diffufix-problems")
        if self.request.get("narrow"):
            files = {name.split("::")[0] for name in self.request["tests"]}
            paths = [os.path.join(str(session.config.rootdir), name) for name in sorted(files)]
            if all(os.path.exists(path) for path in paths):
                session.config.args = paths

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        child.hush(session.config)
        if self.role == "collected":
            self.serve_collected(session)
        child.run_tests(session, self.request, self.emit, self.problems.first)

    def never_looped(self, status):
        """pytest.main came back without running a test: wrong arguments, a broken conftest."""
        if self.role == "child":
            self.emit("error", reason=f"pytest ended with status {status} before the tests")
            os._exit(4)
        if self.role == "bare":
            frames.send(self.stream[1], {"failed": f"pytest ended with status {status}"})
        os._exit(4)

    # -- bare ------------------------------------------------------------------------------

    def serve_bare(self, session):
        self.tree.drop_bytecode()
        self.bare_files = self.calls.files
        self.bare_threads = threading.active_count() > 1
        started = time.monotonic() - self.began
        if self.fork_collected():
            return
        self.calls.stop()
        ready = frames.receive(self.collected[1].fileno())
        if ready is None:
            ready = {"ids": None}
            self.drop_collected()
        ready.update(started=started, pytest=pytest.__version__, python=sys.version.split()[0])
        self.collect_seconds = ready.get("seconds", started)
        self.start_seconds = started
        self.tree.remember()
        gc.collect()
        gc.freeze()
        frames.send(self.stream[1], ready)
        while True:
            request = frames.receive(self.stream[0])
            if request is None:
                supervise.sweep(set())
                os._exit(0)
            self.tree.lay(request["files"])
            reply = self.attempt(request, session)
            if reply is None:
                return  # a child goes on: pytest collects and runs
            reply["clean"], reply["touched"] = self.tree.restore()
            child.forget_output(session.config)
            frames.send(self.stream[1], reply)

    def fork_collected(self):
        """True in the new process, which returns to pytest and collects."""
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            supervise.die_with_parent()
            supervise.adopt_orphans()
            for fd in self.stream:
                os.close(fd)
            self.stream = (theirs.fileno(), theirs.fileno())
            self.socket = theirs
            self.role = "collected"
            return True
        theirs.close()
        self.collected = (pid, ours)
        return False

    def drop_collected(self):
        pid, stream = self.collected
        stream.close()
        self.collected = None
        supervise.kill(pid)
        supervise.reap(pid, 2.0)

    def attempt(self, request, session):
        """The reply to one request by the cheapest way that is right; None in a new child."""
        way = request.get("way")
        reason = ""
        if request["swaps"] is not None and way in (None, "swap"):
            reply = self.ask_collected(request)
            if reply is None:
                reason = "the collected server is gone"
            elif "refused" not in reply:
                return reply
            else:
                reason = reply["refused"]
        if way == "swap":
            return {"way": "swap", "refused": reason or "more than function bodies changed"}
        edited = {os.path.join(self.tree.root, name) for name in request["files"]}
        if way != "cold" and not self.bare_threads and not edited & self.bare_files:
            reply = self.fork(request)
            # Fewer files were collected than in the project's own run: only green is certain.
            if reply and request["narrow"] and "error" in reply and "fatal" not in reply:
                reply = self.fork(dict(request, narrow=None))
        else:
            reply = self.cold(request)
        if reply is not None:
            reply["reason"] = reason
        return reply

    def ask_collected(self, request):
        if self.collected is None:
            return None
        fd = self.collected[1].fileno()
        slim = {key: value for key, value in request.items() if key != "files"}
        try:
            frames.send(fd, slim)
            reply = frames.receive(fd)
        except OSError:
            reply = None
        if reply is None:
            self.drop_collected()
        return reply

    def keep(self):
        return {self.collected[0]} if self.collected else set()

    def fork(self, request):
        request = dict(request, start=request["start"] + 10 * self.collect_seconds)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            for fd in self.stream:
                os.close(fd)
            if self.collected:
                self.collected[1].close()
            child.settle(self.config["limits"], supervise.die_with_parent)
            self.become_child(request, writer)
            self.refuse_nonsense(request["files"])
            return None
        os.close(writer)
        reply = supervise.supervise(pid, reader, request, self.keep())
        reply["way"] = "fork"
        return reply

    def refuse_nonsense(self, files):
        """In a new child: a file that does not compile needs no collection to be told."""
        for name in files:
            try:
                with (
                    open(os.path.join(self.tree.root, name), "rb") as file,
                    warnings.catch_warnings(),
                ):
                    warnings.simplefilter("ignore")
                    compile(file.read(), name, "exec", dont_inherit=True)
            except Exception as error:
                self.emit("error", reason=f"{type(error).__name__}: {error}")
                self.emit("fatal")
                os._exit(4)

    def cold(self, request):
        start = request["start"] + 10 * (self.collect_seconds + self.start_seconds) + 2
        request = dict(request, start=start, narrow=None)
        reader, writer = os.pipe()
        path = os.path.join(self.private, f"cold-{os.urandom(8).hex()}.json")
        config = {k: self.config[k] for k in ("tree", "root", "temporary", "args", "limits")}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(dict(config, request=dict(request, files={}), fd=writer), file)
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
        reply["way"] = "cold"
        return reply

    def become_child(self, request, writer):
        self.role = "child"
        self.request = request
        self.emit = child.make_emitter(writer, request["nonce"])

    # -- collected -------------------------------------------------------------------------

    def serve_collected(self, session):
        self.calls.stop()
        live = Live(self.config["tree"], self.calls)
        gc.collect()
        gc.freeze()
        seconds = time.monotonic() - self.began
        ids = [item.nodeid for item in session.items]
        frames.send(self.stream[1], {"ids": ids, "seconds": seconds})
        forkable = threading.active_count() == 1
        while True:
            request = frames.receive(self.stream[0])
            if request is None:
                supervise.sweep(set())
                os._exit(0)
            found = live.find(request["swaps"]) if forkable else "threads are running"
            if isinstance(found, str):
                reply = {"refused": found}
            else:
                reply = self.swap(request, found, session)
                child.forget_output(session.config)
            frames.send(self.stream[1], dict(reply, way="swap"))

    def swap(self, request, found, session):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            self.socket.close()
            child.settle(self.config["limits"], supervise.die_with_parent)
            self.become_child(request, writer)
            self.run_swapped(found, session)
        os.close(writer)
        return supervise.supervise(pid, reader, request, set())

    def run_swapped(self, found, session):
        try:
            refusal = exchange(found)
        except Exception as error:
            self.emit("error", reason=f"{type(error).__name__}: {error}")
            os._exit(4)
        if refusal:
            self.emit("refused", reason=refusal)
            os._exit(5)
        child.run_tests(session, self.request, self.emit)
