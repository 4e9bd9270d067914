"""Which of the edits that are known without a model is right? Fits the weights, measures the rank.

    python bench/edits.py fit PAIRS.jsonl.gz... --weights FILE [--count 1800]
    python bench/edits.py rank PATHS... [--weights FILE] [--count N] [--out NAME]

`fit` takes pairs of real fixes in an order that is always the same, enumerates all edits of the
function before, and keeps those pairs where one of them makes the function after. On the first
COUNT of them a conditional logit is fitted over what the text says (features.py, rank.py in
diffufix/propose/edits), NEGATIVES others of each function standing for all. `rank` says at which
place the right edit stands: of those pairs from their other end, of a folder or file as in
reach.py, or of a file of HumanEvalFix-type lines. The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError

import torch

from bench.reach import Fix, Target, code_of, fixes
from bench.repair import RESULTS
from diffufix.propose.edits.code import Code
from diffufix.propose.edits.enumerate import edits_of
from diffufix.propose.edits.features import Features, TextFeatures, words_of
from diffufix.propose.edits.pieces import likely
from diffufix.propose.edits.rank import read, score, weights
from diffufix.source.edits import Edit

NEGATIVES = 200
MOST = 1_500  # characters of a function that is looked at
MAX_CHANGED = 10  # tokens that a pair removes, and adds
PULL = 0.3  # of a weight towards zero, in all
RANKS = (1, 5, 20, 100, 300, 1000)


@dataclass
class Case:
    """Edits of one function, the right ones first; each other one stands for e^offset."""

    features: list[Features]
    hits: int
    offset: float = 0.0


@dataclass
class Prepared:
    fix: Fix
    code: Code
    edits: list[Edit]
    hits: list[int]
    told: frozenset[str]


def small(paths: list[Path], seed: int = 0) -> Iterator[Fix]:
    """Pairs that one small edit may explain, in an order that is always the same."""
    rows = []
    for path in sorted(paths):
        with gzip.open(path, "rt") as file:
            for row in map(json.loads, file):
                fits = max(row["tokens"]) <= MAX_CHANGED and row["hunks"] == 1
                if row["kind"] == "function" and fits and row["rank"] <= 1:
                    rows.append(row)
    random.Random(seed).shuffle(rows)
    for row in rows:
        before, after = textwrap.dedent(row["before"]), textwrap.dedent(row["after"])
        if len(before) <= MOST:
            name = row["qualname"].split(".")[-1]
            fix = Fix(row["commit"][:9], row["edit"], before, after, name)
            fix.outline, fix.tests = row["outline"], row["tests"]
            yield fix


def human(path: Path) -> Iterator[Fix]:
    for case in map(json.loads, path.open()):
        source = case["declaration"] + case["buggy_solution"]
        fixed = case["declaration"] + case["canonical_solution"]
        fix = Fix(case["task_id"], case.get("bug_type", ""), source, fixed, case["entry_point"])
        fix.tests = case["test"]
        yield fix


def prepared(fix: Fix) -> Prepared | None:
    """The edits of a fix's function, which of them are right, and its code."""
    try:
        target, made = Target(fix.source, fix.fixed), code_of(fix)
        if made is None or target.same(fix.source):
            return None
        edits = edits_of(*made)
    except (SyntaxError, ValueError, RecursionError, TokenError):
        return None
    hits = [i for i, edit in enumerate(edits) if target.is_hit(edit)]
    return Prepared(fix, made[0], edits, hits, words_of(fix.tests))


# -- fitting ---------------------------------------------------------------------------------------


def text_case(found: Prepared, rng: random.Random) -> Case:
    """The right edits and a sample of the others, by what their text says."""
    right = set(found.hits)
    others = [i for i in range(len(found.edits)) if i not in right]
    drawn = rng.sample(others, min(NEGATIVES, len(others)))
    kinds = Counter(edit.kind for edit in found.edits)
    chosen = [found.edits[i] for i in (*found.hits, *drawn)]
    features = TextFeatures(found.code, found.told).of(chosen, kinds)
    return Case(features, len(found.hits), math.log(max(1.0, len(others) / max(1, len(drawn)))))


def fit(cases: Sequence[Case]) -> tuple[dict[str, float], float]:
    """Weights by feature, and the mean negative log-likelihood of the right edits (nats)."""
    counts = Counter(name for case in cases for each in case.features for name in each)
    names = sorted(name for name, count in counts.items() if count >= 5)
    index = {name: i for i, name in enumerate(names)}
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    owner: list[int] = []
    offsets: list[float] = []
    hit: list[bool] = []
    for number, case in enumerate(cases):
        for i, features in enumerate(case.features):
            known = [(index[n], v) for n, v in features.items() if n in index]
            rows += [len(owner)] * len(known)
            columns += [column for column, _ in known]
            values += [value for _, value in known]
            owner.append(number)
            hit.append(i < case.hits)
            offsets.append(0.0 if i < case.hits else case.offset)
    places = torch.tensor([rows, columns])
    shape = (len(owner), len(names))
    matrix = torch.sparse_coo_tensor(places, torch.tensor(values), shape).coalesce()
    owner_R, offset_R, hit_R = torch.tensor(owner), torch.tensor(offsets), torch.tensor(hit)
    weight = torch.zeros(len(names), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=150, line_search_fn="strong_wolfe")

    def summed(value: torch.Tensor) -> torch.Tensor:
        """log sum exp by case."""
        top = torch.full((len(cases),), -1e30).index_reduce(
            0, owner_R, value.detach(), "amax"
        )  # fmt: skip
        total = torch.zeros(len(cases)).index_add(0, owner_R, (value - top[owner_R]).exp())
        return total.log() + top

    def loss() -> torch.Tensor:
        value = torch.sparse.mm(matrix, weight[:, None])[:, 0] + offset_R
        right = summed(torch.where(hit_R, value, torch.full_like(value, -1e9)))
        return (summed(value) - right).mean()

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        whole = loss() + PULL * (weight**2).sum() / len(cases)
        whole.backward()
        return whole

    optimizer.step(closure)
    with torch.no_grad():
        final = float(loss())
    found = dict(zip(names, [round(v, 3) for v in weight.detach().tolist()], strict=True))
    return {name: value for name, value in found.items() if value}, final


def fitted(args: argparse.Namespace) -> dict[str, object]:
    rng, seen, began = random.Random(0), 0, time.perf_counter()
    cases: list[Case] = []
    for fix in small(args.paths):
        seen += 1
        found = prepared(fix)
        if found is not None and found.hits:
            cases.append(text_case(found, rng))
            if len(cases) % 100 == 0:
                print(seen, len(cases), file=sys.stderr, flush=True)
        if len(cases) >= args.count:
            break
    known, nats = fit(cases)
    args.weights.write_text(json.dumps(known, indent=0, ensure_ascii=False) + "\n")
    seconds = round(time.perf_counter() - began)
    return {"looked at": seen, "cases": len(cases), "nats": round(nats, 3), "seconds": seconds}


# -- measuring -------------------------------------------------------------------------------------


def asked(paths: Sequence[Path]) -> Iterator[Fix]:
    if paths[0].name.startswith("humaneval"):
        return human(paths[0])
    if len(paths) > 1:
        return iter([*small(list(paths))][::-1])
    return fixes(paths[0])


def ranked(args: argparse.Namespace) -> dict[str, object]:
    known, total = read(args.weights) if args.weights else weights(), 0
    rows: list[dict[str, object]] = []
    for fix in asked(args.paths):
        if len(rows) >= args.count:
            break
        found = prepared(fix)
        if found is None:
            continue
        total += 1
        if not found.hits:
            continue
        began = time.perf_counter()
        features, kinds = TextFeatures(found.code, found.told), Counter(e.kind for e in found.edits)
        kept = set(likely(features, found.edits, kinds))  # others never come out
        values = [
            score(each, known) if edit in kept else -math.inf
            for edit, each in zip(found.edits, features.of(found.edits), strict=True)
        ]
        row = {
            "name": fix.name, "kind": found.edits[found.hits[0]].kind, "edits": len(values),
            "rank": rank(values, found.hits), "seconds": round(time.perf_counter() - began, 3),
        }  # fmt: skip
        rows.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
    places = sorted(int(str(row["rank"])) for row in rows)
    document: dict[str, object] = {
        "fixes": total,
        "enumerated": len(rows),
        "median": places[len(places) // 2],
    }
    document |= shares(places)
    if args.out:
        write(args.out, rows, document)
    return document


def rank(values: Sequence[float], hits: Sequence[int]) -> int:
    best = max(values[i] for i in hits)
    return 1 + sum(value > best for value in values)


def shares(ranks: Sequence[int]) -> dict[str, int]:
    return {f"<= {n}": sum(r <= n for r in ranks) for n in RANKS}


def write(name: str, rows: list[dict[str, object]], document: dict[str, object]) -> None:
    (RESULTS / f"{name}.json").write_text(json.dumps({"total": document, "fixes": rows}) + "\n")
    head = f"{document['enumerated']} of {document['fixes']} fixes are enumerated."
    command = f"`python bench/edits.py rank PATHS... --count {len(rows)} --out {name}`"
    lines = [f"# {name}", "", command, "", head, "", "| rank | fixes |", "|---|---|"]
    lines += [f"| {key} | {document[key]} |" for key in shares([])]
    (RESULTS / f"{name}.md").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("task", choices=["fit", "rank"])
    parser.add_argument("paths", type=Path, nargs="+")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--count", type=int, default=1800)
    parser.add_argument("--out", help="name of the files in bench/results")
    args = parser.parse_args()
    if args.task == "fit" and args.weights is None:
        parser.error("--weights says where the weights go")
    torch.set_num_threads(1)
    print(json.dumps((fitted if args.task == "fit" else ranked)(args)))


if __name__ == "__main__":
    main()
