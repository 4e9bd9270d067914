"""Which Python a project wants, as a minor version. Reads `.python-version`, writes nothing."""

from __future__ import annotations

import re
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet

#: In order of preference: the ones for which the most packages have ready wheels come first.
KNOWN = ("3.12", "3.13", "3.11", "3.10", "3.14", "3.9", "3.8")


def python_version(root: Path, constraint: str = "") -> tuple[str, str]:
    """The minor version ("3.12") and what said so; `constraint` is PEP 440's or Poetry's."""
    try:
        lines = (root / ".python-version").read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        lines = []
    for line in lines:
        if exact := re.match(r"(?:cpython-?|python-?)?(3\.\d+)", line):
            return exact.group(1), ".python-version"
    if constraint:
        try:
            wanted = SpecifierSet(pep440(constraint))
        except InvalidSpecifier:
            return KNOWN[0], f"the default: {constraint!r} is not understood"
        for known in KNOWN:
            # A patch level high enough for any ">=3.x.y" of that minor.
            if known in wanted or f"{known}.99" in wanted:
                return known, f"requires {constraint}"
        return KNOWN[0], f"the default: no known Python meets {constraint}"
    return KNOWN[0], "the default"


def pep440(constraint: str) -> str:
    """Poetry's `^`, `~` and bare versions as PEP 440; others pass through."""
    parts = [part.strip() for part in constraint.split("||")[0].split(",")]
    return ",".join(filter(None, (_one(part) for part in parts)))


def _one(part: str) -> str:
    if part in ("", "*"):
        return ""
    if part[0] in "^~" and not part.startswith("~="):
        numbers = [int(number) for number in re.findall(r"\d+", part)]
        if part[0] == "^":
            pivot = next((i for i, number in enumerate(numbers) if number), len(numbers) - 1)
        else:
            pivot = min(1, len(numbers) - 1)
        upper = [*numbers[:pivot], numbers[pivot] + 1]
        low, high = (".".join(map(str, version)) for version in (numbers, upper))
        return f">={low},<{high}"
    return f"=={part}" if part[0].isdigit() else part.replace(" ", "")
