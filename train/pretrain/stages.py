"""The stages of training as commands: what a run starts from, what it is given, what it leaves.

`run(Job)` serves `diffufix train pretrain|anneal|sft` and `python -m diffufix.train.pretrain`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch

from diffufix.errors import CheckpointError, DiffufixError, UsageError
from diffufix.model import hub
from diffufix.model.checkpoint import load_model
from diffufix.model.family import Family
from diffufix.model.tokenizer import load_tokenizer
from diffufix.model.transformer import Transformer
from diffufix.train.bugs.history import FixPair, load_pairs, read_pairs, write_pairs
from diffufix.train.checkpoints import MODEL, STATE
from diffufix.train.pretrain.adapt import BlockSupply, is_autoregressive, open_autoregressive
from diffufix.train.pretrain.estimate import estimate
from diffufix.train.pretrain.fresh import make_model, mini_family
from diffufix.train.pretrain.grow import grown, wants_more
from diffufix.train.pretrain.supply import FunctionSupply, Supply, check_corpus, check_tokenizer
from diffufix.train.pretrain.trainer import Options, Stopped, Trainer, make_accelerator
from diffufix.train.recipe import STAGES, Recipe
from diffufix.train.tracking import say


@dataclass(frozen=True)
class PretrainConfig:
    """One command. `source` is a run's folder, a checkpoint's folder or a model's name."""

    stage: str
    recipe: Path
    corpus: Path
    out: Path
    tokenizer: Path | None = None
    source: str | None = None
    through: str | None = None  # a later stage to go on to
    steps: int | None = None  # instead of the recipe's
    pairs: tuple[Path, ...] = ()  # files of train/bugs/history.py
    history: tuple[Path, ...] = ()  # repositories to take repairs from
    options: Options = field(default_factory=Options)


@dataclass(frozen=True)
class _Start:
    """The model that training starts from, and the run whose state it takes over, if any."""

    model: Transformer
    family: Family
    tokenizer: Path
    run: Path | None = None


def to_job(stage: str, values: Mapping[str, Any]) -> PretrainConfig:
    """A job from the values of a command line, those of its options among them."""
    names = {f.name for f in fields(Options)}
    options = Options(**{key: value for key, value in values.items() if key in names})
    rest = {key: value for key, value in values.items() if key not in names}
    for key in ("pairs", "history"):
        rest[key] = tuple(rest.get(key) or ())
    return PretrainConfig(stage, options=options, **rest)


def run(job: PretrainConfig) -> dict[str, Any]:
    """Train the job's steps, or what is left of them; returns the last row of the log and where
    the model is. Raises UsageError, CheckpointError, PrerequisiteError, TrainingError, Stopped."""
    recipe, (first, last) = _recipe(job)
    start = _start(job, recipe)
    supply = _supply(job, recipe, start, first, last)
    if isinstance(supply, FunctionSupply) and any(pair.failure for pair in supply.pairs):
        start = replace(start, family=replace(start.family, failure=True))
    trainer = Trainer(
        start.model, start.family, start.tokenizer, recipe, supply, job.out, job.options
    )
    if isinstance(supply, FunctionSupply) and supply.pairs and trainer.accelerator.is_main_process:
        job.out.mkdir(parents=True, exist_ok=True)
        write_pairs(supply.pairs, job.out / PAIRS)
    tracked: dict[str, Any] = {}
    trainer.born = first
    if start.run is not None:
        state = trainer.load(start.run)
        here = start.run == job.out
        if here and state["step"] >= last:
            say(f"{job.out} has these {last:,} steps behind it already: nothing to do.")
            return {"step": state["step"], "model": str(job.out / MODEL)}
        if state["step"] < first:
            say(f"The run stopped at step {state['step']:,}; this stage begins at {first:,}.")
        if here:
            first = max(first, state["step"])
        tracked = state.get("tracker", {})
    tracker = trainer.fit(first, last, tracked)
    return {**tracker.latest, "model": str(job.out / MODEL)}


def dry_run(job: PretrainConfig, flops_per_second: float | None = None) -> list[str]:
    """What the job would take, as lines; writes nothing but, when it adapts a model, the
    tokenizer in --out."""
    recipe, (first, last) = _recipe(job)
    start = _start(job, recipe)
    device = make_accelerator(job.options.device).device
    supply = _supply(job, recipe, start, first, last)
    return estimate(start.model, recipe, supply, first, last, device, flops_per_second).lines()


def _recipe(job: PretrainConfig) -> tuple[Recipe, tuple[int, int]]:
    recipe = Recipe.read(job.recipe, **({"steps": job.steps} if job.steps else {}))
    return recipe, recipe.part(job.stage, job.through)


def _start(job: PretrainConfig, recipe: Recipe) -> _Start:
    if (job.out / STATE).is_file():
        start = _from_run(job.out)
    elif job.source is not None and (Path(job.source) / STATE).is_file():
        start = _from_run(Path(job.source))
    elif job.source is not None:
        start = _from_checkpoint(job.source, job.out, recipe)
    elif job.stage != STAGES[0]:
        raise UsageError(
            f"{job.stage} goes on from a model, and {job.out} holds none.",
            "Give a run's folder, a checkpoint's or `mini` with --from.",
        )
    else:
        start = _afresh(job, recipe)
    if job.tokenizer is not None and job.tokenizer != start.tokenizer:
        given, own = load_tokenizer(job.tokenizer), load_tokenizer(start.tokenizer)
        if len(given) != len(own) or given.encode(_PROBE) != own.encode(_PROBE):
            raise UsageError(
                f"The tokenizer in {job.tokenizer} is not the one that the model was trained with.",
                "Leave --tokenizer out: the model has its own.",
            )
    _compare_shape(start, recipe)
    return start


PAIRS = "pairs.jsonl.gz"  # of a run, in its folder
_PROBE = "def f(self, x):\n    return [x + 1 for x in self.values if not x]\n"


def _afresh(job: PretrainConfig, recipe: Recipe) -> _Start:
    if job.tokenizer is None:
        raise UsageError(
            "A new model needs --tokenizer FOLDER.",
            f"diffufix train tokenizer --corpus {job.corpus} --out FOLDER makes one.",
        )
    tokenizer, family = load_tokenizer(job.tokenizer), mini_family(recipe.window or None)
    check_tokenizer(tokenizer, job.tokenizer, family, len(tokenizer))
    model = make_model(recipe, len(tokenizer))
    if model.copy is not None:
        model.copy.pair(tokenizer.twins(len(tokenizer)))
    return _Start(model, family, job.tokenizer)


def _from_run(folder: Path) -> _Start:
    model = load_model(folder / MODEL, device="cpu", dtype=torch.float32)
    return _Start(model, model.family, model.path, run=folder)


def _from_checkpoint(name: str, out: Path, recipe: Recipe) -> _Start:
    folder = hub.locate(name)
    if is_autoregressive(folder):
        adapted = open_autoregressive(folder, out / "tokenizer")
        return _Start(adapted, adapted.family, out / "tokenizer")
    model = load_model(folder, device="cpu", dtype=torch.float32)
    if wants_more(model, recipe):
        say("The checkpoint gets the heads, marks and window that the recipe asks for.")
        return _Start(*grown(model, recipe, out / "tokenizer"))
    return _Start(model, model.family, model.path)


def _compare_shape(start: _Start, recipe: Recipe) -> None:
    """A recipe for another shape is a mistake where a run goes on, and worth a word elsewhere."""
    c = start.model.config
    wanted = {
        "hidden_size": (recipe.hidden_size, c.hidden_size),
        "intermediate_size": (recipe.intermediate_size, c.intermediate_size),
        "layers": (recipe.layers, c.num_hidden_layers),
        "heads": (recipe.heads, c.num_attention_heads),
        "kv_heads": (recipe.kv_heads, c.num_key_value_heads),
        "copy_size": (recipe.copy_size, c.copy_size),
        "edit_size": (recipe.edit_size, c.edit_size),
    }
    differs = [
        f"{k} {has}, not {want}" for k, (want, has) in wanted.items() if want not in (0, has)
    ]
    if differs and start.run is not None:
        raise CheckpointError(
            f"The model in {start.run} has another shape than the recipe: {', '.join(differs)}.",
            "Use the recipe that it was made with, or give another --out.",
        )
    if differs:
        say(f"The checkpoint's shape is kept, not the recipe's: {', '.join(differs)}.")


def _supply(job: PretrainConfig, recipe: Recipe, start: _Start, first: int, last: int) -> Supply:
    """Raises UsageError where the examples of the recipe do not suit the model, or lack data."""
    kinds = {kind for stage in recipe.stages for kind in stage.mixture}
    inline = not start.family.appended
    if inline != (kinds == {"tokens"}):
        suits = "tokens" if inline else "plain, gap, body, repair, history and breaking"
        raise UsageError(
            f"The recipe mixes {', '.join(sorted(kinds))}; this model learns from {suits}.",
            "For a model with shifted predictions use a recipe like adapt.toml, for mini "
            "mini-cpu.toml.",
        )
    if (job.pairs or job.history) and not kinds & {"history", "breaking"}:
        raise UsageError(
            f"{job.recipe} mixes no history, so there is no use for --pairs and --history.",
            "Add it to the mixture of a stage: history = 0.3, say.",
        )
    check_corpus(job.corpus, recipe)
    if inline:
        return BlockSupply(recipe, job.corpus, start.tokenizer, start.family)
    supply = FunctionSupply(recipe, job.corpus, start.tokenizer, start.family)
    if recipe.kinds(first, last) & {"history", "breaking"}:
        supply = replace(supply, pairs=_pairs(job, supply))
    return supply


def _pairs(job: PretrainConfig, supply: FunctionSupply) -> tuple[FixPair, ...]:
    """The repairs that the job learns from. A run keeps in its folder those that it began with,
    so that it goes on with the same ones however the repository has grown."""
    kept = job.out / PAIRS
    if (job.out / STATE).is_file() and kept.is_file():
        if job.pairs or job.history:
            say(f"The run goes on with its own repairs, those in {kept}.")
        return tuple(load_pairs(kept))
    if not job.pairs and not job.history:
        raise UsageError(
            f"{job.recipe} mixes history, and there are no repairs to make it from.",
            "Give --history REPOSITORY or --pairs FILE, or take history out of the mixture.",
        )
    found = read_pairs(job.pairs, job.history)
    usable = supply.usable(found)
    if not usable:
        raise UsageError(
            f"None of the {len(found)} repairs found makes an example.",
            "They are too long or too large for a hole: name more repositories.",
        )
    say(f"{len(usable):,} repairs from history, of {len(found):,} found.")
    return usable


# -- python -m diffufix.train.<stage> ------------------------------------------------------------


def main(stage: str, argv: Sequence[str] | None = None) -> int:
    """The stage as a module's command line, for machines without typer and rich."""
    parser = argparse.ArgumentParser(
        prog=f"python -m diffufix.train.{stage}",
        description="The same as `diffufix train " + stage + "`; docs/training.md says more.",
    )
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--from", dest="source", metavar="FOLDER")
    parser.add_argument("--through", choices=STAGES)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--pairs", type=Path, action="append", metavar="FILE")
    parser.add_argument("--history", type=Path, action="append", metavar="REPOSITORY")
    parser.add_argument("--device")
    parser.add_argument("--workers", type=int, default=Options.workers)
    parser.add_argument("--save-every", type=int, default=Options.save_every)
    parser.add_argument("--log-every", type=int, default=Options.log_every)
    parser.add_argument("--quiz-every", type=int, default=Options.quiz_every)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--flops", type=float, help="of the machine, a second, for --dry-run")
    values = vars(parser.parse_args(argv))
    dry, flops = values.pop("dry_run"), values.pop("flops")
    job = to_job(stage, values)
    try:
        if dry:
            print("\n".join(dry_run(job, flops)))
        else:
            print(json.dumps(run(job)))
    except Stopped as stopped:
        say(str(stopped))
        return 0 if stopped.planned else 130
    except DiffufixError as error:
        say(f"error: {error.message}\n{error.hint}")
        return error.exit_code
    return 0


def command(stage: str) -> None:
    sys.exit(main(stage))
