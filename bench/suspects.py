"""At which place do suspects have the faulty function? On real bugs, nothing searched.

    python bench/suspects.py KEPT --real FOLDER --pythons PYTHONS.json [--fit] [--out NAME]

Each bug of FOLDER (bench/trust_cases.py, `real`) is diagnosed once, as `diffufix repair` does it,
and kept with its tree below KEPT. The rank is the best over the groups of failing tests, ties
against it. `--fit` fits the weights of diffufix/localize/suspects.py, a conditional logit, and
ranks each project by weights that were fitted on the others. The last line on stdout is one JSON
object; NAME is that of the files in bench/results.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

if extra := os.environ.pop("SUSPECTS_PATH", ""):  # the child: diffufix, which stops when it plans
    import diffufix.cli
    from diffufix.repair import job

    os.environ["PYTHONPATH"] = extra

    def _keep(self: object, diagnosis: object, probe: object) -> None:
        Path(os.environ["SUSPECTS_OUT"]).write_bytes(pickle.dumps(diagnosis))
        os._exit(0)

    job.RepairJob.plan = _keep  # type: ignore[method-assign, assignment]
    diffufix.cli.main()

import torch

from bench.repair import RESULTS
from bench.trust_cases import Case, real
from diffufix.localize import groups, suspects
from diffufix.localize.suspects import FIRST, SPECTRUM, STATEMENTS, SURE, TRACEBACK
from diffufix.types import SuspiciousFunction
from diffufix.workspace.diagnosis import Diagnosis

TOPS = (1, 3, 5, 10, 12, 20)
PULL = 0.01  # of a weight towards zero
Found = tuple[str, int | None, list[SuspiciousFunction]]  # project, index of the faulty one, all


def diagnosed(case: Case, folder: Path) -> Diagnosis | None:
    kept = folder / "diagnosis.pickle"
    if not kept.exists():
        case.lay(folder / "tree")
        places = [str(folder / "tree" / p) for p in case.pythonpath if p not in (".", "src")]
        env = {**os.environ, "SUSPECTS_PATH": os.pathsep.join(places) or ".",
               "SUSPECTS_OUT": str(kept.resolve())}  # fmt: skip
        subprocess.run(
            [sys.executable, str(Path(__file__).resolve()), "repair", "--json", "--no-collect",
             "--budget=240", f"--python={case.python}", "--sandbox=local", *case.tests],
            cwd=folder / "tree", env=env, capture_output=True, check=False,
        )  # fmt: skip
    return pickle.loads(kept.read_bytes()) if kept.exists() else None


def found(case: Case, folder: Path) -> Found:
    """The suspects of the group that has the faulty function first."""
    diagnosis, root = diagnosed(case, folder), folder / "tree"
    best: Found = (case.project, None, [])
    if diagnosis is None:
        return best
    for targets in groups(diagnosis.run, root=root, tests=diagnosis.tests):
        red = [test for test in targets if test in diagnosis.red]
        own = suspects(
            diagnosis.run, root=root, failing=red, limit=100_000, tests=diagnosis.tests
        ) if red else []  # fmt: skip
        wanted = (case.path, case.qualname or "<module>")
        place = next((i for i, s in enumerate(own) if (s.path, s.qualname) == wanted), None)
        if place is not None and (best[1] is None or place < best[1]):
            best = (case.project, place, own)
    return best


def features(each: SuspiciousFunction) -> list[float]:
    """Spectrum, traceback (what is left of the score), statements."""
    spectrum = logit(min(max(*each.lines.values(), 0.0, 1 - SURE), SURE))
    statements = math.log1p(len(each.lines))
    left = logit(each.score) - FIRST - SPECTRUM * spectrum - STATEMENTS * statements
    return [spectrum, left / TRACEBACK, statements]


def logit(share: float) -> float:
    return math.log(share / (1 - share))


def fitted(rows: Sequence[Found]) -> torch.Tensor:
    weights = torch.zeros(3, requires_grad=True)
    given = [(torch.tensor([features(s) for s in own]), at) for _, at, own in rows]
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        lost = [-(x_SF @ weights).log_softmax(0)[at] for x_SF, at in given]
        whole = torch.stack(lost).mean() + PULL * (weights**2).sum()
        whole.backward()
        return whole

    optimizer.step(closure)
    return weights.detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("kept", type=Path)
    parser.add_argument("--real", type=Path, required=True)
    parser.add_argument("--pythons", type=Path, required=True)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--out")
    args = parser.parse_args()
    rows = []
    for case in real(args.real, json.loads(args.pythons.read_text())):
        rows.append(found(case, args.kept / case.id))
        print(case.id, rows[-1][1], file=sys.stderr, flush=True)
    document: dict[str, object] = {"bugs": len(rows)}
    document["as shipped"] = shares([math.inf if at is None else at + 1 for _, at, _ in rows])
    if args.fit:
        usable = [row for row in rows if row[1] is not None]
        ranks = []
        for project in {row[0] for row in usable}:
            weights = fitted([row for row in usable if row[0] != project])
            for _, at, own in (row for row in usable if row[0] == project):
                values = torch.tensor([features(s) for s in own]) @ weights
                ranks.append(int((values >= values[at]).sum()))
        ranks += [10**9] * (len(rows) - len(usable))
        document["cross-validated by project"] = shares(ranks)
        document["weights"] = [round(w, 2) for w in fitted(usable).tolist()]
    if args.out:
        (RESULTS / f"{args.out}.json").write_text(json.dumps(document) + "\n")
    print(json.dumps(document))


def shares(ranks: Sequence[float]) -> dict[str, int]:
    return {f"top {n} %": round(100 * sum(r <= n for r in ranks) / len(ranks)) for n in TOPS}


if __name__ == "__main__":
    main()
