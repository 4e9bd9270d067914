# mypy: ignore-errors
"""What a candidate can leave that is no file and no process: System V memory, queues, semaphores,
keys, lowered limits of the server. Touches those of this sandbox only.
"""

import contextlib
import ctypes
import platform
import resource

from . import rights

_REMOVE = 0  # IPC_RMID
_KINDS = (("shm", "shmctl"), ("msg", "msgctl"), ("sem", "semctl"))
_KEYCTL = {"x86_64": 250, "aarch64": 219}
_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]


def new_keyring():
    """A session keyring of its own, so that nothing is handed on by keys; where that may be."""
    number = _KEYCTL.get(platform.machine())
    if number is not None and rights._libc is not None:
        rights._libc.syscall(number, 1, None)


def limits():
    """The limits of this process, to be compared."""
    found = []
    for kind in _LIMITS:
        with contextlib.suppress(OSError, ValueError):
            found.append((kind, resource.getrlimit(kind)))
    return found


def listed():
    """{(kind, id)} of the System V objects that there are."""
    found = set()
    for kind, _ in _KINDS:
        with contextlib.suppress(OSError), open(f"/proc/sysvipc/{kind}") as file:
            for line in file.read().splitlines()[1:]:
                found.add((kind, int(line.split()[1])))
    return found


def remove(known, code):
    """Remove what is not `known`, as the code's user: True when nothing else is left."""
    new = listed() - known
    if not new:
        return True
    calls = dict(_KINDS)
    with rights.acting_as(code):
        for kind, number in new:
            call = getattr(ctypes.CDLL(None), calls[kind])
            call(number, 0, _REMOVE, None) if kind == "sem" else call(number, _REMOVE, None)
    return listed() <= known
