"""Processor seconds of this process and of all that descend from it, for equal compute."""

from __future__ import annotations

import contextlib
import resource
import time

import psutil


def cpu_seconds() -> float:
    """Processor seconds so far: this process, its children that ended, and those that run, with the
    children of theirs that ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + ended.ru_utime + ended.ru_stime
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])
    return total
