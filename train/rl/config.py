"""`TrainConfig`: how a training session goes."""

from __future__ import annotations

from dataclasses import dataclass

from diffufix.decode.rollout import Sampling
from diffufix.train.rl.methods import Tuning


@dataclass(frozen=True)
class TrainConfig:
    """How a session goes. It ends with the first bound that is reached; 0: no such bound."""

    method: str = "coupled"
    minutes: float = 10.0
    cpu_minutes: float = 0.0  # of all processes: for equal compute
    steps: int = 0
    tasks: int = 8  # a step
    group: int = 8  # completions of each
    lr: float = 0.0  # 0: the method's own
    inner: int = 2
    beta: float | None = None
    temperature: float = 1.0
    alg: str = "entropy"
    tokens_per_step: int = 1
    seed: int = 0
    save_every: int = 20  # steps
    device: str | None = None
    tensorboard: bool = False
    wrong_fills: bool = True
    lora: bool | None = None  # an adapter, or all weights; None: an adapter from LARGE on
    rank: int = 16
    stale: int = 0  # versions of the weights that a group may be old; more than 0: on a cluster
    tokens: int = Tuning.tokens  # of one pass of a policy gradient: memory

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature, None, self.alg, self.tokens_per_step)

    @property
    def tuning(self) -> Tuning:
        return Tuning(
            self.method, self.lr, self.inner, self.beta, seed=self.seed, tokens=self.tokens
        )
