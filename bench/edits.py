"""Which of the edits that are known without a model is right? Fits the weights, measures the rank.

    python bench/edits.py fit PAIRS.jsonl.gz... --weights FILE [--count 600]
    python bench/edits.py rank FIXES [--weights FILE] [--count N]

`fit` takes pairs of real fixes, enumerates all edits of the function before, and where one of them
makes the function after, keeps it for a conditional logit over the function's edits: a weight for
each kind of edit and for what the model says (diffufix/propose/rank.py lists the features).
NEGATIVES others of each function are drawn, and stand for all. `rank` says at which place the right
edit of other fixes stands; FIXES as in reach.py, or a file of HumanEvalFix-type lines. The last
line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import pickle
import random
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.reach import Fix, Target, code_of, fixes
from diffufix.model.checkpoint import LoadedModel, load_model
from diffufix.propose.edits.code import Code
from diffufix.propose.edits.enumerate import edits_of
from diffufix.propose.edits.rank import NUMBERS, numbers_of, scores
from diffufix.propose.edits.score import Look, Scorer
from diffufix.source.edits import Edit

NEGATIVES = 200
MOST = 12_000  # characters of a function that is looked at
MAX_CHANGED = 14  # tokens that a pair removes, and adds
PULL = 0.02  # of the weights towards zero, per case


@dataclass
class Case:
    """One function: the kinds and numbers of some of its edits, what each stands for, the hits."""

    kinds: list[str]
    numbers: list[tuple[float, ...]]
    offsets: list[float]
    hits: list[int]


def small(paths: list[Path], seed: int = 0) -> Iterator[Fix]:
    """Pairs that one small edit may explain, in an order that is always the same."""
    rows = []
    for path in paths:
        with gzip.open(path, "rt") as file:
            for row in map(json.loads, file):
                fits = max(row["tokens"]) <= MAX_CHANGED and row["hunks"] <= 2
                if row["kind"] == "function" and fits and row["rank"] <= 1:
                    rows.append(row)
    random.Random(seed).shuffle(rows)
    for row in rows:
        before, after = textwrap.dedent(row["before"]), textwrap.dedent(row["after"])
        if len(before) <= MOST // 4:
            name = row["qualname"].split(".")[-1]
            fix = Fix(row["commit"][:9], row["edit"], before, after, name)
            fix.outline = row["outline"]
            yield fix


def human(path: Path) -> Iterator[Fix]:
    for case in map(json.loads, path.open()):
        source = case["declaration"] + case["buggy_solution"]
        fixed = case["declaration"] + case["canonical_solution"]
        yield Fix(case["task_id"], case.get("bug_type", ""), source, fixed, case["entry_point"])


def prepared(fix: Fix) -> tuple[list[Edit], list[int], Code] | None:
    """The edits of a fix's function, which of them are right, and its code."""
    try:
        target, made = Target(fix.source, fix.fixed), code_of(fix)
    except (SyntaxError, ValueError, RecursionError):
        return None
    if made is None or target.same(fix.source):
        return None
    edits = edits_of(*made)
    return edits, [i for i, edit in enumerate(edits) if target.is_hit(edit)], made[0]


def case_of(model: LoadedModel, fix: Fix, rng: random.Random) -> Case | None:
    found = prepared(fix)
    if found is None or not found[1]:
        return None
    edits, hits, code = found
    counts = Counter(edit.kind for edit in edits)
    others = [i for i in range(len(edits)) if i not in set(hits)]
    drawn = rng.sample(others, min(NEGATIVES, len(others)))
    chosen = [*hits, *drawn]
    looks = Scorer(model, fix.source, code.node).looks([edits[i] for i in chosen])
    weight = math.log(max(1.0, len(others) / max(1, len(drawn))))
    return Case(
        [edits[i].kind for i in chosen],
        [
            numbers_of(edits[i], look, counts[edits[i].kind])
            for i, look in zip(chosen, looks, strict=True)
        ],
        [0.0] * len(hits) + [weight] * len(drawn),
        list(range(len(hits))),
    )  # fmt: skip


def fit(cases: list[Case]) -> tuple[dict[str, float], float]:
    """Weights by feature, and the mean negative log-likelihood of the right edits (nats)."""
    kinds = sorted({kind for case in cases for kind in case.kinds})
    index = {kind: i for i, kind in enumerate(kinds)}
    weight = torch.zeros(len(kinds) + len(NUMBERS), requires_grad=True)
    data = []
    for case in cases:
        data.append((
            torch.tensor([index[kind] for kind in case.kinds]),
            torch.tensor(case.numbers), torch.tensor(case.offsets), torch.tensor(case.hits),
        ))  # fmt: skip
    optimizer = torch.optim.LBFGS([weight], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        total = torch.zeros(())
        for kind, numbers, offsets, hits in data:
            value = weight[kind] + numbers @ weight[len(kinds) :] + offsets
            total = total - (value[hits].logsumexp(0) - value.logsumexp(0))
        return total / len(data)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        whole = loss() + PULL * (weight[: len(kinds)] ** 2).mean()
        whole.backward()
        return whole

    optimizer.step(closure)
    with torch.no_grad():
        final = float(loss())
    values = weight.detach().tolist()
    return dict(zip([*kinds, *NUMBERS], [round(v, 4) for v in values], strict=True)), final


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("task", choices=["fit", "rank"])
    parser.add_argument("paths", type=Path, nargs="+")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--keep", type=Path, help="where the cases of a fit are kept as they come")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model("mini", device="cpu")
    if args.task == "fit":
        rng, cases, seen = random.Random(0), [], 0
        for fix in small(args.paths):
            seen += 1
            case = case_of(model, fix, rng)
            if case is not None:
                cases.append(case)
                if args.keep:
                    args.keep.write_bytes(pickle.dumps(cases))
            if len(cases) >= args.count:
                break
        found, loss = fit(cases)
        assert args.weights is not None
        args.weights.write_text(json.dumps(found, indent=0) + "\n")
        print(
            json.dumps(
                {
                    "looked at": seen,
                    "cases": len(cases),
                    "nats": loss,
                    **{n: found[n] for n in NUMBERS},
                }
            )
        )
        return
    given = json.loads(args.weights.read_text()) if args.weights else None
    path, ranks, spent = args.paths[0], [], 0.0
    source = human(path) if path.name.startswith("humaneval") else fixes(path)
    total = 0
    for fix in source:
        if total >= args.count:
            break
        found_ = prepared(fix)
        if found_ is None:
            continue
        total += 1
        edits, hits, code = found_
        if not hits:
            continue
        began = time.perf_counter()
        looks: list[Look | None] = Scorer(model, fix.source, code.node).looks(edits)
        spent += time.perf_counter() - began
        values = scores(edits, looks, given)
        best = max(values[i] for i in hits)
        rank = 1 + sum(v > best for v in values)
        ranks.append(rank)
        print(f"{fix.name:24} {edits[hits[0]].kind:18} {rank:6} of {len(edits)}", flush=True)
    shares = {f"<= {n}": sum(r <= n for r in ranks) for n in (1, 10, 50, 100, 300, 1000, 3000)}
    print(json.dumps({"fixes": total, "enumerated": len(ranks), **shares,
                      "seconds a function": round(spent / max(1, len(ranks)), 2)}))  # fmt: skip


if __name__ == "__main__":
    main()
