"""Where the fault may be: `Suspect`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Suspect:
    """A function (or method, or module body as `<module>`) that may hold the fault.

    Lines are 1-based and inclusive; `lines` maps a line to its suspiciousness in [0, 1]
    (executed lines of failing tests only). `evidence` says in words why it is suspected.
    """

    path: str  # relative to the project root, POSIX style
    qualname: str
    first_line: int  # the first decorator or the `def` line
    last_line: int
    score: float
    lines: Mapping[int, float]
    evidence: str = ""
