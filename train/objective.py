"""The loss of every stage: weighted cross-entropy of the labelled places of a batch. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffufix.model.pointer_generator import PointerGenerator
from diffufix.model.transformer import Mask, Transformer
from diffufix.train.batch import IGNORE

EDITING = 8.0  # weight of a token's operation: all but a few are kept, so the mean is small


class Labelled(Protocol):
    """A batch of [B, T]. `labels` stand where they are read: shifted models have them one left;
    `rows` is -1 at padding."""

    @property
    def ids(self) -> Tensor: ...
    @property
    def positions(self) -> Tensor: ...
    @property
    def rows(self) -> Tensor: ...
    @property
    def labels(self) -> Tensor: ...
    @property
    def weights(self) -> Tensor: ...

    def attention(self) -> Mask:
        """Where attention is allowed; a tensor broadcasts to [B, H, T, T]."""
        ...


B = TypeVar("B", bound=Labelled)


def move(batch: B, device: torch.device | str) -> B:
    names = [f.name for f in fields(batch)]  # type: ignore[arg-type]
    values = [getattr(batch, name) for name in names]
    return type(batch)(*(value if value is None else value.to(device) for value in values))


def loss_of(model: Transformer, batch: Labelled) -> tuple[Tensor, Tensor]:
    """The mean loss, weighted by `batch.weights` (which sum to one here), and the logits
    [labelled places, V] that it was computed from. Where a batch says how its contexts are to be
    edited, and the model has a head for that, EDITING times the head's mean loss is added."""
    hidden, _ = model.hidden(batch.ids, batch.positions, batch.attention())
    at = batch.labels != IGNORE
    logits = model.lm_head(hidden[at]).float()
    if model.copy is not None:
        logits = _copying(model.copy, batch, hidden, at, logits)
    weights = batch.weights[at]
    losses = F.cross_entropy(logits, batch.labels[at], reduction="none")
    loss = (losses * weights).sum() / weights.sum().clamp_min(1e-9)
    edits = getattr(batch, "edits", None)
    if model.edit is not None and edits is not None and bool((edits != IGNORE).any()):
        told = edits != IGNORE
        loss = loss + EDITING * F.cross_entropy(model.edit(hidden[told]).float(), edits[told])
    return loss, logits


def _copying(
    head: PointerGenerator, batch: Labelled, hidden_BTD: Tensor, at_BT: Tensor, logits_NV: Tensor
) -> Tensor:
    """Logits [N, V] of the labelled places: those of fills may copy from their row's context, those
    of a context itself may not."""
    segments, rows = batch.segments, batch.rows  # type: ignore[attr-defined]
    parts = list(logits_NV.split(at_BT.sum(-1).tolist()))
    for b, at in enumerate(at_BT):
        fills = segments[b, at] > 0
        if not bool(fills.any()):
            continue
        keys_TS = head.k_proj(hidden_BTD[b])
        seen_NT = (segments[b] == 0) & (rows[b] == rows[b, at][:, None])
        places_ND = hidden_BTD[b, at]
        if bool(fills.all()):
            parts[b] = head(parts[b], places_ND, keys_TS, batch.ids[b], seen_NT)
            continue
        mixed = head(parts[b][fills], places_ND[fills], keys_TS, batch.ids[b], seen_NT[fills])
        parts[b] = parts[b].index_put((fills,), mixed)
    return torch.cat(parts)


class Objective(nn.Module):
    """A module whose forward is the loss, as data-parallel wrappers want it."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Labelled) -> Tensor:
        return loss_of(self.model, batch)[0]


@torch.no_grad()
def evaluate(
    model: Transformer, quiz: Mapping[str, Sequence[Labelled]], device: torch.device | str
) -> dict[str, float]:
    """Mean loss, and share of labelled places whose best id is right, of every kind."""
    found: dict[str, float] = {}
    for kind, batches in quiz.items():
        losses, right = [], []
        for batch in batches:
            batch = move(batch, device)
            loss, logits = loss_of(model, batch)
            labels = batch.labels[batch.labels != IGNORE]
            losses.append(float(loss))
            right.append(float((logits.argmax(-1) == labels).float().mean()))
        found[f"{kind}_loss"] = round(sum(losses) / len(losses), 4)
        found[f"{kind}_top1"] = round(sum(right) / len(right), 4)
    return found
