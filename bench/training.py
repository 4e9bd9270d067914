"""How fast does a CPU train `mini`? Tokens a second, and what two measures are worth.

    python bench/training.py [--steps 6] [--threads 1] [--out training]

The same steps on the same packed rows (repair tuning, functions of the standard library), three
ways in turns, twice round: with a dense mask of attention and denormal floats computed (the
baseline), with denormals taken for zero, and with attention block by block as well
(diffufix/model/packed.py), which is how it is trained. Writes bench/results/NAME.json and .md. The
last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import ast
import json
import sysconfig
import time
from pathlib import Path

import torch

from bench.repair import RESULTS
from diffufix.model.checkpoint import load_model
from diffufix.train.batch import Batch
from diffufix.train.objective import loss_of
from diffufix.train.optim import optimisers, update
from diffufix.train.pretrain.batches import make_batch
from diffufix.train.pretrain.examples import ExampleMaker
from diffufix.train.recipe import Recipe, RecipeStage

RECIPE = Recipe(steps=1000, rows=24, length=512, stages=[RecipeStage(1.0, {})])
#: Name, whether attention is dense, whether denormals are taken for zero.
WAYS = (("dense, denormals", True, False), ("dense", True, True), ("blocks", False, True))


class Dense(Batch):
    """A batch whose attention has a mask on a CPU, too."""

    def attention(self) -> torch.Tensor:
        return self.dense()


def functions() -> list[str]:
    found = []
    for file in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text = file.read_text("utf-8", errors="replace")
        nodes = [n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)]
        found += [source for n in nodes if (source := ast.get_source_segment(text, n))]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", default="training")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = load_model("mini", device="cpu", dtype="float32").train().requires_grad_(True)
    maker = ExampleMaker(model.tokenizer, model.family, RECIPE.length)
    batches = [
        make_batch(maker, functions(), RECIPE.rows, {"repair": 1.0}, 0, step)
        for step in range(args.steps + 1)
    ]
    optims = optimisers(model, RECIPE)
    for step in range(3):  # gradients as they are in the middle of training
        update(model, optims, batches[0], RECIPE, step)
    tokens = sum(int((batch.rows >= 0).sum()) for batch in batches[1:])
    seconds: dict[str, list[float]] = {name: [] for name, _, _ in WAYS}
    for _ in range(2):
        for name, dense, zero in WAYS:
            torch.set_flush_denormal(zero)
            began = time.perf_counter()
            for batch in batches[1:]:
                fields = [getattr(batch, field) for field in Batch.__dataclass_fields__]
                loss_of(model, (Dense if dense else Batch)(*fields))[0].backward()
                model.zero_grad(set_to_none=True)
            seconds[name].append(time.perf_counter() - began)
    speeds = {name: round(tokens / min(own)) for name, own in seconds.items()}
    base = speeds[WAYS[0][0]]
    document = {
        "command": f"python bench/training.py --steps {args.steps} --threads {args.threads}",
        "tokens": tokens, "seconds": seconds, "tokens_per_second": speeds,
    }  # fmt: skip
    (RESULTS / f"{args.out}.json").write_text(json.dumps(document, indent=1) + "\n")
    lines = ["# Training on a CPU", "", f"`{document['command']}`", "",
             "Forward and backward of `mini`; the quicker of two rounds.", "",
             "| attention | tokens a second | against the first |", "|---|---|---|"]  # fmt: skip
    lines += [f"| {name} | {n:,} | {n / base:.2f} |" for name, n in speeds.items()]
    (RESULTS / f"{args.out}.md").write_text("\n".join(lines) + "\n")
    print(json.dumps(speeds))


if __name__ == "__main__":
    main()
