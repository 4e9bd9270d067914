"""coupled-GRPO (arXiv 2506.20639) and its relatives: groups of completions move the weights. Pure.

One update, `inner` times over the same groups, each time under another stored draw of masks:
1. keep the groups that teach: complete, with rewards that differ, scored, not too old;
2. advantages: each reward less the mean of the others in its group;
3. l, the estimated log-likelihoods of the policy as it is now, under the masks of the draw; l_old,
   those of the policy that sampled, come with the log; l_ref, of the reference, are computed;
4. "token": the clipped ratio exp(l_i - l_old_i) of every place against the group's advantage, and
   k3 to the reference, averaged over places. The estimators coupled, d1, full, decoupled go here;
   "sequence": exp((E - E_old) / L) of the whole completion, clipped whatever the advantage
   (ESPO, arXiv 2512.03759; StableDRL, arXiv 2603.06743), and k2. Count-coupled estimates go here.

All three policies are scored under the same masks, so most of the estimators' noise cancels.
Processes are all given the same groups and share them out: the update is that of one process.

N completions of a pass, C places of the widest.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from diffufix.decode.likelihood import noised_logps, scored
from diffufix.model.family import Family
from diffufix.model.transformer import Transformer
from diffufix.train.optim import Average
from diffufix.train.rl.objectives.advantages import leave_one_out, spread
from diffufix.train.rl.objectives.group_batch import GroupBatch, GRPOSettings, tokens_of, usable
from diffufix.types import Completion, Group

_FAR = 20.0  # nats: beyond, a ratio is as good as infinite


class LikelihoodModule(nn.Module):
    """A module whose forward is the likelihoods, as wrappers for many processes want it."""

    def __init__(self, model: Transformer, family: Family | None = None) -> None:
        super().__init__()
        self.model, self.family = model, family

    def forward(self, batch: GroupBatch) -> Tensor:
        """l [N, C]: 0 where nothing is scored."""
        return noised_logps(
            self.model,
            [(group.prompt, completion.ids) for group, completion in batch.completions],
            [completion.noise[batch.draw] for _, completion in batch.completions],
            [float(group.sampling.get("temperature") or 1.0) for group, _ in batch.completions],
            family=self.family,
        )


def objective(
    l_NC: Tensor, reference_NC: Tensor | None, batch: GroupBatch, settings: GRPOSettings
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, summed by the batch's weights, and sums for the metrics (by the same weights)."""
    keep, old = batch.keep, batch.old
    advantages, weights = batch.advantages, batch.weights
    low, high = 1 - settings.clip_low, 1 + settings.clip_high
    if settings.level == "sequence":
        length = keep.sum(-1).clamp_min(1)
        ratio = ((l_NC - old).sum(-1) / length).clamp(-_FAR, _FAR).exp()
        clipped = ratio.clamp(low, high)
        gain = clipped * advantages
        bites = ratio != clipped
        apart = None if reference_NC is None else (l_NC - reference_NC).sum(-1) / length
        kl = torch.zeros_like(gain) if apart is None else apart.square() / 2
    else:
        weights = weights[:, None] * keep
        ratio = (l_NC - old).clamp(-_FAR, _FAR).exp()
        clipped = ratio.clamp(low, high)
        gain = torch.minimum(ratio * advantages[:, None], clipped * advantages[:, None])
        bites = clipped * advantages[:, None] < ratio * advantages[:, None]
        apart = None if reference_NC is None else (reference_NC - l_NC).clamp(-_FAR, _FAR)
        kl = torch.zeros_like(gain) if apart is None else apart.exp() - apart - 1
    loss = ((settings.beta * kl - gain) * weights).sum()
    with torch.no_grad():
        sums = {
            "loss": loss.detach(),
            "kl": (kl * weights).sum(),
            "clipped": (bites * weights).sum(),  # no gradient comes through these
            "ratio": (ratio * weights).sum(),
        }
    return loss, sums


class Learner:
    """The policy while it learns: weights, optimisers, and the reference it is held to.

    `model` is trained in place, its parameters that require a gradient: all of them, or those of
    an adapter. `optimise(model)` makes the optimisers; accelerate wraps them with the model.
    """

    def __init__(
        self,
        model: Transformer,
        optimise: Callable[[Transformer], Sequence[torch.optim.Optimizer]],
        settings: GRPOSettings,
        accelerator: Any = None,
        family: Family | None = None,
    ) -> None:
        self.model, self.settings, self.accelerator = model, settings, accelerator
        self.family: Family = family or model.family  # type: ignore[assignment]
        self.scorer: nn.Module = LikelihoodModule(model, self.family)
        self.optimisers = list(optimise(model))
        if accelerator is not None:
            self.scorer, *wrapped = accelerator.prepare(self.scorer, *self.optimisers)
            self.optimisers = [one.optimizer for one in wrapped]
        self.reference = Average(model, 0.0)
        self.steps = 0  # of the optimisers

    # -- one update --------------------------------------------------------------------------------

    def update(
        self, groups: Sequence[Group], ages: Mapping[str, int] | None = None
    ) -> dict[str, float]:
        """Learn from the groups, the same in every process; returns what there is to log.

        Without a group that teaches, nothing moves and `steps` is 0. A step whose gradient is not
        finite is left out and counted as `skipped`.
        """
        kept, counts = usable(groups, self.settings, ages)
        metrics = _described(groups, kept, counts)
        draws = min((len(c.noise) for group in kept for c in group.completions), default=0)
        totals: dict[str, float] = {}
        steps = min(self.settings.inner, draws)
        for draw in range(steps):
            for key, value in self._step(kept, draw).items():
                totals[key] = totals.get(key, 0.0) + value
        skipped = totals.pop("skipped", 0.0)
        return {
            **metrics,
            **{key: value / steps for key, value in totals.items()},
            "steps": steps - skipped,
            "skipped": skipped,
        }

    def _step(self, groups: Sequence[Group], draw: int) -> dict[str, float]:
        """One step of the optimisers: means over what was scored, and the gradient's norm."""
        batches = self._batches(groups, draw)
        references = self._references(batches)
        self._clear()
        totals: dict[str, Tensor] = {}
        for index, batch in enumerate(batches):
            with self._no_sync(index < len(batches) - 1), self._autocast():
                loss, sums = objective(self.scorer(batch), references[index], batch, self.settings)
                self._backward(loss * self._processes)
            for key, value in sums.items():
                totals[key] = totals[key] + value if key in totals else value
        clip = nn.utils if self.accelerator is None else self.accelerator
        norm = float(clip.clip_grad_norm_(self.scorer.parameters(), self.settings.max_norm))
        metrics = self._summed(totals)
        if not math.isfinite(norm) or not math.isfinite(metrics["loss"]):
            self._clear()
            return {"skipped": 1.0}
        for optimiser in self.optimisers:
            optimiser.step()
        self._clear()
        self.steps += 1
        if self.steps % self.settings.sync_every == 0:
            self.reference.mix(self.settings.sync_mix)
        return {**metrics, "norm": norm}

    def _batches(self, groups: Sequence[Group], draw: int) -> list[GroupBatch]:
        """This process's share of the groups, in passes of bounded memory. All processes have as
        many passes: who has fewer sees its first one again, with weight 0."""
        every = [c for group in groups for c in group.completions]
        places = sum(sum(scored(self.family, c.ids)) for c in every)
        whole = len(every) if self.settings.level == "sequence" else places
        rank = self.accelerator.process_index if self.accelerator is not None else 0
        shares = [
            self._passes(groups[at :: self._processes] or groups[:1], draw)
            for at in range(self._processes)
        ]
        mine = shares[rank] if rank < len(groups) else []
        most = max(map(len, shares))
        batches = [self._batch(part, draw, 1.0 / whole) for part in mine]
        return batches + [
            self._batch(shares[rank][0], draw, 0.0) for _ in range(most - len(batches))
        ]

    def _passes(
        self, groups: Sequence[Group], draw: int
    ) -> list[list[tuple[Group, Completion, float]]]:
        """Completions with their advantages, cut where a pass would get too large."""
        passes: list[list[tuple[Group, Completion, float]]] = []
        used, inside = 0, 0
        for group in groups:
            worth = leave_one_out(group.rewards or (), scaled=self.settings.scaled)
            inside += 1
            for completion, advantage in zip(group.completions, worth, strict=True):
                size = tokens_of(self.family, group, completion, draw)
                full = used + size > self.settings.tokens or inside > self.settings.together
                if not passes or (full and passes[-1]):
                    passes.append([])
                    used, inside = 0, 1
                passes[-1].append((group, completion, advantage))
                used += size
        return passes

    def _batch(
        self, part: Sequence[tuple[Group, Completion, float]], draw: int, weight: float
    ) -> GroupBatch:
        completions = [(group, c) for group, c, _ in part]
        width = max(len(c.ids) for _, c in completions)
        old, keep = torch.zeros(len(part), width), torch.zeros(len(part), width)
        for row, (_, c) in enumerate(completions):
            keep[row, : len(c.ids)] = torch.tensor(scored(self.family, c.ids)).float()
            old[row, : len(c.ids)] = torch.tensor(c.behaviour[draw])
        device = self.model.device
        return GroupBatch(
            completions,
            draw,
            old.to(device),
            keep.to(device),
            torch.tensor([advantage for *_, advantage in part], device=device),
            torch.full((len(part),), weight, device=device),
        )

    def _references(self, batches: Sequence[GroupBatch]) -> list[Tensor | None]:
        """The reference's l. It borrows the model's parameters, so all come before the gradient."""
        if not self.settings.beta:
            return [None] * len(batches)
        with self.reference.applied(), torch.no_grad(), self._autocast():
            self._gather_anew()
            found = [self.scorer(batch) for batch in batches]
        self._gather_anew()
        return found

    def _gather_anew(self) -> None:
        """FSDP keeps the root's weights as it gathered them for the last forward, although those
        below have been changed since."""
        for module in self.scorer.modules():
            if callable(reshard := getattr(module, "reshard", None)):
                reshard()

    def _clear(self) -> None:
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)

    # -- processes ---------------------------------------------------------------------------------

    @property
    def _processes(self) -> int:
        return 1 if self.accelerator is None else int(self.accelerator.num_processes)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext() if self.accelerator is None else self.accelerator.autocast()

    def _no_sync(self, wanted: bool) -> contextlib.AbstractContextManager[Any]:
        several = self.accelerator is not None and wanted
        return self.accelerator.no_sync(self.scorer) if several else contextlib.nullcontext()

    def _backward(self, loss: Tensor) -> None:
        if self.accelerator is None:
            loss.backward()
        else:
            self.accelerator.backward(loss)

    def _summed(self, totals: Mapping[str, Tensor]) -> dict[str, float]:
        values = torch.stack([value.float() for value in totals.values()])
        if self._processes > 1:
            values = self.accelerator.reduce(values, "sum")
        return dict(zip(totals, values.tolist(), strict=True))

    # -- going on ----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs beside the model's weights."""
        return {
            "steps": self.steps,
            "optims": [optimiser.state_dict() for optimiser in self.optimisers],
            "reference": self.reference.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.steps = int(state["steps"])
        for optimiser, saved in zip(self.optimisers, state["optims"], strict=True):
            optimiser.load_state_dict(saved)
        self.reference.load_state_dict(state["reference"])


def _described(
    groups: Sequence[Group], kept: Sequence[Group], counts: Mapping[str, int]
) -> dict[str, float]:
    complete = [group for group in groups if group.rewards is not None]
    mean, deviation = spread([reward for group in complete for reward in group.rewards or ()])
    return {
        "groups": float(len(groups)),
        "used": float(len(kept)),
        "signal": sum(g.has_signal for g in complete) / max(1, len(complete)),
        "reward": mean,
        "reward_std": deviation,
        **{key: float(value) for key, value in counts.items()},
    }
