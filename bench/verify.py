"""How many candidates are verified per second, against one cold `python -m pytest` each.

    python bench/verify.py [--sandbox local|docker|e2b] [--image IMAGE] [--workers 2]
                           [--mutmut [COMMAND]] [--out bench/results]

Makes a small project in a temporary directory, breaks one of its functions, and tries mutants of
that function's body (most are wrong, some hang, a few repair it) through `ValidatorPool`; then a
sample of the same candidates each in a process of its own; with --mutmut also the mutants of
mutmut 3 of the same project by its own runner. The table goes to stderr, the last line of stdout
is one JSON object. Touches only the temporary directory and `--out`.
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.mutation import mutmut
from diffufix.sandbox import LocalSandbox, Sandbox
from diffufix.testing import run_tests
from diffufix.types import RED, Candidate, State
from diffufix.verify import ValidatorPool

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


@dataclass
class Row:
    """What was measured on one bug."""

    name: str
    count: int
    seconds: float = 0.0
    start: float = 0.0
    cold: list[float] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    hangs: list[float] = field(default_factory=list)  # seconds of a worker per hanging candidate
    kib: int = 0  # resident in the sandboxes


def maker(options: argparse.Namespace) -> tuple[Callable[[Path], Sandbox], str]:
    """(how a sandbox is made of a scratch copy, the interpreter in it)."""
    if options.sandbox == "docker":
        from diffufix.sandbox.docker import DockerSandbox

        return lambda tree: DockerSandbox(tree, image=options.image), "python3"
    if options.sandbox == "e2b":
        from diffufix.sandbox.e2b import E2BSandbox

        return lambda tree: E2BSandbox(tree, template=options.image), "python3"
    return lambda tree: LocalSandbox(tree, python=sys.executable), sys.executable


def warm(
    row: Row,
    root: Path,
    candidates: Sequence[Candidate],
    options: argparse.Namespace,
    scratch: Path,
) -> None:
    run = run_tests(root, [], python=Path(sys.executable))
    expected = {case.id: case.outcome for case in run.cases}
    failing = [test for test, outcome in expected.items() if outcome in RED]
    tests = failing + [test for test in expected if test not in failing]
    make, python = maker(options)

    def factory() -> Sandbox:
        tree = Path(tempfile.mkdtemp(dir=scratch)) / "tree"
        shutil.copytree(root, tree)
        return make(tree)

    began = time.monotonic()
    with ValidatorPool(
        factory,
        python=python,
        args=[],
        root=root,
        expected=expected,
        seconds={case.id: case.seconds for case in run.cases},
        failing=failing,
        workers=options.workers,
        env={},
    ) as screen:
        started = time.monotonic()
        waiting = list(reversed(candidates))
        while waiting or screen.pending:
            while waiting and screen.capacity:
                screen.submit(waiting.pop(), tests)
            for _, verdict in screen.results(None):
                row.states[verdict.state] += 1
                if verdict.state is State.TIMEOUT:
                    row.hangs.append(verdict.seconds)
        row.seconds, row.start = time.monotonic() - started, started - began
        row.ways = Counter(screen.ways)
        row.kib = memory(screen, options.workers) if options.sandbox != "e2b" else 0


def memory(screen: ValidatorPool, workers: int) -> int:
    """KiB of the servers' own pages, shared ones divided among those who share them."""
    from tests.attacks.arena import processes

    total = 0
    for pid in processes(screen):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * workers


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
            row = Row(f"{bug[0]}:{bug[1]}", len(candidates))
            # Half of the cold sample before and half after: a busy machine is fair to both.
            half = len(sample) // 2
            row.cold = cold(root, sample[:half], scratch)
            warm(row, root, candidates, options, scratch)
            row.cold += cold(root, sample[half:], scratch)
            rows.append(row)
            show(row)
        result = total(rows, options)
        if options.mutmut:
            theirs = mutmut(PROJECT, Path(folder), options.mutmut, options.workers)
            result["mutmut"] = theirs
            if "per_second" in theirs:
                ours = sum(row.count for row in rows) / sum(row.seconds for row in rows)
                result["times_mutmut"] = round(ours / float(str(theirs["per_second"])), 1)
    return result


def show(row: Row) -> None:
    print(
        f"{row.name:28} {row.count:4} candidates  {row.count / row.seconds:6.1f}/s warm "
        f"(start {row.start:.2f} s)  {1 / statistics.median(row.cold):5.2f}/s cold  "
        f"{dict(row.states)}  {dict(row.ways)}",
        file=sys.stderr,
    )


def total(rows: Sequence[Row], options: argparse.Namespace) -> dict[str, object]:
    count, seconds = sum(row.count for row in rows), sum(row.seconds for row in rows)
    # The median: a hang costs cold pytest its whole time-out, which would flatter us.
    slow = statistics.median(second for row in rows for second in row.cold)
    states: Counter[str] = sum((row.states for row in rows), Counter())
    ways: Counter[str] = sum((row.ways for row in rows), Counter())
    hangs = [second for row in rows for second in row.hangs]
    return {
        "per_second": round(count / seconds, 1),
        "speedup": round(count / seconds * slow, 1),
        "cold_per_second": round(1 / slow, 2),
        "candidates": count,
        "cold_candidates": sum(len(row.cold) for row in rows),
        "start_seconds": round(sum(row.start for row in rows) / len(rows), 2),
        "hang_seconds": round(statistics.mean(hangs), 3) if hangs else None,
        "server_mib": round(max(row.kib for row in rows) / 1024, 1),
        "states": {state.value: states[state] for state in State if states[state]},
        "way": dict(ways),
        "workers": options.workers,
        "cores": os.cpu_count(),
        "sandbox": options.sandbox,
        "python": platform.python_version(),
    }


def write_results(result: dict[str, object], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    stem = "verify" if result["sandbox"] == "local" else f"verify-{result['sandbox']}"
    (out / f"{stem}.json").write_text(json.dumps(result, indent=2) + "\n")
    lines = ["# Candidates verified per second", "", "Made by `bench/verify.py`.", ""]
    lines += ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in result.items())]
    (out / f"{stem}.md").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sandbox", choices=("local", "docker", "e2b"), default="local")
    parser.add_argument(
        "--image", default="diffufix-test-base:bookworm", help="with pytest; E2B: the template"
    )
    parser.add_argument("--mutmut", nargs="?", const="mutmut", help="compare; mutmut's executable")
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
