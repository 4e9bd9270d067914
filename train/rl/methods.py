"""Training methods: one class for each, and all of them update from the groups of a step.

- PolicyGradient: coupled-GRPO and its relatives (rl/objectives/coupled_grpo.py), by the
  estimator's name;
- Rejection: `rft`, imitation of what passed;
- Preference: `preference`, what was better of a task against what was worse
  (rl/objectives/preference.py);
- Answers: `answers`, imitation of the texts that are known to be right, without any sampling;
- ContinuedPretraining: `repo`, masked diffusion of the project's own functions, without tasks or
  tests.
Each trains the parameters of `model` that require a gradient. Pure.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from diffufix.errors import UsageError
from diffufix.propose.tasks import prompt_of
from diffufix.train.objective import loss_of, move
from diffufix.train.optim import Average, adamw, set_rate
from diffufix.train.pretrain.batches import make_batch
from diffufix.train.pretrain.examples import ExampleMaker
from diffufix.train.rl.objectives import preference
from diffufix.train.rl.objectives.coupled_grpo import Learner
from diffufix.train.rl.objectives.group_batch import GRPOSettings
from diffufix.train.rl.objectives.imitation import Demonstration, Passed, imitate, pick
from diffufix.types import Group, Task

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel

POLICY = ("coupled", "d1", "full", "decoupled", "count")
METHODS = (*POLICY, "rft", "preference", "answers", "repo")
#: Peak learning rates of AdamW: all weights of a small model, or a LoRA adapter.
FULL_LR = {"rft": 5e-5, "preference": 3e-5, "answers": 1e-4, "repo": 1e-4}
POLICY_LR = 3e-4
LORA_LR = 2e-4
WARMUP = 5  # steps
MIXTURE = {"plain": 0.5, "gap": 0.5}  # of the repository's code


@dataclass(frozen=True)
class Tuning:
    """What decides the updates of any method; 0 and None: the method's own."""

    method: str = "coupled"
    lr: float = 0.0
    inner: int = 2
    beta: float | None = None
    clip: float = 1.0  # of the gradient's norm
    weight_decay: float = 0.0
    examples: int = 12  # imitated at once, or pairs
    rows: int = 12  # of the repository's code at once
    seed: int = 0
    max_age: int = 2
    tokens: int = GRPOSettings.tokens  # of one pass of a policy gradient


class Method(Protocol):
    """`collects`: wants groups. `estimator`: what they are to be scored with; "": nothing."""

    collects: bool
    estimator: str

    def named(self, version: str) -> None:
        """The weights as they are now are called this in the groups that they sample."""

    def update(self, groups: Sequence[Group], step: int) -> dict[str, float]: ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


def make_method(
    tuning: Tuning, model: LoadedModel, tasks: Sequence[Task], code: Sequence[str], accelerator: Any
) -> Method:
    """Raises UsageError for an unknown method, and for `repo` with a model that it is not for."""
    if tuning.method in POLICY:
        return PolicyGradient(tuning, model, accelerator)
    if tuning.method == "rft":
        return Rejection(tuning, model)
    if tuning.method == "preference":
        return Preference(tuning, model)
    if tuning.method == "answers":
        return Answers(tuning, model, tasks)
    if tuning.method == "repo":
        return ContinuedPretraining(tuning, model, code)
    raise UsageError(f"Unknown method {tuning.method!r}.", f"One of {', '.join(METHODS)}.")


def rate_of(tuning: Tuning, model: nn.Module) -> float:
    """The peak learning rate: as given, or by method and by how much of the model is trained."""
    whole = all(p.requires_grad for p in model.parameters())
    return tuning.lr or (FULL_LR.get(tuning.method, POLICY_LR) if whole else LORA_LR)


def _optimise(tuning: Tuning, model: nn.Module) -> list[torch.optim.Optimizer]:
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = adamw(trained, rate_of(tuning, model), tuning.weight_decay)
    for group in optimiser.param_groups:
        group["peak"] = group["lr"]
    return [optimiser]


def _generator(rng: random.Random) -> torch.Generator:
    return torch.Generator().manual_seed(rng.getrandbits(60))


def _warm(optimisers: Sequence[torch.optim.Optimizer], step: int) -> None:
    set_rate(optimisers, min(1.0, (step + 1) / WARMUP))


class PolicyGradient:
    collects = True

    def __init__(self, tuning: Tuning, model: LoadedModel, accelerator: Any) -> None:
        own = {} if tuning.beta is None else {"beta": tuning.beta}
        settings = GRPOSettings.of(
            tuning.method, inner=tuning.inner, max_norm=tuning.clip, max_age=tuning.max_age,
            tokens=tuning.tokens, **own,
        )  # fmt: skip
        self.estimator = tuning.method
        self.learner = Learner(model, lambda m: _optimise(tuning, m), settings, accelerator)
        self.ages: dict[str, int] = {}  # updates since the weights of that name; empty: not told

    def named(self, version: str) -> None:
        self.ages[version] = 0

    def update(self, groups: Sequence[Group], step: int) -> dict[str, float]:
        _warm(self.learner.optimisers, step)
        metrics = self.learner.update(groups, self.ages or None)
        if metrics["steps"]:
            limit = self.learner.settings.max_age
            self.ages = {v: age + 1 for v, age in self.ages.items() if age < limit}
        return metrics

    def state(self) -> dict[str, Any]:
        return {**self.learner.state_dict(), "ages": dict(self.ages)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.learner.load_state_dict(state)
        self.ages = dict(state.get("ages", {}))


class _Stepping:
    """Steps of one optimiser on the loss of a few examples."""

    estimator = ""

    def named(self, version: str) -> None:
        """What was sampled by other weights is learned from all the same."""

    def __init__(self, tuning: Tuning, model: LoadedModel) -> None:
        self.tuning, self.model = tuning, model
        self.optimisers = _optimise(tuning, model)

    def _steps(
        self, count: int, step: int, loss: Callable[[int], Iterable[Tensor]]
    ) -> dict[str, float]:
        """`count` steps; the means of their losses and norms. A loss comes in parts that add up,
        each gone through by itself."""
        _warm(self.optimisers, step)
        losses, norms, skipped = [], [], 0
        for number in range(count):
            value = 0.0
            for part in loss(number):
                part.backward()
                value += float(part.detach())
            norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), self.tuning.clip))
            fine = math.isfinite(norm)
            for optimiser in self.optimisers:
                if fine:
                    optimiser.step()
                optimiser.zero_grad(set_to_none=True)
            skipped += not fine
            losses.append(value)
            norms.append(norm)
        if not count:
            return {"steps": 0.0}
        mean = {"loss": sum(losses) / count, "norm": sum(norms) / count}
        return {**mean, "steps": float(count - skipped), "skipped": float(skipped)}

    def _rng(self, step: int, number: int) -> random.Random:
        return random.Random(f"{self.tuning.seed}/{step}/{number}")

    def _imitate(self, examples: Sequence[Demonstration], step: int) -> dict[str, float]:
        def loss(number: int) -> Iterable[Tensor]:
            rng = self._rng(step, number)
            chosen = pick(examples, self.tuning.examples, rng)
            yield imitate(self.model, chosen, _generator(rng))

        return self._steps(self.tuning.inner if examples else 0, step, loss)

    def state(self) -> dict[str, Any]:
        return {"optims": [optimiser.state_dict() for optimiser in self.optimisers]}

    def restore(self, state: Mapping[str, Any]) -> None:
        for optimiser, saved in zip(self.optimisers, state["optims"], strict=True):
            optimiser.load_state_dict(saved)


class Rejection(_Stepping):
    collects = True

    def __init__(self, tuning: Tuning, model: LoadedModel) -> None:
        super().__init__(tuning, model)
        self.passed = Passed()

    def update(self, groups: Sequence[Group], step: int) -> dict[str, float]:
        fresh = self.passed.add(groups)
        examples = self.passed.examples()
        return {
            **self._imitate(examples, step), "fresh": float(fresh), "examples": float(len(examples))
        }  # fmt: skip

    def state(self) -> dict[str, Any]:
        return {**super().state(), "passed": self.passed.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.passed.restore(state["passed"])


class Preference(_Stepping):
    """The reference is the model as it was at first: of its weights, a copy of those that learn."""

    collects = True

    def __init__(self, tuning: Tuning, model: LoadedModel) -> None:
        super().__init__(tuning, model)
        self.beta = preference.BETA if tuning.beta is None else tuning.beta
        if not self.beta:
            raise UsageError("Method preference learns nothing with a beta of 0.", "Try 0.2.")
        self.reference = Average(model, 0.0)
        self.pairs = preference.Pairs()

    def update(self, groups: Sequence[Group], step: int) -> dict[str, float]:
        fresh = self.pairs.add(groups)
        pairs = self.pairs.all()
        moved: dict[str, float] = {}

        def loss(number: int) -> Iterable[Tensor]:
            rng = self._rng(step, number)
            generator = _generator(rng)
            chosen = preference.pick(pairs, self.tuning.examples, rng)
            share = 1 / len(chosen)
            for at in range(0, len(chosen), preference.TOGETHER):
                part = chosen[at : at + preference.TOGETHER]
                noises = preference.masks(self.model.family, part, generator)
                ours, theirs = preference.referred(self.model, self.reference, part, noises)
                for key, value in preference.measured(ours, theirs).items():
                    moved[key] = moved.get(key, 0.0) + value * share / self.tuning.inner
                yield preference.preference(ours, theirs, self.beta).sum() * share

        steps = self._steps(self.tuning.inner if pairs else 0, step, loss)
        return {**steps, **moved, "fresh": float(fresh), "pairs": float(len(pairs))}

    def state(self) -> dict[str, Any]:
        own = {"reference": self.reference.state_dict(), "pairs": self.pairs.state()}
        return {**super().state(), **own}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.reference.load_state_dict(state["reference"])
        self.pairs.restore(state["pairs"])


class Answers(_Stepping):
    collects = False

    def __init__(self, tuning: Tuning, model: LoadedModel, tasks: Sequence[Task]) -> None:
        super().__init__(tuning, model)
        self.examples = [e for task in tasks if (e := answer_of(model, task))]

    def update(self, groups: Sequence[Group], step: int) -> dict[str, float]:
        return self._imitate(self.examples, step)


class ContinuedPretraining(_Stepping):
    collects = False

    def __init__(self, tuning: Tuning, model: LoadedModel, code: Sequence[str]) -> None:
        super().__init__(tuning, model)
        if not model.family.appended:
            raise UsageError(
                f"Method repo is for models of mini's layout, not {model.family.name}.",
                "Use `answers`, or `diffufix train sft` with a corpus of the project.",
            )
        if not code:
            raise UsageError("There is no code to learn from.", "Name the project's folder.")
        self.maker, self.code = ExampleMaker(model.tokenizer, model.family), list(code)

    def update(self, groups: Sequence[Group], step: int) -> dict[str, float]:
        def loss(number: int) -> Iterable[Tensor]:
            seed = self.tuning.seed
            batch = make_batch(
                self.maker, self.code, self.tuning.rows, MIXTURE, seed, step * 1000 + number
            )
            yield loss_of(self.model, move(batch, self.model.device))[0]

        return self._steps(self.tuning.inner, step, loss)


def answer_of(model: LoadedModel, task: Task) -> Demonstration | None:
    """The completion that puts a task's answer into its hole; None where there is none."""
    prompt = prompt_of(model, task)
    if prompt is None or task.answer is None:
        return None
    ids = model.tokenizer.encode(prompt.lead + task.answer)
    if model.family.delete is None:  # the text that is known takes what it takes
        prompt = replace(prompt, width=len(ids))
    silent = model.family.delete if model.family.delete is not None else model.family.pad
    spare = prompt.width - len(ids)
    if spare < 0 or (spare and silent is None):
        return None
    return Demonstration(prompt, (*ids, *[silent or 0] * spare))
