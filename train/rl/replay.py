"""Learning from the log alone: groups that are there already, nothing is sampled.

Imitation (`rft`) and `preference` take all of them, however old, and go over what passed, or over
the pairs of better and worse, a few times. Policy gradients take only what these very weights
sampled, once, since their ratios mean nothing else.
Trains `model` in place; writes log.jsonl and model/ in the folder `out`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffufix.errors import UsageError
from diffufix.propose.tasks import prompt_of
from diffufix.train import checkpoints
from diffufix.train.cost import cpu_seconds
from diffufix.train.pretrain.trainer import make_accelerator, signals
from diffufix.train.rl.config import TrainConfig
from diffufix.train.rl.learn import LearnResult, prepare, write_weights
from diffufix.train.rl.methods import POLICY, make_method
from diffufix.train.rl.metrics import described
from diffufix.train.rl.objectives.preference import pairs_of
from diffufix.train.rl.rollouts import Throughput
from diffufix.train.rl.self_play import SelfPlayEnv
from diffufix.train.tracking import Tracker
from diffufix.types import Group

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel

METHODS = ("rft", "preference", *POLICY)
ROUNDS = 4  # over the passes or pairs, where no number of steps is given


def learnable(
    groups: Iterable[Group],
    practice: SelfPlayEnv,
    method: str,
    fingerprint: str,
    model: LoadedModel,
) -> list[Group]:
    """Those that the method may learn from: none of a held-out function or of a model that reads
    text otherwise, and for policy gradients none of other weights than those of the fingerprint,
    another estimator or without likelihoods."""
    held = {function.name for function in practice.kept}
    kept = [
        group
        for group in groups
        if f"{group.task.path}::{group.task.qualname}" not in held and reads_alike(model, group)
    ]
    if method not in POLICY:
        return [group for group in kept if _examples(method, group)]
    return [
        group
        for group in kept
        if group.model == fingerprint
        and group.estimator == method
        and group.has_signal
        and all(one.behaviour for one in group.completions)
    ]


def reads_alike(model: LoadedModel, group: Group) -> bool:
    """Whether the ids of the group are this model's: it would be asked the same."""
    try:
        asked, logged = prompt_of(model, group.task), group.prompt
    except SyntaxError:  # of an imported log
        return False
    return asked is not None and (asked.left, asked.right, asked.original) == (
        logged.left, logged.right, logged.original,
    )  # fmt: skip


def _examples(method: str, group: Group) -> int:
    """How many there are in the group, for what goes over them again and again."""
    if method == "preference":
        return len(pairs_of(group))
    return sum(one.state == "pass" for one in group.completions)


def nothing() -> UsageError:
    return UsageError(
        "The log holds nothing that this method could learn from.",
        "`diffufix train --self-play` makes tasks of the project's own functions; "
        "`diffufix rewards` shows what the log holds.",
    )


def replay(
    model: LoadedModel,
    practice: SelfPlayEnv,
    plan: TrainConfig,
    out: Path,
    groups: Sequence[Group],
    listen: Callable[[Mapping[str, Any]], None] = lambda row: None,
) -> LearnResult:
    """Train on `groups` (see `learnable`) until the plan's bounds, or there is no more to learn.

    Raises UsageError where there is nothing to learn from, TrainingError.
    """
    if plan.method not in METHODS:
        raise UsageError(
            f"Method {plan.method} does not learn from the log.", f"One of {', '.join(METHODS)}."
        )
    if not groups:
        raise nothing()
    began, cpu = time.monotonic(), cpu_seconds()
    adapted = prepare(model, plan)
    accelerator = make_accelerator(plan.device or str(model.device))
    method = make_method(plan.tuning, model, (), (), accelerator)
    parts = list(_parts(plan, groups))
    last = min(plan.steps or len(parts), len(parts))
    rows: list[dict[str, Any]] = []
    spent = Throughput()
    with (
        Tracker(out, 0, last, every=1, quiet=True, tensorboard=plan.tensorboard) as tracker,
        signals() as asked,
    ):
        for step, part in enumerate(parts[:last]):
            seconds = time.monotonic() - began
            if asked or (plan.minutes and seconds > 60 * plan.minutes):
                break
            metrics = method.update(part, step)
            spent.updates += int(metrics["steps"])
            spent.updating = time.monotonic() - began
            values = {**described(part, model.family.delete), **metrics, **spent.rates()}
            tracker.add(values.pop("loss", 0.0), 0)
            tracker.row(**{k: round(v, 5) for k, v in values.items()})
            left = (time.monotonic() - began) / (step + 1) * (last - step - 1)
            if plan.minutes:
                left = min(left, 60 * plan.minutes - (time.monotonic() - began))
            rows.append({**tracker.latest, "left": round(max(0.0, left), 1)})
            listen(rows[-1])
    folder = out / checkpoints.MODEL
    write_weights(folder, model, adapted)
    spent.samples = sum(len(group.completions) for group in groups)
    return LearnResult(
        plan.method, folder, len(rows), len(groups), sum(g.has_signal for g in groups),
        len({group.task.key for group in groups}), time.monotonic() - began, cpu_seconds() - cpu,
        spent, tuple(rows), bool(asked),
    )  # fmt: skip


def _parts(plan: TrainConfig, groups: Sequence[Group]) -> Iterator[Sequence[Group]]:
    """What each step is given: what goes over its examples everything first, then nothing new."""
    if plan.method in POLICY:
        for at in range(0, len(groups), plan.tasks):
            yield groups[at : at + plan.tasks]
        return
    examples = sum(_examples(plan.method, group) for group in groups)
    tuning = plan.tuning
    steps = plan.steps or math.ceil(ROUNDS * examples / (tuning.examples * tuning.inner))
    for step in range(max(1, steps)):
        yield groups if step == 0 else ()
