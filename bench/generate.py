"""How many function bodies does `diffufix generate` write, and how many of them are right?

    python bench/generate.py CASES.jsonl [--budget 60] [--limit N] [--every K] [--out NAME] \
        [-- OPTIONS]

Each line of the file has `task_id`, `entry_point`, `declaration` (imports and signature),
`docstring` and `test` (code that calls the function and raises). A case becomes a project of one
file: declaration, docstring, no body; `test` is not in it. What follows `--` goes to diffufix.
- filled: diffufix shows a body (with `--allow-unverified` also one that nothing speaks for)
- verified: the docstring's own examples say that it is right
- correct: the hidden `test` passes, too
Cases whose docstring has no readable example count in `total` and as `without_examples`. With
--out results go to bench/results/NAME.json. The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
TEST_SECONDS = 30


def make_project(case: dict[str, str], folder: Path) -> None:
    """solution.py with the stub; nothing else that says what it should do."""
    docstring = case["docstring"].replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    body = textwrap.indent(f'"""{docstring}\n"""\n', "    ")
    source = case["declaration"].rstrip() + "\n" + body + "    raise NotImplementedError\n"
    (folder / "solution.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\n")


def hidden_test_passes(case: dict[str, str], folder: Path) -> bool:
    """The case's own test, in a process of its own."""
    check = f"from solution import *\nfrom solution import {case['entry_point']}\n{case['test']}\n"
    (folder / "hidden.py").write_text(check)
    try:
        done = subprocess.run(
            [sys.executable, "hidden.py"], cwd=folder, capture_output=True,
            timeout=TEST_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def run_case(case: dict[str, str], budget: float, options: list[str]) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_project(case, folder)
        command = [sys.executable, "-m", "diffufix", "generate", "--json", "--apply"]
        command += [f"--budget={budget}", *options, f"solution.py::{case['entry_point']}"]
        began = time.monotonic()
        ran = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        seconds = time.monotonic() - began
        try:
            document = json.loads(ran.stdout)
        except ValueError:
            document = {"status": "crashed", "message": ran.stderr[-300:]}
        said = (document.get("functions") or [{}])[0]
        filled = bool(document.get("applied"))
        return {
            "task_id": case["task_id"],
            "status": document.get("status"),
            "state": said.get("state", ""),
            "filled": filled,
            "verified": filled and said.get("state") == "verified",
            "correct": filled and hidden_test_passes(case, folder),
            "tried": document.get("tried", 0),
            "generated": document.get("generated", 0),
            "seconds": round(seconds, 2),
            "diff": document["patch"]["diff"] if document.get("patch") else "",
            "message": document.get("message", ""),
        }


def summary(rows: list[dict[str, Any]], budget: float, options: list[str]) -> dict[str, Any]:
    filled = [row for row in rows if row["filled"]]
    return {
        "filled": len(filled),
        "verified": sum(row["verified"] for row in rows),
        "correct": sum(row["correct"] for row in rows),
        "total": len(rows),
        "without_examples": sum(row["state"] == "nothing-verifies-it" for row in rows),
        "median_seconds_filled": statistics.median(r["seconds"] for r in filled)
        if filled
        else None,
        "candidates": sum(row["tried"] for row in rows),
        "budget": budget,
        "options": options,
        "cores": os.cpu_count(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--every", type=int, default=1, help="take every K-th case only")
    parser.add_argument("--out", help="name of the file in bench/results")
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    args = parser.parse_args(words[:split])
    options = words[split + 1 :]
    cases = [json.loads(line) for line in args.cases.read_text().splitlines() if line.strip()]
    rows: list[dict[str, Any]] = []
    for case in cases[:: args.every][: args.limit]:
        row = run_case(case, args.budget, options)
        rows.append(row)
        mark = "correct" if row["correct"] else "filled" if row["filled"] else row["state"]
        figures = f"{row['tried']:>6} tried {row['seconds']:>7} s"
        print(f"{row['task_id']:12} {mark:20} {figures}  {row['message']}", file=sys.stderr)
        if args.out:
            RESULTS.mkdir(parents=True, exist_ok=True)
            document = {"total": summary(rows, args.budget, options), "cases": rows}
            (RESULTS / f"{args.out}.json").write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(summary(rows, args.budget, options)))


if __name__ == "__main__":
    main()
