"""What the embedded model is worth: masked holes of held-out code, and repairs.

    python bench/mini.py --corpus CORPUS --cases CASES.jsonl [--weights FOLDER] [--limit N] \
        [--every K] [--bugs 150] [--budget 60] [--only holes,nothing,given] [--out mini]

1. Holes. Into functions of the corpus' held-out projects a bug is put (the operators of training),
   and the smallest expression, statement and block hole over it are masked. Is the right text,
   blanks at its ends apart, the first, among the first 5, the first 20 fills of best-first search
   over that hole? Once with the corrupted original shown (what changes nothing is no answer then),
   once without (the masks are as many as the original's tokens and SLACK both times). At most
   STATES states a hole are looked at.
2. Repairs of the cases of bench/repair.py, with nothing given and with the true function named
   (`--function`). One run a case, of --budget seconds; a case counts as repaired at 15 s if that
   run was over by then, start of the process included. A run with a budget of 15 s would also wait
   less for tests that hang and stop to look for better patches, so it repairs these at least.
Results go to bench/results/NAME.json and .md, after every case; parts that are not asked for stay
as they are there. The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffufix  # noqa: F401  # isort: skip  # it decides how the threads of torch wait

import torch

from bench.heldout import Bug, Covering, bugs, fills, functions_of
from bench.repair import RESULTS, run_case
from diffufix.decode.aside import AsideContext, HoleSpan
from diffufix.decode.best_first import Question
from diffufix.decode.layout import SLACK
from diffufix.model.checkpoint import LoadedModel, load_model
from diffufix.types import Kind

KINDS = (Kind.EXPRESSION, Kind.STATEMENT, Kind.BLOCK)
TOPS = (1, 5, 20)
STATES = 600
EARLY = 15.0  # seconds, the shorter of the two budgets


# -- holes -----------------------------------------------------------------------------------------


def rank_of(model: LoadedModel, bug: Bug, hole: Covering, shown: bool) -> int | None:
    """The place of the right text among the fills, from 1; None where it is not found."""
    ids, original = bug.view.ids, bug.original(hole)
    start = (model.family.mask,) * (len(original) + SLACK)
    if shown:
        context = AsideContext(model, ids)
        place = HoleSpan(hole.start + 1, hole.end + 1, original)
    else:
        assert model.family.gap is not None
        context = AsideContext(model, (*ids[: hole.start], model.family.gap, *ids[hole.end :]))
        place = HoleSpan(hole.start + 1, hole.start + 2, ())
    decode = model.tokenizer.decode
    wanted, known = decode(hole.target).strip(), decode(original).strip()
    found = fills(Question(context, place, 0.0, start), STATES)
    texts = (decode(fill.ids).strip() for fill in found)
    changed = (text for text in texts if not (shown and text == known))
    for rank, text in enumerate(itertools.islice(changed, max(TOPS)), 1):
        if text == wanted:
            return rank
    return None


def measure_holes(model: LoadedModel, found: Sequence[Bug]) -> dict[str, Any]:
    """For each kind, shown or not: how many holes, and the share at each of TOPS."""
    ranks: dict[tuple[str, str], list[int | None]] = {}
    began = time.monotonic()
    for number, bug in enumerate(found, 1):
        for kind in KINDS:
            hole = bug.smallest(kind)
            for shown in (True, False):
                if hole is None:
                    continue
                key = str(kind), "shown" if shown else "hidden"
                ranks.setdefault(key, []).append(rank_of(model, bug, hole, shown))
        if number % 25 == 0:
            print(f"{number} bugs, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return {
        kind: {
            how: {"holes": len(own := ranks.get((kind, how), []))}
            | {f"top{n}": share(own, n) for n in TOPS}
            for how in ("shown", "hidden")
        }
        for kind in map(str, KINDS)
    }


def share(ranks: Sequence[int | None], top: int) -> float:
    hits = sum(rank is not None and rank <= top for rank in ranks)
    return round(hits / max(1, len(ranks)), 4)


# -- repairs ---------------------------------------------------------------------------------------


def measure_repairs(
    how: str, cases: Sequence[dict[str, str]], weights: str, budget: float,
    document: dict[str, Any], out: str, command: str,
) -> None:  # fmt: skip
    """Fill `document["repairs"][how]`, writing it down after every case."""
    own: list[dict[str, Any]] = []
    for case in cases:
        options = [f"--model={weights}"]
        if how == "given":
            options.append(f"--function=solution.py::{case['entry_point']}")
        own.append(run_case(case, budget, options))
        last = own[-1]
        document["repairs"][how] = {
            "command": command,
            "total": len(own),
            f"at {EARLY:.0f} s": sum(
                bool(r["repaired"]) and float(r["seconds"]) <= EARLY for r in own
            ),
            f"at {budget:.0f} s": sum(bool(r["repaired"]) for r in own),
            "cases": {r["task_id"]: r["seconds"] if r["repaired"] else None for r in own},
        }  # fmt: skip
        mark = "repaired" if last["repaired"] else str(last["status"])
        print(f"{case['task_id']:12} {how:8} {mark:14} {last['seconds']:>7} s",
              file=sys.stderr, flush=True)  # fmt: skip
        write(out, document)


# -- results ---------------------------------------------------------------------------------------


def write(name: str, document: dict[str, Any]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    lines = [f"# {name}", "", f"Weights: {document['model']}.", ""]
    if "holes" in document:
        lines += [
            f"`{document['holes']['command']}`",
            "",
            "| hole | original | holes | top 1 | top 5 | top 20 |",
            "|---|---|---|---|---|---|",
        ]
        for kind, row in document["holes"]["kinds"].items():
            for how, cell in row.items():
                tops = " | ".join(f"{cell[f'top{n}']:.1%}" for n in TOPS)
                lines.append(f"| {kind} | {how} | {cell['holes']} | {tops} |")
        lines.append("")
    for how, row in document.get("repairs", {}).items():
        given = "the true function named" if how == "given" else "nothing given"
        counts = ", ".join(f"{row[key]} {key}" for key in row if key.startswith("at "))
        lines += [f"`{row['command']}`", "", f"Repaired, {given}, of {row['total']}: {counts}.", ""]
    (RESULTS / f"{name}.md").write_text("\n".join(lines).rstrip() + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--cases", type=Path)
    parser.add_argument("--weights", default="mini")
    parser.add_argument("--bugs", type=int, default=150, help="held-out functions")
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--every", type=int, default=1, help="take every K-th case only")
    parser.add_argument("--only", default="holes,nothing,given", help="some of these")
    parser.add_argument("--out", default="mini")
    args = parser.parse_args()
    parts = args.only.split(",")
    if args.corpus is None and "holes" in parts:
        parser.error("holes need --corpus")
    if args.cases is None and {"nothing", "given"} & set(parts):
        parser.error("repairs need --cases")
    model = load_model(args.weights, device="cpu")
    file = RESULTS / f"{args.out}.json"
    document = json.loads(file.read_text()) if file.exists() else {}
    if document.get("model") != model.fingerprint[:12]:
        document = {"model": model.fingerprint[:12], "repairs": {}}
    if "holes" in parts:
        found = list(bugs(functions_of(args.corpus, True), model.tokenizer, args.bugs))
        command = f"python bench/mini.py --only holes --corpus CORPUS --bugs {args.bugs}"
        with torch.inference_mode():
            document["holes"] = {"command": command, "kinds": measure_holes(model, found)}
        write(args.out, document)
    for how in ("nothing", "given"):
        if how in parts:
            lines = args.cases.read_text().splitlines()
            cases = [json.loads(line) for line in lines if line.strip()][:: args.every]
            command = f"python bench/mini.py --only {how} --cases CASES.jsonl"
            command += f" --budget {args.budget:g} --every {args.every}"
            measure_repairs(
                how, cases[: args.limit], args.weights, args.budget, document, args.out, command
            )
    for row in document["repairs"].values():
        row.pop("cases", None)
    print(json.dumps(document))


if __name__ == "__main__":
    main()
