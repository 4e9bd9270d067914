"""How many of a file's buggy functions does `diffufix repair` mend through its command line?

    python bench/repair.py CASES.jsonl [--budget 60] [--limit N] [--every K] [--out NAME] \
        [-- OPTIONS]

Each line of the file has `task_id`, `declaration`, `buggy_solution`, `test` (code that calls the
function and raises). A case becomes a small pytest project; what follows `--` goes to diffufix.
A case is green when there is a patch and the tests pass once more here with it; repaired when
diffufix calls it so, too; the same when the patched function has the syntax tree of the line's
`canonical_solution`. Per case and in total: these three, candidates, seconds. With --out results go
to bench/results/NAME.json and .md. The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"


def make_project(case: dict[str, str], folder: Path) -> None:
    """solution.py and test_solution.py; the test's checks run inside one test function."""
    (folder / "solution.py").write_text(case["declaration"] + case["buggy_solution"])
    lines, name = textwrap.indent(case["test"].strip() + "\n", "    "), case["entry_point"]
    (folder / "test_solution.py").write_text(
        f"from solution import *\nfrom solution import {name}\n\n\ndef test_{name}():\n{lines}"
    )
    (folder / "pytest.ini").write_text("[pytest]\n")


def run_case(case: dict[str, str], budget: float, options: list[str]) -> dict[str, object]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DIFFUFIX_TRUST": "1"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_project(case, folder)
        command = [sys.executable, "-m", "diffufix", "repair", "--json"]
        began = time.monotonic()
        ran = subprocess.run(
            [*command, f"--budget={budget}", *options],
            cwd=folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        seconds = time.monotonic() - began
        try:
            document = json.loads(ran.stdout)
        except ValueError:
            document = {"status": "crashed", "message": ran.stderr[-300:]}
        row: dict[str, object] = {
            "task_id": case["task_id"],
            "bug_type": case.get("bug_type", ""),
            "green": False,
            "repaired": False,
            "same": False,
            "probability": document.get("probability"),
            "status": document.get("status"),
            "tried": document.get("tried", 0),
            "generated": document.get("generated", 0),
            "seconds": round(seconds, 2),
        }
        if document.get("patch"):
            row["diff"] = diff = document["patch"]["diff"]
            row["alternatives"] = len(document["alternatives"])
            row["green"] = green(folder, diff)
            row["repaired"] = row["green"] and document["status"] == "repaired"
            right = case["declaration"] + case.get("canonical_solution", "")
            row["same"] = row["green"] and same((folder / "solution.py").read_text(), right)
        elif ran.returncode != 1:
            row["message"] = str(document.get("message") or document.get("error"))[-300:]
        return row


def green(folder: Path, diff: str) -> bool:
    """Whether the tests pass with the patch, which is applied."""
    applied = subprocess.run(["git", "apply", "-"], cwd=folder, input=diff, text=True, check=False)
    if applied.returncode != 0:
        return False
    check = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder, capture_output=True, check=False,
    )  # fmt: skip
    return check.returncode == 0


def same(one: str, other: str) -> bool:
    try:
        return ast.dump(ast.parse(one)) == ast.dump(ast.parse(other))
    except SyntaxError:
        return False


def median_seconds(rows: list[dict[str, object]]) -> float | None:
    if not rows:
        return None
    return round(statistics.median(float(str(row["seconds"])) for row in rows), 2)


def summary(rows: list[dict[str, object]], budget: float, options: list[str]) -> dict[str, object]:
    repaired = [row for row in rows if row["repaired"]]
    return {
        "green": sum(bool(row["green"]) for row in rows),
        "repaired": len(repaired),
        "same": sum(bool(row["same"]) for row in rows),
        "repaired_and_same": sum(bool(row["same"]) for row in repaired),
        "total": len(rows),
        "median_seconds": median_seconds(rows),
        "median_seconds_repaired": median_seconds(repaired),
        "candidates": sum(int(str(row["tried"])) for row in rows),
        "budget": budget,
        "options": options,
        "cores": os.cpu_count(),
    }


def outcome(row: dict[str, object]) -> str:
    words = [word for word in ("green", "repaired", "same") if row[word]]
    return ", ".join(words) or str(row["status"])


def write_results(name: str, rows: list[dict[str, object]], total: dict[str, object]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    document = json.dumps({"total": total, "cases": rows}, indent=1)
    (RESULTS / f"{name}.json").write_text(document + "\n")
    command = " ".join(["python", "bench/repair.py", *sys.argv[1:]])
    lines = [f"# {name}", "", f"`{command}`", ""]
    lines += [
        f"Of {total['total']}: {total['green']} green, {total['repaired']} called repaired; "
        f"{total['same']} have the reference's syntax tree, {total['repaired_and_same']} of those "
        "called repaired.", "",
    ]  # fmt: skip
    lines += ["| case | kind of bug | outcome | likely right | candidates | seconds |"]
    lines += ["|---|---|---|---|---|---|"]
    for row in rows:
        cells = [row["task_id"], row["bug_type"], outcome(row), row.get("probability") or ""]
        cells += [row["tried"], row["seconds"]]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    (RESULTS / f"{name}.md").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--every", type=int, default=1, help="take every K-th case only")
    parser.add_argument("--out", help="name of the files in bench/results")
    parser.add_argument(
        "--again", default="", help="task ids, comma-separated: run these anew in --out"
    )
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    args = parser.parse_args(words[:split])
    args.options = words[split + 1 :]
    cases = [json.loads(line) for line in args.cases.read_text().splitlines() if line.strip()]
    cases = cases[:: args.every][: args.limit]
    rows: list[dict[str, object]] = []
    if args.again:
        wanted = args.again.split(",")
        rows = json.loads((RESULTS / f"{args.out}.json").read_text())["cases"]
        cases = [case for case in cases if case["task_id"] in wanted]
    for case in cases:
        row = run_case(case, args.budget, args.options)
        at = next((i for i, old in enumerate(rows) if old["task_id"] == row["task_id"]), len(rows))
        rows[at : at + 1] = [row]
        figures = f"{row['tried']:>6} tried {row['seconds']:>7} s"
        message = row.get("message", "")
        print(
            f"{row['task_id']:12} {outcome(row):22} {figures}  {message}",
            file=sys.stderr,
            flush=True,
        )
        if args.out:
            write_results(args.out, rows, summary(rows, args.budget, args.options))
    print(json.dumps(summary(rows, args.budget, args.options)))


if __name__ == "__main__":
    main()
