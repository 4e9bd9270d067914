"""`Evaluator`: what two models make of the same held-out tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffufix.errors import ProjectError
from diffufix.train.rl.config import TrainConfig
from diffufix.train.rl.gate import Counts, GateResult, Places, compare, repairs
from diffufix.train.rl.rollouts import Collector, evaluate
from diffufix.train.rl.searching import TRIES, Searcher, chosen
from diffufix.train.rl.self_play import SelfPlayEnv

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel


@dataclass(frozen=True)
class Measured:
    """One model on the held-out tasks."""

    counts: Counts
    places: Places  # of the tasks that were searched


class Evaluator:
    """The held-out tasks and what both models are asked of them, under the same seeds."""

    def __init__(
        self,
        here: SelfPlayEnv,
        plan: TrainConfig,
        samples: int,
        searched: int,
        tell: Callable[[str], None],
        look: int,
    ) -> None:
        """`samples` of each task; `searched` of them are repaired by search, too; `look`: how many
        comparisons there were on these tasks, this one included."""
        self.here, self.samples, self.tell, self.look = here, samples, tell, look
        self.seed = plan.seed
        self.collector = Collector(here.screen, sampling=plan.sampling)
        self.searcher = Searcher(here.screen, seed=plan.seed)
        self.searched = chosen(here.held_out, searched)

    def evaluate(self, model: LoadedModel, what: str) -> Measured | None:
        """None where nothing is held out. Raises ProjectError where nothing can be judged."""
        held_out, samples = self.here.held_out, self.samples
        if not held_out:
            self.tell("no function could be held out: nothing to compare on")
            return None
        self.tell(f"measuring {what} on {len(held_out):,} held-out tasks, {samples} samples each")
        model.eval()
        counts = evaluate(model, held_out, samples, self.collector, self.seed)
        known = [passes / samples for passes, samples in counts if samples]
        if not known:
            raise ProjectError("No held-out task could be judged: the sandbox failed on all.")
        text = f"pass@1 of {what}: {sum(known) / len(known):.1%}"
        places: Places = []
        if self.searched:
            self.tell(f"{text}; searching {len(self.searched)} of them")
            places = self.searcher.places(model, self.searched)
            found = sum(place is not None for place in places)
            text += f"; {found} of {len(places)} repaired within {TRIES} candidates"
        self.tell(text)
        return Measured(counts, places)

    def compare(self, before: Measured, after: Measured) -> GateResult:
        searched = repairs(before.places, after.places, self.searcher.tries)
        return compare(
            self.here.held_out, before.counts, after.counts, self.samples,
            searched=searched, look=self.look,
        )  # fmt: skip
