"""A result as workflow commands of GitHub Actions: annotations at the lines that the patch changes.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from diffufix.repair.types import RepairResult, Status
from diffufix.report.result import headline

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? ")
_LONGEST = 4_000  # characters of a message; GitHub cuts what is longer


def workflow_commands(result: RepairResult) -> Iterator[str]:
    """One command a line: the outcome, then each hunk where it belongs."""
    kind = {Status.REPAIRED: "notice", Status.NOTHING_FAILING: "notice"}.get(
        result.status, "warning"
    )
    told = headline(result)
    if result.probability is not None:
        told += f"\nLikely right: {result.probability:.0%}"
        told += "".join(f"\n{words}" for words in result.evidence)
    if result.patch is None:
        failed = result.status in (Status.NOT_REPAIRED, Status.NOT_GENERATED)
        yield _command("error" if failed else kind, told, title="diffufix")
        for suspect in result.suspects[:3]:
            place = {"file": suspect.path, "line": str(suspect.first_line)}
            yield _command("notice", f"{suspect.qualname} is suspicious: {suspect.evidence}",
                           title="diffufix: suspect", **place)  # fmt: skip
        return
    yield _command(kind, told, title="diffufix")
    for path, first, last, hunk in _hunks(result.patch.diff):
        place = {"file": path, "line": str(first), "endLine": str(last)}
        yield _command(kind, hunk, title="diffufix: suggested change", **place)


def _hunks(diff: str) -> Iterator[tuple[str, int, int, str]]:
    """(path, first and last changed line of the unedited file, text of the hunk)."""
    path, number = "", 0
    hunk: list[str] = []
    changed: list[int] = []

    def ended() -> Iterator[tuple[str, int, int, str]]:
        if hunk and changed:
            yield path, changed[0], changed[-1], "\n".join(hunk)

    for line in diff.splitlines():
        if line.startswith("--- a/"):
            yield from ended()
            path, hunk, changed = line.removeprefix("--- a/").partition("\t")[0], [], []
        elif match := _HUNK.match(line):
            yield from ended()
            number, hunk, changed = int(match[1]), [line], []
        elif hunk:
            hunk.append(line)
            if line[:1] in "+-":
                changed.append(max(1, number if line[0] == "-" else number - 1))
            number += line[:1] in ("-", " ", "")
    yield from ended()


def _command(kind: str, message: str, **properties: str) -> str:
    given = ",".join(f"{name}={_escaped(value, True)}" for name, value in properties.items())
    return f"::{kind} {given}::{_escaped(message[:_LONGEST])}"


def _escaped(text: str, property: bool = False) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if property else text
