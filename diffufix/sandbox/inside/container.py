# mypy: ignore-errors
"""What a container is and which processes it has, seen from within. Part of the agent (agent.py).

Touches the processes of its own container."""

import contextlib
import os
import signal
import sys


def hello():
    """What the engine made of its orders."""
    with open("/proc/self/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    with open("/proc/net/dev") as file:
        interfaces = [line.split(":")[0].strip() for line in file if ":" in line]
    return {
        "python": sys.version.split()[0],
        "interfaces": interfaces,
        "capabilities": int(status.get("CapBnd", "0"), 16),
        "no_new_privileges": status.get("NoNewPrivs") == "1",
        "read_only": bool(os.statvfs("/").f_flag & os.ST_RDONLY),
        "processes": cgroup("pids.max", "pids/pids.max"),
        "memory": cgroup("memory.max", "memory/memory.limit_in_bytes"),
    }


def cgroup(*names):
    """A limit in force, None where there is none or it cannot be seen."""
    for name in names:
        with contextlib.suppress(OSError, ValueError), open("/sys/fs/cgroup/" + name) as file:
            value = int(file.read())
            return value if value < 1 << 60 else None
    return None


def oom_kills():
    for name in ("memory.events", "memory/memory.oom_control"):
        with contextlib.suppress(OSError, ValueError), open("/sys/fs/cgroup/" + name) as file:
            for line in file:
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0


def children():
    me = os.getpid()
    with contextlib.suppress(OSError), open(f"/proc/{me}/task/{me}/children") as file:
        return {int(word) for word in file.read().split()}
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, IndexError), open(f"/proc/{name}/stat") as file:
                if int(file.read().rpartition(")")[2].split()[1]) == me:
                    found.add(int(name))
    return found


def kill_group(pid):
    for end in (os.killpg, os.kill):
        with contextlib.suppress(OSError):
            end(pid, signal.SIGKILL)


def exit_code(status):
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def kill_all(code):
    """Every process of "code" at once, so that none can outrun it; the saved uid brings us back.

    The real uid is nobody's meanwhile: whose real uid is theirs, they may send signals to.
    """
    os.setresuid(code - 1, code, 0)
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.setresuid(0, 0, 0)
