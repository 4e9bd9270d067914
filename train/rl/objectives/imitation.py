"""Learning by imitation: weighted completions, or the project's own code, without any ratio. Pure.

- `Passed` keeps what the tests accepted, each text of a task once and a few of each task, for
  rejection fine-tuning: safe at any age.
- `imitate` is one pass over some of them: the negative count-coupled bound (estimators.py) per
  place, weighted.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffufix.decode.likelihood import noised_logps, scored
from diffufix.train.rl.objectives.estimators import draw
from diffufix.types import Group, Prompt

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel

DRAWS = 4  # of masks, of each example in a step
PER_TASK = 4
KEPT = 5_000  # completions


@dataclass(frozen=True)
class Demonstration:
    """A completion to imitate; `weight` 1 counts fully."""

    prompt: Prompt
    ids: tuple[int, ...]
    weight: float = 1.0


@dataclass
class Passed:
    """Completions that passed, the newest of each task kept."""

    tasks: dict[str, dict[str, Demonstration]] = field(default_factory=dict)

    def add(self, groups: Iterable[Group]) -> int:
        """Returns how many were new. The easier a task, the less its passes weigh: by 1 - the
        share of passes in their group."""
        fresh = 0
        for group in groups:
            passes = [one for one in group.completions if one.state == "pass"]
            weight = 1 - len(passes) / len(group.completions)
            own = self.tasks.setdefault(group.task.key, {})
            for one in passes:
                if weight > 0 and one.text not in own:
                    own[one.text] = Demonstration(group.prompt, one.ids, weight)
                    fresh += 1
            for text in list(own)[:-PER_TASK]:
                del own[text]
        return fresh

    def examples(self) -> list[Demonstration]:
        found = [example for own in self.tasks.values() for example in own.values()]
        return found[-KEPT:]

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return {
            key: {text: [asdict(e.prompt), list(e.ids), e.weight] for text, e in own.items()}
            for key, own in self.tasks.items()
        }

    def restore(self, state: Mapping[str, Mapping[str, Sequence[Any]]]) -> None:
        self.tasks = {
            key: {
                text: Demonstration(read_prompt(p), tuple(ids), w)
                for text, (p, ids, w) in own.items()
            }
            for key, own in state.items()
        }


def imitate(
    model: LoadedModel, examples: Sequence[Demonstration], generator: torch.Generator
) -> Tensor:
    """The mean loss per place of the examples, by their weights.

    Each is masked DRAWS times: encoding its context costs more than asking about its hole.
    """
    examples = [example for example in examples for _ in range(DRAWS)]
    places = [scored(model.family, example.ids) for example in examples]
    noises = [draw("count", one, generator) for one in places]
    l_NC = noised_logps(model, [(e.prompt, e.ids) for e in examples], noises)
    weights = torch.tensor([e.weight for e in examples], device=l_NC.device)
    lengths = torch.tensor([max(1, sum(one)) for one in places], device=l_NC.device)
    return -(l_NC.sum(-1) / lengths * weights).sum() / weights.sum().clamp_min(1e-9)


def read_prompt(values: Mapping[str, Any]) -> Prompt:
    """A prompt from its plain values."""
    names = ("left", "right", "original", "failure")
    ids = {name: tuple(values[name]) for name in names if name in values}
    return Prompt(**{**values, **ids})


def pick(examples: Sequence[Demonstration], count: int, rng: random.Random) -> list[Demonstration]:
    return rng.sample(list(examples), min(count, len(examples)))
