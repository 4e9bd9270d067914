"""What the parts of the recipe are worth, each alone, at small scale: one held-out curve for each.

    python bench/ablations.py --corpus CORPUS --tokenizer FOLDER [--steps 400] [--seeds 2] \
        [--only shown,cloze] [--out ablations]

Every variant is the same small model from scratch, with the same data, steps, rates and seeds, and
differs from `shown` in one thing:
    shown       holes of broken functions, the faulty text shown; rates fall from 60 % on
    cloze       gaps in correct functions: what was there is never shown
    exact       holes have exactly the masks they need: no `delete`, no `expand`; the length is
                guessed (every length from 1 to the original's and SLACK is tried)
    constant    the rates do not fall
    better      while the rates fall, only the better part of the corpus is drawn from
    corrective  the visible context is supervised, too
Measured on bugs in held-out functions, at the smallest expression, statement and block hole over
each. The curve: nats that a first look at the masked hole gives to the right text, the faulty one
ruled out, where it takes no `expand` to write it (`exact`: every length as likely as the others).
At the end: is the right text the best, or among the five best, changes that best-first search finds
(`exact`: by mean likelihood over all lengths)? Is a faulty token among the three of its function
that surprise the model most where they stand (ties broken by chance)?
One thread. Writes bench/results/NAME.json and .md and docs/curves/NAME.png; what is in the JSON
already is not run again. The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bench.heldout import Bug, Covering, bugs, fills, functions_of
from bench.localize import draws, faulty_tokens
from bench.surprise import encode_with_surprise
from diffufix.decode.aside import AsideContext, HoleSpan
from diffufix.decode.best_first import Question
from diffufix.decode.layout import SLACK
from diffufix.model.family import Family
from diffufix.model.tokenizer import load_tokenizer
from diffufix.model.transformer import Transformer
from diffufix.train.optim import optimisers, update
from diffufix.train.pretrain.batches import make_batch
from diffufix.train.pretrain.examples import ExampleMaker
from diffufix.train.pretrain.fresh import make_model, mini_family
from diffufix.train.pretrain.rows import PackedRow
from diffufix.train.recipe import Recipe, RecipeStage
from diffufix.types import Kind

ROOT = Path(__file__).resolve().parent.parent
KINDS = (Kind.EXPRESSION, Kind.STATEMENT, Kind.BLOCK)
SHAPE = Recipe(
    hidden_size=96, intermediate_size=256, layers=3, heads=3, kv_heads=3, steps=400, rows=12,
    length=512, warmup=40, stages=[RecipeStage(1.0, {})],
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """How a run differs from the others, and the colour of its curve."""

    kind: str = "repair"  # of the rows
    free: bool = True  # lengths by `delete` and `expand`
    falling: bool = True  # rates
    better: bool = False
    corrective: bool = False


VARIANTS = {
    "shown": Variant(),
    "cloze": Variant(kind="gap"),
    "exact": Variant(free=False),
    "constant": Variant(falling=False),
    "better": Variant(better=True),
    "corrective": Variant(corrective=True),
}
#: Which curves stand beside each other in the picture.
QUESTIONS = {
    "Is the faulty text shown?": ("shown", "cloze"),
    "Are lengths free?": ("shown", "exact"),
    "Is there an annealing?": ("better", "shown", "constant"),
    "Is the context supervised?": ("shown", "corrective"),
}


class Maker(ExampleMaker):
    """Rows of one variant."""

    variant = Variant()

    def _correct(self, *args: Any, **more: Any) -> None:
        if self.variant.corrective:
            super()._correct(*args, **more)

    def _ask(self, row: PackedRow, original: list[int], start: int, end: int, target: list[int],
             masks: int, weight: float, rng: random.Random) -> None:  # fmt: skip
        if self.variant.free:
            super()._ask(row, original, start, end, target, masks, weight, rng)
        elif target:
            at = len(row.ids)
            super()._ask(row, original, start, end, target, len(target), weight, rng)
            _exactly(row, at, at + len(original) + 2, self.family)


def _exactly(row: PackedRow, at: int, fill: int, family: Family) -> None:
    """Take the last hole's superfluous masks away, or the hole, if it has too few."""
    fields = (row.ids, row.positions, row.segments, row.labels, row.weights)
    if family.expand in row.labels[at:]:
        for values in fields:
            del values[at:]
        return
    for i in reversed(range(fill, len(row.ids))):
        if row.labels[i] == family.delete:
            for values in fields:
                del values[i]
    for i in range(fill + 1, len(row.ids) - 1):
        row.positions[i] = row.positions[fill] + i - fill


def better(source: str) -> bool:
    """Whether a function computes something, in little room: it teaches more than plumbing."""
    loops = source.count("for ") + source.count("while ")
    return bool(loops) and source.count("self.") <= 2 and len(source) < 2500


# -- measuring -------------------------------------------------------------------------------------


class Ask:
    """One hole of a held-out bug, as a variant sees it."""

    def __init__(self, model: Transformer, family: Family, bug: Bug, hole: Covering, free: bool,
                 shown: bool) -> None:  # fmt: skip
        self.family, self.free = family, free
        self.original, self.target = bug.original(hole), hole.target
        self.longest = len(self.original) + SLACK
        ids, start, end = bug.view.ids, hole.start, hole.end
        if not shown:
            assert family.gap is not None
            ids, end = (*ids[:start], family.gap, *ids[end:]), start + 1
        context = AsideContext(model, ids, family)
        place = HoleSpan(start + 1, end + 1, self.original if shown else ())
        self.question = Question(context, place)

    def ranked(self, wanted: int = 5, states: int = 400) -> list[tuple[int, ...]]:
        """The best fills that change something, of those found by looking at `states` states."""
        lengths = [self.longest] if self.free else range(1, self.longest + 1)
        found: list[tuple[float, tuple[int, ...]]] = []
        for length in lengths:
            question = replace(self.question, start=(self.family.mask,) * length)
            search = fills(question, states // len(lengths))
            changed = (fill for fill in search if fill.ids != self.original)
            for rank, fill in enumerate(itertools.islice(changed, wanted)):
                found.append((rank if self.free else -fill.logp / length, fill.ids))
        return [ids for _, ids in sorted(found)][:wanted]

    @torch.inference_mode()
    def nats(self) -> float | None:
        """-log p(right text | not the faulty one), all masks independent."""
        if not 0 < len(self.target) <= self.longest:
            return None
        right, faulty = self._logp(self.target), self._logp(self.original)
        return -right + math.log1p(-min(math.exp(faulty), 0.999999))

    def _logp(self, ids: Sequence[int]) -> float:
        if not 0 < len(ids) <= self.longest:
            return -math.inf
        length = self.longest if self.free else len(ids)
        context, place = self.question.context, self.question.place
        logits = context.logits([place], [(self.family.mask,) * length]).float()
        logits[:, list(context.banned)] = -torch.inf
        assert self.family.delete is not None
        wanted = torch.tensor([*ids, *[self.family.delete] * (length - len(ids))])
        logp = float(logits.log_softmax(-1).gather(1, wanted[:, None]).sum())
        return logp if self.free else logp - math.log(self.longest)


Cases = Sequence[tuple[Bug, Covering]]


def pointed(found: Sequence[Bug], model: Transformer | None) -> float:
    """Share of bugs with a faulty token among the three most surprising; None: by chance."""
    ranks: list[float] = []
    for bug in found:
        scores = [0.0] * len(bug.view.ids)
        if model is not None:
            scores = encode_with_surprise(model, bug.view.ids, mini_family())[1]
        ranks += draws(dict(enumerate(scores)), faulty_tokens(bug))
    return round(sum(rank <= 3 for rank in ranks) / len(ranks), 4)


def measure(model: Transformer, cases: Cases, variant: Variant, search: bool) -> dict[str, float]:
    first = five = 0
    nats: list[float] = []
    for bug, hole in cases:
        ask = Ask(model, mini_family(), bug, hole, variant.free, variant.kind == "repair")
        one = ask.nats()
        if one is not None:
            nats.append(one)
        if search:
            ranked = ask.ranked()
            first += ranked[:1] == [hole.target]
            five += hole.target in ranked
    found = {"nats": round(statistics.fmean(nats), 3)}
    if search:
        found |= {"top1": round(first / len(cases), 4), "top5": round(five / len(cases), 4)}
        found["pointed"] = pointed(list({id(bug): bug for bug, _ in cases}.values()), model)
    return found


# -- training --------------------------------------------------------------------------------------


def run(
    variant: Variant, recipe: Recipe, corpus: Sequence[str], folder: Path,
    cases: Cases, every: int,
) -> list[dict[str, float]]:  # fmt: skip
    """The held-out curve of one variant; `cpu` is seconds of training alone."""
    tokenizer = load_tokenizer(folder)
    maker = Maker(tokenizer, mini_family(), recipe.length)
    maker.variant = variant
    recipe = replace(recipe, decay_from=0.6 if variant.falling else 1.0)
    good = [source for source in corpus if better(source)]
    model, curve, cpu, tokens = make_model(recipe, len(tokenizer)), [], 0.0, 0
    optims = optimisers(model, recipe)
    for step in range(recipe.steps):
        late = variant.better and step >= 0.6 * recipe.steps
        batch = make_batch(
            maker, good if late else corpus, recipe.rows, {variant.kind: 1.0}, recipe.seed, step
        )
        began = time.process_time()
        update(model, optims, batch, recipe, step)
        cpu += time.process_time() - began
        tokens += int((batch.rows >= 0).sum())
        last = step + 1 == recipe.steps
        if (step + 1) % every == 0 or last:
            model.requires_grad_(False)
            row = {"step": step + 1, "cpu": round(cpu, 1), "tokens": tokens}
            curve.append(row | measure(model, cases, variant, search=last))
            model.requires_grad_(True)
            print(json.dumps(curve[-1]), file=sys.stderr, flush=True)
    return curve


def holes_of(found: Sequence[Bug]) -> list[tuple[Bug, Covering]]:
    return [(bug, hole) for bug in found for kind in KINDS if (hole := bug.smallest(kind))]


# -- results ---------------------------------------------------------------------------------------


def summary(curves: dict[str, list[list[dict[str, float]]]]) -> dict[str, dict[str, float]]:
    """Means over the seeds at the last step."""
    return {
        name: {
            key: round(statistics.fmean(run[-1][key] for run in runs), 4)
            for key in ("top1", "top5", "nats", "pointed")
            if all(key in run[-1] for run in runs)
        }
        for name, runs in curves.items()
    }


def write(name: str, document: dict[str, Any]) -> None:
    results = ROOT / "bench" / "results"
    (results / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    lines = ["# Ablations", "", f"`{document['command']}`", ""]
    lines += [f"{document['holes']} holes over {document['bugs']} held-out bugs, "
              f"{document['steps']} steps, {document['parameters']:,} parameters.", ""]  # fmt: skip
    finished = sum(map(len, document["curves"].values()))
    wanted = len(document["curves"]) * document["seeds"]
    if finished < wanted:
        lines += [f"**Incomplete**: runs finished, {finished} of {wanted}.", ""]
    lines += [
        "| variant | seeds | right text first | among five | nats | fault pointed at |",
        "|---|---|---|---|---|---|",
    ]
    for key, row in summary(document["curves"]).items():
        cells = [key, len(document["curves"][key]), f"{row['top1']:.1%}", f"{row['top5']:.1%}"]
        cells += [f"{row['nats']:.2f}", f"{row['pointed']:.1%}" if "pointed" in row else ""]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    if "chance" in document:
        lines.append(f"| by chance | | | | | {document['chance']:.1%} |")
    (results / f"{name}.md").write_text("\n".join(lines) + "\n")


def draw(name: str, curves: dict[str, list[list[dict[str, float]]]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    colours = dict(zip(VARIANTS, ("#1f77b4", "#d62728", "#ff7f0e", "#7f7f7f", "#2ca02c",
                                  "#9467bd"), strict=True))  # fmt: skip
    asked = {
        title: names for title, names in QUESTIONS.items() if sum(n in curves for n in names) > 1
    }
    if not asked:  # nothing to compare yet
        return
    figure, (axes,) = pyplot.subplots(1, len(asked), figsize=(4 * len(asked), 3.6), squeeze=False)
    for axis, (title, names) in zip(axes, asked.items(), strict=True):
        for variant in names:
            for number, curve in enumerate(curves.get(variant, [])):
                axis.plot(
                    [row["step"] for row in curve], [row["nats"] for row in curve],
                    color=colours[variant], marker=".", alpha=0.9 if number == 0 else 0.45,
                    label=variant if number == 0 else None,
                )  # fmt: skip
        axis.set_title(title, fontsize=11)
        axis.set_xlabel("step")
        axis.grid(alpha=0.25)
        axis.legend(frameon=False)
    axes[0].set_ylabel("nats to the right text")
    figure.tight_layout()
    target = ROOT / "docs" / "curves" / f"{name}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=SHAPE.steps)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--bugs", type=int, default=120)
    parser.add_argument("--points", type=int, default=5, help="of each curve")
    parser.add_argument("--only", default=",".join(VARIANTS))
    parser.add_argument("--out", default="ablations")
    args = parser.parse_args()
    torch.set_num_threads(1)
    file = ROOT / "bench" / "results" / f"{args.out}.json"
    document = json.loads(file.read_text()) if file.exists() else {"curves": {}}
    corpus = functions_of(args.corpus, held_out=False)
    held_out = functions_of(args.corpus, held_out=True)
    found = list(bugs(held_out, load_tokenizer(args.tokenizer), args.bugs))
    cases = holes_of(found)
    size = make_model(SHAPE, len(load_tokenizer(args.tokenizer)))
    document |= {
        "command": "python bench/ablations.py --corpus CORPUS --tokenizer FOLDER "
        f"--steps {args.steps} --seeds {args.seeds} --bugs {args.bugs} --points {args.points} "
        f"--only {','.join(dict.fromkeys([*document['curves'], *args.only.split(',')]))}",
        "steps": args.steps, "seeds": args.seeds, "bugs": len(found), "holes": len(cases),
        "parameters": sum(p.numel() for p in size.parameters()),
        "chance": pointed(found, None),
    }  # fmt: skip
    for seed in range(args.seeds):
        for name in args.only.split(","):
            runs = document["curves"].setdefault(name, [])
            if len(runs) > seed:
                continue
            print(f"{name}, seed {seed}", file=sys.stderr, flush=True)
            recipe = replace(SHAPE, steps=args.steps, seed=seed)
            every = max(1, args.steps // args.points)
            runs.append(run(VARIANTS[name], recipe, corpus, args.tokenizer, cases, every))
            write(args.out, document)
            draw(args.out, document["curves"])
    print(json.dumps(summary(document["curves"])))


if __name__ == "__main__":
    main()
