"""Processor seconds of this process and of all that descend from it, for equal compute. Reads
/proc; where there is none, the children are those that have ended."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path


def cpu_seconds() -> float:
    """Processor seconds so far: this process, its children that ended, and those that run."""
    own = time.process_time()
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own + ended.ru_utime + ended.ru_stime + _running()


def _running() -> float:
    """Of the descendants that live, with the children of theirs that ended."""
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    tick = os.sysconf("SC_CLK_TCK")
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        number = int(entry.parent.name)
        parents[number] = int(fields[1])
        spent[number] = sum(map(int, fields[11:15])) / tick
    family = {os.getpid()}
    total = 0.0
    grown = True
    while grown:
        grown = False
        for number, parent in parents.items():
            if parent in family and number not in family:
                family.add(number)
                total += spent[number]
                grown = True
    return total
