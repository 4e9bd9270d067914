"""What a run will take: parameters, FLOPs, memory and hours. Computes a few steps, writes nothing.

FLOPs of training per token: 6 for every weight that multiplies, 12 x layers x width x length for
attention (forward and backward; Kaplan et al., arXiv 2001.08361).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from diffufix.model.transformer import Transformer
from diffufix.train.objective import Labelled, move
from diffufix.train.optim import optimisers, update
from diffufix.train.pretrain.supply import Supply
from diffufix.train.recipe import Recipe
from diffufix.train.tracking import clock

MEASURED = 3  # steps, after one to warm up


@dataclass(frozen=True)
class Estimate:
    parameters: int
    steps: int
    tokens: int  # over all steps
    flops: float  # over all steps
    memory: float  # bytes while training
    tokens_per_second: float
    seconds: float
    rows_per_second: float  # examples made by one process, in its own CPU time
    rows_wanted: float  # examples a second that training eats

    def lines(self) -> list[str]:
        workers = max(1, -(-self.rows_wanted // max(self.rows_per_second, 1e-9)))
        return [
            f"parameters   {self.parameters:,}",
            f"steps        {self.steps:,}",
            f"tokens       {self.tokens:,}",
            f"FLOPs        {self.flops:.2e}",
            f"memory       {self.memory / 2**20:,.0f} MiB (estimate)",
            f"speed        {self.tokens_per_second:,.0f} tokens/s",
            f"time         {clock(self.seconds)}",
            f"examples     {self.rows_per_second:,.0f} a second per worker; "
            f"{self.rows_wanted:,.0f} wanted: --workers {workers:.0f}",
        ]


def flops_per_token(model: Transformer, length: int) -> float:
    c = model.config
    weights = sum(p.numel() for p in model.parameters())
    if not c.tie_word_embeddings:
        weights -= model.model.embed_tokens.weight.numel()  # a look-up multiplies nothing
    return 6.0 * weights + 12.0 * c.num_hidden_layers * c.hidden_size * length


def memory_of(model: Transformer, recipe: Recipe, tokens: float, half: bool) -> float:
    """Bytes: weights, gradients, optimisers and average, and the activations of one part.

    A block keeps some 14 vectors of the model's width and 4 of the feed-forward's per token, the
    head three rows of logits for the share of places that are labelled.
    """
    c = model.config
    matrices = sum(p.numel() for p in model.model.layers.parameters() if p.ndim == 2)
    weights = sum(p.numel() for p in model.parameters())
    kept = 4 * weights if recipe.optimiser == "adamw" else 4 * weights - matrices
    kept += weights if recipe.ema else 0
    width = 14 * c.hidden_size + 4 * c.intermediate_size
    values = tokens * (c.num_hidden_layers * width + 0.3 * 3 * c.vocab_size)
    return 4.0 * kept + values * (2.0 if half else 4.0)


def estimate(
    model: Transformer,
    recipe: Recipe,
    supply: Supply,
    first: int,
    last: int,
    device: torch.device,
    flops_per_second: float | None = None,
) -> Estimate:
    """Measured on `device` in the last stage's mixture, or computed from a rate of FLOPs.

    The model is trained a little by it: give one that is not needed any more.
    """
    make = supply.open()
    began = time.process_time()
    coming = [make(step, 0) for step in range(max(first, last - MEASURED - 1), last)]
    making = len(coming) * recipe.rows / recipe.accumulate / (time.process_time() - began)
    size = sum(int((batch.rows >= 0).sum()) for batch in coming) / len(coming)
    tokens = size * recipe.accumulate * (last - first)
    each = flops_per_token(model, recipe.length)
    if flops_per_second is None:
        speed = _measure(model.to(device), recipe, iter(coming), device)
    else:
        speed = flops_per_second / each
    return Estimate(
        parameters=sum(p.numel() for p in model.parameters()),
        steps=last - first,
        tokens=round(tokens),
        flops=each * tokens,
        memory=memory_of(model, recipe, size, device.type == "cuda"),
        tokens_per_second=speed,
        seconds=tokens / speed,
        rows_per_second=making,
        rows_wanted=speed / size * recipe.rows / recipe.accumulate,
    )


def _measure(
    model: Transformer, recipe: Recipe, coming: Iterator[Labelled], device: torch.device
) -> float:
    """Tokens a second of whole steps."""
    optims = optimisers(model.train().requires_grad_(True), recipe)
    tokens, began = 0, time.perf_counter()
    for number, batch in enumerate(coming):
        if number == 1:
            tokens, began = 0, time.perf_counter()
        update(model, optims, move(batch, device), recipe, number)
        tokens += int((batch.rows >= 0).sum())
    return tokens / (time.perf_counter() - began)
