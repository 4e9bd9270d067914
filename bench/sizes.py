"""Which size repairs most per CPU second? Several sizes with equal time to train and to search.

    python bench/sizes.py --corpus CORPUS --tokenizer FOLDER [--minutes 5] [--seconds 4] \
        [--bugs 80] [--only quarter,mini] [--beside NAME=FOLDER,mini] [--out sizes]

Every size starts from random weights and trains for the same CPU minutes on the same rows (those
of repair tuning; the rate falls from 40 % on). Then each searches held-out functions with one bug,
as `repair --function` does but without tests: is the correct function among the proposals of the
first 0.5, 1, 2, ... CPU seconds? Running tests costs every size the same and is left out. With
--beside, trained weights search the same functions (0 steps in the table), and with an empty --only
nothing else does. One thread. Writes
bench/results/NAME.json and .md; sizes that are in the JSON are not run again. The last line on
stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from bench.heldout import Bug, bugs, functions_of
from bench.repair import RESULTS
from diffufix.model.checkpoint import LoadedModel, load_model
from diffufix.model.tokenizer import load_tokenizer
from diffufix.propose.candidates import EditTarget
from diffufix.propose.proposals import FailureContext
from diffufix.propose.propose import propose
from diffufix.source.edits import splice
from diffufix.train.optim import optimisers, update
from diffufix.train.pretrain.batches import make_batch
from diffufix.train.pretrain.examples import ExampleMaker
from diffufix.train.pretrain.fresh import initialise, make_model, mini_family
from diffufix.train.recipe import Recipe, RecipeStage
from diffufix.types import SuspiciousFunction

FULL = Recipe(
    hidden_size=192, intermediate_size=512, layers=6, heads=6, kv_heads=6, copy_size=48,
    steps=1000, rows=12, length=512, warmup=20, decay_from=0.4, stages=[RecipeStage(1.0, {})],
)  # fmt: skip
SIZES = {
    "quarter": replace(
        FULL, hidden_size=96, intermediate_size=256, layers=4, heads=3, kv_heads=3, copy_size=32
    ),
    "mini": FULL,  # the shape of `mini` up to its fourth version; the fifth has 1.8M
    "double": replace(FULL, hidden_size=256, intermediate_size=704, layers=8, heads=8, kv_heads=8),
}
MIXTURE = {"plain": 0.05, "gap": 0.12, "body": 0.13, "repair": 0.7}
TIMED = 6  # steps that say how long a step is


def trained(
    recipe: Recipe, corpus: Sequence[str], folder: Path, minutes: float
) -> tuple[LoadedModel, dict[str, float]]:
    """The model after so many CPU minutes of updates, and what they were."""
    tokenizer = load_tokenizer(folder)
    maker = ExampleMaker(tokenizer, mini_family(), recipe.length)
    model = LoadedModel(make_model(recipe, len(tokenizer)).config)
    model.family, model.path, model.name, model.adapter = mini_family(), folder, "sizes", None
    model.max_context = recipe.length

    def step(number: int) -> tuple[float, int]:
        batch = make_batch(maker, corpus, recipe.rows, MIXTURE, recipe.seed, number)
        began = time.process_time()
        update(model, optims, batch, recipe, number)
        return time.process_time() - began, int((batch.rows >= 0).sum())

    initialise(model, recipe.seed)
    optims = optimisers(model, recipe)
    each = sorted(step(number)[0] for number in range(TIMED))[TIMED // 2]
    recipe = replace(recipe, steps=max(TIMED, round(60 * minutes / each)))
    initialise(model, recipe.seed)
    optims = optimisers(model, recipe)
    spent, tokens = 0.0, 0
    for number in range(recipe.steps):
        seconds, count = step(number)
        spent, tokens = spent + seconds, tokens + count
        if number % 100 == 0:
            print(f"step {number} of {recipe.steps}", file=sys.stderr, flush=True)
    model.eval().requires_grad_(False)
    return model, {"steps": recipe.steps, "tokens": tokens, "cpu_minutes": round(spent / 60, 2)}


def found_after(model: LoadedModel, bug: Bug, seconds: float) -> float | None:
    """CPU seconds of search until the correct function is proposed; None: not within `seconds`."""
    last = bug.broken.count("\n") + 1
    subject = EditTarget(SuspiciousFunction("f.py", bug.node.name, 1, last, 1.0, {}), bug.broken)
    began = time.process_time()
    for proposal in propose(model, [subject], FailureContext(""), busy=lambda: True):
        spent = time.process_time() - began
        if spent > seconds:
            return None
        if splice(bug.broken, proposal.hole, proposal.text) == bug.correct:
            return round(spent, 3)
    return None


def measured(
    recipe: Recipe, corpus: Sequence[str], found: Sequence[Bug], args: argparse.Namespace
) -> dict[str, Any]:
    model, row = trained(recipe, corpus, args.tokenizer, args.minutes)
    return searched(model, found, args.seconds) | row


def searched(model: LoadedModel, found: Sequence[Bug], seconds: float) -> dict[str, Any]:
    parameters = sum(p.numel() for p in model.parameters())
    after = [found_after(model, bug, seconds) for bug in found]
    return {"parameters": parameters, "steps": 0, "tokens": 0, "after": after}


def shares(after: Sequence[float | None], limits: Sequence[float]) -> list[float]:
    return [sum(s is not None and s <= limit for s in after) / len(after) for limit in limits]


def write(document: dict[str, Any], seconds: float, out: str) -> None:
    limits = [seconds / 2**n for n in reversed(range(4))]
    (RESULTS / f"{out}.json").write_text(json.dumps(document, indent=1) + "\n")
    lines = [
        "# Sizes", "", f"`{document['command']}`", "",
        f"{document['bugs']} held-out functions with one bug: is the correct one proposed?", "",
        "| size | parameters | steps | tokens | "
        + " | ".join(f"within {limit:g} CPU s" for limit in limits) + " |",
        "|---|---|---|---|" + "---|" * len(limits),
    ]  # fmt: skip
    for name, row in document["sizes"].items():
        cells = [f"{share:.1%}" for share in shares(row["after"], limits)]
        counts = [f"{row[key]:,}" for key in ("parameters", "steps", "tokens")]
        lines.append("| " + " | ".join([name, *counts, *cells]) + " |")
    (RESULTS / f"{out}.md").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=5.0, help="CPU minutes of training")
    parser.add_argument("--seconds", type=float, default=4.0, help="CPU seconds of each search")
    parser.add_argument("--bugs", type=int, default=80)
    parser.add_argument("--only", default=",".join(SIZES))
    parser.add_argument("--beside", default="", help="weights that are searched with, not trained")
    parser.add_argument("--out", default="sizes")
    args = parser.parse_args()
    torch.set_num_threads(1)
    file = RESULTS / f"{args.out}.json"
    document = json.loads(file.read_text()) if file.exists() else {"sizes": {}}
    corpus = functions_of(args.corpus, held_out=False)
    held_out = functions_of(args.corpus, held_out=True)
    found = list(bugs(held_out, load_tokenizer(args.tokenizer), args.bugs))
    document |= {
        "command": "python bench/sizes.py --corpus CORPUS --tokenizer FOLDER "
        f"--minutes {args.minutes:g} --seconds {args.seconds:g} --bugs {args.bugs} "
        f"--only '{args.only}'"
        + (f" --beside {re.sub('=[^,]*', '=FOLDER', args.beside)}" if args.beside else ""),
        "bugs": len(found),
        "recipe": asdict(FULL),
    }  # fmt: skip
    for entry in filter(None, args.beside.split(",")):
        name, _, folder = entry.partition("=")
        if f"{name} as it is" not in document["sizes"]:
            beside = load_model(folder or name, device="cpu", dtype="float32")
            document["sizes"][f"{name} as it is"] = searched(beside, found, args.seconds)
            write(document, args.seconds, args.out)
    for name in filter(None, args.only.split(",")):
        if name not in document["sizes"]:
            print(name, file=sys.stderr, flush=True)
            document["sizes"][name] = measured(SIZES[name], corpus, found, args)
            write(document, args.seconds, args.out)
    rows = document["sizes"].items()
    print(json.dumps({name: shares(row["after"], [args.seconds])[0] for name, row in rows}))


if __name__ == "__main__":
    main()
