"""One training from end to end: what `diffufix train` does, without how it looks.

1. practise   tests, functions, tasks; some functions are held out (practice.py)
2. measure    the model in use, on tasks of those
3. learn      until the plan's bounds (learn.py); what is collected is in the log at once
4. measure    the new one, on the same tasks under the same seeds; compare (gate.py)
5. keep       the new one in the registry, and in use where it is better

Writes `.diffufix/`: the log, `training/NAME/` while it learns, `models/NAME/` at the end. A
session that was interrupted is gone on with by the same name.
"""

from __future__ import annotations

import difflib
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffufix.config import Settings
from diffufix.errors import StoreError, UsageError
from diffufix.model.devices import flushed
from diffufix.registry.cards import Card
from diffufix.registry.models import Registry
from diffufix.registry.policy import Policy, base_of, choose_policy
from diffufix.store import Store
from diffufix.store.folder import private_folder
from diffufix.store.trajectories import read_groups
from diffufix.train.checkpoints import STATE
from diffufix.train.rl import learn, replay
from diffufix.train.rl.config import TrainConfig
from diffufix.train.rl.evaluator import Evaluator
from diffufix.train.rl.gate import SAMPLES, GateResult
from diffufix.train.rl.learn import LearnResult
from diffufix.train.rl.methods import METHODS
from diffufix.train.rl.rewards import reward_functions
from diffufix.train.rl.rollouts import Collector
from diffufix.train.rl.self_play import SelfPlayEnv, Wanted
from diffufix.types import Group

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel

FOLDER = "training"  # in .diffufix/
PER_TASK, MOST = 4, 20_000  # groups that are taken from the log, the newest
FEW = 8  # tasks to make where none are needed to learn from
SEARCHED = 16  # held-out tasks that are also repaired by search, before and after

Tell = Callable[[str], None]
Listen = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Wish:
    """What is wanted of a session."""

    plan: TrainConfig
    wanted: Wanted = field(default_factory=Wanted)
    self_play: bool = True  # else what the log holds is learned from
    name: str = ""  # of what is made; empty: the project's, with a number
    samples: int = SAMPLES  # of each held-out task
    searched: int = SEARCHED  # of the held-out tasks
    fresh: bool = False  # what an interrupted session of that name left is dropped
    adopt: bool = True  # what is better

    @property
    def samples_anew(self) -> bool:
        """Or needs no samples at all; False: it learns from the log."""
        return self.self_play or self.plan.method not in replay.METHODS


@dataclass(frozen=True)
class Outcome:
    """What came of it. `status`: adopted, kept (not better, or not wanted), interrupted."""

    status: str
    name: str
    folder: Path  # of the session: log.jsonl, report
    learned: LearnResult
    before: str  # what was in use, by its shown name
    held_out: int
    group: int  # completions of each
    gate: GateResult | None = None
    warning: str = ""

    @property
    def exit_code(self) -> int:
        return {"adopted": 0, "kept": 1, "interrupted": 130}[self.status]

    @property
    def data(self) -> dict[str, int]:
        """Counts of what was learned from."""
        learned = self.learned
        return {
            "tasks": learned.tasks,
            "groups": learned.groups,
            "groups_with_signal": learned.signal,
            "completions": learned.groups * self.group,
            "steps": learned.steps,
        }

    def document(self) -> dict[str, Any]:
        learned = asdict(self.learned)
        learned |= {"model": str(self.learned.model), "rows": len(self.learned.rows)}
        return {
            "status": self.status,
            "exit_code": self.exit_code,
            "name": self.name,
            "folder": str(self.folder),
            "before": self.before,
            "held_out": self.held_out,
            "gate": self.gate.document() if self.gate else None,
            "learned": learned,
            "last": dict(self.learned.rows[-1]) if self.learned.rows else {},
            "warning": self.warning,
        }


@flushed()
def improve(settings: Settings, wish: Wish, tell: Tell, listen: Listen) -> Outcome:
    """Train on the project in `settings.root`.

    `tell` hears what is being done, `listen` every row of numbers. Raises what `SelfPlayEnv` and
    `learn` raise, UsageError (a name that is taken), CheckpointError, StoreError.
    """
    _check(wish)
    registry = Registry(settings.root)
    name = wish.name or registry.free_name(settings.root.name)
    registry.check_free(name)
    folder = private_folder(settings.root) / FOLDER / name
    if wish.fresh and folder.exists():
        shutil.rmtree(folder)
    rewards = reward_functions(settings.rewards)
    policy = choose_policy(settings)
    logged = [] if wish.samples_anew else _logged(settings.root)
    tell("loading the model")
    model = policy.load(settings.device, settings.dtype)
    if policy.note:
        tell(policy.note)
    _check_start(wish.plan, policy, model, base_of(settings).folder)
    started_from = model.fingerprint
    if (folder / STATE).is_file():
        tell(f"going on with {name}, which was interrupted")
    wanted = wish.wanted if wish.samples_anew else replace(wish.wanted, tasks=FEW, history=False)
    with Store.open(settings.root) as store, SelfPlayEnv(settings, model, wanted, tell) as here:
        run_id = store.begin_run({**asdict(wish.plan), "name": name}, "train")
        parameters = sum(p.numel() for p in model.parameters())
        store.set_model(run_id, model.name, started_from, str(policy.adapter or ""), parameters)
        if wish.samples_anew:
            tell(_practice_line(here))
        look = _looks(registry, settings) + 1
        evaluator = Evaluator(here, wish.plan, wish.samples, wish.searched, tell, look)
        before = evaluator.evaluate(model, "the model as it is")
        if wish.samples_anew:
            tell(f"learning: {wish.plan.method}")
            learned = learn.learn(
                model, here, wish.plan, folder, store=store, run_id=run_id, rewards=rewards,
                listen=listen,
            )  # fmt: skip
        else:
            groups = replay.learnable(logged, here, wish.plan.method, started_from, model)
            tell(f"learning: {wish.plan.method}, from {len(groups):,} groups of the log")
            learned = replay.replay(model, here, wish.plan, folder, groups, listen)
        outcome = Outcome(
            "interrupted", name, folder, learned, policy.name, len(here.held_out),
            wish.plan.group, warning=store.warning,
        )  # fmt: skip
        if learned.interrupted:
            store.finish_run(run_id, "interrupted", outcome.document())
            return outcome
        del model  # what is measured is what will be used: the saved weights, loaded anew
        trained = _trained(base_of(settings).folder, name, learned.model)
        loaded = trained.load(settings.device, settings.dtype)
        after = evaluator.evaluate(loaded, "what was learned")
        gate = evaluator.compare(before, after) if before and after else None
        outcome = replace(outcome, status="kept", gate=gate)
        card = _card(settings, policy, started_from, outcome)
        registry.add(card, lambda target: _copy(learned.model, target))
        if gate is not None and gate.better and wish.adopt:
            registry.adopt(name)
            outcome = replace(outcome, status="adopted")
        store.finish_run(run_id, outcome.status, outcome.document())
    _tidy(folder)
    return outcome


def try_out(settings: Settings, wish: Wish, tell: Tell) -> list[str]:
    """What a session would be made of and what a step takes, as lines; nothing is kept."""
    policy = choose_policy(settings)
    tell("loading the model")
    model = policy.load(settings.device, settings.dtype)
    with SelfPlayEnv(settings, model, wish.wanted, tell) as here:
        import torch

        plan = wish.plan
        collector = Collector(
            here.screen, sampling=plan.sampling, rewards=reward_functions(settings.rewards)
        )
        began = time.monotonic()
        few = here.tasks[: plan.tasks]
        groups = collector.groups(model, few, plan.group, torch.Generator().manual_seed(plan.seed))
        seconds = max(time.monotonic() - began, 1e-3)
        parameters = sum(p.numel() for p in model.parameters())
        signal = sum(group.has_signal for group in groups) / max(1, len(groups))
        rates = ", ".join(f"{key} {value:,.0f}" for key, value in collector.spent.rates().items())
        lines = [
            f"model        {policy.name}, {parameters:,} parameters",
            f"functions    {len(here.functions)} to learn from, {len(here.kept)} held out",
            f"tasks        {len(here.tasks)} ({_origins(here)}), {len(here.held_out)} held out",
            f"a step       {len(few)} tasks of {plan.group} completions: {seconds:.1f} s, "
            "and the update",
            f"signal       {signal:.0%} of the groups",
            f"per second   {rates}",
        ]
        if plan.minutes:
            lines.append(f"time         {plan.minutes:g} minutes: at most "
                         f"{60 * plan.minutes / seconds:,.0f} steps")  # fmt: skip
        return lines


def _check(wish: Wish) -> None:
    """What can be said before anything is run. Raises UsageError."""
    plan = wish.plan
    if plan.method not in METHODS:
        near = difflib.get_close_matches(plan.method, METHODS, n=1, cutoff=0.0)[0]
        raise UsageError(
            f"There is no method {plan.method!r}.",
            f"Did you mean {near}? There are {', '.join(METHODS)}.",
        )
    if wish.samples_anew and not (plan.minutes or plan.steps or plan.cpu_minutes):
        raise UsageError("Nothing says when to stop.", "Give --minutes or --steps.")


def _check_start(plan: TrainConfig, policy: Policy, model: LoadedModel, base: Path) -> None:
    """An adapter is loaded on the base again: it may go on from the base or from another adapter.
    Raises UsageError where it would stand on a checkpoint that was trained whole."""
    large = sum(p.numel() for p in model.parameters()) >= learn.LARGE
    lora = large if plan.lora is None else plan.lora
    if lora and policy.checkpoint != base:
        raise UsageError(
            f"{policy.name} was trained whole; an adapter cannot stand on it.",
            "Give --no-lora, or --adapter none.",
        )


def _logged(root: Path) -> list[Group]:
    """The newest groups of the log, a few of each task. Raises UsageError where there are none."""
    try:
        with Store.open_strictly(root, create=False) as store:
            found = list(read_groups(store, per_task=PER_TASK, limit=MOST))
    except StoreError as error:
        raise replay.nothing() from error
    if not found:
        raise replay.nothing()
    return found


# -- steps -----------------------------------------------------------------------------------------


def _practice_line(here: SelfPlayEnv) -> str:
    return (
        f"{len(here.tasks):,} tasks in {len(here.functions):,} functions ({_origins(here)}); "
        f"held out: {len(here.held_out):,} in {len(here.kept):,} others"
    )


def _origins(here: SelfPlayEnv) -> str:
    origins = [task.origin for task in here.tasks]
    return ", ".join(f"{origins.count(kind)} {kind}" for kind in dict.fromkeys(origins))


def _looks(registry: Registry, settings: Settings) -> int:
    """How often models on the same base were compared on this project's held-out functions."""
    base = base_of(settings).fingerprint
    here = [card for card in registry.cards() if card.base == base and not card.source]
    return sum(card.gate is not None for card in here)


def _trained(base: Path, name: str, folder: Path) -> Policy:
    """What was learned, as `repair` will use it."""
    if (folder / "adapter_config.json").is_file():
        return Policy(name, base, adapter=folder)
    return Policy(name, folder)


def _card(settings: Settings, policy: Policy, started_from: str, outcome: Outcome) -> Card:
    from diffufix.model.checkpoint import fingerprint_of

    base = base_of(settings)
    folder = outcome.learned.model
    lora = (folder / "adapter_config.json").is_file()
    last = outcome.learned.rows[-1] if outcome.learned.rows else {}
    chosen = ("reward", "passed", "signal", "kl", "loss", "length", "arness", "solve_rate")
    return Card(
        outcome.name, "lora" if lora else "full", base.fingerprint, base.name,
        fingerprint=fingerprint_of(base.folder, folder) if lora else fingerprint_of(folder),
        parent=started_from, parent_name=policy.card.name if policy.card else "",
        method=outcome.learned.method,
        data={**outcome.data, "seconds": round(outcome.learned.seconds, 1)},
        metrics={key: last[key] for key in chosen if key in last},
        gate=outcome.gate.document() if outcome.gate else None,
    )  # fmt: skip


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True)


def _tidy(folder: Path) -> None:
    """What a finished session needs no more; its log stays."""
    (folder / STATE).unlink(missing_ok=True)
    shutil.rmtree(folder / "model", ignore_errors=True)
