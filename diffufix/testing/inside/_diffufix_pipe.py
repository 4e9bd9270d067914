"""The descriptor by which diffufix is told what happens. Standard library, Python 3.9 and later."""

from __future__ import annotations

import fcntl
import os
import resource


def far(fd: int) -> int:
    """The descriptor under a high number: some code closes all of the low ones, to be tidy."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(0, min(soft, 4096) - 64))
    except (OSError, ValueError):
        os.set_inheritable(fd, False)
        return fd
    os.close(fd)
    return moved
