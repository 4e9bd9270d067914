# mypy: ignore-errors
"""Two users: the server's and the code's. Touches this process's ids, and processes of the code.

Where the sandbox has a user of its own for code under test (`code` is its id), children become
that user for good, and the server becomes it for a moment to remove what they left. Where there is
one user only (`code` None), a process that cannot be traced or dumped is the next best thing.
"""

import contextlib
import ctypes
import os
import signal

_DUMPABLE, _NO_NEW_PRIVILEGES = 4, 38

try:
    _libc = ctypes.CDLL(None, use_errno=True)
    _libc.prctl  # noqa: B018  (macOS has none)
except (OSError, AttributeError):
    _libc = None


def prctl(option, value):
    if _libc is not None:
        _libc.prctl(option, value, 0, 0, 0)


def undumpable():
    """No other process of this user may read our memory, our descriptors, our environment."""
    prctl(_DUMPABLE, 0)


def drop(code):
    """For good: no way back to the server's user, no way to gain rights by a file."""
    prctl(_NO_NEW_PRIVILEGES, 1)
    if code is not None and os.geteuid() != code:
        with contextlib.suppress(PermissionError):  # where the sandbox has emptied them already
            os.setgroups([])
        os.setgid(code)
        os.setuid(code)
    undumpable()


@contextlib.contextmanager
def acting_as(code):
    """For a moment; None changes nothing."""
    if code is None or os.geteuid() == code:
        yield
        return
    user, group = os.geteuid(), os.getegid()
    os.setegid(code)
    os.seteuid(code)
    try:
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)


def kill_all(code):
    """Every process of the code's user at once: one by one, some can outrun the killer.

    The real uid is nobody's meanwhile: whose real uid is theirs, they may send signals to.
    """
    user = os.getuid()
    if code is None or code == user:
        return
    os.setresuid(code - 1, code, user)
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.setresuid(user, user, user)
