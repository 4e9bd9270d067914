"""Mutants of real packages: are they found, are they mended, is the mend right?

    python bench/mutants.py PACKAGES [--only NAMES] [--single 40] [--double 12] [--budget 60]
        [--python PYTHON] [--seed 0] [--out NAME]

PACKAGES is a folder with one unpacked source tree for each package, its tests inside. Functions
are broken by one mutation (train's rules), or by two in two places of one function; only mutants
count that the package's tests notice. Each goes to `diffufix repair` in a copy. A row says:
repaired by its own word, `right` (the text is that before the mutation, as syntax), the place of
the broken function among the suspects, candidates, seconds. With --out results go to
bench/results/NAME.json and .md. The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.repair import RESULTS
from diffufix.source.functions import functions
from diffufix.source.syntax import parse
from diffufix.train.bugs.corrupt import Corruptor

LIMIT = 600  # seconds for a run of a package's tests
TRIES = 40  # mutants drawn for each that is wanted


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("packages", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--single", type=int, default=40, help="of each package")
    parser.add_argument("--double", type=int, default=12, help="of each package")
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--python", default=sys.executable, help="has the packages' requirements")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="name of the files in bench/results")
    args = parser.parse_args()
    only = {name for name in args.only.split(",") if name}
    rows: list[dict[str, object]] = []
    for package in sorted(p for p in args.packages.iterdir() if p.is_dir()):
        if only and package.name not in only:
            continue
        for several, count in ((1, args.single), (2, args.double)):
            rng = random.Random(f"{args.seed} {package.name} {several}")
            for row in mutants(package, several, count, rng, args):
                rows.append(row)
                print(json.dumps(row), file=sys.stderr, flush=True)
                if args.out:
                    write(args.out, rows)
    print(json.dumps(summary(rows)))


def mutants(
    package: Path, several: int, count: int, rng: random.Random, args: argparse.Namespace
) -> Iterator[dict[str, object]]:
    """Rows of this many mutants that the package's tests notice."""
    places = [
        (file, name)
        for file in sorted(package.rglob("*.py"))
        if not any(p.startswith(("test", ".", "doc")) for p in file.relative_to(package).parts)
        for name, node in functions(_tree(file))
        if len(node.body) > 1
    ]
    made = 0
    for _ in range(TRIES * count):
        if made >= count or not places:
            return
        file, name = rng.choice(places)
        source = file.read_text()
        broken = mutated(source, name, several, rng)
        if broken is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            tree = Path(folder) / package.name
            shutil.copytree(package, tree, ignore=shutil.ignore_patterns(".git", "__pycache__"))
            path = file.relative_to(package)
            (tree / path).write_text(broken)
            if passes(tree, args.python):
                continue
            made += 1
            yield repaired(tree, path, name, source, several, args)


def _tree(file: Path) -> ast.Module:
    try:
        return parse(file.read_text())
    except (SyntaxError, ValueError, UnicodeDecodeError):
        return ast.Module([], [])


def mutated(source: str, name: str, several: int, rng: random.Random) -> str | None:
    """The file with so many mutations of one function; None where none was drawn."""
    text = source
    for _ in range(several):
        node = next((n for q, n in functions(parse(text)) if q == name), None)
        edit = Corruptor(text, node).draw(rng) if node is not None else None
        if edit is None:
            return None
        text = text[: edit.start] + edit.text + text[edit.end :]
        try:
            parse(text)
        except (SyntaxError, ValueError):
            return None
    return None if ast.dump(parse(text)) == ast.dump(parse(source)) else text


def passes(tree: Path, python: str) -> bool:
    """Whether the package's tests pass; what cannot be collected counts as no mutant either."""
    try:
        ran = subprocess.run(
            [python, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"],
            cwd=tree, capture_output=True, timeout=LIMIT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return True
    return ran.returncode != 1


def repaired(
    tree: Path, path: Path, name: str, source: str, several: int, args: argparse.Namespace
) -> dict[str, object]:
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "diffufix", "repair", "--json", "--apply", "--no-collect",
         f"--budget={args.budget:g}", f"--python={args.python}"],
        cwd=tree, capture_output=True, text=True, check=False,
    )  # fmt: skip
    try:
        document = json.loads(ran.stdout)
    except ValueError:
        document = {"status": "crashed", "message": ran.stderr[-300:]}
    suspects = [(s["path"], s["qualname"]) for s in document.get("suspects") or []]
    key = (path.as_posix(), name)
    return {
        "package": tree.name, "path": key[0], "function": name, "mutations": several,
        "status": document.get("status"),
        "right": ast.dump(_tree(tree / path)) == ast.dump(parse(source)),
        "rank": suspects.index(key) + 1 if key in suspects else None,
        "tried": document.get("tried", 0), "seconds": round(time.monotonic() - began, 1),
        "message": document.get("message", ""),
    }  # fmt: skip


def summary(rows: list[dict[str, object]]) -> dict[str, object]:
    ranks = [int(str(r["rank"])) for r in rows if r["rank"] is not None]
    return {
        "mutants": len(rows),
        "repaired": sum(r["status"] == "repaired" for r in rows),
        "right": sum(bool(r["right"]) for r in rows),
        "rank 1": sum(r == 1 for r in ranks),
        "rank <= 5": sum(r <= 5 for r in ranks),
    }


def write(name: str, rows: list[dict[str, object]]) -> None:
    total = summary(rows)
    document = json.dumps({"total": total, "mutants": rows}, indent=1)
    (RESULTS / f"{name}.json").write_text(document + "\n")
    keys = ("package", "function", "mutations", "status", "right", "rank", "tried", "seconds")
    lines = [f"# {name}", "", f"| {' | '.join(keys)} |", "|" + "---|" * len(keys)]
    lines += ["| " + " | ".join(str(row[key]) for key in keys) + " |" for row in rows]
    (RESULTS / f"{name}.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
