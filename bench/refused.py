"""How many true fixes the deny-by-default rule refuses, and by which names.

    python bench/refused.py --real-dev ../shared/bench/real-dev --fixes ../shared/data/fixes

Reads bugs.jsonl with the trees (whole files, the project's own identifiers) and every so many of
the mined fixes (the outline before the function, identifiers unknown). Writes nothing but its
report.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import random
import subprocess
import tarfile
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from diffufix.verify.static import identifiers, suspicion


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real-dev", type=Path)
    parser.add_argument("--fixes", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    if options.real_dev:
        report("real-dev", real(options.real_dev))
    if options.fixes:
        report("fixes", mined(options.fixes, options.count, options.seed))


def report(name: str, rows: Iterator[tuple[str, str, float]]) -> None:
    """Rows are (which fix, why it is refused or "", seconds)."""
    reasons: Counter[str] = Counter()
    count, refused, seconds = 0, 0, 0.0
    for which, reason, took in rows:
        count += 1
        seconds += took
        if reason:
            refused += 1
            reasons.update(part for part in reason.removeprefix("adds ").split(", "))
            print(f"  {which}: {reason}")
    print(f"{name}: {refused} of {count} refused, {refused / max(1, count):.1%}; "
          f"{1000 * seconds / max(1, count):.1f} ms each")  # fmt: skip
    for reason, times in reasons.most_common(25):
        print(f"    {times:4d} {reason}")


def real(folder: Path) -> Iterator[tuple[str, str, float]]:
    """Whole files and the identifiers of the whole tree, as when a project is repaired."""
    for line in (folder / "bugs.jsonl").read_text(encoding="utf-8").splitlines():
        bug = json.loads(line)
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            with tarfile.open(folder / "trees" / f"{bug['id']}.tar.xz") as archive:
                archive.extractall(root, filter="data")
            roots = [path.parent for path in root.rglob(bug["path"])] or [root]
            top = roots[0]
            for _ in Path(bug["path"]).parts[:-1]:
                top = top.parent
            before = (top / bug["path"]).read_text(encoding="utf-8")
            known = identifiers(top)  # those of the faulty project: as when it is repaired
            patched = subprocess.run(
                ["patch", "-p1", "-s"], input=bug["fix"], text=True, cwd=top, check=False
            )
            assert patched.returncode == 0, bug["id"]
            after = (top / bug["path"]).read_text(encoding="utf-8")
        began = time.perf_counter()
        reason = suspicion(before, after, path=bug["path"], known=known)
        yield bug["id"], reason, time.perf_counter() - began


def mined(folder: Path, count: int, seed: int) -> Iterator[tuple[str, str, float]]:
    """The outline stands for the file, the commit's own imports are granted to both sides."""
    rows = []
    for part in sorted(folder.glob("0?.jsonl.gz")):
        with gzip.open(part, "rt", encoding="utf-8") as file:
            rows += [line for line in file if '"rank": 0' in line]
    random.Random(seed).shuffle(rows)
    done = 0
    for line in rows:
        if done == count:
            break
        fix = json.loads(line)
        outline = readable(fix["outline"] + "\n" + "\n".join(fix["imports_added"]))
        before, after = (textwrap.dedent(fix[side]) for side in ("before", "after"))
        try:
            ast.parse(outline + before), ast.parse(outline + after)
        except (SyntaxError, ValueError):
            continue
        done += 1
        began = time.perf_counter()
        reason = suspicion(outline + before, outline + after, path=fix["path"])
        yield (
            f"{fix['repo']}@{fix['commit'][:8]} {fix['path']}",
            reason,
            time.perf_counter() - began,
        )


def readable(outline: str) -> str:
    """The lines of the outline that parse: imports and headers, each for itself."""
    kept = []
    for line in outline.splitlines():
        try:
            ast.parse(line.strip())
        except (SyntaxError, ValueError):
            continue
        kept.append(line.strip())
    return "\n".join(kept) + "\n"


if __name__ == "__main__":
    main()
