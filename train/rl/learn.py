"""The loop of `diffufix train`: sample, verify, update, again and again, on the user's project.

    with SelfPlayEnv(settings, model) as practice:
        result = learn(model, practice, Plan(method="coupled", minutes=10), out)

A step: 1. tasks by the curriculum; 2. groups of the policy as it is now, verified while the next
are sampled, each in the log as soon as it is complete; 3. the method's update; 4. a row of numbers.
What a step draws depends on (seed, step) alone, and a checkpoint holds the rest, so a resumed run
goes on as the unbroken one would have, bit for bit on a CPU with as many threads.

Trains `model` in place. Writes the folder `out` (state.pt, log.jsonl, model/) and the given store.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from diffufix.errors import SandboxUnavailable, UsageError
from diffufix.model.adapted import detach, merge
from diffufix.train import checkpoints
from diffufix.train.cost import cpu_seconds
from diffufix.train.pretrain.trainer import make_accelerator, signals
from diffufix.train.rl.config import TrainConfig
from diffufix.train.rl.curriculum import Curriculum
from diffufix.train.rl.methods import METHODS, make_method
from diffufix.train.rl.metrics import described
from diffufix.train.rl.rewards import DEFAULT, Weighted
from diffufix.train.rl.rollouts import Throughput
from diffufix.train.rl.self_play import SelfPlayEnv
from diffufix.train.tracking import Tracker, say
from diffufix.types import Group, State, Task

if TYPE_CHECKING:
    from peft import PeftModel

    from diffufix.model.checkpoint import LoadedModel
    from diffufix.store import Store

LARGE = 300_000_000  # parameters
WRONG = 2  # tasks out of wrong fills, a step
LOST = 3  # steps in a row without any verdict, then the sandbox is given up
Row = Mapping[str, Any]


@dataclass(frozen=True)
class LearnResult:
    """What a session did. `model` is the folder of the weights: all of them in hub layout, or an
    adapter in peft's."""

    method: str
    model: Path
    steps: int
    groups: int
    signal: int  # groups with signal
    tasks: int
    seconds: float
    cpu_seconds: float
    throughput: Throughput
    rows: tuple[Row, ...]
    interrupted: bool = False


def learn(
    model: LoadedModel,
    practice: SelfPlayEnv,
    plan: TrainConfig,
    out: Path,
    *,
    store: Store | None = None,
    run_id: int | None = None,
    rewards: tuple[Weighted, ...] = DEFAULT,
    listen: Callable[[Row], None] = lambda row: None,
) -> LearnResult:
    """Train until the plan's bounds; a folder with a checkpoint of the same plan is gone on with.

    A signal ends the session after the step it comes in, as a bound does. `listen` hears every
    row, with `left` (seconds, of the nearest bound). Raises UsageError; TrainingError where the
    disk is full; SandboxUnavailable where it fails for good: what was learned is saved before.
    """
    session = _Session(model, practice, plan, out, store, run_id, rewards, listen)
    with contextlib.closing(session.collector):
        return session.run()


class _Session:
    def __init__(
        self, model: LoadedModel, practice: SelfPlayEnv, plan: TrainConfig, out: Path,
        store: Store | None, run_id: int | None, rewards: tuple[Weighted, ...],
        listen: Callable[[Row], None],
    ) -> None:  # fmt: skip
        if plan.method not in METHODS:
            raise UsageError(f"Unknown method {plan.method!r}.", f"One of {', '.join(METHODS)}.")
        if not (plan.minutes or plan.cpu_minutes or plan.steps):
            raise UsageError("Nothing says when to stop.", "Give minutes or steps.")
        self.model, self.practice, self.plan, self.out, self.listen = (
            model, practice, plan, out, listen,
        )  # fmt: skip
        self.base, self.store = model.fingerprint, store
        accelerator = make_accelerator(plan.device or str(model.device))
        self.adapted = prepare(model, plan)
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        checkpoints.check_room(out, trained)
        self.method = make_method(plan.tuning, model, practice.tasks, practice.code, accelerator)
        self.method.named(self.base)
        self.curriculum = Curriculum()
        self.curriculum.add(practice.tasks)
        self.made: list[Task] = []  # out of wrong fills
        self.collector = practice.rolling(
            partial(prepare, plan=plan), stale=plan.stale, version=self.base,
            keep=(lambda group: store.add_group(run_id, group)) if store else lambda group: None,
            sampling=plan.sampling, estimator=self.method.estimator, inner=plan.inner,
            rewards=rewards,
        )  # fmt: skip
        self.step = self.groups = self.signal = self.lost = 0
        self.warned = ""
        self.before = self.cpu_before = 0.0  # seconds of earlier sessions
        self.rows: list[Row] = []

    # -- the loop ----------------------------------------------------------------------------------

    def run(self) -> LearnResult:
        tracked = self._resume()
        self.began, self.cpu_began = time.monotonic(), cpu_seconds()
        self.tracker = Tracker(
            self.out, self.step, self.plan.steps, every=1, state=tracked, quiet=True,
            tensorboard=self.plan.tensorboard,
        )  # fmt: skip
        with self.tracker, signals() as asked:
            while not asked and self._left() > 0:
                self._step()
                if self.step % self.plan.save_every == 0:
                    self.save()
                if self.lost >= LOST:
                    break
            self.save()
        if self.lost >= LOST:
            raise SandboxUnavailable(
                f"The sandbox failed on every candidate of {LOST} steps in a row.",
                "What was learned is saved; see `diffufix env`, then run the same command again.",
            )
        return LearnResult(
            self.plan.method, self.out / checkpoints.MODEL, self.step, self.groups, self.signal,
            len(self.curriculum.tasks), self.seconds, self.cpu, self.collector.spent,
            tuple(self.rows), bool(asked),
        )  # fmt: skip

    def _step(self) -> None:
        plan, spent = self.plan, self.collector.spent
        before, began = replace(spent), time.monotonic()
        rng = random.Random(f"{plan.seed}/{self.step}")
        generator = torch.Generator().manual_seed(rng.getrandbits(60))
        groups: list[Group] = []
        if self.method.collects:
            self.model.eval()
            tasks = self.curriculum.draw(plan.tasks, rng)
            groups = self.collector.groups(self.model, tasks, plan.group, generator)
            self._keep(groups)
            self.curriculum.note(groups)
            if plan.wrong_fills:
                self.made += (fresh := self.practice.wrong(groups, WRONG, rng))
                self.curriculum.add(fresh)
        collected = time.monotonic()
        metrics = self.method.update(groups, self.step)
        spent.updates += int(metrics["steps"])
        spent.updating += time.monotonic() - collected
        self.step += 1
        if metrics["steps"]:
            self.collector.version = f"{self.base[:16]}+{plan.seed}.{self.step}"
            self.method.named(self.collector.version)
        self.groups += len(groups)
        self.signal += sum(group.has_signal for group in groups)
        self._tell(metrics, groups, spent.since(before), time.monotonic() - began)

    def _keep(self, groups: Sequence[Group]) -> None:
        """What was collected is on disk before anything else is done; or it is said why not."""
        if self.store is not None:
            self.store.flush()
            if self.store.warning not in ("", self.warned):
                self.warned = self.store.warning
                say(f"warning: {self.warned}")
        states = {one.state for group in groups for one in group.completions}
        without = not groups or (State.INFRA in states and states <= {State.INFRA, State.ERROR})
        self.lost = self.lost + 1 if without else 0

    def _tell(
        self, metrics: dict[str, float], groups: Sequence[Group], spent: Throughput, seconds: float
    ) -> None:
        values = {**described(groups, self.model.family.delete), **metrics, **spent.rates()}
        values |= self.collector.numbers()
        if self.method.collects:
            values["solve_rate"] = self.curriculum.solve_rate
            values["tasks"] = len(self.curriculum.tasks)
        values |= {"step_seconds": seconds, "cpu_seconds": self.cpu}
        rounded = {k: round(v, 5) if isinstance(v, float) else v for k, v in values.items()}
        self.tracker.add(rounded.pop("loss", 0.0), int(spent.samples))
        self.tracker.row(**rounded)
        row = {**self.tracker.latest, "left": round(self._left(), 1)}
        self.rows.append(row)
        self.listen(row)

    # -- bounds ------------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.began

    @property
    def cpu(self) -> float:
        return self.cpu_before + cpu_seconds() - self.cpu_began

    def _left(self) -> float:
        """Seconds until the nearest bound, by the pace so far; 0: it is reached."""
        plan, wall = self.plan, self.seconds
        bounds = []
        if plan.minutes:
            bounds.append(60 * plan.minutes - wall)
        if plan.cpu_minutes:
            cpu = self.cpu
            left = 60 * plan.cpu_minutes - cpu
            bounds.append(left * wall / cpu if cpu > 1 else left)
        if plan.steps:
            pace = wall / self.step if self.step else 1.0
            bounds.append((plan.steps - self.step) * max(pace, 1e-3))
        return max(0.0, min(bounds))

    # -- checkpoints -------------------------------------------------------------------------------

    def save(self) -> None:
        state = {
            "step": self.step,
            "plan": asdict(self.plan),
            "base": self.base,
            "model": {n: p.detach() for n, p in self.model.named_parameters() if p.requires_grad},
            "method": self.method.state(),
            "curriculum": self.curriculum.state(),
            "made": [asdict(task) for task in self.made],
            "version": self.collector.version,
            "counts": [self.groups, self.signal],
            "tracker": self.tracker.state(),
            "seconds": [self.seconds, self.cpu],
        }
        write_weights(self.out / checkpoints.MODEL, self.model, self.adapted)
        path = self.out / checkpoints.STATE
        checkpoints.write_whole(path, lambda where: torch.save(state, where))

    def _resume(self) -> dict[str, Any]:
        if not (self.out / checkpoints.STATE).is_file():
            return {}
        state = checkpoints.read_progress(self.out, self.model.device)
        own = asdict(self.plan)
        free = (
            "minutes", "cpu_minutes", "steps", "save_every", "tensorboard", "device", "tokens",
            "stale",
        )  # fmt: skip
        odd = [k for k, v in state["plan"].items() if k not in free and own.get(k) != v]
        if odd or state["base"] != self.base:
            what = ", ".join(odd) or "the model"
            raise UsageError(
                f"{self.out} holds a session with another plan ({what}).",
                "Give the same options to go on with it, or another folder.",
            )
        self.model.load_state_dict(state["model"], strict=False)  # what is frozen is as it was
        self.method.restore(state["method"])
        self.curriculum.restore(state["curriculum"])
        self.made = [_task(values) for values in state["made"]]
        self.curriculum.add(self.made)
        self.step, self.collector.version = int(state["step"]), state["version"]
        self.groups, self.signal = state["counts"]
        self.before, self.cpu_before = state["seconds"]
        return dict(state["tracker"])


def prepare(model: LoadedModel, plan: TrainConfig) -> PeftModel | None:
    """Say which parameters are trained: all, or those of an adapter that is put in and returned.

    An adapter that the model was loaded with is gone on with, on the weights below it.
    Raises PrerequisiteError without peft.
    """
    large = sum(p.numel() for p in model.parameters()) >= LARGE
    if not (large if plan.lora is None else plan.lora):
        merge(model.float())  # small steps are lost in bfloat16
        model.requires_grad_(True)
        return None
    from diffufix.model import load_model
    from diffufix.train.rl.lora import add_lora, checkpoint_blocks, load_lora

    before = model.adapter
    if before is not None:
        detach(model)
        bare = load_model(model.path, device=model.device, dtype=model.lm_head.weight.dtype)
        model.load_state_dict(bare.state_dict())
    adapted = add_lora(model, plan.rank, 2 * plan.rank)
    if before is not None:
        load_lora(adapted, before)
    if large:
        checkpoint_blocks(model)
    return adapted


def write_weights(folder: Path, model: LoadedModel, adapted: PeftModel | None) -> None:
    """What was trained, as `load_model` reads it. Raises TrainingError."""
    if adapted is None:
        checkpoints.write_model(folder, model, model.family, model.path, model.max_context)
    else:
        from diffufix.train.rl.lora import save_lora

        save_lora(adapted, folder, model.name)


def _task(values: Mapping[str, Any]) -> Task:
    return Task(**{**values, "tests": tuple(values["tests"])})
