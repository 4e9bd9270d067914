"""Green candidates to judge: runs the search on cases with known answers, and keeps all it saw.

    python bench/trust_collect.py OUT --real FOLDER --pythons PYTHONS.json --small CASES.jsonl \
        [--mutants N] [--seconds 45] [--only small,real,mutant] [--workers 1] [--shard I/N]

The search goes on to the end of its time whatever passes, and confirms nothing. OUT gets one
ID.json.gz a case: the tests, the suspects, and every candidate with its span, likelihood, score,
verdict and the second it came in. Cases that are there already are left out. PYTHONS.json maps a
real bug's id to an interpreter with its requirements.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.trust_cases import Case, mutants, real, small

ROOT = Path(__file__).resolve().parent.parent
CAP = int(os.environ.get("TRUST_CAP", "500"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--pythons", type=Path)
    parser.add_argument("--small", type=Path)
    parser.add_argument("--mutants", type=int, default=2, help="of each real bug's project")
    parser.add_argument("--seconds", type=float, default=45.0)
    parser.add_argument("--only", default="small,real,mutant")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--ids", default="")
    parser.add_argument("--shard", default="0/1", help="I/N: of every N cases, the one at place I")
    parser.add_argument("--given", action="store_true", help="name the faulty function")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    only = set(args.only.split(","))
    place, shards = map(int, args.shard.split("/"))
    with tempfile.TemporaryDirectory(prefix="trust-") as name:
        for case in list(cases(args, only, Path(name)))[place::shards]:
            target = args.out / f"{case.id}.json.gz"
            if not target.exists():
                began, load = time.monotonic(), os.getloadavg()[0]
                row = collect(case, args.seconds, args.workers, args.given)
                row |= {"case": plain(case), "load": load}
                with gzip.open(target, "wt") as file:
                    json.dump(row, file)
                green = sum(c["state"] == "pass" for c in row.get("tried", ()))
                print(f"{case.id:22} {len(row.get('tried', ())):5} tried {green:3} green "
                      f"{time.monotonic() - began:5.1f} s load {load:.1f} {row.get('error', '')}",
                      flush=True)  # fmt: skip


def cases(args: argparse.Namespace, only: set[str], scratch: Path) -> Any:
    ids = {each for each in args.ids.split(",") if each}
    if "small" in only and args.small:
        found = list(small(args.small, sys.executable))
        yield from [c for c in found if not ids or c.id in ids][: args.limit or None]
    if only & {"real", "mutant"} and args.real:
        found = list(real(args.real, json.loads(args.pythons.read_text())))
        if "real" in only:
            # one of each project first
            order = sorted(found, key=lambda c: (int(c.id.rsplit("-", 1)[1]), c.project))
            yield from [c for c in order if not ids or c.id in ids][: args.limit or None]
        if "mutant" in only:
            one = {case.project: case for case in reversed(found)}
            yield from mutants(list(one.values()), 0, args.mutants, scratch)


def plain(case: Case) -> dict[str, Any]:
    return {k: str(v) if isinstance(v, Path) else v for k, v in vars(case).items()}


def collect(case: Case, seconds: float, workers: int, given: bool = False) -> dict[str, Any]:
    """One search in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="trust-case-") as name:
        folder, out = Path(name) / "project", Path(name) / "out.json"
        case.lay(folder)
        extra = [str(folder / p) for p in case.pythonpath if p not in (".", "src")]
        env = {**os.environ, "TRUST_OUT": str(out)}
        env["TRUST_PATH"] = os.pathsep.join([str(ROOT), *extra])
        command = [
            sys.executable, str(Path(__file__).with_name("trust_spy.py")), "repair", "--json",
            "--no-collect", f"--budget={seconds:g}", f"--python={case.python}",
            "--sandbox=local", f"--workers={workers}",
            f"--candidates={CAP}", "--model=mini", "--adapter=none",
            *([f"--function={case.path}::{case.qualname}"] if given and case.qualname else []),
            *case.tests,
        ]  # fmt: skip
        try:
            ran = subprocess.run(
                command, cwd=folder, env=env, capture_output=True, text=True, timeout=seconds + 300
            )
        except subprocess.TimeoutExpired:
            return {"error": "hung"}
        if not out.exists():
            return {"error": (ran.stderr + ran.stdout)[-400:]}
        row: dict[str, Any] = json.loads(out.read_text())
        return row


if __name__ == "__main__":
    main()
