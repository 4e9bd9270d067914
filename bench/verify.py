"""How many candidates are verified per second, against one cold `python -m pytest` each.

    python bench/verify.py [--sandbox local] [--workers 2] [--seconds 20] [--out bench/results]

Makes a small project in a temporary directory, breaks one of its functions, and tries mutants of
that function's body (most are wrong, some hang, a few repair it) through `Screen`; then a sample
of the same candidates each in a process of its own. The table goes to stderr, the last line of
stdout is one JSON object. Touches only the temporary directory and `--out`.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from diffufix.sandbox import LocalSandbox, Sandbox
from diffufix.testing import run_tests
from diffufix.testing.types import RED
from diffufix.verify import Candidate, Screen, State

PROJECT = Path(__file__).resolve().parent / "projects" / "ledger"
#: file, function, the right text, the bug: one bug at a time
BUGS = (
    ("ledger/money.py", "split", "if index < rest", "if index <= rest"),
    ("ledger/book.py", "balance", "total -= entry.amount", "total += entry.amount"),
    ("ledger/report.py", "histogram", "value // width", "value / width"),
    (
        "ledger/text.py",
        "wrap",
        "len(line) + 1 + len(word) > width",
        "len(line) + len(word) > width",
    ),
)
SWAPS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Add: (ast.Sub, ast.Mult),
    ast.Sub: (ast.Add, ast.FloorDiv),
    ast.Mult: (ast.Add, ast.Sub),
    ast.Div: (ast.FloorDiv, ast.Mult),
    ast.FloorDiv: (ast.Div, ast.Mod),
    ast.Mod: (ast.FloorDiv, ast.Add),
    ast.Lt: (ast.LtE, ast.Gt, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt, ast.Eq),
    ast.Gt: (ast.GtE, ast.Lt, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt, ast.Eq),
    ast.Eq: (ast.NotEq, ast.Lt),
    ast.NotEq: (ast.Eq, ast.Gt),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}


def find_function(tree: ast.AST, name: str) -> ast.FunctionDef:
    return next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == name)


def mutants(text: str, name: str) -> Iterator[str]:
    """The text with one change in the body of one function, every change once."""
    count = sum(1 for _ in ast.walk(find_function(ast.parse(text), name)))
    seen = set()
    for index in range(count):
        for choice in range(4):
            tree = ast.parse(text)
            function = find_function(tree, name)
            if mutate(function, list(ast.walk(function))[index], choice):
                new = splice(text, name, function)
                if new not in seen and new != text:
                    seen.add(new)
                    yield new


def mutate(function: ast.FunctionDef, node: ast.AST, choice: int) -> bool:
    """Change `node` in place in its `choice`-th way; False when there is no such way."""
    names = sorted({n.id for n in ast.walk(function) if isinstance(n, ast.Name)})
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp):
        options = SWAPS.get(type(node.op), ())
        if choice < len(options):
            node.op = options[choice]()  # type: ignore[assignment]
            return True
    elif isinstance(node, ast.Compare):
        options = SWAPS.get(type(node.ops[0]), ())
        if choice < len(options):
            node.ops[0] = options[choice]()  # type: ignore[call-overload]
            return True
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        node.value += (1, -1, 2, 7)[choice]
        return True
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        others = [name for name in names if name != node.id]
        if choice < len(others):
            node.id = others[(choice * 5) % len(others)]
            return True
    elif isinstance(node, ast.Return) and node.value is not None and choice == 0:
        node.value = ast.Constant(None)
        return True
    return False


def splice(text: str, name: str, function: ast.FunctionDef) -> str:
    old = find_function(ast.parse(text), name)
    lines = text.splitlines(keepends=True)
    indent = " " * old.col_offset
    new = "\n".join(indent + line for line in ast.unparse(function).splitlines()) + "\n"
    return "".join(lines[: old.lineno - 1]) + new + "".join(lines[old.end_lineno or 0 :])


def broken_project(folder: Path, bug: tuple[str, str, str, str]) -> Path:
    root = folder / "project"
    shutil.copytree(PROJECT, root, ignore=shutil.ignore_patterns("__pycache__"))
    path, name, right, wrong = bug
    text = (root / path).read_text()
    assert right in text, (path, right)
    tree = ast.parse(text.replace(right, wrong))
    # As `unparse` writes it, so that mutants differ from it in their change alone.
    (root / path).write_text(splice(text.replace(right, wrong), name, find_function(tree, name)))
    return root


def warm(
    root: Path, candidates: Sequence[Candidate], sandbox: str, workers: int, scratch: Path
) -> tuple[float, float, Counter[str], Counter[str]]:
    """(seconds for all, seconds to start, states, ways)."""
    run = run_tests(root, [], python=Path(sys.executable))
    expected = {case.id: case.outcome for case in run.cases}
    failing = [test for test, outcome in expected.items() if outcome in RED]
    tests = failing + [test for test in expected if test not in failing]

    def factory() -> Sandbox:
        tree = Path(tempfile.mkdtemp(dir=scratch)) / "tree"
        shutil.copytree(root, tree)
        return LocalSandbox(tree, python=sys.executable)

    states: Counter[str] = Counter()
    began = time.monotonic()
    with Screen(
        factory,
        python=sys.executable,
        args=[],
        root=root,
        expected=expected,
        seconds={case.id: case.seconds for case in run.cases},
        failing=failing,
        workers=workers,
    ) as screen:
        started = time.monotonic()
        waiting = list(reversed(candidates))
        while waiting or screen.pending:
            while waiting and screen.capacity:
                screen.submit(waiting.pop(), tests)
            for _, verdict in screen.results(None):
                states[verdict.state] += 1
        ended = time.monotonic()
        ways = Counter(screen.ways)
    return ended - started, started - began, states, ways


def cold(root: Path, candidates: Sequence[Candidate], scratch: Path) -> list[float]:
    """Seconds of each candidate, one `python -m pytest -x` each, one after the other."""
    seconds = []
    for index, candidate in enumerate(candidates):
        tree = scratch / f"cold{index}"
        shutil.copytree(root, tree)
        for path, text in candidate.files.items():
            (tree / path).write_text(text)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        began = time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, cwd=tree, capture_output=True, timeout=5)
        seconds.append(time.monotonic() - began)
        shutil.rmtree(tree)
    return seconds


def measure(options: argparse.Namespace) -> dict[str, object]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="diffufix-bench-") as folder:
        for number, bug in enumerate(BUGS):
            scratch = Path(folder) / str(number)
            scratch.mkdir()
            root = broken_project(scratch, bug)
            text = (root / bug[0]).read_text()
            candidates = [Candidate({bug[0]: mutant}) for mutant in mutants(text, bug[1])]
            random.Random(0).shuffle(candidates)
            sample = candidates[: max(3, options.cold // len(BUGS))]
            # Half of the cold sample before and half after: a busy machine is fair to both.
            half = len(sample) // 2
            slow = cold(root, sample[:half], scratch)
            seconds, start, states, ways = warm(
                root, candidates, options.sandbox, options.workers, scratch
            )
            slow += cold(root, sample[half:], scratch)
            rows.append((f"{bug[0]}:{bug[1]}", len(candidates), seconds, start, slow,
                         states, ways))  # fmt: skip
            show(rows[-1])
    return total(rows, options)


def show(row: tuple) -> None:  # type: ignore[type-arg]
    name, count, seconds, start, slow, states, ways = row
    print(
        f"{name:28} {count:4} candidates  {count / seconds:6.1f}/s warm (start {start:.2f} s)  "
        f"{1 / statistics.median(slow):5.2f}/s cold  {dict(states)}  {dict(ways)}",
        file=sys.stderr,
    )


def total(rows: Sequence[tuple], options: argparse.Namespace) -> dict[str, object]:  # type: ignore[type-arg]
    count, seconds = sum(row[1] for row in rows), sum(row[2] for row in rows)
    # The median: a hang costs cold pytest its whole time-out, which would flatter us.
    slow = statistics.median(second for row in rows for second in row[4])
    states: Counter[str] = sum((row[5] for row in rows), Counter())
    ways: Counter[str] = sum((row[6] for row in rows), Counter())
    return {
        "per_second": round(count / seconds, 1),
        "speedup": round(count / seconds * slow, 1),
        "cold_per_second": round(1 / slow, 2),
        "candidates": count,
        "cold_candidates": sum(len(row[4]) for row in rows),
        "start_seconds": round(sum(row[3] for row in rows) / len(rows), 2),
        "states": {state.value: states[state] for state in State if states[state]},
        "way": dict(ways),
        "workers": options.workers,
        "cores": os.cpu_count(),
        "sandbox": options.sandbox,
        "python": platform.python_version(),
    }


def write_results(result: dict[str, object], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "verify.json").write_text(json.dumps(result, indent=2) + "\n")
    lines = ["# Candidates verified per second", "", "Made by `bench/verify.py`.", ""]
    lines += ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in result.items())]
    (out / "verify.md").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sandbox", default="local")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cold", type=int, default=12, help="candidates run cold (default 12)")
    parser.add_argument("--out", type=Path, help="folder for verify.json and verify.md")
    options = parser.parse_args()
    result = measure(options)
    if options.out:
        write_results(result, options.out)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
