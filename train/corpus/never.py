"""Projects that nothing is learned from, since something is measured on them. Reads never.txt."""

from __future__ import annotations

import re
from pathlib import Path

NEVER = Path(__file__).with_name("never.txt")


def never(path: Path = NEVER) -> frozenset[str]:
    """Repositories (owner/name, lower case) that nothing is learned from."""
    lines = path.read_text("utf-8").splitlines()
    return frozenset(line.strip().lower() for line in lines if line.strip() and line[0] != "#")


def forbidden_packages() -> frozenset[str]:
    """The same as canonical names of distributions."""
    renamed = {
        "cdgriffith/box": "python-box", "astanin/python-tabulate": "tabulate",
        "dateutil/dateutil": "python-dateutil",
        "jmespath/jmespath.py": "jmespath", "httpie/cli": "httpie", "thealgorithms/python": "",
    }  # fmt: skip
    found = {renamed.get(repo, repo.partition("/")[2]) for repo in never()}
    return frozenset(re.sub(r"[-_.]+", "-", name) for name in found if name)
