# mypy: ignore-errors
"""A command of a container, as its first process keeps it. Part of the agent (agent.py)."""

import contextlib
import os
import resource
import signal
import time

from container import oom_kills  # put beside this one by `sandbox.linked.agent_source`


class Command:
    """A command: its process, its pipes, what is still to be written to it."""

    def __init__(self, channel, request):
        self.channel = channel
        self.spawned = request["op"] == "spawn"
        self.room = {b"O": request.get("max_output"), b"S": request.get("max_output")}
        self.timeout = request.get("timeout")
        self.deadline = None if self.timeout is None else time.monotonic() + self.timeout
        self.status = None
        self.timed_out = False
        self.truncated = False
        self.pending = bytearray()
        self.no_more_input = False
        self.under_way = 0
        self.oom = oom_kills()


def become(request, streams, code, limits, env):
    """In a new process: the command."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
        served = request["user"] == "server"
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("500" if served else "1000")
        for name, value in limits.items():
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(getattr(resource, name), (value, value))
        os.umask(0o022)
        if not served:
            os.setgid(code)
            os.setuid(code)
        os.chdir(request["cwd"])
        os.execvpe(request["argv"][0], request["argv"], dict(env, **request["env"]))
    except BaseException as error:
        with contextlib.suppress(BaseException):
            os.write(2, ("cannot run {}: {}\n".format(request["argv"][0], error)).encode())
    os._exit(127)
